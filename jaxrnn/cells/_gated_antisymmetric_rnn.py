"""The antisymmetric recurrent neural network with a gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._antisymmetric_rnn import antisymmetric
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


@factory
def gated_antisymmetric_rnn(
    hidden_size: int,
    *,
    epsilon: float = 0.1,
    gamma: float = 0.01,
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    recurrent_init: Callable = initializers.lecun_normal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Antisymmetric RNN with a gate: x [..., D], h [..., H] -> h', y [..., H].

        A  = U - Uᵀ - gamma I
        z  = sigmoid(x W_z + h A + b_z)
        h' = h + epsilon z tanh(x W_n + h A + b_n),    y = h'

    Gate and candidate share one recurrent matrix. Parameters, gates in the order z, n: kernel [D, 2H], recurrent_weight
    [H (H - 1) / 2], the entries of U above its diagonal, row by row, bias [2H].

    epsilon, gamma, recurrent_init: as in `antisymmetric_rnn`.
    Good for: what `antisymmetric_rnn` is good for, where a part of the input is to be ignored.
    Paper: Chang, Chen, Haber and Chi 2019, arXiv 1902.09689.
    """
    own = {"activation": activation, "gate_activation": gate_activation, "recurrent_init": recurrent_init}
    d = Dense(hidden_size, "zn", {**options, **own})
    init, recur = antisymmetric(d, gamma)

    def update(params, s, u, v):
        z_z, z_n = (z + v for z in d.split(u))
        return HiddenCarry(s.h + epsilon * d.gate("z", z_z) * d.candidate("n", z_n))

    return d.cell(HiddenCarry, d.stage(recur, update), init=init)
