"""The low-rank recurrent network."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


class _Between(NamedTuple):
    """The state before the product."""

    h: jax.Array  # [..., H]
    rate: jax.Array  # [..., H]


@functools.lru_cache(maxsize=16)
def _disorder(size: int, seed: int) -> np.ndarray:
    """A matrix of normal numbers with variance 1 / size, the same on every machine."""
    return np.random.RandomState(seed).standard_normal((size, size)) / np.sqrt(size)


@factory
def low_rank_rnn(
    hidden_size: int,
    *,
    rank: int = 1,
    dt: float = 1.0,
    tau: float = 5.0,
    disorder: float = 0.0,
    seed: int = 0,
    activation: str | Callable = "tanh",
    recurrent_init: Callable = initializers.normal(1.0),
    **options: Unpack[Pointwise],
) -> Cell:
    """Rate network of low rank: x [..., D], h [..., H] -> h', y [..., H].

        h' = h + dt / tau (-h + tanh(h) J + x W + b),    y = tanh(h')
        J  = N M / H + disorder X

    h are currents and y their rates. N M / H is the paper's m nᵀ / N, transposed as rates stand left of J here:
    parameters: kernel W [D, H], select N [H, R] (the paper's n), recurrent_kernel M [R, H] (its m), bias b [H]. The
    product goes through R numbers, and no matrix [H, H] is made.

    rank: R. dt, tau: the step and the time constant of the units, 0 < dt <= tau. recurrent_init draws M and N.
    disorder: the strength g of a fixed random part X, normal with variance 1 / H; it is no parameter, but drawn by
        NumPy's RandomState(seed).
    Good for: the dynamics of trained networks read off from the geometry of a few vectors.
    Paper: Mastrogiuseppe and Ostojic 2018, arXiv 1711.09672.
    """
    own = {"activation": activation, "recurrent_init": recurrent_init}
    d, R = Dense(hidden_size, "h", options | own), checks.positive(rank, "rank")
    if not 0 < dt <= tau:
        raise ValueError(f"dt, tau: expected 0 < dt <= tau, got {dt!r}, {tau!r}")

    def init(key, input_size):
        params = d.init(key, input_size, rows=R)
        return params | {"select": recurrent_init(jax.random.fold_in(key, 1), (d.H, R), d.param_dtype)}

    def rates(params, s, u, v):
        return _Between(s.h, tap("rate", d.act(s.h)))

    def recur(params, s):
        inner = product(s.rate, params["select"], d.compute(params)) / d.H
        v = product(inner, params["recurrent_kernel"], d.compute(params))
        if disorder:
            v = v + disorder * product(s.rate, jnp.asarray(_disorder(d.H, seed), d.compute(params)), d.compute(params))
        return v

    def update(params, s, u, v):
        return HiddenCarry(s.h + dt / tau * (u + v - s.h))

    cell = d.cell(HiddenCarry, d.stage(None, rates), d.stage(recur, update), init=init)
    return dataclasses.replace(cell, output=lambda params, carry: d.act(carry.h))
