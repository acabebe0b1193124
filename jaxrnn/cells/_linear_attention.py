"""Linear attention as a recurrence."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Unbiased
from jaxrnn.cells._memory import Memory, outer, recall


class LinearAttentionCarry(NamedTuple):
    """Sums of what was written, and the last queries."""

    S: jax.Array  # [..., heads, K, V]
    z: jax.Array  # [..., heads, K] the sum of keys
    q: jax.Array  # [..., heads, K]


@factory
def linear_attention(hidden_size: int, *, heads: int = 1, epsilon: float = 1e-6, **options: Unpack[Unbiased]) -> Cell:
    """Linear attention, a memory that adds and never forgets: x [..., D], S [..., heads, K, V] -> S', y [..., H].

        q, k, v = φ(x W_q), φ(x W_k), x W_v    in each head, with φ(s) = elu(s) + 1
        S' = S + k vᵀ
        z' = z + k
        y  = (q S') / (q · z' + epsilon)

    Affine in S and z. The last q is in the carry for y; no step reads it. K = V = H / heads.
    Parameters, in the order q, k, v: kernel [D, 3H]. There is no bias.

    heads: a divisor of hidden_size. epsilon: what keeps the quotient finite.
    Sources: epsilon is of the authors' code. The paper's layer adds x and a feedforward net after y.

    Good for: attention whose cost and memory do not grow with T.
    Paper: Katharopoulos, Vyas, Pappas and Fleuret 2020, arXiv 2006.16236.
    """
    d = Memory(hidden_size, heads, options, **dict.fromkeys("qkv", hidden_size))

    def start(params):
        S, q = d.start(params)
        return LinearAttentionCarry(S, S[..., 0], q)

    def element(params, u):
        q, k, v = map(d.by_head, d.of(u))
        q, k = jax.nn.elu(q) + 1, jax.nn.elu(k) + 1
        one = jnp.ones_like(k)
        return LinearAttentionCarry(one[..., None], one, jnp.zeros_like(q)), LinearAttentionCarry(outer(k, v), k, q)

    def output(params, carry: Any):
        q = carry.q.astype(carry.S.dtype)
        return d.joined(params, recall(q, carry.S) / ((q * carry.z).sum(-1, keepdims=True) + epsilon))

    return d.affine(LinearAttentionCarry, element, start=start, output=output)
