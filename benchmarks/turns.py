"""Contenders that take turns, each where it is at home: in this process, or in one of its own.

Two libraries in one process wait for each other's threads: PyTorch beside XLA ran at half of its own speed. And JAX has
as many devices as it was given before its first computation, in the whole process. So who needs threads or devices of
its own is made, and timed, `Apart`. Nothing here imports JAX: such a process holds what it is asked for and no more.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NamedTuple

TURN = (
    0.01  # seconds: a short call is made several times in a turn, for the first finds the caches full of others' data
)


class Times(NamedTuple):
    """Milliseconds."""

    minimum: float
    median: float


@dataclasses.dataclass(frozen=True)
class Contender:
    """Something to be timed."""

    call: Callable[[], Any]  # returns its results, when they are there
    compile_s: float | None = None  # seconds to trace, lower and compile
    temporary_mb: float | None = None  # what the compiled program allocates beside arguments and results
    total_mb: float | None = None  # the same with arguments and results


def interleaved(
    contenders: dict[str, Callable[[], object]], *, seconds: float = 4.0, least: int = 7
) -> dict[str, Times]:
    """Milliseconds of each contender: name -> (minimum, median).

    Each is a call that returns when its work is done. One call of each is not counted; then they take turns, so that a
    slow minute of a shared machine is slow for all, for `seconds` in all or `least` rounds. Each round has an order of
    its own: threads of one library that still wait for work must not fall on the same neighbour every time.
    """
    for call in contenders.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    turns, draw = list(contenders.items()), random.Random(0)
    began, rounds = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or rounds < least:
        draw.shuffle(turns)
        for name, call in turns:
            times[name] += call.turn() if isinstance(call, Call) else turn(call)
        rounds += 1
    return {name: Times(min(t), statistics.median(t)) for name, t in times.items()}


def turn(call: Callable[[], object]) -> list[float]:
    """Milliseconds of each of the calls of a turn, of which there is at least one."""
    times, began = [], time.perf_counter()
    while not times or time.perf_counter() - began < TURN:
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Apart:
    """A process in which contenders are made and timed; it ends with this one. devices: of JAX on a CPU, if it is used.

    Raises RuntimeError, with the other's words, where something fails there.
    """

    def __init__(self, devices: int | None = None):
        self._connection, theirs = Pipe()
        command = f"from benchmarks.turns import answer; answer({theirs.fileno()}, {devices})"
        root = Path(__file__).parents[1]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
        self._process = subprocess.Popen(
            [sys.executable, "-c", command], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
        )
        theirs.close()

    def make(self, maker: Callable[..., Contender], name: str, *args: Any) -> Contender:
        """maker(*args), called there, under a name of ours; an older contender of that name is forgotten."""
        costs = self.ask("make", name, maker.__module__, maker.__name__, args)
        return Contender(Call(self, name), **costs)

    def ask(self, *request: Any) -> Any:
        """What the other process answers."""
        self._connection.send(request)
        try:
            failed, answer = self._connection.recv()
        except EOFError:
            raise RuntimeError(f"the process apart ended with status {self._process.wait()}") from None
        if failed:
            raise RuntimeError(answer)
        return answer


class Call(NamedTuple):
    """A contender in another process, to be called from this one."""

    there: Apart
    name: str

    def __call__(self) -> Any:
        """What it gives."""
        return self.there.ask("call", self.name)

    def turn(self) -> list[float]:
        """Milliseconds by that process's clock."""
        return self.there.ask("turn", self.name)


def answer(connection: int, devices: int | None) -> None:
    """Serve an `Apart` until it is gone: each request is answered by (whether it failed, what came of it)."""
    talk = Connection(connection)
    made: dict[str, Contender] = {}
    if devices is not None:
        import jax

        jax.config.update("jax_num_cpu_devices", devices)
    while True:
        try:
            request = talk.recv()
        except EOFError:
            return
        try:
            talk.send((False, _done(made, *request)))
        except Exception as error:  # it is the asker's: here the next request is waited for
            talk.send((True, f"{type(error).__name__}: {error}"))


def _done(made: dict[str, Contender], what: str, name: str, *rest: Any) -> Any:
    if what == "make":
        module, maker, args = rest
        made.pop(name, None)  # its memory is free before the next takes some
        made[name] = getattr(importlib.import_module(module), maker)(*args)
        return {field: value for field, value in vars(made[name]).items() if field != "call"}
    return turn(made[name].call) if what == "turn" else _plain(made[name].call())


def _plain(result: Any) -> Any:
    """A result with arrays of NumPy in place of PyTorch's tensors, which the asker may not know."""
    if isinstance(result, tuple | list):
        return [_plain(value) for value in result]
    return result.detach().float().cpu().numpy() if hasattr(result, "detach") else result
