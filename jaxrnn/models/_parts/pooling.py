"""Pool all outputs of a sequence into one vector: ys [T, ..., H] -> [..., F]. A sequence without a step gives 0."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Params
from jaxrnn._core.numerics import product, row, wide

POOLINGS = ("last", "ends", "mean", "max", "attention")


def init(pooling: str, key: Any, size: int, dtype: Any) -> Params:
    """The parameters of a pooling of ys [T, ..., size]: {} except for attention."""
    if pooling != "attention":
        return {}
    k1, k2 = jax.random.split(key)
    return {
        "kernel": initializers.lecun_normal()(k1, (size, size), dtype),
        "bias": jnp.zeros(size, dtype),
        "query": initializers.lecun_normal()(k2, (size, 1), dtype)[:, 0],
    }


def pooled_size(pooling: str, size: int) -> int:
    """F, from H."""
    return 2 * size if pooling == "ends" else size


def pooled(pooling: str, params: Params, ys: jax.Array, valid: Any = True) -> jax.Array:
    """ys [T, ..., H], valid [T, ...] bool -> [..., F], over the valid steps.

    last: y of the last step. ends: y of the last and of the first, concatenated, for a bidirectional cell.
    mean, max: over steps. attention: the mean weighted with softmax over steps of tanh(y kernel + bias) · query
    (Yang et al. 2016, "Hierarchical attention networks").
    """
    valid = jnp.broadcast_to(valid, ys.shape[:-1])
    ys = _blank(valid, ys)
    if pooling in ("last", "ends"):
        last = jnp.where(valid, jnp.arange(ys.shape[0]).reshape(-1, *[1] * (valid.ndim - 1)), 0).max(0)
        if pooling == "last":
            return _at(ys, last)
        return jnp.concatenate([_at(ys, last), _at(ys, valid.argmax(0))], axis=-1)
    if pooling == "max":
        highest = jnp.where(valid[..., None], ys, -jnp.inf).max(0)
        return _blank(valid.any(0), highest)
    if pooling == "mean":
        dtype = wide(ys.dtype)
        weights = valid.astype(dtype) / jnp.maximum(valid.sum(0, keepdims=True), 1).astype(dtype)
    else:
        weights = attention_weights(params, ys, valid)
    return (weights[..., None] * ys.astype(weights.dtype)).sum(0).astype(ys.dtype)


def attention_weights(params: Params, ys: jax.Array, valid: Any = True) -> jax.Array:
    """The weight of each step: [T, ...], 0 where it is not valid; they sum to 1 (0 for a sequence without a step)."""
    valid = jnp.broadcast_to(valid, ys.shape[:-1])
    hidden = product(_blank(valid, ys), params["kernel"], ys.dtype)
    hidden = jnp.tanh(hidden + row(params["bias"], hidden))
    scores = (hidden * row(params["query"], hidden)).sum(-1)
    scores = jnp.where(valid, scores, jnp.finfo(scores.dtype).min)
    return jnp.where(valid, jax.nn.softmax(scores, axis=0), 0)


def _blank(valid, ys):
    """ys with 0 where not valid, so that padding, NaN included, does not reach gradients either."""
    return jnp.where(valid[..., None], ys, 0)


def _at(ys, index):
    """y [..., H] at the steps `index` [...]."""
    return jnp.take_along_axis(ys, index[None, ..., None], axis=0)[0]
