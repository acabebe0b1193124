"""JANET: an LSTM with only its forget gate."""

from __future__ import annotations

import functools
from typing import NamedTuple, Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Updating


class JANETCarry(NamedTuple):
    """The state of a JANET."""

    h: jax.Array  # [..., H]


@factory
def janet(hidden_size: int, *, beta: float = 1.0, **options: Unpack[Updating]) -> Cell:
    """JANET, just another network: x [..., D], h [..., H] -> h', y [..., H].

        s  = x W_f + h U_f + b_f
        n  = tanh(x W_n + h U_n + b_n)
        h' = sigmoid(s) h + (1 - sigmoid(s - beta)) n,    y = h'

    Parameters, gates in the order f, n: kernel [D, 2H], recurrent_kernel [H, 2H], bias [2H]. The gate f = sigmoid(s)
    keeps the old state. With beta above 0, more of the new state enters than f forgets of the old; the paper uses 1,
    and at 0 this is `gated` with f = 1 - g. `update_bias` is added to b_f; the paper's results use
    `initializers.chrono(T)`.

    Good for: long memories of known length, with chrono and half the weights of an LSTM.
    Paper: Westhuizen (van der) and Lasenby 2018, arXiv 1804.04849.
    """
    d = Dense(hidden_size, "fn", options)

    def update(params, s, u, v):
        z_f, z_n = d.sums("fn", u, v)
        f, n = d.gate("f", z_f), d.candidate("n", z_n)
        return JANETCarry(f * s.h + (1 - d.squash(z_f - beta)) * n)

    return d.cell(JANETCarry, d.stage(d.recur(), update), init=functools.partial(d.init, memory="+f"))
