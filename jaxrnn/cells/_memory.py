"""What cells share whose memory is a matrix for each head."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core.numerics import wide
from jaxrnn.cells._affine import Driven


class MemoryCarry(NamedTuple):
    """What keys have written into the memories, and the last queries, which read them for the output."""

    S: jax.Array  # [..., heads, K, V]
    q: jax.Array  # [..., heads, K]


def outer(k: jax.Array, v: jax.Array) -> jax.Array:
    """What keys [..., K] write of values [..., V]: [..., K, V]."""
    return k[..., :, None] * v[..., None, :]


def recall(k: jax.Array, S: jax.Array) -> jax.Array:
    """What keys or queries [..., K] read in memories [..., K, V]: [..., V]."""
    return (k[..., :, None] * S).sum(-2)


def unit(k: jax.Array) -> jax.Array:
    """k [..., K] over its Euclidean length, which counts as no less than 1e-6."""
    return k * jax.lax.rsqrt(jnp.maximum(jnp.square(k).sum(-1, keepdims=True), 1e-12))


class Memory(Driven):
    """The parts of a cell with memories S [..., heads, K, V], where K = V = H / heads.

    Memories are in the type of sums, which for half-precision types is float32: they add up many small parts.
    """

    def __init__(self, hidden_size: int, heads: int, options: Any, **widths: int):
        super().__init__(hidden_size, options, **widths)
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1 or self.H % heads:
            raise ValueError(f"heads: expected a divisor of hidden_size={self.H}, got {heads!r}")
        self.heads, self.K = heads, self.H // heads

    def by_head(self, z: jax.Array) -> jax.Array:
        """[..., H] -> [..., heads, K]."""
        return z.reshape(*z.shape[:-1], self.heads, self.K)

    def start(self, params: Any) -> MemoryCarry:
        """Empty memories."""
        sums = wide(self.compute(params))
        return MemoryCarry(jnp.zeros((self.heads, self.K, self.K), sums), self.zeros(params, self.heads, self.K))

    def output(self, params: Any, carry: Any) -> jax.Array:
        """What the queries read [..., H]."""
        return self.joined(params, recall(carry.q.astype(carry.S.dtype), carry.S))

    def joined(self, params: Any, y: jax.Array) -> jax.Array:
        """[..., heads, K] -> [..., H] in the type to compute in."""
        return y.reshape(*y.shape[:-2], self.H).astype(self.compute(params))
