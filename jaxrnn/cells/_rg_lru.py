"""The real-gated linear recurrent unit, of Griffin."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.numerics import like, row
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven, widened
from jaxrnn.cells._dense import Pointwise


class RGLRUCarry(NamedTuple):
    """The state, and whether it has not yet seen an input."""

    h: jax.Array  # [..., H]
    fresh: jax.Array  # [..., 1] bool


@factory
def rg_lru(hidden_size: int, *, c: float = 8.0, **options: Unpack[Pointwise]) -> Cell:
    """Real-gated linear recurrent unit: x [..., D], h [..., H] -> h', y [..., H].

        r  = sigmoid(x W_r + b_r)
        i  = sigmoid(x W_i + b_i)
        a  = exp(-c softplus(decay) r)
        h' = a h + m i (x W_n + b_n),    y = h'
        m  = 1 in the first step, sqrt(1 - a²) in all others

    The first step is the one from a new carry, at the start and after a reset, and not that of a chunk that goes on:
    `fresh` in the carry says so. It makes b depend on the carry, so no `element` is given; from the second step on the
    cell is affine in h.
    Parameters, gates in the order r, i, n: kernel [D, 3H], bias [3H], decay [H].

    c: how far r reaches.
    decay starts so that exp(-c softplus(decay)), the a of an open gate, is uniform in [0.9, 0.999].
    Sources: Griffin's block multiplies i with the output of a linear layer and a convolution before the cell; here this
        is x W_n + b_n, and the gates see x itself. The paper has a = sigmoid(Λ)^(c r), with Λ = -decay. Its code draws
        a where the paper draws a^c; the paper decides. Its code has gates of block-diagonal matrices.

    Good for: language models with attention over a short window beside it.
    Paper: De, Smith, Fernando, Botev and others 2024, arXiv 2402.19427.
    """
    d = Driven(hidden_size, options, **dict.fromkeys("rin", hidden_size))

    def decay(key):
        log_a = jnp.log(jax.random.uniform(key, (d.H,), minval=0.9, maxval=0.999))
        return jnp.log(jnp.expm1(-log_a / c))

    def init(key, input_size):
        return d.init(key, input_size, decay=decay)

    def start(params):
        return RGLRUCarry(d.zeros(params, d.H), jnp.ones(1, bool))

    def update(params, s, u, v):
        z_r, z_i, n = d.of(u)
        r, i = d.gate("r", z_r), d.gate("i", z_i)
        log_a = -c * jax.nn.softplus(row(params["decay"], r)) * r
        # Bounded from below: the slope of a root is infinite at 0.
        m = jnp.where(s.fresh, jnp.ones_like(r), jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_a), 1e-30)))
        h = jnp.exp(log_a) * widened(s.h) + m * i * d.new("n", n)
        return RGLRUCarry(like(h, s.h), jnp.zeros_like(s.fresh))

    return d.made(RGLRUCarry, Stage(None, update), init=init, start=start)
