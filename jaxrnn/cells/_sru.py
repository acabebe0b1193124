"""The simple recurrent unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Unpack

import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven
from jaxrnn.cells._dense import Types
from jaxrnn.cells._lstm import LSTMCarry


class Highway(Driven):
    """The parts of a cell that lets x past it: as it is where D = H, by a block of the kernel of its own elsewhere."""

    def __init__(self, hidden_size, options):
        super().__init__(hidden_size, options, n=hidden_size, f=hidden_size, r=hidden_size)
        self.other = Driven(hidden_size, options, **self.widths, x=hidden_size)

    def init(self, key, input_size, **more):
        """New params, of three blocks or of four."""
        return (super() if input_size == self.H else self.other).init(key, input_size, **more)

    def drive(self, params, x):
        """x [..., D] -> the three blocks, and what passes by [..., 4H]."""
        u = super().drive(params, x)
        return u if u.shape[-1] == 4 * self.H else jnp.concatenate([u, x.astype(u.dtype)], -1)


@factory
def sru(
    hidden_size: int,
    *,
    highway_bias: float = 0.0,
    kernel_init: Callable = initializers.lecun_uniform(),
    recurrent_init: Callable = initializers.normal(0.5),
    **options: Unpack[Types],
) -> Cell:
    """Simple recurrent unit: x [..., D], h [..., H], c [..., H] -> (h', c'), y = h'.

        f  = sigmoid(x W_f + v_f c + b_f)
        r  = sigmoid(x W_r + v_r c + b_r)
        c' = f c + (1 - f) (x W_n)
        h' = r c' + (1 - r) alpha x,    alpha = sqrt(1 + 2 exp(highway_bias))

    Each unit sees its own c only, through v, and the old one in both gates. Where D is not H, x W_x stands for the last
    x. The gates see c, so it is not affine in it; `sru_2017` is.
    Parameters, gates in the order n, f, r: kernel [D, 3H], or [D, 4H] with W_x; recurrent_weight v [2H], of f and r;
    bias [2H], of f and r. h is in the carry only to be put out.

    highway_bias: what b_r starts at, negative for outputs that begin as x; alpha keeps the size of x for this start.
    kernel_init: by default uniform with variance 1 / D, as in the paper. recurrent_init: draws v, as a matrix [1, 2H].

    Good for: LSTM-like cells at the cost of pointwise operations a step, in stacks.
    Paper: Lei, Zhang, Wang, Dai and Artzi 2018, arXiv 1709.02755.
    """
    d = Highway(hidden_size, options | {"kernel_init": kernel_init})

    def init(key, input_size):
        return d.init(
            key,
            input_size,
            recurrent_weight=lambda key: recurrent_init(key, (1, 2 * d.H), d.param_dtype)[0],
            bias=lambda key: jnp.full(2 * d.H, highway_bias).at[: d.H].set(0),
        )

    def drive(params, x):
        return d.drive({name: p for name, p in params.items() if name != "bias"}, x)

    def update(params, s, u, v):
        z_n, z_f, z_r, x = d.split(u)
        (v_f, v_r), (b_f, b_r) = (d.split(row(params[name], u)) for name in ("recurrent_weight", "bias"))
        f, r = d.gate("f", z_f + v_f * s.c + b_f), d.gate("r", z_r + v_r * s.c + b_r)
        c = f * s.c + (1 - f) * d.new("n", z_n)
        return LSTMCarry(r * c + (1 - r) * math.sqrt(1 + 2 * math.exp(highway_bias)) * x, c)

    return d.made(LSTMCarry, d.stage(None, update), init=init, drive=drive)
