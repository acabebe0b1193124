"""What cells with an orthogonal transition share: how it is made of free numbers, once before the loop; modReLU."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import initializers
from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.numerics import row, wide
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


def with_made(cell: Cell, init: Callable, made: Callable[[Any], Any]) -> Cell:
    """`cell` with params from `init`, of which `made` makes those that the cell's products read.

    Over time they are made once, before the loop. What else the cell reads must be in both.
    """

    def on_made(recur):
        return None if recur is None else lambda params, s: recur(made(params), s)

    def sequence(run, params, carry, xs, key):
        return run(cell, made(params), carry, xs, key)

    stages = tuple(Stage(on_made(s.recur), s.update, s.recurrent) for s in cell.stages)
    return dataclasses.replace(cell, init=init, stages=stages, sequence=sequence)


def modrelu(z: jax.Array, bias: jax.Array) -> jax.Array:
    """sign(z) relu(|z| + bias): a rectifier of sizes, which keeps the sign (Arjovsky, Shah and Bengio 2016)."""
    return jnp.sign(z) * jax.nn.relu(jnp.abs(z) + row(bias, z))


def skew(free: jax.Array) -> jax.Array:
    """The skew-symmetric matrix [H, H] whose numbers above the diagonal, row after row, are free [H (H - 1) / 2]."""
    size = _size(len(free))
    upper = jnp.zeros((size, size), wide(free.dtype)).at[np.triu_indices(size, 1)].set(free.astype(wide(free.dtype)))
    return upper - upper.T


def rotations(of_angles: Callable[[Any], Any], low: float, high: float, key: Any, size: int, dtype: Any) -> jax.Array:
    """Free numbers of a skew-symmetric matrix that turns pairs of units: of_angles(angles), uniform in [low, high]."""
    draw = of_angles(jax.random.uniform(key, (size // 2,), wide(dtype), low, high))
    first = 2 * np.arange(size // 2)  # (first, first + 1) are numbers first * size - first (first + 1) / 2 of the list
    at = first * size - first * (first + 1) // 2
    return jnp.zeros(size * (size - 1) // 2, wide(dtype)).at[at].set(draw).astype(dtype)


def exponential(free: jax.Array) -> jax.Array:
    """The orthogonal matrix exp(A), where A is skew-symmetric."""
    return jax.scipy.linalg.expm(skew(free)).astype(free.dtype)


def cayley(free: jax.Array, negative: int) -> jax.Array:
    """The orthogonal matrix (I + A)⁻¹ (I - A) D, where A is skew-symmetric, and D has -1 in its first places."""
    A = skew(free)
    one = jnp.eye(len(A), dtype=A.dtype)
    turned = jnp.linalg.solve(one + A, one - A)
    return (turned * row(jnp.where(jnp.arange(len(A)) < negative, -1, 1), turned)).astype(free.dtype)


def _size(free: int) -> int:
    return (1 + round((1 + 8 * free) ** 0.5)) // 2


def given_transition(hidden_size: int, *, activation: str | Callable = "modrelu", **options: Unpack[Pointwise]) -> Cell:
    """Cell with a given transition U: x [..., D], h [..., H] -> h' = activation(x W + h U + b), y [..., H].

    With "modrelu" b is the bias in it. Parameters: kernel W [D, H], recurrent_kernel U [H, H], bias b [H].
    """
    inside = activation == "modrelu"
    act = {"activation": "tanh" if inside else activation, "recurrent_init": initializers.orthogonal()}
    d = Dense(hidden_size, "h", options | act)
    if d.H == 1:
        raise ValueError("hidden_size: expected at least 2, as 1 has no rotation, got 1")

    def drive(params, x):
        return d.drive({**params, "bias": jnp.zeros_like(params["bias"])} if inside else params, x)

    def update(params, s, u, v):
        return HiddenCarry(tap("h", modrelu(u + v, params["bias"]) if inside else d.act(u + v)))

    return d.cell(HiddenCarry, d.stage(d.recur(), update), drive=drive)


given_transition = factory(given_transition)  # no cell of its own
