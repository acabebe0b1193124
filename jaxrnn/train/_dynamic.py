"""Dynamic evaluation: a model that goes on learning from what it has just predicted, and its loss so."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Carry, Params
from jaxrnn._core.described import describe
from jaxrnn._core.numerics import common
from jaxrnn.train._devices import gathered, shared
from jaxrnn.train._truncated_bptt import Losses, weighted


class Adapted(NamedTuple):
    """What `dynamic_evaluate` gives."""

    loss: float  # the weighted mean over all windows, each by the params before it
    params: Params  # after the last window
    carry: Carry


def mean_square(
    losses: Losses, params: Params, carry: Carry, windows: Iterable[Any], *, devices: int | None = None
) -> Params:
    """The mean over windows of the squared gradient of each one's mean loss, in the form of params: MS_g.

    For `dynamic_evaluate`, from windows that the model was trained on; a hundred do. The gradient of a window of many
    rows is the less noisy and the smaller, so they should have the steps and rows of those that are then evaluated.
    Raises ValueError where there are no windows.
    """
    total, count, over = None, 0, None
    for window in windows:
        if over is None:
            total = jax.tree.map(jnp.zeros_like, params)
            over = shared(gathered((params, total)), carry, window, devices)
            (params, total), carry = over.tree, over.carry
        total, carry = _squares(losses)(params, total, carry, over.place(window))
        jax.block_until_ready(total)  # sums over devices are not to queue up: on a CPU they can lock one another out
        count += 1
    if over is None:
        raise ValueError("windows: expected at least one, got none")
    return over.home(jax.tree.map(lambda a: a / count, total))


def dynamic_evaluate(
    losses: Losses,
    params: Params,
    carry: Carry,
    windows: Iterable[Any],
    mean_square: Params,
    *,
    rate: float = 2e-3,
    decay: float = 1e-3,
    epsilon: float = 1e-4,
    devices: int | None = None,
) -> Adapted:
    """The loss of a model that learns from each window after it was asked about it; rate=0 is static evaluation.

        seen = train.mean_square(losses, params, carry, itertools.islice(streams, 100))
        loss = train.dynamic_evaluate(losses, params, carry, held_out, seen).loss

    After a window with the gradient g of its mean loss, for each number of the params by itself,

        params += min(decay R, 1) (trained - params) - rate g / (rms + epsilon)
        rms = sqrt(mean_square),  R = rms / mean of rms over all params

    so what has large gradients moves in steps of about `rate`, and goes back soonest to what was trained. Nothing is
    predicted by params that have seen it, so that the figure is one of prediction, as that of a compressor that adapts
    is. The gradient is cut at the start of each window, the carry goes on.

    losses, carry, windows: as for `make_evaluate`; `next_symbol(model)` for a language model on `data.Streams`. The
    paper has one row, B = 1, and windows of 5 (words) and 20 (characters). With B rows they adapt the same params
    together, in B times fewer updates, each from what all rows have read: faster, and less close to any of them.
    mean_square: as the function of that name gives it. epsilon: what had no gradient in those windows, such as the
    vector of a rare symbol, moves by rate / epsilon times its gradient. devices: as for `fit`. The defaults were chosen
    for characters, in windows of 16 rows and 32 steps; a rate too high shows as a loss above the static one.
    Raises ValueError for a mean_square that is not of the form of params, or a rate, decay or epsilon below 0.
    Krause, Kahembwe, Murray and Renals 2018, "Dynamic evaluation of neural sequence models", RMS with decay to the
    trained params (their RMS + RMS global prior).
    """
    for name, value in {"rate": rate, "decay": decay, "epsilon": epsilon}.items():
        if not value >= 0:
            raise ValueError(f"{name}: expected a number of at least 0, got {value}")
    if jax.tree.map(jnp.shape, mean_square) != jax.tree.map(jnp.shape, params):
        raise ValueError(f"mean_square: expected the form of params, {describe(params)}, got {describe(mean_square)}")
    trained, rms = params, jax.tree.map(jnp.sqrt, mean_square)
    numbers, loss, weight, over = (rate, decay, epsilon), 0.0, 0.0, None
    for window in windows:
        if over is None:
            over = shared(gathered((params, rms)), carry, window, devices)
            (trained, rms), carry = over.tree, over.carry
            params = jax.tree.map(jnp.copy, trained)  # its buffers are used again
        params, carry, total, counted = _adapt(losses)(params, trained, rms, carry, over.place(window), numbers)
        loss, weight = loss + float(total), weight + float(counted)  # which waits, as in `mean_square`
    return Adapted(loss / weight if weight else 0.0, *(over.home((params, carry)) if over else (params, carry)))


def _gradient(losses: Losses, params: Params, carry: Carry, window: Any) -> tuple[Params, Carry, jax.Array, jax.Array]:
    """The gradient of a window's mean loss, the carry after it, the sum of its losses, and of its weights."""

    def total(params):
        each, weights, after = losses(params, carry, window)
        total, weight = weighted(each, weights)
        return total, (weight, after)

    (loss, (weight, carry)), grads = jax.value_and_grad(total, has_aux=True)(params)
    some = jnp.maximum(weight.astype(loss.dtype), jnp.finfo(loss.dtype).tiny)
    return jax.tree.map(lambda g: g / some.astype(g.dtype), grads), carry, loss, weight


@functools.lru_cache(maxsize=8)
def _squares(losses):
    def squares(params, total, carry, window):
        grads, carry, *_ = _gradient(losses, params, carry, window)
        return jax.tree.map(lambda a, g: a + g * g, total, grads), carry

    return jax.jit(squares, donate_argnums=1)


@functools.lru_cache(maxsize=8)
def _adapt(losses):
    def adapt(params, trained, rms, carry, window, numbers):
        grads, carry, *found = _gradient(losses, params, carry, window)
        leaves = jax.tree.leaves(rms)
        wide = common(*leaves)
        mean = sum(a.astype(wide).sum() for a in leaves) / sum(a.size for a in leaves)
        mean = jnp.maximum(mean, jnp.finfo(wide).tiny)  # where nothing had a gradient

        def one(p, first, scale, g):
            rate, decay, epsilon = (jnp.asarray(number, p.dtype) for number in numbers)
            back = jnp.minimum(decay * scale / mean.astype(p.dtype), 1)
            return p + back * (first - p) - rate * g / (scale + epsilon)

        return jax.tree.map(one, params, trained, rms, grads), carry, *found

    return jax.jit(adapt, donate_argnums=0)
