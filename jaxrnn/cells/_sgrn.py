"""The simple gated recurrent network."""

from __future__ import annotations

from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Gated, HiddenCarry


@factory
def sgrn(hidden_size: int, **options: Unpack[Gated]) -> Cell:
    """Simple gated recurrent network: x [..., D], h [..., H] -> h', y [..., H].

        p  = x W + b
        f  = sigmoid(p + h U)
        h' = tanh((1 - f) p + f h),    y = h'

    f keeps the old state. Parameters: kernel W [D, H], recurrent_kernel U [H, H], bias b [H], as of an Elman network.

    Sources: torchrecurrent has a further bias, of h U.
    Good for: small forecasters of load.
    Paper: Simple gated recurrent network 2021, doi 10.1049/gtd2.12056.
    """
    d = Dense(hidden_size, "f", options)

    def update(params, s, u, v):
        f = d.gate("f", u + v)
        return HiddenCarry(d.candidate("h", (1 - f) * u + f * s.h))

    return d.cell(HiddenCarry, d.stage(d.recur(), update))
