"""The closed-form continuous-time network."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn.cells._clocked import ClockedCarry, clocked_cell
from jaxrnn.cells._dense import Dense, Gated


class _Between(NamedTuple):
    """The state between the backbone and the three heads."""

    h: jax.Array  # [..., H]
    elapsed: jax.Array  # [..., 1]
    z: jax.Array  # [..., K]


@factory
def cfc(hidden_size: int, *, backbone: int | None = None, **options: Unpack[Gated]) -> Cell:
    """Closed-form continuous-time network: x [..., D] or (x, dt [...]), h [..., H] -> h', y [..., H].

        f = x W_f + h U_f + b_f,    g, k = tanh(x W + h U + b), each its own
        h' = s g + (1 - s) k,    s = sigmoid(-f dt),    y = h'

    dt: the time since the step before, 1 if none is given, and the time of masked steps before it; see docs/time.md.
    k is the paper's h. Parameters, blocks in the order f, g, k: kernel [D, 3H], recurrent_kernel [H, 3H], bias [3H].

    backbone: the size K of a layer that all three share, z = tanh(x W + h U + b), kernel [D, K], recurrent_kernel
        [H, K], bias [K]; f, g and k are then of z, by heads [K, 3H] and head_bias [3H]. None: no such layer.
    Sources: the authors' code has sigmoid(a dt + b) with two layers in place of sigmoid(-f dt); we take the equation.
    Good for: what ltc is for, without a solver in the step.
    Paper: Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl and Rus 2022, doi 10.1038/s42256-022-00556-7.
    """
    d = Dense(hidden_size, "fgk", options)

    def mix(s, sums, dt):
        f, g, k = d.split(sums)
        share = d.gate("f", -f * (s.elapsed + dt))
        h = share * d.candidate("g", g) + (1 - share) * d.candidate("k", k)
        return ClockedCarry(h, jnp.zeros_like(s.elapsed))

    if backbone is None:
        return clocked_cell(d, ClockedCarry, d.stage(d.recur(), lambda params, s, u, v: mix(s, u[0] + v, u[1])))

    first: Any = Dense(checks.positive(backbone, "backbone"), "z", options)

    def init(key, input_size):
        k1, k2, k3 = jax.random.split(key, 3)
        heads, bias = d.blocks("kernel_init", k2, (first.H, d.H)), d.blocks("bias_init", k3, (d.H,))
        return first.init(k1, input_size, rows=d.H) | {"heads": heads, "head_bias": bias}

    def shared(params, s, u, v):
        return _Between(s.h, s.elapsed, first.candidate("z", u[0] + v))

    def heads(params, s):
        v = product(s.z, params["heads"], d.compute(params))
        return v + row(params["head_bias"], v)

    stages: tuple[Stage, ...] = d.stage(d.recur(), shared), d.stage(heads, lambda params, s, u, v: mix(s, v, u[1]))
    return clocked_cell(d, ClockedCarry, *stages, init=init)
