"""The addition-subtraction twin-gated recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


@factory
def atr(
    hidden_size: int,
    *,
    gate_activation: str | Callable = "sigmoid",
    recurrent_init: Callable = initializers.orthogonal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Addition-subtraction twin-gated recurrent network: x [..., D], h [..., H] -> h', y [..., H].

        p  = x W + b
        q  = h U
        i  = sigmoid(p + q)
        f  = sigmoid(p - q)
        h' = i p + f h,    y = h'

    Parameters: kernel W [D, H], recurrent_kernel U [H, H], bias b [H]. Both gates come of one product with x and one
    with h.

    Sources: the paper has no bias; with b = 0, its initial value, this is the paper's. torchrecurrent has two.
    Good for: few parameters, and gates that can be read, as the history enters only through f and i.
    Paper: Zhang, Xiong, Su, Lin and Zhang 2018, arXiv 1810.12546.
    """
    d = Dense(hidden_size, "p", {**options, "gate_activation": gate_activation, "recurrent_init": recurrent_init})

    def update(params, s, u, v):
        return HiddenCarry(d.gate("i", u + v) * u + d.gate("f", u - v) * s.h)

    return d.cell(HiddenCarry, d.stage(d.recur(), update))
