"""What cells that know the time between steps share: their drive, their carry, and the time of a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.clock import timed_features, timing
from jaxrnn._core.numerics import row, wide
from jaxrnn.cells._dense import Dense


class ClockedCarry(NamedTuple):
    """The state of a cell that knows time."""

    h: jax.Array  # [..., H]
    elapsed: jax.Array  # [..., 1] the time of the masked steps since the last step that was taken


def clock_type(d: Dense, params: Any) -> Any:
    """The type of times, which a half type is too short to sum."""
    return wide(d.compute(params))


def clocked_cell(d: Dense, carry: type, *stages: Stage, init: Callable | None = None) -> Cell:
    """The cell on inputs x or (x, dt), whose stages get u = (x kernel + bias [..., G·H], dt [..., 1])."""

    def drive(params, x):
        x, dt = timing(x, clock_type(d, params))
        return d.drive(params, x), dt

    def start(params):
        states = {f: jnp.zeros(d.H, d.compute(params)) for f in carry._fields if f != "elapsed"}
        return carry(**states, elapsed=jnp.zeros(1, clock_type(d, params)))

    return d.cell(carry, *stages, init=init, start=start, drive=drive, input=timed_features)


def with_tau(d: Dense, tau: float, **more: Callable) -> Callable[[Any, int], Any]:
    """The `init` that adds log_tau [H], by which time constants stay above 0, and [H] by an initializer each."""
    if not tau > 0:
        raise ValueError(f"tau: expected a number above 0, got {tau!r}")

    def init(key, input_size):
        params = d.init(key, input_size)
        params["log_tau"] = jnp.full(d.H, math.log(tau), d.param_dtype)
        for i, (name, draw) in enumerate(more.items()):
            params[name] = draw(jax.random.fold_in(key, i), (d.H,), d.param_dtype)
        return params

    return init


def time_constant(params: Any, like: jax.Array) -> jax.Array:
    """tau [H] as a row of `like`."""
    return jnp.exp(row(params["log_tau"], like))
