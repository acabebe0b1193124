"""One update with optax, and the loop around it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrnn._core.cell import Carry, Params
from jaxrnn._core.numerics import common
from jaxrnn._core.optional import optional
from jaxrnn.train._truncated_bptt import Losses, truncated_bptt, weighted


class TrainState(NamedTuple):
    """All that a run needs to go on to the same bits, data apart."""

    step: jax.Array  # [] int32, updates made
    params: Params
    opt_state: Any
    carry: Carry  # of the streams, handed from window to window
    healthy: jax.Array  # [] bool, False once a gradient was not finite: then nothing changes any more


class NotFinite(FloatingPointError):
    """A loss or a gradient was NaN or Inf. `state` is that from before the step."""

    def __init__(self, message: str, state: TrainState):
        super().__init__(message)
        self.state = state


def make_update(
    losses: Losses,
    optimizer: optax.GradientTransformation,
    *,
    k1: int | None = None,
    k2: int | None = None,
    key: jax.Array | None = None,
):
    """`update(state, window) -> (state, {"loss", "gradient_norm", "healthy"})`, jitted, its state donated.

    loss is the mean over the window's weights, in the unit of `losses`; gradient_norm is that before `optimizer`, which
    may clip. A step whose loss or norm is not finite changes nothing, and neither does any step after it.
    key: turns the noise of the model on, its dropout and the like; each step draws its own, the same when it is run
    again after a resume. None: there is none.
    """
    gradient = truncated_bptt(losses, k1, k2)

    def update(state: TrainState, window: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        (total, weight, carry), grads = gradient(
            state.params, state.carry, window, None if key is None else jax.random.fold_in(key, state.step)
        )
        weight = jnp.maximum(weight.astype(total.dtype), jnp.finfo(total.dtype).tiny)
        grads = jax.tree.map(lambda g: g / weight.astype(g.dtype), grads)
        squares = [optax.tree.norm(g, squared=True) for g in jax.tree.leaves(grads)]  # in the type of each
        loss, norm = total / weight, jnp.sqrt(sum(s.astype(common(*squares)) for s in squares))
        healthy = state.healthy & jnp.isfinite(loss) & jnp.isfinite(norm)
        changes, opt_state = optimizer.update(grads, state.opt_state, state.params)
        new = TrainState(state.step + 1, optax.apply_updates(state.params, changes), opt_state, carry, healthy)
        # A gradient is NaN at worst where nothing is taken from it: a selection keeps the old state whole.
        state = jax.tree.map(lambda n, o: jnp.where(healthy, n, o), new, state._replace(healthy=healthy))
        return state, {"loss": loss, "gradient_norm": norm, "healthy": healthy}

    return jax.jit(update, donate_argnums=0)


def start(
    model: Any, key: jax.Array, optimizer: optax.GradientTransformation, batch_shape: tuple[int, ...]
) -> TrainState:
    """The state a run begins with: step 0, fresh parameters, fresh carries for `batch_shape` streams."""
    params = model.init(key)
    # A copy, for a learned carry is a parameter too, and an update is given each buffer once.
    carry = jax.tree.map(jnp.copy, model.initial_carry(params, batch_shape))
    return TrainState(jnp.int32(0), params, optimizer.init(params), carry, jnp.bool_(True))


def make_evaluate(losses: Losses) -> Callable[[Params, Carry, Iterable[Any]], float]:
    """`evaluate(params, carry, windows)`: the mean loss over windows in order, the carry handed on, by weight."""

    @jax.jit
    def total(params, carry, window):
        each, weights, carry = losses(params, carry, window)
        return *weighted(each, weights), carry

    def evaluate(params, carry, windows):
        loss = weight = 0.0
        for window in windows:
            here, counted, carry = total(params, carry, window)
            loss, weight = loss + float(here), weight + float(counted)
        return loss / weight if weight else 0.0

    return evaluate


class Report(NamedTuple):
    """What the loop says after a stretch of steps."""

    step: int
    loss: float  # mean over the stretch
    gradient_norm: float  # largest of the stretch
    steps_per_second: float


def fit(
    update: Callable,
    state: TrainState,
    windows: Any,
    steps: int,
    *,
    every: int = 50,
    on_report: Callable[[Report, TrainState], None] = lambda report, state: None,
    progress: bool = True,
    unit: str = "",
) -> tuple[TrainState, bool]:
    """Make updates until `steps` have been made in all: (state, whether all were).

    windows[k] is the window of step k, so a run that is picked up goes on where it was. After every `every` steps, at
    the end and when interrupted, `on_report(report, state)` is called: the place to evaluate and to save. The next
    update takes the buffers of that state: copy what is to be kept.
    Ctrl-C (SIGINT) and SIGTERM end the loop after the step at work; a second one ends it at once.
    progress: a bar with steps/s, loss (in the `unit` to show) and time left, on a terminal only.
    Raises NotFinite, with the step and its gradient norm, when a loss or gradient is NaN or Inf.
    """
    done = int(state.step)
    with interruptible() as interrupted, _bar(done, steps, progress, unit) as bar:
        while done < steps and not interrupted():
            began, metrics = time.perf_counter(), []
            until = min(steps, done - done % every + every)
            for k in range(done, until):
                state, seen = update(state, windows[k])
                metrics.append(seen)
                if len(metrics) % 10 == 0:  # not at each step: a device should have the next one waiting
                    bar(k + 1, float(seen["loss"]), len(metrics) / (time.perf_counter() - began))
                if interrupted():
                    break
            metrics = jax.device_get(metrics)  # waits, once for the stretch
            for offset, seen in enumerate(metrics):
                if not seen["healthy"]:
                    raise NotFinite(
                        f"step {done + offset}: loss {seen['loss']}, gradient norm {seen['gradient_norm']}; the state "
                        "is that before it. A smaller learning rate or clip_by_global_norm may help",
                        state._replace(healthy=jnp.bool_(True)),
                    )
            done += len(metrics)
            loss = sum(float(m["loss"]) for m in metrics) / len(metrics)
            norm = max(float(m["gradient_norm"]) for m in metrics)
            report = Report(done, loss, norm, len(metrics) / (time.perf_counter() - began))
            bar(done, loss, report.steps_per_second)
            on_report(report, state)
    return state, done >= steps


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Within it, the first SIGINT or SIGTERM is only noted: yields a function that says whether one came.

    A step must not be cut in the middle: its input buffers are already given away. Outside the main thread, where
    Python takes no signals, nothing is noted.
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
def _bar(done: int, steps: int, wanted: bool, unit: str) -> Iterator[Callable[[int, float, float], None]]:
    """A progress bar on a terminal, nothing elsewhere: yields what takes steps made, loss and steps per second."""
    console = optional("rich.console", "train", "the progress bar").Console() if wanted else None
    if console is None or not console.is_terminal:
        yield lambda done, loss, speed: None
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
        task = progress.add_task("compiling", total=steps, completed=done)
        yield lambda done, loss, speed: progress.update(
            task, completed=done, description=f"loss {loss:.3f} {unit} {speed:.1f} steps/s"
        )
