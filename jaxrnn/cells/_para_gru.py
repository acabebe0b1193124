"""The GRU with a diagonal recurrence, of ParaRNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity, row
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven
from jaxrnn.cells._dense import HiddenCarry, Pointwise


@factory
def para_gru(
    hidden_size: int,
    *,
    activation: str | Callable = "tanh",
    recurrent_init: Callable = initializers.uniform_hidden(),
    **options: Unpack[Pointwise],
) -> Cell:
    """GRU whose units recur on themselves alone: x [..., D], h [..., H] -> h', y [..., H].

        z  = sigmoid(x W_z + v_z h + b_z)
        r  = sigmoid(x W_r + v_r h + b_r)
        n  = tanh(x W_n + v_n (r h) + b_n)
        h' = (1 - z) h + z n,    y = h'

    z lets the new state in. With vectors v for matrices the reset before and the reset after the product are the same.
    Parameters, gates in the order z, r, n: kernel [D, 3H], recurrent_weight v [3H], bias [3H].

    activation: a function, or its name in `jax.nn`, in place of tanh.
    recurrent_init: draws v, as a matrix [1, H] for each gate.
    Sources: the paper's layer has a convolution before the cell, and kernels W of blocks; here W is dense.

    Good for: a nonlinear recurrence whose Jacobian is diagonal, as parallel Newton wants.
    Paper: Danieli, Rodríguez, Sarabia, Suau and Zappella 2025, arXiv 2510.21450.
    """
    d, act = Driven(hidden_size, options, **dict.fromkeys("zrn", hidden_size)), nonlinearity(activation, "activation")

    def init(key, input_size):
        return d.init(key, input_size, recurrent_weight=lambda key: d.blocks(recurrent_init, key, (1, d.H))[0])

    def update(params, s, u, v):
        (z_z, z_r, z_n), (v_z, v_r, v_n) = d.split(u), d.split(row(params["recurrent_weight"], u))
        z, r = d.gate("z", z_z + v_z * s.h), d.gate("r", z_r + v_r * s.h)
        n = d.new("n", act(z_n + v_n * r * s.h))
        return HiddenCarry((1 - z) * s.h + z * n)

    return d.made(HiddenCarry, d.stage(None, update), init=init)
