"""MUT1, the first of three cells found by mutation."""

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
def mut1(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """MUT1, found by mutation and selection: x [..., D], h [..., H] -> h', y [..., H].

        z  = sigmoid(x W_z + b_z)
        r  = sigmoid(x W_r + h U_r + b_r)
        h' = (1 - z) h + z tanh((r h) U_n + tanh(x) + b_n),    y = h'

    z, which lets the new state in, does not see h. Parameters: kernel [D, 2H] in the order r, z, recurrent_kernel
    [H, 2H] in the order r, n, bias [3H] in the order r, n, z; and shortcut [D, H], if D is not H: then tanh(x) is
    tanh(x @ shortcut). A step has two products in sequence (two stages).

    update_bias: is subtracted from b_z.
    Sources: in the paper D is H and x is not multiplied; torchrecurrent always has tanh of a product with x.
    Good for: what a GRU is good for; the best of 10,000 cells tried, on most of the paper's tasks.
    Paper: Jozefowicz, Zaremba and Sutskever 2015, PMLR 37.
    """
    d = Dense(hidden_size, "rnz", options)

    def drive(params, x):
        u, b = product(x, params["kernel"], d.compute(params)), params["bias"]
        r, z = d.split(u + row(jnp.concatenate([b[d.columns("r")], b[d.columns("z")]]), u))
        x = _shortcut.shortcut(d, params, x)
        return jnp.concatenate([r.astype(x.dtype), x, z.astype(x.dtype)], -1)

    def reset(params, s, u, v):
        [z_r] = d.sums("r", u, v)
        return Between(s.h, d.gate("r", z_r) * s.h, d.gate("z", u[..., d.columns("z")]))

    def update(params, s, u, v):
        n = v + d.act(u[..., d.columns("n")]) + row(params["bias"][d.columns("n")], v)
        return HiddenCarry((1 - s.gate) * s.h + s.gate * d.candidate("n", n))

    init = functools.partial(_shortcut.init, d, kernel="rz", recurrent="rn", memory="-z")
    stages = d.stage(d.recur("r"), reset), d.stage(d.recur("n", of="read"), update)
    return d.cell(HiddenCarry, *stages, init=init, drive=drive)
