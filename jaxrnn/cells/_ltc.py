"""The liquid time-constant network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn.cells._clocked import ClockedCarry, clocked_cell, time_constant, with_tau
from jaxrnn.cells._dense import Dense, Ungated


@factory
def ltc(
    hidden_size: int,
    *,
    unfolds: int = 6,
    tau: float = 1.0,
    target_init: Callable = initializers.normal(1.0),
    **options: Unpack[Ungated],
) -> Cell:
    """Liquid time-constant network: x [..., D] or (x, dt [...]), h [..., H] -> h', y [..., H].

        dh/dt = -(1 / tau + f) h + f A,    f = tanh(x W + h U + b)
        h <- (h + e f A) / (1 + e (1 / tau + f))    `unfolds` times, with e = dt / unfolds;    y = h'

    The fused solver: the linear part is taken implicitly, which allows a long dt. dt: the time since the
    step before, 1 if none is given, and the time of masked steps before it; see docs/time.md. Each of the `unfolds`
    has its own f, a product in the loop. Parameters: kernel [D, H], recurrent_kernel [H, H], bias [H], log_tau [H],
    target A [H].

    unfolds: the steps of the solver in a step. tau: the time constants at the start, in the unit of dt.
    target_init: draws A.
    Sources: the paper's f is tanh, its bounds are for an f of 0 or more, and the authors' code has sigmoid; we take
    tanh, with which tau must stay below 1 / (1 - 1 / e) or the denominator may meet 0: else activation="sigmoid".
    Good for: few units on irregularly sampled signals, control.
    Paper: Hasani, Lechner, Amini, Rus and Grosu 2021, arXiv 2006.04439.
    """
    d = Dense(hidden_size, "f", options)
    checks.positive(unfolds, "unfolds")

    def update(params, s, u, v):
        z, dt = u
        e = (s.elapsed + dt) / unfolds
        f = d.candidate("f", z + v)
        h = (s.h + e * f * row(params["target"], z)) / (1 + e * (1 / time_constant(params, z) + f))
        return ClockedCarry(h, s.elapsed)

    def last(params, s, u, v):
        return ClockedCarry(update(params, s, u, v).h, jnp.zeros_like(s.elapsed))

    stages = [d.stage(d.recur(), last if k + 1 == unfolds else update) for k in range(unfolds)]
    return clocked_cell(d, ClockedCarry, *stages, init=with_tau(d, tau, target=target_init))
