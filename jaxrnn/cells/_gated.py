"""The one-gate recurrent network."""

from __future__ import annotations

import functools
from typing import NamedTuple, Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Updating


class GatedCarry(NamedTuple):
    """The state of a one-gate cell."""

    h: jax.Array  # [..., H]


@factory
def gated(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """The one-gate cell: x [..., D], h [..., H] -> h', y [..., H].

        g  = sigmoid(x W_g + h U_g + b_g)
        h' = (1 - g) h + g tanh(x W_n + h U_n + b_n),    y = h'

    Parameters, gates in the order g, n: kernel [D, 2H], recurrent_kernel [H, 2H], bias [2H].
    g lets the new state in, so a cell that remembers starts with b_g below 0: `update_bias` is subtracted from b_g.

    The simplest cell with an additive path for the gradient, as in the classic notes on recurrent networks; the same
    equations as the paper's update gate recurrent network, with 1 - g for its g. For `dtype` and `param_dtype` see
    `elman`. Raises ValueError or TypeError for wrong options.
    Good for: long memories with half the weights of an LSTM; a first cell to understand.
    Paper: Collins, Sohl-Dickstein and Sussillo 2017, arXiv 1611.09913.
    """
    d = Dense(hidden_size, "gn", options)

    def update(params, s, u, v):
        z_g, z_n = d.sums("gn", u, v)
        g, n = d.gate("g", z_g), d.candidate("n", z_n)
        return GatedCarry((1 - g) * s.h + g * n)

    init = functools.partial(d.init, memory="-g")
    return d.cell(GatedCarry, d.stage(d.recur(), update), init=init)
