"""The continuous-time recurrent neural network."""

from __future__ import annotations

from typing import Unpack

import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._clocked import ClockedCarry, clocked_cell, time_constant, with_tau
from jaxrnn.cells._dense import Dense, Ungated


@factory
def ctrnn(hidden_size: int, *, tau: float = 1.0, solver: str = "exact", **options: Unpack[Ungated]) -> Cell:
    """Leaky integrators in continuous time: x [..., D] or (x, dt [...]), h [..., H] -> h', y [..., H].

        tau dh/dt = -h + tanh(x W + h U + b)
        h' = a h + (1 - a) tanh(x W + h U + b),    a = exp(-dt / tau),    y = h'

    dt: the time since the step before, 1 if none is given, and the time of masked steps before it; see docs/time.md.
    Parameters: kernel [D, H], recurrent_kernel [H, H], bias [H], log_tau [H], the logarithm of each unit's time
    constant.

    tau: the time constants at the start, in the unit of dt.
    solver: "exact" solves the equation with the tanh held over dt; "euler" takes a = 1 - dt / tau, as most code in
        neuroscience, and needs dt below 2 tau.
    Sources: the paper has tanh(h) within the product; the two forms are the same dynamics in other variables (Miller
    and Fumarola 2012, doi 10.1162/NECO_a_00221).
    Good for: samples at irregular times, models of neural circuits.
    Paper: Funahashi and Nakamura 1993, doi 10.1016/S0893-6080(05)80125-X.
    """
    d = Dense(hidden_size, "h", options)
    leak = {"exact": lambda r: jnp.exp(-r), "euler": lambda r: 1 - r}.get(solver)
    if leak is None:
        raise ValueError(f"solver: expected 'exact' or 'euler', got {solver!r}")

    def update(params, s, u, v):
        z, dt = u
        a = leak((s.elapsed + dt) / time_constant(params, z))
        return ClockedCarry(a * s.h + (1 - a) * d.candidate("h", z + v), jnp.zeros_like(s.elapsed))

    return clocked_cell(d, ClockedCarry, d.stage(d.recur(), update), init=with_tau(d, tau))
