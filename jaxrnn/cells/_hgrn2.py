"""The second hierarchically gated recurrent unit."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Unbiased
from jaxrnn.cells._hgrn import bounded
from jaxrnn.cells._memory import Memory, MemoryCarry, outer


@factory
def hgrn2(hidden_size: int, *, heads: int = 1, lower_bound: float | None = 0.0, **options: Unpack[Unbiased]) -> Cell:
    """HGRN with its state expanded to matrices: x [..., D], S [..., heads, K, V] -> S', y [..., H].

        f  = gamma + (1 - gamma) sigmoid(x W_f)
        v  = x W_v
        q  = silu(x W_q)
        S' = f S + (1 - f) vᵀ    row by row, in each head
        y  = q S'

    The input gate 1 - f is the key, and the output gate q the query. Affine in S. The last q is in the carry for y; no
    step reads it. K = V = H / heads.
    Parameters, in the order f, v, q: kernel [D, 3H]. There is no bias.

    heads: a divisor of hidden_size.
    lower_bound: gamma, from 0 to below 1; None: it is found in the params, as lower_bound [H] (see `hgrn_stack`).
    Sources: the activations are those of the authors' code. Their layer goes on with a normalisation and a linear
        layer. HGRN's complex turning is gone.

    Good for: language models; attention whose cost and memory do not grow with T.
    Paper: Qin, Yang, Sun, Shen and others 2024, arXiv 2404.07904.
    """
    bounded(lower_bound)
    d = Memory(hidden_size, heads, options, **dict.fromkeys("fvq", hidden_size))

    def init(key, input_size):
        more = {} if lower_bound is not None else {"lower_bound": lambda key: jnp.zeros(d.H)}
        return d.init(key, input_size, **more)

    def element(params, u):
        z, v, q = d.of(u)
        least = row(params["lower_bound"], z) if lower_bound is None else lower_bound
        f = tap("f", least + (1 - least) * d.squash(z))
        f, v, q = map(d.by_head, (f, v, jax.nn.silu(q)))
        return MemoryCarry(f[..., None], jnp.zeros_like(q)), MemoryCarry(outer(1 - f, v), q)

    return d.affine(MemoryCarry, element, init=init, start=d.start, output=d.output)
