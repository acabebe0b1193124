"""The coupled oscillatory recurrent neural network."""

from __future__ import annotations

import functools
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Ungated


class CoRNNCarry(NamedTuple):
    """The positions of the oscillators (y in the paper) and their velocities."""

    h: jax.Array  # [..., H]
    z: jax.Array  # [..., H]


@factory
def cornn(
    hidden_size: int,
    *,
    dt: float = 0.042,
    gamma: float = 2.7,
    epsilon: float = 4.7,
    **options: Unpack[Ungated],
) -> Cell:
    """Coupled oscillators: x [..., D], h [..., H], z [..., H] -> (h', z'), y = h'.

        z' = z + dt (tanh(x W + [h, z] U + b) - gamma h - epsilon z)
        h' = h + dt z'

    h is the paper's y, z its velocity. Parameters: kernel [D, H], recurrent_kernel U [2H, H], whose first H rows read h
    and the others z, bias [H]. The damping uses the old z, as in the authors' code; the paper also allows z'.

    dt: the time step, above 0. gamma: the restoring force, the square of the frequency. epsilon: the damping.
        gamma and epsilon are 0 or more. All three depend on the task and need tuning. The defaults are the authors' for
        sequential MNIST; for the adding problem of 100 steps they use 0.06, 66 and 15.
    Good for: long sequences, as its gradients neither vanish nor explode where dt is small.
    Paper: Rusch and Mishra 2021, arXiv 2010.00951.
    """
    d = Dense(hidden_size, "z", options)
    if not dt > 0:
        raise ValueError(f"dt: expected a number above 0, got {dt!r}")
    for value, argument in (gamma, "gamma"), (epsilon, "epsilon"):
        if not value >= 0:
            raise ValueError(f"{argument}: expected a number of at least 0, got {value!r}")

    def recur(params, s):
        return product(jnp.concatenate([s.h, s.z], -1), params["recurrent_kernel"], d.compute(params))

    def update(params, s, u, v):
        z = s.z + dt * (tap("z", d.act(u + v)) - gamma * s.h - epsilon * s.z)
        return CoRNNCarry(s.h + dt * z, z)

    return d.cell(CoRNNCarry, d.stage(recur, update), init=functools.partial(d.init, rows=2 * d.H))
