"""The LSTM with a memory controller."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Gated


class MCLSTMCarry(NamedTuple):
    """The output of an LSTM with a memory controller, which no later step reads, its cell state and its control."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]
    v: jax.Array  # [..., H]


@factory
def mclstm(hidden_size: int, *, forget_bias: float | Callable = 1.0, **options: Unpack[Gated]) -> Cell:
    """LSTM with a memory controller: x [..., D], h, c, v [..., H] -> (h', c', v'), y = h'.

        i, f, g, o, m = sigmoid, sigmoid, tanh, sigmoid, sigmoid of (x W + v U + b), gate by gate
        c' = f c + i g
        h' = o tanh(c')
        v' = m tanh(c')

    The gates see the control v, an LSTM's h with a gate m of its own, and the output h is free of that duty.
    Parameters, gates in the order i, f, g, o, m: kernel [D, 5H], recurrent_kernel [H, 5H], bias [5H].

    forget_bias: is added to f's bias, as in `lstm`. gate_activation: for i, f, o and m.
    Sources: this is not the mass-conserving LSTM (2021), which has the same letters.
    Good for: forecasts, where what is put out is not what should steer the memory.
    Paper: Sequence Modeling Using a Memory Controller Extension for LSTM, Time Series Workshop of NIPS 2017.
    """
    d = Dense(hidden_size, "ifgom", options)

    def update(params, s, u, v):
        z_i, z_f, z_g, z_o, z_m = d.sums("ifgom", u, v)
        c = d.gate("f", z_f) * s.c + d.gate("i", z_i) * d.candidate("g", z_g)
        out = d.act(tap("cell", c))
        return MCLSTMCarry(d.gate("o", z_o) * out, c, d.gate("m", z_m) * out)

    init = functools.partial(d.init, memory="+f-i" if callable(forget_bias) else "+f", by=forget_bias)
    return d.cell(MCLSTMCarry, d.stage(d.recur(of="v"), update), init=init)
