"""The bistable recurrent cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


@factory
def brc(hidden_size: int, *, recurrent_init: Callable = initializers.normal(1.0), **options: Unpack[Pointwise]) -> Cell:
    """Bistable recurrent cell: x [..., D], h [..., H] -> h', y [..., H].

        a  = 1 + tanh(x W_a + w_a h + b_a)
        c  = sigmoid(x W_c + w_c h + b_c)
        h' = c h + (1 - c) tanh(x W_n + a h + b_n),    y = h'

    Parameters, gates in the order a, c, n: kernel [D, 3H], recurrent_weight w [2H], of a and c, bias [3H]. Each unit
    recurs only on itself: there is no matrix product in the loop. Where a is above 1 a unit has two stable states.

    recurrent_init: draws w, as a matrix [1, H] for each of the two.
    Good for: memories without end, one bit a unit, as the biological neurons have them that it is made after.
    Paper: Vecoven, Ernst and Drion 2021, doi 10.1371/journal.pone.0252676.
    """
    own = {"activation": "tanh", "gate_activation": "sigmoid", "recurrent_init": recurrent_init}
    d = Dense(hidden_size, "acn", {**options, **own})

    def init(key, input_size):
        params = d.init(key, input_size, rows=1, recurrent="ac")
        w = params.pop("recurrent_kernel")[0]
        return {**params, "recurrent_weight": w}

    def update(params, s, u, v):
        z_a, z_c, z_n = d.split(u)
        w_a, w_c = d.split(row(params["recurrent_weight"], u))
        h = tap("operand", s.h)
        a, c = tap("a", 1 + d.act(z_a + w_a * h)), d.gate("c", z_c + w_c * h)
        return HiddenCarry(c * s.h + (1 - c) * d.candidate("n", z_n + a * h))

    return d.cell(HiddenCarry, d.stage(None, update), init=init)
