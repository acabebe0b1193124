"""DeltaNet, a memory that corrects itself."""

from __future__ import annotations

from typing import Unpack

import jax

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.numerics import like
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import widened
from jaxrnn.cells._dense import Unbiased
from jaxrnn.cells._memory import Memory, MemoryCarry, outer, recall, unit


@factory
def delta_net(hidden_size: int, *, heads: int = 1, **options: Unpack[Unbiased]) -> Cell:
    """DeltaNet, a memory written by the delta rule: x [..., D], S [..., heads, K, V] -> S', y [..., H].

        q, k = silu(x W_q), silu(x W_k), each divided by its length, in each head
        v  = x W_v
        β  = sigmoid(x W_β)    one for each head
        S' = S + β k (v - k S)ᵀ
        y  = q S'

    What the memory answers to k is moved from k S towards v by β. Each step multiplies S by I - β k kᵀ, a matrix, so
    there is no `element`: joining two would cost K³ for each head, and a step costs K². The last q is in the carry for
    y; no step reads it. K = V = H / heads.
    Parameters, in the order q, k, v, β: kernel [D, 3H + heads]. There is no bias.

    heads: a divisor of hidden_size.
    Sources: Schlag, Irie and Schmidhuber 2021 (arXiv 2102.11174) have another feature map, divided by its sum; this is
        the form of the paper below, without its short convolutions and the normalisation of y.

    Good for: recall of pairs in context, where a memory that only adds overflows.
    Paper: Yang, Wang, Zhang, Shen and Kim 2024, arXiv 2406.06484.
    """
    d = Memory(hidden_size, heads, options, **dict.fromkeys("qkv", hidden_size), beta=heads)

    def update(params, s, u, v):
        q, k, v, beta = d.of(u)
        q, k, v = unit(d.by_head(jax.nn.silu(q))), unit(d.by_head(jax.nn.silu(k))), d.by_head(v)
        S = widened(s.S)
        missing = d.gate("beta", beta)[..., None] * (v - recall(k, S))
        return like(MemoryCarry(S + outer(k, missing), q), s)

    return d.made(MemoryCarry, Stage(None, update), start=d.start, output=d.output)
