"""minLSTM: an LSTM whose gates see x only."""

from __future__ import annotations

from typing import Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven
from jaxrnn.cells._dense import HiddenCarry, Pointwise
from jaxrnn.cells._min_gru import positive


@factory
def min_lstm(hidden_size: int, *, log_space: bool = False, **options: Unpack[Pointwise]) -> Cell:
    """minLSTM, an LSTM whose gates and candidate see x only: x [..., D], h [..., H] -> h', y [..., H].

        f  = sigmoid(x W_f + b_f)
        i  = sigmoid(x W_i + b_i)
        n  = x W_n + b_n
        h' = f / (f + i) h + i / (f + i) n,    y = h'

    f keeps the old state, i lets the new state n in, and together they are a weighted mean. Affine in h. The shares are
    computed as sigmoids of log f - log i and of its negative: they stay exact where f + i underflows.
    Parameters, gates in the order f, i, n: kernel [D, 3H], bias [3H].

    log_space: n = g(x W_n + b_n) with g(s) = s + 0.5 for s of 0 or more, else sigmoid(s); as in `min_gru`, h itself is
        carried and may have any sign.

    Good for: long sequences at the cost of a few pointwise operations a step.
    Paper: Feng, Tung, Ahmed, Bengio and Hajimirsadeghi 2024, arXiv 2410.01201.
    """
    d = Driven(hidden_size, options, f=hidden_size, i=hidden_size, n=hidden_size)

    def element(params, u):
        z_f, z_i, n = d.of(u)
        log_ratio = jax.nn.log_sigmoid(z_f) - jax.nn.log_sigmoid(z_i)
        f, i = d.gate("f", log_ratio), d.gate("i", -log_ratio)
        return HiddenCarry(f), HiddenCarry(i * d.new("n", positive(n) if log_space else n))

    return d.affine(HiddenCarry, element)
