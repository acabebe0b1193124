"""Loss terms on the outputs of a cell, and dropout of whole symbols."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.numerics import wide


def activation_regularization(ys: jax.Array, alpha: Any, valid: Any = None) -> jax.Array:
    """AR: alpha times the mean of y², over all steps, rows and units: ys [T, ..., H] -> a scalar.

    valid: [T, ...] bool, the steps that count, such as `jnp.arange(T)[:, None] < lengths`; None: all of them. Values at
    other steps, NaN included, reach neither value nor gradient. If no step counts, the result is 0.
    Half-precision types are squared and summed in float32, the type of the result.

    The papers write alpha L2(m ⊙ h_t), where m is the dropout mask of the output; their code takes the mean of squares
    as here, of the last layer's outputs *after* dropout, with alpha = 2. Merity, McCann and Socher 2017, arXiv
    1708.01009; Merity, Keskar and Socher 2017, arXiv 1708.02182. Raises TypeError or ValueError for shapes that do not
    fit.
    """
    ys, valid, _ = _steps(ys, valid, None)
    return jnp.asarray(alpha, ys.dtype) * _mean_square(ys, valid)


def temporal_activation_regularization(ys: jax.Array, beta: Any, valid: Any = None, reset: Any = None) -> jax.Array:
    """TAR: beta times the mean of (y_t - y_{t-1})², over all pairs of steps, rows, units: ys [T, ..., H] -> a scalar.

    valid: as in `activation_regularization`; a pair counts if both of its steps do. reset: [T, ...] bool, as given
    to a forward `unroll`; a pair with a restart at t belongs to two sequences, and does not count. Without any pair, as
    for T = 1, the result is 0.

    The papers write beta L2(h_t - h_{t+1}); their code takes the mean of squares over T-1 pairs as here, of the
    last layer's outputs *before* dropout, with beta = 1. For papers and errors see `activation_regularization`.
    """
    ys, valid, reset = _steps(ys, valid, reset)
    # Selected before the difference, whose gradient would otherwise be 0 · NaN.
    pairs = valid[1:] & valid[:-1] & ~reset[1:]
    after, before = (jnp.where(pairs[..., None], side, 0) for side in (ys[1:], ys[:-1]))
    return jnp.asarray(beta, ys.dtype) * _mean_square(after - before, pairs)


def embedding_dropout(key: Any, embedding: jax.Array, rate: float) -> jax.Array:
    """An embedding [V, E] with each whole row set to 0 with probability `rate`, else times 1 / (1 - rate).

    If all [T, ...] symbols are looked up in one draw, a dropped symbol is absent wherever it occurs. key: a
    `jax.random.key`; None, for evaluation, returns the embedding unchanged. If the readout is tied to the embedding,
    drop rows for the look-up only, not for the logits, as AWD-LSTM does.
    Raises ValueError unless 0 <= rate < 1. Gal and Ghahramani 2016, arXiv 1512.05287, section 4.2; with the scaling,
    Merity, Keskar and Socher 2017, arXiv 1708.02182, section 4.3.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ValueError(f"rate: expected a number with 0 <= rate < 1, got {rate!r}")
    if jnp.ndim(embedding) != 2:
        raise ValueError(f"embedding: expected [V, E], got {checks.shape(embedding)}")
    if key is None:
        return embedding
    keep = jax.random.bernoulli(key, 1 - rate, (embedding.shape[0], 1))
    scaled = embedding.astype(wide(embedding.dtype)) / (1 - float(rate))  # 1 - rate is not rounded to half
    return jnp.where(keep, scaled, 0).astype(embedding.dtype)


def _steps(ys: Any, valid: Any, reset: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(ys, valid, reset) as arrays, with ys in float32 at least and flags filled in for None."""
    if jnp.ndim(ys) < 2 or not jnp.issubdtype(jnp.result_type(ys), jnp.floating):
        raise ValueError(f"ys: expected outputs [T, ..., H] of floating point, got {checks.describe(ys)}")
    for flags, name in (valid, "valid"), (reset, "reset"):
        if flags is not None and jnp.result_type(flags) != jnp.bool_:
            raise TypeError(f"{name}: expected [T, ...] of bool, got {checks.describe(flags)}")
        if flags is not None and checks.shape(flags) != ys.shape[:-1]:
            raise ValueError(
                f"{name}: expected [T, ...] = {ys.shape[:-1]}, the axes of ys before H, got {checks.shape(flags)}"
            )
    valid = jnp.ones(ys.shape[:-1], bool) if valid is None else jnp.asarray(valid)
    reset = jnp.zeros(ys.shape[:-1], bool) if reset is None else jnp.asarray(reset)
    return ys.astype(wide(ys.dtype)), valid, reset


def _mean_square(values: jax.Array, counted: jax.Array) -> jax.Array:
    """The mean of values² [..., H] where counted [...]; 0 if nothing is."""
    values = jnp.where(counted[..., None], values, 0)
    count = jnp.maximum(counted.sum().astype(values.dtype) * values.shape[-1], 1)  # the product may not fit in int32
    return (values**2).sum() / count
