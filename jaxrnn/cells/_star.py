"""The stackable recurrent cell."""

from __future__ import annotations

import functools
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, HiddenCarry, Updating


@factory
def star(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """Stackable recurrent cell: x [..., D], h [..., H] -> h', y [..., H].

        k  = sigmoid(x W_k + h U_k + b_k)
        z  = tanh(x W_z + b_z)
        h' = tanh((1 - k) h + k z),    y = h'

    k lets the new state in. Parameters, gates in the order k, z: kernel [D, 2H], recurrent_kernel [H, H], of k, bias
    [2H].

    update_bias: is subtracted from b_k; the paper's deep networks use `initializers.chrono(T)`.
    Good for: stacks of many layers, through which gradients keep their size in depth as in time.
    Paper: Turkoglu, D'Aronco, Wegner and Schindler 2021, arXiv 1911.11033.
    """
    d = Dense(hidden_size, "kz", options)

    def update(params, s, u, v):
        [z_k] = d.sums("k", u, v)
        k, z = d.gate("k", z_k), d.candidate("z", u[..., d.columns("z")])
        return HiddenCarry(d.act((1 - k) * s.h + k * z))

    init = functools.partial(d.init, recurrent="k", memory="-k")
    return d.cell(HiddenCarry, d.stage(d.recur(), update), init=init)
