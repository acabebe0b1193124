"""GRU-D: a GRU for series with missing values."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.clock import known, timed_features, timing
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn.cells._clocked import clock_type
from jaxrnn.cells._dense import Dense, Gated


class GRUDCarry(NamedTuple):
    """The state of a GRU-D: its output, and of each feature the value last observed and the time since then."""

    h: jax.Array  # [..., H]
    last: jax.Array  # [..., D]
    elapsed: jax.Array  # [..., D]


class _Filled(NamedTuple):
    """The state after the decay, x with its missing values filled in."""

    h: jax.Array  # [..., H]
    last: jax.Array  # [..., D]
    elapsed: jax.Array  # [..., D]
    x: jax.Array  # [..., D]


class _Gated(NamedTuple):
    """The state between the gates and the candidate."""

    h: jax.Array  # [..., H]
    last: jax.Array  # [..., D]
    elapsed: jax.Array  # [..., D]
    read: jax.Array  # [..., H] what the candidate reads of h
    z: jax.Array  # [..., H] the gate
    n: jax.Array  # [..., H] the candidate's sum without it


@factory
def gru_d(hidden_size: int, **options: Unpack[Gated]) -> Cell:
    """GRU with decay for missing values: x [..., D], (x, dt [...]) or (x, dt, observed [..., D]), h -> h', y [..., H].

        g_x = exp(-max(0, w δ + c)),    g_h = exp(-max(0, δ V + a)),    δ [..., D] the time since each was observed
        x~  = x where observed (m = 1), else g_x last + (1 - g_x) mean;    h <- g_h h
        r, z = sigmoid(x~ W + h U + m M + b), each its own;    n = tanh(x~ W_n + (r h) U_n + m M_n + b_n)
        h'  = (1 - z) h + z n,    y = h'

    A value is missing where x is NaN or `observed` is False. dt: the time since the step before, 1 if none is given;
    see docs/time.md. last and δ are in the carry, a row starts at the mean. Parameters, gates in the order r, z, n:
    kernel [D, 3H], recurrent_kernel [H, 3H], mask_kernel M [D, 3H], bias [3H], decay_kernel V [D, H], decay_bias a
    [H], input_decay w [D], input_decay_bias c [D], mean [D].

    The mean starts at 0, right for standardised features; else put the training data's mean into params["mean"]. It
    is a parameter like the others: to keep it, leave it out of the optimizer.
    Good for: clinical and sensor series in which what is missing, and for how long, says something.
    Paper: Che, Purushotham, Cho, Sontag and Liu 2018, arXiv 1606.01865.
    """
    d = Dense(hidden_size, "rzn", options)

    def init(key, input_size):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        uniform = initializers.Initializer(jax.random.uniform)  # decays that depend on time from the start
        return d.init(k1, input_size) | {
            "mask_kernel": d.blocks("kernel_init", k2, (input_size, d.H)),
            "decay_kernel": uniform(k3, (input_size, d.H), d.param_dtype) / input_size,
            "decay_bias": jnp.zeros(d.H, d.param_dtype),
            "input_decay": uniform(k4, (input_size,), d.param_dtype),
            "input_decay_bias": jnp.zeros(input_size, d.param_dtype),
            "mean": jnp.zeros(input_size, d.param_dtype),
        }

    def start(params):
        compute, clock = d.compute(params), clock_type(d, params)
        mean = params["mean"].astype(compute)
        return GRUDCarry(jnp.zeros(d.H, compute), mean, jnp.zeros(mean.shape, clock))

    def drive(params, inputs):
        x, dt = timing(inputs, clock_type(d, params))
        there = known(inputs).astype(d.compute(params))
        u = product(there, params["mask_kernel"], d.compute(params))
        decay = dt * row(params["decay_kernel"].sum(0), dt) + row(params["decay_bias"], dt)
        return (u + row(params["bias"], u)).astype(d.compute(params)), x, there, dt, decay

    def age(params, s):
        return product(s.elapsed, params["decay_kernel"], d.compute(params))

    def decayed(params, s, u, v):
        _, x, there, dt, decay = u
        age = s.elapsed + dt
        by = fading(age * row(params["input_decay"], age) + row(params["input_decay_bias"], age))
        filled = there * x + (1 - there) * (by * s.last + (1 - by) * row(params["mean"], x))
        return _Filled(fading(v + decay) * s.h, there * x + (1 - there) * s.last, (1 - there) * age, filled)

    def recur(params, s):
        return product(s.x, params["kernel"], d.compute(params)), d.recur("rz")(params, s)

    def gates(params, s, u, v):
        z_r, z_z, z_n = d.split(u[0] + v[0])
        v_r, v_z = d.split(v[1])
        return _Gated(s.h, s.last, s.elapsed, d.gate("r", z_r + v_r) * s.h, d.gate("z", z_z + v_z), z_n)

    def update(params, s, u, v):
        return GRUDCarry((1 - s.z) * s.h + s.z * d.candidate("n", s.n + v), s.last, s.elapsed)

    stages = d.stage(age, decayed), d.stage(recur, gates), d.stage(d.recur("n", of="read"), update)
    return d.cell(GRUDCarry, *stages, init=init, start=start, drive=drive, input=timed_features)


def fading(z: jax.Array) -> jax.Array:
    """exp(-max(0, z)), from 1 down."""
    return jnp.exp(-jax.nn.relu(z))
