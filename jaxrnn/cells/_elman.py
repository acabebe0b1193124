"""Elman's simple recurrent network."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Ungated


class ElmanCarry(NamedTuple):
    """The state of an Elman cell."""

    h: jax.Array  # [..., H]


@factory
def elman(hidden_size: int, **options: Unpack[Ungated]) -> Cell:
    """Elman's cell: x [..., D], h [..., H] -> h', y [..., H].

        h' = activation(x kernel + h recurrent_kernel + bias),    y = h'

    Parameters: kernel [D, H], recurrent_kernel [H, H], bias [H], which is the sum of PyTorch's two biases.
    The IRNN of Le, Jaitly and Hinton (2015, arXiv 1504.00941) is
    `elman(H, activation="relu", recurrent_init=initializers.identity())`.

    `dtype` is the type to compute in (None: that of the params), `param_dtype` that of the params made by `init`.
    Raises ValueError or TypeError for options of the wrong kind.
    Good for: short memories, and as the baseline that gates are measured by.
    Paper: Elman 1990, "Finding structure in time", doi 10.1016/0364-0213(90)90002-E.
    """
    d = Dense(hidden_size, "h", options)

    def update(params, s, u, v):
        return ElmanCarry(tap("h", d.act(u + v)))

    return d.cell(ElmanCarry, d.stage(d.recur(), update))
