"""The intersection recurrent network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells import _shortcut
from jaxrnn.cells._dense import Dense, Updating


class IntersectionCarry(NamedTuple):
    """The state of an intersection RNN, and its output, which no later step reads."""

    h: jax.Array  # [..., H]
    y: jax.Array  # [..., H]


@factory
def intersection_rnn(
    hidden_size: int, *, depth_activation: str | Callable = "relu", **options: Unpack[Updating]
) -> Cell:
    """Intersection RNN, +RNN: x [..., D], h [..., H] -> h', y [..., H].

        p, n, d, g = relu, tanh, sigmoid, sigmoid of (x W + h U + b), gate by gate
        y  = d x + (1 - d) p
        h' = g h + (1 - g) n

    Two highways cross, one through depth, from x to y, and one through time, from h to h'. p and n are the paper's
    y_in and h_in, d and g its g_y and g_h. Parameters, gates in the order p, n, d, g: kernel [D, 4H],
    recurrent_kernel [H, 4H], bias [4H]; and shortcut [D, H], if D is not H: then y has x @ shortcut in place of x.

    depth_activation: for p. update_bias: is added to b_g.
    Sources: in the paper D is H; a stack brings it about above its first layer. y does not follow from h', so the carry
        has it, from where `unroll` reads it.
    Good for: stacks of many layers.
    Paper: Collins, Sohl-Dickstein and Sussillo 2017, arXiv 1611.09913.
    """
    d, relu = Dense(hidden_size, "pndg", options), nonlinearity(depth_activation, "depth_activation")

    def drive(params, x):
        return jnp.concatenate([d.drive(params, x), _shortcut.shortcut(d, params, x)], -1)

    def update(params, s, u, v):
        z_p, z_n, z_d, z_g = d.split(u[..., : -d.H] + v)
        p, n, depth, g = tap("p", relu(z_p)), d.candidate("n", z_n), d.gate("d", z_d), d.gate("g", z_g)
        return IntersectionCarry(g * s.h + (1 - g) * n, depth * u[..., -d.H :] + (1 - depth) * p)

    init = functools.partial(_shortcut.init, d, memory="+g")
    stage = d.stage(d.recur(), update)
    return d.cell(IntersectionCarry, stage, init=init, drive=drive, output=lambda params, carry: carry.y)
