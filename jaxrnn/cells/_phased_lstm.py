"""The phased LSTM."""

from __future__ import annotations

import math
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._clocked import clocked_cell
from jaxrnn.cells._dense import Dense, Gated


class ClockedLSTMCarry(NamedTuple):
    """The state of an LSTM that knows time."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]
    elapsed: jax.Array  # [..., 1] its clock


@factory
def phased_lstm(
    hidden_size: int,
    *,
    ratio: float = 0.05,
    leak: float = 0.001,
    longest: float = math.exp(3),
    peepholes: bool = True,
    **options: Unpack[Gated],
) -> Cell:
    """Phased LSTM, whose units are open for a part of a cycle: x [..., D] or (x, dt [...]), h, c [..., H] -> (h', c').

        p = ((t - s) mod τ) / τ,    t the time since the row's start, dt included
        k = 2 p / r  for p < r / 2,    2 - 2 p / r  for r / 2 <= p < r,    leak p  else
        c~ = f c + i g,  h~ = o tanh(c~),  gates of an LSTM;    c' = k c~ + (1 - k) c,  h' = k h~ + (1 - k) h;   y = h'

    dt: the time since the step before, 1 if none is given; see docs/time.md. The carry's `elapsed` is t, in float32 or
    wider: keep its unit such that t / τ stays far below 1e7. Parameters, gates in the order i, f, g, o: kernel
    [D, 4H], recurrent_kernel [H, 4H], bias [4H], log_period, of τ [H], shift s [H], peephole [3H] of i, f, o.

    ratio: r, the part of a cycle in which a unit is open.
    leak: what passes while it is closed; the paper trains with 0.001 and tests with 0: the same params fit both.
    longest: τ starts between 1 and this, uniform in its logarithm; s within the period.
    peepholes: i and f see c, o sees c~.
    Sources: the paper's o sees "c"; we take c~, of the same step, as in a peephole LSTM.
    Good for: long or asynchronous event streams, sampled at any rate.
    Paper: Neil, Pfeiffer and Liu 2016, arXiv 1610.09513.
    """
    d = Dense(hidden_size, "ifgo", options)
    if not (0 < ratio <= 1 and longest > 1):
        raise ValueError(f"ratio, longest: expected 0 < ratio <= 1 and longest above 1, got {ratio!r}, {longest!r}")

    def init(key, input_size):
        params, (k1, k2, k3) = d.init(key, input_size), jax.random.split(jax.random.fold_in(key, 1), 3)
        log_period = jax.random.uniform(k1, (d.H,), d.param_dtype, maxval=math.log(longest))
        shift = jax.random.uniform(k2, (d.H,), d.param_dtype) * jnp.exp(log_period)
        peephole = {"peephole": initializers.normal(0.1)(k3, (3 * d.H,), d.param_dtype)} if peepholes else {}
        return params | {"log_period": log_period, "shift": shift} | peephole

    def openness(params, t, like):
        p = (t - row(params["shift"], like)) / jnp.exp(row(params["log_period"], like))
        p = p - jnp.floor(p)
        return jnp.where(p < ratio / 2, 2 * p / ratio, jnp.where(p < ratio, 2 - 2 * p / ratio, leak * p))

    def update(params, s, u, v):
        z, dt = u
        z_i, z_f, z_g, z_o = d.split(z + v)
        at_i, at_f, at_o = d.split(row(params["peephole"], z)) if peepholes else (0, 0, 0)
        t = s.elapsed + dt
        k = tap("k", openness(params, t, z))
        c = d.gate("f", z_f + at_f * s.c) * s.c + d.gate("i", z_i + at_i * s.c) * d.candidate("g", z_g)
        h = d.gate("o", z_o + at_o * c) * d.act(tap("cell", c))
        return ClockedLSTMCarry(k * h + (1 - k) * s.h, k * c + (1 - k) * s.c, t)

    return clocked_cell(d, ClockedLSTMCarry, d.stage(d.recur(), update), init=init)
