"""FastRNN."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, HiddenCarry, Ungated


@factory
def fast_rnn(hidden_size: int, *, alpha: float = -3.0, beta: float = 3.0, **options: Unpack[Ungated]) -> Cell:
    """FastRNN: x [..., D], h [..., H] -> h', y [..., H].

        h' = sigmoid(alpha) tanh(x W + h U + b) + sigmoid(beta) h,    y = h'

    Parameters: kernel W [D, H], recurrent_kernel U [H, H], bias b [H], and two trained numbers, alpha [1] and beta [1].

    alpha, beta: what the trained numbers start from.
    Sources: the paper keeps alpha and beta themselves between 0 and 1; the sigmoid, and both starts, are of the
        authors' code. torchrecurrent starts from 3 and -3, the other way round.
    Good for: an Elman network that trains at long T, for two more numbers.
    Paper: Kusupati, Singh, Bhatia, Kumar, Jain and Varma 2018, arXiv 1901.02358.
    """
    d = Dense(hidden_size, "n", options)

    def init(key, input_size):
        own = {"alpha": jnp.full(1, alpha, d.param_dtype), "beta": jnp.full(1, beta, d.param_dtype)}
        return d.init(key, input_size) | own

    def update(params, s, u, v):
        new, old = (jax.nn.sigmoid(row(params[name], u)) for name in ("alpha", "beta"))
        return HiddenCarry(new * d.candidate("n", u + v) + old * s.h)

    return d.cell(HiddenCarry, d.stage(d.recur(), update), init=init)
