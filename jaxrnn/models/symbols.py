"""Symbols as what a cell reads: learned vectors, or one-hot."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import checks, initializers
from jaxrnn.regularizers import embedding_dropout
from jaxrnn.unroll import inside


def sizes(vocabulary_size: Any, embedding_size: Any, dropout: float) -> None:
    """Refuse sizes that do not fit one another; None stands for features, and for one-hot vectors."""
    if vocabulary_size is not None:
        checks.positive(vocabulary_size, "vocabulary_size")
    elif embedding_size is not None:
        raise ValueError("vocabulary_size: expected V with an embedding_size, got None")
    if embedding_size is not None:
        checks.positive(embedding_size, "embedding_size")
    elif dropout:
        raise ValueError("embedding_size: expected a size with embedding_dropout, got None")


def embedding(key: Any, vocabulary_size: int, size: int, dtype: Any, *, tied: bool = False) -> jax.Array:
    """Fresh vectors [V, E], of entries with variance 1, or 1 / E where they are also read out with."""
    return initializers.normal(1.0 / math.sqrt(size) if tied else 1.0)(key, (vocabulary_size, size), dtype)


def embedded(
    params: Any, tokens: jax.Array, vocabulary_size: int, *, valid: Any = True, key: Any = None, dropout: float = 0.0
) -> jax.Array:
    """tokens [...] int -> vectors [..., E] of params["embedding"], or one-hot [..., V] where there is none.

    `key` and `dropout`: of whole symbols, see `regularizers.embedding_dropout`. What is not `valid` may be any number.
    """
    checks.tokens(tokens, vocabulary_size, "tokens", valid=valid)
    tokens = jnp.where(valid, tokens, 0)
    if "embedding" in params:
        return embedding_dropout(key, params["embedding"], dropout)[tokens]
    return jax.nn.one_hot(tokens, vocabulary_size, dtype=params["bias"].dtype)


def valid_steps(time: int, options: dict[str, Any]) -> Any:
    """[T, ...] bool: the steps that the options of `unroll` leave; True where they take none away."""
    lengths, mask = options.get("lengths"), options.get("mask")
    valid = True if lengths is None else inside(lengths, time)
    return valid if mask is None else valid & mask
