"""MUT2, the second of three cells found by mutation."""

from __future__ import annotations

import functools
from typing import Unpack

import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn.cells import _shortcut
from jaxrnn.cells._dense import Between, Dense, HiddenCarry, Updating


@factory
def mut2(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """MUT2, found by mutation and selection: x [..., D], h [..., H] -> h', y [..., H].

        z  = sigmoid(x W_z + h U_z + b_z)
        r  = sigmoid(x + h U_r + b_r)
        h' = (1 - z) h + z tanh((r h) U_n + x W_n + b_n),    y = h'

    z lets the new state in. Parameters, gates in the order r, z, n: kernel [D, 2H], of z and n, recurrent_kernel
    [H, 3H], bias [3H]; and shortcut [D, H], if D is not H: then r has x @ shortcut in place of x. A step has two
    products in sequence (two stages).

    update_bias: is subtracted from b_z.
    Sources: in the paper D is H; with a product in its place, as torchrecurrent always has it, this is
        `gru_reset_before` with 1 - z for z.
    Good for: what a GRU is good for.
    Paper: Jozefowicz, Zaremba and Sutskever 2015, PMLR 37.
    """
    d = Dense(hidden_size, "rzn", options)

    def drive(params, x):
        u = product(x, params["kernel"], d.compute(params))
        u = jnp.concatenate([_shortcut.shortcut(d, params, x).astype(u.dtype), u], -1)
        return (u + row(params["bias"], u)).astype(d.compute(params))

    def reset(params, s, u, v):
        z_r, z_z = d.sums("rz", u, v)
        return Between(s.h, d.gate("r", z_r) * s.h, d.gate("z", z_z))

    def update(params, s, u, v):
        [z_n] = d.sums("n", u, v)
        return HiddenCarry((1 - s.gate) * s.h + s.gate * d.candidate("n", z_n))

    init = functools.partial(_shortcut.init, d, kernel="zn", memory="-z")
    stages = d.stage(d.recur("rz"), reset), d.stage(d.recur("n", of="read"), update)
    return d.cell(HiddenCarry, *stages, init=init, drive=drive)
