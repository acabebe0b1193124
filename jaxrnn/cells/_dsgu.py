"""The deep simple gated unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Between, Dense, HiddenCarry, Ungated


@factory
def dsgu(hidden_size: int, *, gate_activation: str | Callable = "hard_sigmoid", **options: Unpack[Ungated]) -> Cell:
    """Deep simple gated unit: x [..., D], h [..., H] -> h', y [..., H].

        z  = hard_sigmoid(x W_z + h U_z + b_z)
        g  = tanh(((x W_g + b_g) h) U_g)
        h' = (1 - z) h + z sigmoid((g h) V),    y = h'

    It is `sgu` with one more product. z lets the new state in. Parameters, gates in the order z, g: kernel [D, 2H],
    recurrent_kernel [H, 2H], output_kernel V [H, H], bias [2H]. A step has three products in sequence (three stages).

    activation: for g. gate_activation: for z; as in `sgu`.
    Good for: what `sgu` is good for; the paper finds it more stable.
    Paper: Gao and Glowacka 2016, arXiv 1604.02910.
    """
    d = Dense(hidden_size, "zg", {**options, "gate_activation": gate_activation})

    def init(key, input_size):
        draw = d.options["recurrent_init"](jax.random.fold_in(key, 4), (d.H, d.H), d.param_dtype)
        return {**d.init(key, input_size), "output_kernel": draw}

    def gate(params, s, u, v):
        [z_z] = d.sums("z", u, v)
        return Between(s.h, u[..., d.columns("g")] * s.h, d.gate("z", z_z))

    def deep(params, s, u, v):
        return Between(s.h, tap("g", d.act(v)) * s.h, s.gate)

    def recur(params, s):
        return product(s.read, params["output_kernel"], d.compute(params))

    def update(params, s, u, v):
        return HiddenCarry((1 - s.gate) * s.h + s.gate * tap("candidate", jax.nn.sigmoid(v)))

    stages = d.stage(d.recur("z"), gate), d.stage(d.recur("g", of="read"), deep), d.stage(recur, update)
    return d.cell(HiddenCarry, *stages, init=init)
