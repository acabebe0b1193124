"""What `fit` and `learn` turn in: interrupts, reports, the bar, and the stop where something is not finite."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.optional import optional


class NotFinite(FloatingPointError):
    """A loss or a gradient was NaN or Inf. `state`, a TrainState, is the one before the step."""

    def __init__(self, message: str, state: Any):
        super().__init__(message)
        self.state = state


class Interval(NamedTuple):
    """The updates since the last report, or since where the run was taken up."""

    done: int  # updates made in total
    seen: dict[str, np.ndarray]  # [n] of each metric
    seconds: float
    whole: bool  # False where an interrupt came before the report was due


def cycle(
    advance: Callable,
    state: Any,
    done: int,
    steps: float,
    *,
    every: int,
    report: Callable[[Any, Interval], Any],
    home: Callable[[Any], Any],
    progress: bool,
    unit: str,
    scale: float = 1.0,
    note: Callable[[], str] = str,
) -> tuple[Any, bool]:
    """Make updates until `steps` have been made in total: (state, whether nothing is left to do).

    advance(state, k, until) -> (state, seen, n) makes n updates, of step k and after, not beyond `until`; seen has
    "loss", "gradient_norm" and "healthy", [] each, or [n] and more; n is 0 where there are no more batches.
    report(state, interval) comes every `every` steps, at the end and when interrupted, and is true to stop.
    home(state) is what NotFinite keeps; the bar shows the loss times `scale`, and note() beside it.
    """
    over = False
    with interruptible() as interrupted, _bar(done, steps, progress, unit) as bar:
        while done < steps and not over and not interrupted():
            began, parts, k = time.perf_counter(), [], done
            until = min(steps, done - done % every + every)
            while k < until:
                state, seen, n = advance(state, k, until)
                if not n:
                    over = True
                    break
                parts.append((seen, n))
                k += n
                if n > 1 or len(parts) % 10 == 0:  # not at each step, so that the device has the next one queued
                    last = float(np.ravel(seen["loss"])[n - 1])
                    bar(k, scale * last, (k - done) / (time.perf_counter() - began), note())
                if interrupted():
                    break
            if not parts:
                break
            metrics = jax.device_get(parts)  # waits for the device, once per report
            seen = {name: np.concatenate([np.ravel(made[name])[:n] for made, n in metrics]) for name in metrics[0][0]}
            if not seen["healthy"].all():
                bad = int(seen["healthy"].argmin())
                raise NotFinite(
                    f"step {done + bad}: loss {seen['loss'][bad]}, gradient norm {seen['gradient_norm'][bad]}; the "
                    "state is that before it. A smaller learning rate or clip_by_global_norm may help",
                    home(state)._replace(healthy=jnp.bool_(True)),
                )
            done, seconds = k, time.perf_counter() - began
            over = bool(report(state, Interval(done, seen, seconds, over or done == until))) or over
            bar(done, scale * float(seen["loss"].mean()), len(seen["loss"]) / seconds, note())
    return state, over or done >= steps


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """In this context, the first SIGINT or SIGTERM is only recorded: yields a function that says whether one came.

    A step must not be interrupted: its input buffers are already donated. Outside the main thread, where Python
    receives no signals, nothing is recorded.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number, frame):
        came.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _bar(done: int, steps: float, wanted: bool, unit: str) -> Iterator[Callable[[int, float, float, str], None]]:
    """A progress bar on a terminal, nothing elsewhere: yields one of (steps made, loss, steps a second, note)."""
    console = optional("rich.console", "train", "the progress bar").Console() if wanted else None
    if console is None or not console.is_terminal:
        yield lambda done, loss, speed, note: None
        return
    rich = optional("rich.progress", "train", "the progress bar")
    columns = (
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TextColumn("{task.description}"),
        rich.TimeElapsedColumn(),
        rich.TextColumn("left"),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=console) as progress:
        task = progress.add_task("compiling", total=None if steps == float("inf") else steps, completed=done)
        yield lambda done, loss, speed, note: progress.update(
            task, completed=done, description=f"loss {loss:.3f} {unit} {note}{speed:.1f} steps/s"
        )
