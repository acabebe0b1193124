"""The recurrent network whose transition is a scaled Cayley transform."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Pointwise
from jaxrnn.cells._orthogonal import cayley, given_transition, rotations, with_made


@factory
def scaled_cayley(
    hidden_size: int,
    *,
    negative: int | None = None,
    activation: str | Callable = "modrelu",
    **options: Unpack[Pointwise],
) -> Cell:
    """Scaled Cayley orthogonal RNN (scoRNN): x [..., D], h [..., H] -> h', y [..., H].

        h' = modrelu(x W + h Qᵀ, b),    y = h'
        Q  = (I + A)⁻¹ (I - A) D,    A = S - Sᵀ
        modrelu(z, b) = sign(z) relu(|z| + b)

    Q is orthogonal whatever A is; it is computed once, before the loop. D is diagonal, -1 in its first `negative`
    places and 1 in the others, so that Q can have eigenvalues near -1, which no Cayley transform has by itself.
    Parameters: kernel W [D, H], skew [H (H - 1) / 2], the numbers of S above its diagonal, row after row; bias b [H].

    negative: how many -1 are in D, a choice by task; None: H // 2.
    activation: "modrelu", or a function or its name in `jax.nn`, as activation(x W + h Qᵀ + b).
    `init` makes A turn each pair of units by tan(t / 2) with t uniform from 0 to π / 2, as the paper does.
    Good for: memory over many steps, at one linear solve for each sequence.
    Paper: Helfrich, Willmott and Ye 2018, arXiv 1707.09520.
    """
    cell = given_transition(hidden_size, activation=activation, **options)
    negative = hidden_size // 2 if negative is None else negative
    if not 0 <= negative <= hidden_size:
        raise ValueError(f"negative: expected a number from 0 to H={hidden_size}, got {negative!r}")

    def init(key, input_size):
        params = cell.init(key, input_size)
        dtype = params.pop("recurrent_kernel").dtype
        k = jax.random.fold_in(key, 1)
        return params | {"skew": rotations(lambda t: jnp.tan(t / 2), 0, math.pi / 2, k, hidden_size, dtype)}

    def made(params):
        rest = {name: a for name, a in params.items() if name != "skew"}
        return rest | {"recurrent_kernel": cayley(params["skew"], negative).T}

    return with_made(cell, init, made)
