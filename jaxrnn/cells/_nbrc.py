"""The recurrently neuromodulated bistable cell."""

from __future__ import annotations

import functools
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Gated, HiddenCarry


@factory
def nbrc(hidden_size: int, **options: Unpack[Gated]) -> Cell:
    """Recurrently neuromodulated bistable cell: x [..., D], h [..., H] -> h', y [..., H].

        a  = 1 + tanh(x W_a + h U_a + b_a)
        c  = sigmoid(x W_c + h U_c + b_c)
        h' = c h + (1 - c) tanh(x W_n + a h + b_n),    y = h'

    Parameters, gates in the order a, c, n: kernel [D, 3H], recurrent_kernel [H, 2H], of a and c, bias [3H]. It is `brc`
    with matrices where that has vectors: units set each other's gates, and each keeps its own state.

    activation: for a, less its 1, and for the new state.
    Good for: memories without end whose gates depend on the whole state.
    Paper: Vecoven, Ernst and Drion 2021, doi 10.1371/journal.pone.0252676.
    """
    d = Dense(hidden_size, "acn", options)

    def update(params, s, u, v):
        z_a, z_c = d.sums("ac", u, v)
        a, c = tap("a", 1 + d.act(z_a)), d.gate("c", z_c)
        return HiddenCarry(c * s.h + (1 - c) * d.candidate("n", u[..., d.columns("n")] + a * s.h))

    return d.cell(HiddenCarry, d.stage(d.recur(), update), init=functools.partial(d.init, recurrent="ac"))
