"""The gated recurrent unit that resets before the product, as in the 2014 paper."""

from __future__ import annotations

import functools
from typing import Any, Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Between, Dense, Updating
from jaxrnn.cells._gru import GRUCarry


@factory
def gru_reset_before(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """GRU, reset before the product: x [..., D], h [..., H] -> h', y [..., H].

        r  = sigmoid(x W_r + h U_r + b_r)
        z  = sigmoid(x W_z + h U_z + b_z)
        n  = tanh(x W_n + (r h) U_n + b_n)
        h' = (1 - z) n + z h,    y = h'

    Parameters, gates in the order r, z, n: kernel [D, 3H], recurrent_kernel [H, 3H], bias [3H]. A step has two
    products in sequence (two stages), so `gru` is faster. Keras calls this reset_after=False; Haiku has it with
    z for 1 - z.

    `update_bias` is added to b_z.
    Good for: the GRU of papers and of weights that were trained so; `gru` is faster and much the same.
    Paper: Cho et al. 2014, arXiv 1406.1078v3.
    """
    return resetting_before(Dense(hidden_size, "rzn", options), GRUCarry)


def resetting_before(d: Dense, carry: Any) -> Cell:
    """The GRU whose reset acts on h, of any products that d has; carry: its type, with one field h."""

    def reset(params, s, u, v):
        z_r, z_z = d.sums("rz", u, v)
        return Between(s.h, d.gate("r", z_r) * s.h, d.gate("z", z_z))

    def update(params, s, u, v):
        [z_n] = d.sums("n", u, v)
        return carry((1 - s.gate) * d.candidate("n", z_n) + s.gate * s.h)

    stages = d.stage(d.recur("rz"), reset), d.stage(d.recur("n", of="read"), update)
    return d.cell(carry, *stages, init=functools.partial(d.init, memory="+z"))
