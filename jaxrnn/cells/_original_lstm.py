"""The long short-term memory of 1997."""

from __future__ import annotations

from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Gated
from jaxrnn.cells._lstm import LSTMCarry


@factory
def original_lstm(hidden_size: int, **options: Unpack[Gated]) -> Cell:
    """LSTM as it was first published, without a forget gate: x [..., D], h, c [..., H] -> (h', c'), y = h'.

        i  = sigmoid(x W_i + h U_i + b_i)
        g  = 4 sigmoid(x W_g + h U_g + b_g) - 2
        o  = sigmoid(x W_o + h U_o + b_o)
        c' = c + i g
        h' = o (2 sigmoid(c') - 1)

    c is the constant error carousel: its gradient passes unchanged through any number of steps. Parameters, gates in
    the order i, g, o: kernel [D, 3H], recurrent_kernel [H, 3H], bias [3H]. The carry is an `LSTMCarry`.

    activation: a in g = 2 a(z_g / 2) and h' = o a(c' / 2), which for tanh are the equations above.
    Sources: the paper cuts gradients that flow through h into gates; here they flow, as everywhere since. Its memory
        cells come in blocks that share gates; here each has its own. torchrecurrent has tanh in place of both squashes.
    Good for: history, and tasks where nothing is to be forgotten; c grows with T, so new sequences need a reset.
    Paper: Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735.
    """
    d = Dense(hidden_size, "igo", options)

    def update(params, s, u, v):
        z_i, z_g, z_o = d.sums("igo", u, v)
        c = s.c + d.gate("i", z_i) * (2 * d.candidate("g", z_g / 2))
        return LSTMCarry(d.gate("o", z_o) * d.act(tap("cell", c) / 2), c)

    return d.cell(LSTMCarry, d.stage(d.recur(), update))
