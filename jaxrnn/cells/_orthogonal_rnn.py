"""The recurrent network whose transition is the exponential of a skew-symmetric matrix."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Pointwise
from jaxrnn.cells._orthogonal import exponential, given_transition, rotations, with_made


@factory
def orthogonal_rnn(hidden_size: int, *, activation: str | Callable = "modrelu", **options: Unpack[Pointwise]) -> Cell:
    """Orthogonal RNN (expRNN): x [..., D], h [..., H] -> h', y [..., H].

        h' = modrelu(x W + h exp(A), b),    y = h'
        modrelu(z, b) = sign(z) relu(|z| + b),    A = S - Sᵀ

    exp(A) is orthogonal whatever A is, so it stays so under any optimizer; it is computed once, before the loop.
    Parameters: kernel W [D, H], skew [H (H - 1) / 2], the numbers of S above its diagonal, row after row; bias b [H].

    activation: "modrelu", or a function or its name in `jax.nn`, as activation(x W + h exp(A) + b).
    `init` makes exp(A) turn each pair of units by an angle that is uniform from -π to π (Henaff's start in the paper).
    Good for: memory over many steps, since the linear part of the step keeps all lengths.
    Paper: Lezcano-Casado and Martínez-Rubio 2019, arXiv 1901.08428.
    """
    cell = given_transition(hidden_size, activation=activation, **options)

    def init(key, input_size):
        params = cell.init(key, input_size)
        dtype = params.pop("recurrent_kernel").dtype
        free = rotations(lambda a: a, -math.pi, math.pi, jax.random.fold_in(key, 1), hidden_size, dtype)
        return params | {"skew": free}

    def made(params):
        rest = {name: a for name, a in params.items() if name != "skew"}
        return rest | {"recurrent_kernel": exponential(params["skew"])}

    return with_made(cell, init, made)
