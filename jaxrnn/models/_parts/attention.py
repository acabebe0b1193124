"""Attention: the weights of a query over the steps of a memory, and the weighted mean of its values."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Params
from jaxrnn._core.numerics import product, row, wide

SCORES = ("dot", "general", "concat")


class Memory(NamedTuple):
    """S steps to attend to. Batch axes come first, as in a carry, so that beam search can gather both in one way."""

    keys: jax.Array  # [..., S, A], what queries are compared with
    values: jax.Array  # [..., S, F]
    valid: jax.Array  # [..., S] bool


def init(score: str, key: Any, query_size: int, value_size: int, size: int, dtype: Any) -> Params:
    """The parameters of a score between queries [..., Q] and values [..., F]; size: A, for "concat".

    Raises ValueError for "dot" unless Q = F.
    """
    draw, keys = initializers.lecun_normal(), jax.random.split(key, 3)
    if score == "dot":
        if query_size != value_size:
            raise ValueError(
                f"score: expected 'general' or 'concat' for queries of size {query_size} and a memory of size "
                f"{value_size}, got 'dot', which wants one size"
            )
        return {}
    if score == "general":
        return {"kernel": draw(keys[0], (value_size, query_size), dtype)}
    return {
        "query": draw(keys[0], (query_size, size), dtype),
        "kernel": draw(keys[1], (value_size, size), dtype),
        "score": draw(keys[2], (size, 1), dtype)[:, 0],
    }


def memory(params: Params, ys: jax.Array, valid: Any = True) -> Memory:
    """ys [S, ..., F], valid [S, ...] bool -> a memory, with its keys computed once for all queries."""
    values = jnp.moveaxis(ys, 0, -2)
    valid = jnp.moveaxis(jnp.broadcast_to(valid, ys.shape[:-1]), 0, -1)
    keys = product(values, params["kernel"], values.dtype).astype(values.dtype) if "kernel" in params else values
    return Memory(keys, values, valid)


def attended(score: str, params: Params, query: jax.Array, memory: Memory) -> tuple[jax.Array, jax.Array]:
    """query [..., Q] -> (context [..., F], weights [..., S]); queries may have extra leading axes.

        weights = softmax over the valid steps of score(q, y_s),   context = sum over steps of weights y_s

    dot: q · y. general: q · (y kernel). concat: score · tanh(q query + y kernel), which is Bahdanau's, and Luong's
    score · tanh([q; y] W) with W split in two. A memory without a valid step gives weights and context of 0.
    """
    keys, values, valid = memory
    dtype = wide(values.dtype)
    if score == "concat":
        asked = product(query, params["query"], values.dtype)[..., None, :]
        hidden = jnp.tanh(asked + row(keys, asked))
        scores = (hidden * row(params["score"], hidden)).sum(-1)
    else:
        scores = jnp.einsum("...a,...sa->...s", query.astype(keys.dtype), keys, preferred_element_type=dtype)
    scores = jnp.where(valid, scores, jnp.finfo(scores.dtype).min)
    weights = jnp.where(valid, jax.nn.softmax(scores, axis=-1), 0).astype(values.dtype)
    return jnp.einsum("...s,...sf->...f", weights, values, preferred_element_type=dtype).astype(values.dtype), weights


def combined(score: str, params: Params, ys: jax.Array, memory: Memory) -> tuple[jax.Array, jax.Array]:
    """Luong's attentional state, tanh([context, y] combine) with y as the query: ys [..., H] -> ([..., H], weights)."""
    context, weights = attended(score, params, ys, memory)
    both = jnp.concatenate([context.astype(ys.dtype), ys], -1)
    return jnp.tanh(product(both, params["combine"], ys.dtype)).astype(ys.dtype), weights
