"""The simple recurrent unit as first published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven, widened
from jaxrnn.cells._dense import Pointwise


class SRU2017Carry(NamedTuple):
    """The state, and what its output is made with."""

    c: jax.Array  # [..., H]
    r: jax.Array  # [..., H] the last highway gate
    x: jax.Array  # [..., H] what passes by the cell


@factory
def sru_2017(hidden_size: int, *, activation: str | Callable = "tanh", **options: Unpack[Pointwise]) -> Cell:
    """Simple recurrent unit, first version: x [..., D], c [..., H] -> c', y [..., H].

        f  = sigmoid(x W_f + b_f)
        r  = sigmoid(x W_r + b_r)
        c' = f c + (1 - f) (x W_n + b_n)
        y  = r tanh(c') + (1 - r) (x W_x + b_x)

    The gates see x only, so it is affine in c. The last r and x W_x are in the carry for y; no step reads them.
    Parameters, gates in the order n, f, r, x: kernel [D, 4H], bias [4H].

    activation: a function, or its name in `jax.nn`, in place of tanh.
    Sources: the paper has x itself for x W_x + b_x, and no b_n; with D = H, W_x the identity and both biases 0 this is
        the same. Its version of 2018, which most code is of, is `sru`.

    Good for: the affine, and so the parallel, of the two simple recurrent units.
    Paper: Lei and Zhang 2017, arXiv 1709.02755v1.
    """
    d, act = Driven(hidden_size, options, **dict.fromkeys("nfrx", hidden_size)), nonlinearity(activation, "activation")

    def element(params, u):
        z_n, z_f, z_r, x = d.of(u)
        f, r = d.gate("f", z_f), d.gate("r", z_r)
        gone = jnp.zeros_like(r)
        return SRU2017Carry(f, gone, gone), SRU2017Carry((1 - f) * d.new("n", z_n), r, x)

    def output(params, carry: Any):
        s = widened(carry)
        return (s.r * act(s.c) + (1 - s.r) * s.x).astype(carry.c.dtype)

    return d.affine(SRU2017Carry, element, output=output)
