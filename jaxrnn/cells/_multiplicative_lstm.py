"""Multiplicative LSTM."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Gated
from jaxrnn.cells._lstm import LSTMCarry


@factory
def multiplicative_lstm(hidden_size: int, *, forget_bias: float | Callable = 1.0, **options: Unpack[Gated]) -> Cell:
    """Multiplicative LSTM: x [..., D], h [..., H], c [..., H] -> (h', c'), y = h'.

        m = (x W_m + b_m) (h U_m)
        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + m U + b), gate by gate
        c' = f c + i g
        h' = o tanh(c')

    Through W_m, each x chooses its own transition of h. Parameters, gates in the order m, i, f, g, o: kernel [D, 5H],
    recurrent_kernel [H, 5H], whose block m reads h while the others read m, bias [5H]. The carry is an `LSTMCarry`.
    A step has two products in sequence (two stages).

    The paper has no biases. Those of i, f, g and o are customary; with b_m = 0, its initial value, m is the paper's.
    Sources: implementations differ in what comes after the gates: here it is as in `lstm` and in OpenAI's reviews model
    (Radford et al. 2017, arXiv 1704.01444); others omit the tanh of g and use h' = tanh(o c').

    `forget_bias` is what `init` adds to f's bias; the draw of an initializer is also subtracted from i's, as in
    `lstm`. For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Good for: text by characters, where each symbol wants a transition of its own.
    Paper: Krause, Lu, Murray and Renals 2016, arXiv 1609.07959.
    """
    d = Dense(hidden_size, "mifgo", options)

    def factor(params, s, u, v):
        return LSTMCarry(tap("m", u[..., d.columns("m")] * v), s.c)  # m where the gates read h

    def update(params, s, u, v):
        z_i, z_f, z_g, z_o = d.sums("ifgo", u, v)
        c = d.gate("f", z_f) * s.c + d.gate("i", z_i) * d.candidate("g", z_g)
        return LSTMCarry(d.gate("o", z_o) * d.act(tap("cell", c)), c)

    init = functools.partial(d.init, memory="+f-i" if callable(forget_bias) else "+f", by=forget_bias)
    return d.cell(LSTMCarry, d.stage(d.recur("m"), factor), d.stage(d.recur("ifgo"), update), init=init)
