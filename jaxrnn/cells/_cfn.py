"""The chaos-free network."""

from __future__ import annotations

import functools
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Gated, HiddenCarry


@factory
def cfn(hidden_size: int, **options: Unpack[Gated]) -> Cell:
    """Chaos-free network: x [..., D], h [..., H] -> h', y [..., H].

        t  = sigmoid(x W_t + h U_t + b_t)
        e  = sigmoid(x W_e + h U_e + b_e)
        h' = t tanh(h) + e tanh(x W_n + b_n),    y = h'

    t and e are the paper's θ and η. Parameters, gates in the order t, e, n: kernel [D, 3H], recurrent_kernel [H, 2H],
    of t and e, bias [3H].

    Sources: the paper has no b_n; with b_n = 0, its initial value, h fades to 0 where x is 0.
    Good for: a state that can be read: without input it fades unit by unit, and never goes into chaos.
    Paper: Laurent and von Brecht 2017, arXiv 1612.06212.
    """
    d = Dense(hidden_size, "ten", options)

    def update(params, s, u, v):
        z_t, z_e = d.sums("te", u, v)
        n = d.candidate("n", u[..., d.columns("n")])
        return HiddenCarry(d.gate("t", z_t) * d.act(s.h) + d.gate("e", z_e) * n)

    return d.cell(HiddenCarry, d.stage(d.recur(), update), init=functools.partial(d.init, recurrent="te"))
