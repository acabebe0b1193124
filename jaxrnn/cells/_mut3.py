"""MUT3, the third of three cells found by mutation."""

from __future__ import annotations

import functools
from typing import Unpack

import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Between, Dense, HiddenCarry, Reading, Updating


@factory
def mut3(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """MUT3, found by mutation and selection: x [..., D], h [..., H] -> h', y [..., H].

        z  = sigmoid(x W_z + tanh(h) U_z + b_z)
        r  = sigmoid(x W_r + h U_r + b_r)
        h' = (1 - z) h + z tanh((r h) U_n + x W_n + b_n),    y = h'

    z lets the new state in. Parameters, gates in the order r, z, n: kernel [D, 3H], recurrent_kernel [H, 3H], bias
    [3H]. A step has two products in sequence, and tanh(h) before the first (three stages).

    update_bias: is subtracted from b_z. activation: for the new state and for the h that z sees.
    Good for: what a GRU is good for.
    Paper: Jozefowicz, Zaremba and Sutskever 2015, PMLR 37.
    """
    d = Dense(hidden_size, "rzn", options)

    def recur(params, s):
        return jnp.concatenate([d.recur("r")(params, s), d.recur("z", of="read")(params, s)], -1)

    def reset(params, s, u, v):
        z_r, z_z = d.sums("rz", u, v)
        return Between(s.h, d.gate("r", z_r) * s.h, d.gate("z", z_z))

    def update(params, s, u, v):
        [z_n] = d.sums("n", u, v)
        return HiddenCarry((1 - s.gate) * s.h + s.gate * d.candidate("n", z_n))

    stages = (
        d.stage(None, lambda params, s, u, v: Reading(s.h, d.act(s.h))),
        d.stage(recur, reset),
        d.stage(d.recur("n", of="read"), update),
    )
    return d.cell(HiddenCarry, *stages, init=functools.partial(d.init, memory="-z"))
