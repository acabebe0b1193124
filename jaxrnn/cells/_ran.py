"""The recurrent additive network."""

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
def ran(hidden_size: int, *, forget_bias: float | Callable = 1.0, **options: Unpack[Gated]) -> Cell:
    """Recurrent additive network: x [..., D], h, c [..., H] -> (h', c'), y = h'.

        i  = sigmoid(x W_i + h U_i + b_i)
        f  = sigmoid(x W_f + h U_f + b_f)
        c' = f c + i (x W_n + b_n)
        h' = tanh(c')

    An LSTM whose new content is linear in x, so that c is a weighted sum of the inputs so far. Parameters, gates in the
    order i, f, n: kernel [D, 3H], recurrent_kernel [H, 2H], of i and f, bias [3H]. The carry is an `LSTMCarry`.

    forget_bias: is added to f's bias, as in `lstm`. activation: for h'; "identity" is the paper's other variant.
    Sources: the paper has no b_n; with b_n = 0, its initial value, this is the paper's.
    Good for: language models that can be read: which past inputs c is made of, and with which weights.
    Paper: Lee, Levy and Zettlemoyer 2017, arXiv 1705.07393.
    """
    d = Dense(hidden_size, "ifn", options)

    def update(params, s, u, v):
        z_i, z_f = d.sums("if", u, v)
        n = tap("n", tap("candidate", u[..., d.columns("n")]))
        c = d.gate("f", z_f) * s.c + d.gate("i", z_i) * n
        return LSTMCarry(d.act(tap("cell", c)), c)

    memory = "+f-i" if callable(forget_bias) else "+f"
    init = functools.partial(d.init, recurrent="if", memory=memory, by=forget_bias)
    return d.cell(LSTMCarry, d.stage(d.recur(), update), init=init)
