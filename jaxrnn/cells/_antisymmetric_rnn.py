"""The antisymmetric recurrent neural network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax.numpy as jnp
import numpy as np

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


def antisymmetric(d: Dense, gamma: float) -> tuple[Callable, Callable]:
    """`init` and `recur` of a cell whose one recurrent matrix is antisymmetric, less gamma on its diagonal.

    Its params have recurrent_weight [H (H - 1) / 2] in place of a recurrent kernel: what is above the diagonal.
    """

    def init(key, input_size):
        params = d.init(key, input_size, recurrent="A")
        above = params.pop("recurrent_kernel")[np.triu_indices(d.H, 1)]
        return {**params, "recurrent_weight": above}

    def recur(params, s):
        above = params["recurrent_weight"]
        half = jnp.zeros((d.H, d.H), above.dtype).at[np.triu_indices(d.H, 1)].set(above)
        return product(s.h, half - half.T - gamma * jnp.eye(d.H, dtype=above.dtype), d.compute(params))

    return init, recur


@factory
def antisymmetric_rnn(
    hidden_size: int,
    *,
    epsilon: float = 0.1,
    gamma: float = 0.01,
    activation: str | Callable = "tanh",
    recurrent_init: Callable = initializers.lecun_normal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Antisymmetric RNN: x [..., D], h [..., H] -> h', y [..., H].

        h' = h + epsilon tanh(x W + h (U - Uᵀ - gamma I) + b),    y = h'

    U is zero on and below its diagonal, I is the identity. Parameters: kernel W [D, H], recurrent_weight
    [H (H - 1) / 2], the entries of U above its diagonal, row by row, bias b [H].

    epsilon: the step of the Euler method that the cell is. gamma: the diffusion, 0 or more, that makes it stable. The
        paper chooses both for each task. recurrent_init: draws U, as a matrix [H, H].
    Sources: papers' code often keeps all of U; U - Uᵀ has only the numbers above the diagonal, which are kept here.
    Good for: long memory without gates; the eigenvalues of U - Uᵀ are imaginary, so a state neither grows nor fades.
    Paper: Chang, Chen, Haber and Chi 2019, arXiv 1902.09689.
    """
    d = Dense(hidden_size, "h", {**options, "activation": activation, "recurrent_init": recurrent_init})
    init, recur = antisymmetric(d, gamma)

    def update(params, s, u, v):
        return HiddenCarry(s.h + epsilon * tap("h", d.act(u + v)))

    return d.cell(HiddenCarry, d.stage(recur, update), init=init)
