"""The light gated recurrent unit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Unpack

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


@factory
def li_gru(
    hidden_size: int,
    *,
    activation: str | Callable = "relu",
    gate_activation: str | Callable = "sigmoid",
    recurrent_init: Callable = initializers.orthogonal(),
    update_bias: float | Callable = 0.0,
    **options: Unpack[Pointwise],
) -> Cell:
    """Light gated recurrent unit, Li-GRU: x [..., D], h [..., H] -> h', y [..., H].

        z  = sigmoid(x W_z + h U_z + b_z)
        h' = z h + (1 - z) relu(x W_n + h U_n + b_n),    y = h'

    A GRU without its reset gate. z keeps the old state. Parameters, gates in the order z, n: kernel [D, 2H],
    recurrent_kernel [H, 2H], bias [2H].

    update_bias: is added to b_z; a number, or `initializers.chrono(T)`.
    Sources: the paper normalises x W over the batch, which a cell cannot, and then needs no bias. `layer_norm` around
        this cell is the nearest that needs no batch; without normalisation relu can grow without bound.
    Good for: speech recognition, at two thirds of the parameters of a GRU.
    Paper: Ravanelli, Brakel, Omologo and Bengio 2018, arXiv 1803.10225.
    """
    own = {"activation": activation, "gate_activation": gate_activation, "recurrent_init": recurrent_init}
    d = Dense(hidden_size, "zn", {**options, **own})

    def update(params, s, u, v):
        z_z, z_n = d.sums("zn", u, v)
        z = d.gate("z", z_z)
        return HiddenCarry(z * s.h + (1 - z) * d.candidate("n", z_n))

    return d.cell(HiddenCarry, d.stage(d.recur(), update), init=functools.partial(d.init, memory="+z", by=update_bias))
