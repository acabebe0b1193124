"""The light recurrent unit."""

from __future__ import annotations

import functools
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, HiddenCarry, Updating


@factory
def light_ru(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """Light recurrent unit: x [..., D], h [..., H] -> h', y [..., H].

        f  = sigmoid(x W_f + h U_f + b_f)
        h' = (1 - f) h + f tanh(x W_n + b_n),    y = h'

    The new state sees x only. Parameters, gates in the order f, n: kernel [D, 2H], recurrent_kernel [H, H], of f, bias
    [2H].

    update_bias: is subtracted from b_f, as f lets the new state in.
    Sources: the paper's candidate has no bias; with b_n = 0, its initial value, this is the paper's. Its other
        proposal, the stack recurrent cell, is a matter between layers.
    Good for: an interpretable state, a mean of embeddings of the past inputs.
    Paper: Ye, Zhang, Liu, Li, Chang and Zheng 2024, doi 10.3390/electronics13163204.
    """
    d = Dense(hidden_size, "fn", options)

    def update(params, s, u, v):
        [z_f] = d.sums("f", u, v)
        f, n = d.gate("f", z_f), d.candidate("n", u[..., d.columns("n")])
        return HiddenCarry((1 - f) * s.h + f * n)

    init = functools.partial(d.init, recurrent="f", memory="-f")
    return d.cell(HiddenCarry, d.stage(d.recur(), update), init=init)
