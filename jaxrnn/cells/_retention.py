"""Retention, of RetNet."""

from __future__ import annotations

from typing import Any, Unpack

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import complex_of, pair
from jaxrnn.cells._dense import Unbiased
from jaxrnn.cells._memory import Memory, MemoryCarry, outer, recall


@factory
def retention(hidden_size: int, *, heads: int = 1, **options: Unpack[Unbiased]) -> Cell:
    """Retention, a memory that fades and turns: x [..., D], S [..., heads, K/2, V] -> S', y [..., H].

        q, k, v = x W_q, x W_k, x W_v    in each head
        S' = gamma exp(i θ) S + conj(k) vᵀ,    gamma = 1 - 2^(-5 - head)
        y  = Re(q S')

    The first half of a head's q or k is read as real parts, the second as imaginary parts, so S is complex, and turns
    by θ = 10000^(-2j/K), as far as rotary positions would turn q and k: no position is carried. gamma and θ are no
    parameters. Affine in S. The last q is in the carry for y; no step reads it. K = V = H / heads, an even number.
    Parameters, in the order q, k, v: kernel [D, 3H]. There is no bias.

    heads: a divisor of hidden_size.
    Sources: the paper's layer goes on with a normalisation of each head and a gate, and its code scales k by K^(-1/2),
        which that normalisation undoes.

    Good for: attention whose cost and memory do not grow with T, with a fixed horizon for each head.
    Paper: Sun, Dong, Huang, Ma and others 2023, arXiv 2307.08621.
    """
    d = Memory(hidden_size, heads, options, **dict.fromkeys("qkv", hidden_size))
    if d.K % 2:
        raise ValueError(f"heads: expected hidden_size / heads to be even, got {d.K}")
    angle, fade = 10000.0 ** -(np.arange(d.K // 2) * 2 / d.K), 1 - 2.0 ** (-5 - np.arange(heads))
    turn = fade[:, None] * np.exp(1j * angle)

    def start(params):
        shape = heads, d.K // 2
        sums = complex_of(d.compute(params))
        return MemoryCarry(jnp.zeros((*shape, d.K), sums), jnp.zeros(shape, sums))

    def element(params, u):
        q, k, v = map(d.by_head, d.of(u))
        q, k = pair(q), pair(k).conj()
        a = jnp.broadcast_to(jnp.asarray(turn, q.dtype), q.shape)[..., None]
        return MemoryCarry(a, jnp.zeros_like(q)), MemoryCarry(outer(k, lax.complex(v, jnp.zeros_like(v))), q)

    def output(params, carry: Any):
        return d.joined(params, recall(carry.q, carry.S).real)

    return d.affine(MemoryCarry, element, start=start, output=output)
