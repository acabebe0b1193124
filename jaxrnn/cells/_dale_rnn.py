"""The excitatory-inhibitory recurrent network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity, product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


class _Between(NamedTuple):
    """The state before the product."""

    h: jax.Array  # [..., H]
    rate: jax.Array  # [..., H]


@factory
def dale_rnn(
    hidden_size: int,
    *,
    excitatory: float = 0.8,
    self_connections: bool = False,
    dt: float = 1.0,
    tau: float = 5.0,
    activation: str | Callable = "relu",
    magnitude: str | Callable = "relu",
    recurrent_init: Callable = initializers.lecun_normal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Rate network under Dale's law: x [..., D], h [..., H] -> h', y [..., H].

        h' = (1 - dt / tau) h + dt / tau (relu(h) J + x W + b),    y = relu(h')
        J_ij = sign_i magnitude(U_ij)

    h are currents and y their rates. The first round(excitatory H) units have sign 1, the others -1, so that all that a
    unit sends has one sign, whatever an optimizer does to U. Parameters: kernel W [D, H], recurrent_kernel U [H, H], or
    [H - 1, H], the numbers off its diagonal, row after row; bias b [H].

    excitatory: the fraction of excitatory units. self_connections: whether J has a diagonal.
    dt, tau: the step and the time constant of the units, 0 < dt <= tau.
    magnitude: a function onto numbers of at least 0: the paper's relu, or abs, through which a weight that has reached
        0 still learns.
    `init` takes the size of what recurrent_init draws, times E / (H - E) for the H - E inhibitory units, so that both
        signs cancel on average.
    Sources: the paper draws U from a gamma distribution, scales it to a spectral radius of 1.5, adds noise to h, and
        may bound W and the readout too.
    Good for: models of cortex with separate excitatory and inhibitory units.
    Paper: Song, Yang and Wang 2016, doi 10.1371/journal.pcbi.1004792.
    """
    d = Dense(hidden_size, "h", options | {"activation": activation, "recurrent_init": recurrent_init})
    positive, E = nonlinearity(magnitude, "magnitude"), round(excitatory * d.H)
    if not 0 < dt <= tau:
        raise ValueError(f"dt, tau: expected 0 < dt <= tau, got {dt!r}, {tau!r}")
    if not 0 <= excitatory <= 1:
        raise ValueError(f"excitatory: expected a fraction from 0 to 1, got {excitatory!r}")
    if d.H == 1 and not self_connections:
        raise ValueError("hidden_size: expected at least 2 without self_connections, got 1")

    def init(key, input_size):
        params = d.init(key, input_size, rows=d.H if self_connections else d.H - 1)
        balance = jnp.where(jnp.arange(d.H) < E, 1, E / max(1, d.H - E)).astype(d.param_dtype)
        drawn = full(jnp.abs(params["recurrent_kernel"])) * jnp.expand_dims(balance, -1)
        return params | {"recurrent_kernel": drawn if self_connections else off_diagonal(drawn)}

    def full(U):
        if self_connections:
            return U
        rows = jnp.pad(U, ((0, 0), (1, 0)))  # a 0 before every H numbers: they fall on the diagonal
        return jnp.pad(rows.reshape(-1), (0, 1)).reshape(d.H, d.H)

    def off_diagonal(U):
        return U.reshape(-1)[:-1].reshape(d.H - 1, d.H + 1)[:, 1:]

    def rates(params, s, u, v):
        return _Between(s.h, tap("rate", d.act(s.h)))

    def recur(params, s):
        sent = positive(full(params["recurrent_kernel"]))
        sign = jnp.where(jnp.arange(d.H) < E, 1, -1).astype(sent.dtype)
        return product(s.rate, jnp.expand_dims(sign, -1) * sent, d.compute(params))

    def update(params, s, u, v):
        return HiddenCarry(s.h + dt / tau * (u + v - s.h))

    cell = d.cell(HiddenCarry, d.stage(None, rates), d.stage(recur, update), init=init)
    return dataclasses.replace(cell, output=lambda params, carry: d.act(carry.h))
