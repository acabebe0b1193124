"""The time-aware LSTM."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._clocked import clocked_cell
from jaxrnn.cells._dense import Dense, Gated
from jaxrnn.cells._phased_lstm import ClockedLSTMCarry


def inverse(dt: jax.Array) -> jax.Array:
    """1 / dt; 1 where no time has passed, so that nothing is infinite."""
    return 1 / jnp.where(dt > 0, dt, jnp.ones_like(dt))


DECAYS = {"log": lambda dt: 1 / jnp.log(jnp.e + dt), "inverse": inverse}


@factory
def t_lstm(hidden_size: int, *, decay: str = "log", **options: Unpack[Gated]) -> Cell:
    """Time-aware LSTM, which forgets its short-term memory with time: x [..., D] or (x, dt [...]), h, c -> (h', c').

        q  = tanh(c U_d + b_d),    c* = c - q + q decay(dt)
        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + h U + b), gate by gate
        c' = f c* + i g,    h' = o tanh(c'),    y = h'

    dt: the time since the step before, 1 if none is given, and the time of masked steps before it; see docs/time.md.
    Parameters, gates in the order i, f, g, o: kernel [D, 4H], recurrent_kernel [H, 4H], bias [4H], decay_kernel U_d
    [H, H], decay_bias [H]. U_d starts as `kernel_init` draws.

    decay: "log", 1 / log(e + dt), the paper's for long gaps, or "inverse", 1 / dt, its for short ones (1 at dt = 0).
    Good for: records with gaps, such as visits of a patient.
    Paper: Baytas, Xiao, Zhang, Wang, Jain and Zhou 2017, doi 10.1145/3097983.3097997.
    """
    d = Dense(hidden_size, "ifgo", options)
    if decay not in DECAYS:
        raise ValueError(f"decay: expected 'log' or 'inverse', got {decay!r}")

    def init(key, input_size):
        k1, k2, k3 = jax.random.split(key, 3)
        kernel = d.options["kernel_init"](k2, (d.H, d.H), d.param_dtype)
        bias = d.options["bias_init"](k3, (d.H,), d.param_dtype)
        return d.init(k1, input_size) | {"decay_kernel": kernel, "decay_bias": bias}

    def recur(params, s):
        return d.recur()(params, s), product(s.c, params["decay_kernel"], d.compute(params))

    def update(params, s, u, v):
        (z, dt), (v_h, v_c) = u, v
        z_i, z_f, z_g, z_o = d.split(z + v_h)
        short = tap("q", d.act(v_c + row(params["decay_bias"], v_c)))
        c = s.c - short + short * DECAYS[decay](s.elapsed + dt)
        c = d.gate("f", z_f) * c + d.gate("i", z_i) * d.candidate("g", z_g)
        return ClockedLSTMCarry(d.gate("o", z_o) * d.act(tap("cell", c)), c, jnp.zeros_like(s.elapsed))

    return clocked_cell(d, ClockedLSTMCarry, d.stage(recur, update), init=init)
