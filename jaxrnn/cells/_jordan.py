"""Jordan's sequential network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity, product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Ungated


class JordanCarry(NamedTuple):
    """The output of Jordan's network, and its state units, a decaying sum of past outputs."""

    y: jax.Array  # [..., P]
    s: jax.Array  # [..., P]


class _Between(NamedTuple):
    """The state between the two products."""

    y: jax.Array  # [..., P]
    s: jax.Array  # [..., P]
    h: jax.Array  # [..., H] the hidden units


@factory
def jordan(
    hidden_size: int,
    *,
    output_size: int | None = None,
    decay: float = 0.0,
    output_activation: str | Callable = "identity",
    output_init: Callable = initializers.glorot_uniform(),
    **options: Unpack[Ungated],
) -> Cell:
    """Jordan's network, which feeds back its output: x [..., D], y [..., P], s [..., P] -> (y', s'), y [..., P].

        h  = tanh(x W + s U + b)
        y' = output_activation(h V + c)
        s' = decay s + y'

    s are the paper's state units; h is no state. Parameters: kernel W [D, H], recurrent_kernel U [P, H], bias b [H],
    output_kernel V [H, P], output_bias c [P]. Two products in sequence (two stages).

    output_size: P; None: H. decay: how much of s is kept, at least 0 and below 1; 0 feeds back the last output alone,
        as textbooks have it. output_activation: of y'. output_init: draws V.
    Good for: a network whose memory is its own visible output, the contrast to `elman`.
    Paper: Jordan 1986, "Serial order: a parallel distributed processing approach", ICS Report 8604.
    """
    d = Dense(hidden_size, "h", options)
    P = d.H if output_size is None else checks.positive(output_size, "output_size")
    out = nonlinearity(output_activation, "output_activation")
    if not 0 <= decay < 1:
        raise ValueError(f"decay: expected a number of at least 0 and below 1, got {decay!r}")

    def init(key, input_size):
        kernel, bias = jax.random.split(jax.random.fold_in(key, 1))
        return d.init(key, input_size, rows=P) | {
            "output_kernel": output_init(kernel, (d.H, P), d.param_dtype),
            "output_bias": d.options["bias_init"](bias, (P,), d.param_dtype),
        }

    def start(params):
        return JordanCarry(*[jnp.zeros(P, d.compute(params))] * 2)

    def hidden(params, s, u, v):
        return _Between(s.y, s.s, tap("h", d.act(u + v)))

    def read(params, s):
        v = product(s.h, params["output_kernel"], d.compute(params))
        return v + row(params["output_bias"], v)

    def update(params, s, u, v):
        y = out(v)
        return JordanCarry(y, decay * s.s + y)

    cell = d.cell(JordanCarry, d.stage(d.recur(of="s"), hidden), d.stage(read, update), init=init, start=start)
    return dataclasses.replace(cell, output=lambda params, carry: carry.y)
