"""The subtractive LSTM."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Unpack

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Pointwise
from jaxrnn.cells._lstm import LSTMCarry


@factory
def sub_lstm(
    hidden_size: int,
    *,
    forget_bias: float | Callable = 1.0,
    activation: str | Callable = "sigmoid",
    gate_activation: str | Callable = "sigmoid",
    recurrent_init: Callable = initializers.orthogonal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Subtractive LSTM: x [..., D], h [..., H], c [..., H] -> (h', c'), y = h'.

        i, f, g, o = sigmoid of (x W + h U + b), gate by gate
        c' = f c + g - i
        h' = sigmoid(c') - o

    Gates subtract, as inhibition does in cortex, where those of an LSTM multiply. Parameters, gates in the order i, f,
    g, o: kernel [D, 4H], recurrent_kernel [H, 4H], bias [4H]. The carry is an `LSTMCarry`. `activation` is
    that of g and c', `gate_activation` that of the others.

    forget_bias: as in `lstm`.
    Good for: comparing LSTMs with models of cortical circuits.
    Paper: Costa, Assael, Shillingford, de Freitas and Vogels 2017, arXiv 1711.02448.
    """
    own = {"activation": activation, "gate_activation": gate_activation, "recurrent_init": recurrent_init}
    d = Dense(hidden_size, "ifgo", options | own)

    def update(params, s, u, v):
        z_i, z_f, z_g, z_o = d.sums("ifgo", u, v)
        c = d.gate("f", z_f) * s.c + d.candidate("g", z_g) - d.gate("i", z_i)
        return LSTMCarry(d.act(tap("cell", c)) - d.gate("o", z_o), c)

    init = functools.partial(d.init, memory="+f-i" if callable(forget_bias) else "+f", by=forget_bias)
    return d.cell(LSTMCarry, d.stage(d.recur(), update), init=init)
