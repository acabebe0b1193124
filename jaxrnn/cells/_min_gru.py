"""minGRU: a GRU whose gate sees x only."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven
from jaxrnn.cells._dense import HiddenCarry, Pointwise


def positive(z: jax.Array) -> jax.Array:
    """The paper's g, above 0 and monotonic: z + 0.5 from 0 on, sigmoid(z) below."""
    return jnp.where(z < 0, jax.nn.sigmoid(z), z + 0.5)


@factory
def min_gru(hidden_size: int, *, log_space: bool = False, **options: Unpack[Pointwise]) -> Cell:
    """minGRU, a GRU whose gate and candidate see x only: x [..., D], h [..., H] -> h', y [..., H].

        z  = sigmoid(x W_z + b_z)
        n  = x W_n + b_n
        h' = (1 - z) h + z n,    y = h'

    z lets the new state n in. Affine in h.
    Parameters, gates in the order z, n: kernel [D, 2H], bias [2H].

    log_space: n = g(x W_n + b_n) with g(s) = s + 0.5 for s of 0 or more, else sigmoid(s): the positive candidate of the
        paper's log-space form, which scans over log h. Here h itself is carried and never its logarithm, so that it
        may start at 0 or below 0; the outputs are those of the log-space form wherever that is defined.

    Good for: long sequences at the cost of a few pointwise operations a step.
    Paper: Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024, arXiv 2410.01201.
    """
    d = Driven(hidden_size, options, z=hidden_size, n=hidden_size)

    def element(params, u):
        s, n = d.of(u)
        z, n = d.gate("z", s), d.new("n", positive(n) if log_space else n)
        return HiddenCarry(1 - z), HiddenCarry(z * n)

    return d.affine(HiddenCarry, element)
