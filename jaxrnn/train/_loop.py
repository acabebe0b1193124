"""A training update with optax, and the loop around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrnn._core.cell import Carry, Params
from jaxrnn._core.numerics import common
from jaxrnn.train._cycle import cycle
from jaxrnn.train._devices import gathered, shared
from jaxrnn.train._truncated_bptt import Losses, truncated_bptt, weighted


class TrainState(NamedTuple):
    """All that a run needs to resume bit for bit, except the data."""

    step: jax.Array  # [] int32, updates made
    params: Params
    opt_state: Any
    carry: Carry  # of the streams, passed from window to window
    healthy: jax.Array  # [] bool, False once a loss or gradient was not finite: then nothing changes any more


def make_update(
    losses: Losses,
    optimizer: optax.GradientTransformation,
    *,
    k1: int | None = None,
    k2: int | None = None,
    key: jax.Array | None = None,
):
    """`update(state, window) -> (state, {"loss", "gradient_norm", "healthy"})`, jitted, with its state donated.

    loss is the weighted mean over the window, in the unit of `losses`; gradient_norm is taken before `optimizer`, which
    may clip. A step whose loss or norm is not finite changes nothing, and neither does any step after it.
    key: turns on the noise of the model (dropout and the like); each step draws its own, and the same again when it is
    repeated after a resume. None: no noise.
    """
    gradient = truncated_bptt(losses, k1, k2)

    def update(state: TrainState, window: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        (total, weight, carry), grads = gradient(
            state.params, state.carry, window, None if key is None else jax.random.fold_in(key, state.step)
        )
        weight = jnp.maximum(weight.astype(total.dtype), jnp.finfo(total.dtype).tiny)
        grads = jax.tree.map(lambda g: g / weight.astype(g.dtype), grads)
        return applied(optimizer, state, total / weight, grads, carry)

    return jax.jit(update, donate_argnums=0)


def applied(
    optimizer: optax.GradientTransformation, state: TrainState, loss: jax.Array, grads: Params, carry: Carry
) -> tuple[TrainState, dict[str, jax.Array]]:
    """The state after an update by these gradients, and what there is to see of it."""
    squares = [optax.tree.norm(g, squared=True) for g in jax.tree.leaves(grads)]  # in the type of each
    norm = jnp.sqrt(sum(s.astype(common(*squares)) for s in squares))
    healthy = state.healthy & jnp.isfinite(loss) & jnp.isfinite(norm)
    changes, opt_state = optimizer.update(grads, state.opt_state, state.params)
    new = TrainState(state.step + 1, optax.apply_updates(state.params, changes), opt_state, carry, healthy)
    # A selection, not a product with 0: NaN in the new state does not reach the old one.
    state = jax.tree.map(lambda n, o: jnp.where(healthy, n, o), new, state._replace(healthy=healthy))
    return state, {"loss": loss, "gradient_norm": norm, "healthy": healthy}


def start(
    model: Any,
    key: jax.Array,
    optimizer: optax.GradientTransformation,
    batch_shape: tuple[int, ...],
    params: Any = None,
) -> TrainState:
    """The initial state of a run: step 0, new parameters, initial carries for `batch_shape` streams.

    params: those to go on with, such as `jaxrnn.load` or `interop.from_torch` gave; copied. None: what `init` draws.
    """
    params = model.init(key) if params is None else jax.tree.map(lambda a: jnp.array(a, copy=True), params)
    # A copy, because a learned carry is a parameter too, and a buffer can be donated only once.
    carry = jax.tree.map(jnp.copy, model.initial_carry(params, batch_shape))
    return TrainState(jnp.int32(0), params, optimizer.init(params), carry, jnp.bool_(True))


def make_evaluate(losses: Losses, *, devices: int | None = None) -> Callable[[Params, Carry, Iterable[Any]], float]:
    """`evaluate(params, carry, windows)`: the weighted mean loss over windows in order, passing the carry on.

    devices: as in `fit`.
    """

    @jax.jit
    def total(params, carry, window):
        each, weights, carry = losses(params, carry, window)
        return *weighted(each, weights), carry

    def evaluate(params, carry, windows):
        loss = weight = 0.0
        over = None
        for window in windows:
            if over is None:
                over = shared(gathered(params), carry, window, devices)  # from where `on_report` has them
                params, carry = over.tree, over.carry
            here, counted, carry = total(params, carry, over.place(window))
            loss, weight = loss + float(here), weight + float(counted)
        return loss / weight if weight else 0.0

    return evaluate


class Report(NamedTuple):
    """What the loop reports after every few steps."""

    step: int
    loss: float  # mean over these steps
    gradient_norm: float  # largest of these steps
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
    scale: float = 1.0,
    devices: int | None = None,
) -> tuple[TrainState, bool]:
    """Make updates until `steps` have been made in total: (state, whether all were).

    windows[k] is the window of step k, so a resumed run continues where it stopped. Every `every` steps, at the end and
    when interrupted, `on_report(report, state)` is called: the place to evaluate and to save. The next update reuses
    the buffers of that state: copy what you want to keep.
    Ctrl-C (SIGINT) and SIGTERM end the loop after the current step; a second one ends it at once.
    progress: show a bar with steps/s, loss (times `scale`, labelled with `unit`) and time left, on a terminal only.
    devices: how many of this process's devices share the rows, at most; 1: none but JAX's default; None: all, but one
        where they are cores and a kernel's lesser side is 512 or more: its products use all cores by themselves. As
        many take part as divide B, while the loop runs: `on_report` sees a state that is on all of them, and the state
        that is returned is on one again. Results of one and of several agree to rounding, and a run may go on with
        another number. On a CPU `jaxrnn.cores_as_devices()`, before all else, makes devices of its cores. What has been
        placed already (`data_parallel`, for several processes) stays so, as does a carry without rows.
    Raises NotFinite, with the step and its gradient norm, when a loss or gradient is NaN or Inf.
    """
    done, over = int(state.step), None

    def advance(state, k, until):
        nonlocal over
        window = windows[k]
        if over is None:
            one = isinstance(update, jax.stages.Compiled)  # for the places of what it was compiled with
            over = shared(state._replace(carry=None), state.carry, window, 1 if one else devices)
            state = over.tree._replace(carry=over.carry)
        return *update(state, over.place(window)), 1

    def home(state):
        return over.home(state) if over else state

    def tell(state, interval):
        n = len(interval.seen["loss"])
        loss, norm = sum(interval.seen["loss"].tolist()) / n, float(interval.seen["gradient_norm"].max())
        on_report(Report(interval.done, loss, norm, n / interval.seconds), state)

    how: Any = {"every": every, "report": tell, "home": home, "progress": progress, "unit": unit, "scale": scale}
    state, complete = cycle(advance, state, done, steps, **how)
    return home(state), complete
