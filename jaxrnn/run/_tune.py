"""The fastest engine for one program on this machine, measured, and kept in a file if one is named."""

from __future__ import annotations

import dataclasses
import json
import platform
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import engines as all_engines
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params
from jaxrnn._core.files import replace
from jaxrnn._core.jax_internals import is_traced
from jaxrnn.run._explain import ones, shown
from jaxrnn.run._unroll import unroll


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The result of `tune`: `engine` is for `unroll(..., engine=)`; prints a line for each that was tried."""

    engine: Engine
    milliseconds: dict[str, float]  # the least of each engine, by the name that it prints as
    measured: bool  # False: it was read from the file

    def __str__(self) -> str:
        least = min(self.milliseconds.values())
        lines = [f"engines.{name}: {ms:.4g} ms, {ms / least:.2f}" for name, ms in self.milliseconds.items()]
        return "\n".join(sorted(lines, key=lambda line: float(line.rsplit(" ", 1)[1])))


def tune(
    cell: Cell,
    params: Params,
    carry: Carry | None,
    xs: Inputs,
    *,
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    reverse: bool = False,
    key: jax.Array | None = None,
    gradient: bool = True,
    engines: tuple[Engine, ...] | None = None,
    seconds: float = 1.0,
    cache: str | Path | None = None,
) -> Tuned:
    """Run `unroll` with these arguments by each engine, by turns in random order, and choose the fastest.

        engine = jaxrnn.tune(cell, params, None, xs, cache="engines.json").engine

    gradient: time the values with the gradient for params, carry and inputs, as in training; False: the values alone.
    engines: those to try. None: `scan`, `deferred`, and where there are several devices both by `over_devices`.
    seconds: how long they run in all, after each was compiled and run once.
    cache: a JSON file. What was measured there for the same cell, shapes, engines, processor, number of devices and
        version of JAX is taken without measuring; else it is measured and added. A cell made by hand is known by no
        name, so it is measured each time.
    Other work on the machine is measured too: run it where the program will run. Raises ValueError or TypeError for
    arguments that do not fit, as `unroll` does, and for arrays that are traced: call it outside `jit`.
    """
    arguments = (params, carry, xs), dict(lengths=lengths, mask=mask, reset=reset, key=key)
    if any(is_traced(a) for a in jax.tree.leaves(arguments)):
        raise ValueError("tune: expected arrays, whose program can be run, got traced ones; call it outside of jit")
    if not seconds > 0:
        raise ValueError(f"seconds: expected a number above 0, got {seconds!r}")
    tried = {shown(engine): engine for engine in (_candidates() if engines is None else engines)}
    if not tried:
        raise ValueError("engines: expected at least one, got ()")
    where = _where(cell, arguments, reverse, gradient, list(tried))
    known = {} if cache is None else _read(Path(cache))
    found = known.get(where) if where else None
    measured = found is None
    if found is None:
        found = _race({n: _program(cell, e, arguments, reverse, gradient) for n, e in tried.items()}, seconds)
        if cache is not None and where:
            replace(cache, json.dumps(_read(Path(cache)) | {where: found}, indent=1) + "\n")
    return Tuned(tried[min(found, key=found.__getitem__)], found, measured)


def _candidates() -> tuple[Engine, ...]:
    single = all_engines.scan, all_engines.deferred
    many = tuple(map(all_engines.over_devices, single)) if len(jax.local_devices()) > 1 else ()
    return single + many


def _program(cell, engine, arguments, reverse, gradient) -> Callable[[], Any]:
    """The compiled program on its arguments, run once."""

    def run(learnt, options):
        return unroll(cell, *learnt, engine=engine, reverse=reverse, **options)

    def values_and_gradient(learnt, options):
        result, pull = jax.vjp(lambda learnt: run(learnt, options), learnt)
        return result, pull(jax.tree.map(ones, result))

    compiled = jax.jit(values_and_gradient if gradient else run).lower(*arguments).compile()

    def call():
        return jax.block_until_ready(compiled(*arguments))

    call()
    return call


def _race(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """The least milliseconds of each, all by turns: a slow moment of the machine is slow for all of them."""
    least = dict.fromkeys(calls, float("inf"))
    until, order, draw = time.perf_counter() + seconds, list(calls), random.Random(0)
    while True:
        draw.shuffle(order)
        for name in order:
            began = time.perf_counter()
            calls[name]()
            least[name] = min(least[name], 1e3 * (time.perf_counter() - began))
        if time.perf_counter() > until:
            return least


def _where(cell, arguments, reverse, gradient, names) -> str | None:
    """All that the choice depends on, in words; None where the cell does not say what it is."""
    said = repr(cell)
    if "made by hand" in said or " at 0x" in said:
        return None
    shapes = [f"{a.dtype}{list(a.shape)}" for a in map(jnp.asarray, jax.tree.leaves(arguments))]
    tree = str(jax.tree.structure(arguments))
    device = jax.local_devices()[0]
    machine = _processor() if device.platform == "cpu" else device.device_kind
    place = f"{device.platform} {machine} x {len(jax.local_devices())}", f"jax {jax.__version__}"
    return "; ".join([said, tree, " ".join(shapes), f"reverse {reverse}, gradient {gradient}", " ".join(names), *place])


def _processor() -> str:
    """Its model name where the system tells (Linux), else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _read(path: Path) -> dict[str, dict[str, float]]:
    if not path.exists():
        return {}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if all(float(ms) > 0 for found in known.values() for ms in found.values()):
            return known
    except (ValueError, AttributeError, TypeError):
        pass
    raise ValueError(f"cache: expected a file that jaxrnn.tune wrote, or none, got another one at {path}")
