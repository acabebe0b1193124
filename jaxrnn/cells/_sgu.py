"""The simple gated unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Between, Dense, HiddenCarry, Ungated


@factory
def sgu(hidden_size: int, *, gate_activation: str | Callable = "hard_sigmoid", **options: Unpack[Ungated]) -> Cell:
    """Simple gated unit: x [..., D], h [..., H] -> h', y [..., H].

        z  = hard_sigmoid(x W_z + h U_z + b_z)
        g  = tanh(((x W_g + b_g) h) U_g)
        h' = (1 - z) h + z softplus(g h),    y = h'

    z lets the new state in. Parameters, gates in the order z, g: kernel [D, 2H], recurrent_kernel [H, 2H], bias [2H].
    A step has two products in sequence (two stages).

    activation: for g. gate_activation: for z.
    Sources: hard_sigmoid(z) is min(max(z / 6 + 1 / 2, 0), 1), as in PyTorch and JAX; that of Theano and Keras, which
        the paper's experiments used, has a slope of 1 / 5.
    Good for: fewer parameters than a GRU has, with one gate that x opens for parts of h.
    Paper: Gao and Glowacka 2016, arXiv 1604.02910.
    """
    d = Dense(hidden_size, "zg", {**options, "gate_activation": gate_activation})

    def gate(params, s, u, v):
        [z_z] = d.sums("z", u, v)
        return Between(s.h, u[..., d.columns("g")] * s.h, d.gate("z", z_z))

    def update(params, s, u, v):
        n = tap("candidate", jax.nn.softplus(tap("g", d.act(v)) * s.h))
        return HiddenCarry((1 - s.gate) * s.h + s.gate * n)

    return d.cell(HiddenCarry, d.stage(d.recur("z"), gate), d.stage(d.recur("g", of="read"), update))
