"""Gated DeltaNet, a memory that corrects itself and forgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.numerics import like, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._affine import widened
from jaxrnn.cells._dense import Unbiased
from jaxrnn.cells._memory import Memory, MemoryCarry, outer, recall, unit
from jaxrnn.cells._s5 import log_steps


def step_bias(size: int, shortest: float = 0.001, longest: float = 0.1) -> Callable:
    """A draw of biases [size] whose softplus is a time step, uniform between these in the logarithm."""
    draw = log_steps(size, shortest, longest)
    return lambda key: jnp.log(jnp.expm1(jnp.exp(draw(key))))


@factory
def gated_delta_net(hidden_size: int, *, heads: int = 1, **options: Unpack[Unbiased]) -> Cell:
    """DeltaNet with a gate that forgets: x [..., D], S [..., heads, K, V] -> S', y [..., H].

        q, k = silu(x W_q), silu(x W_k), each divided by its length, in each head
        v  = silu(x W_v)
        β  = sigmoid(x W_β)    one for each head
        alpha  = exp(-exp(log_rate) softplus(x W_alpha + step_bias))    one for each head
        S' = alpha S + β k (v - alpha k S)ᵀ
        y  = q S'

    As in `delta_net`, each step multiplies S by a matrix, and there is no `element`. The last q is in the carry for y;
    no step reads it. K = V = H / heads.
    Parameters, in the order q, k, v, β, alpha: kernel [D, 3H + 2 heads]; log_rate and step_bias [heads].

    heads: a divisor of hidden_size.
    exp(log_rate) starts uniform in [1, 16], softplus(step_bias) between 0.001 and 0.1; alpha is Mamba-2's gate.
    Sources: the paper's layer has short convolutions before, and a normalisation and a gate after this.

    Good for: recall of pairs in context, with a memory that can be cleared.
    Paper: Yang, Kautz and Hatamizadeh 2025, arXiv 2412.06464.
    """
    d = Memory(hidden_size, heads, options, **dict.fromkeys("qkv", hidden_size), beta=heads, alpha=heads)

    def init(key, input_size):
        def log_rate(key):
            return jnp.log(jax.random.uniform(key, (heads,), minval=1.0, maxval=16.0))

        return d.init(key, input_size, log_rate=log_rate, step_bias=step_bias(heads))

    def update(params, s, u, v):
        q, k, v, beta, z = d.of(u)
        q, k = unit(d.by_head(jax.nn.silu(q))), unit(d.by_head(jax.nn.silu(k)))
        step = jax.nn.softplus(z + row(params["step_bias"], z))
        alpha = tap("alpha", jnp.exp(-jnp.exp(row(params["log_rate"], z)) * step))
        S = alpha[..., None, None] * widened(s.S)
        missing = d.gate("beta", beta)[..., None] * (d.by_head(jax.nn.silu(v)) - recall(k, S))
        return like(MemoryCarry(S + outer(k, missing), q), s)

    return d.made(MemoryCarry, Stage(None, update), init=init, start=d.start, output=d.output)
