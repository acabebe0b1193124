"""FastGRNN."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Gated, HiddenCarry


@factory
def fast_grnn(
    hidden_size: int,
    *,
    zeta: float = 1.0,
    nu: float = -4.0,
    input_rank: int | None = None,
    recurrent_rank: int | None = None,
    **options: Unpack[Gated],
) -> Cell:
    """FastGRNN: x [..., D], h [..., H] -> h', y [..., H].

        s  = x W + h U
        z  = sigmoid(s + b_z)
        n  = tanh(s + b_n)
        h' = (sigmoid(zeta) (1 - z) + sigmoid(nu)) n + z h,    y = h'

    Gate and candidate share W and U. Parameters, gates in the order z, n: kernel W [D, H], recurrent_kernel U [H, H],
    bias [2H], and two trained numbers, zeta [1] and nu [1].

    zeta, nu: what the trained numbers start from; 1 and -4 in the authors' code.
    input_rank, recurrent_rank: W = kernel [D, R] @ kernel_right [R, H], and U alike, of this rank R; None: full.
    Good for: models of some kilobytes on small devices.
    Paper: Kusupati, Singh, Bhatia, Kumar, Jain and Varma 2018, arXiv 1901.02358.
    """
    d = Dense(hidden_size, "s", options)
    ranks = {"kernel": input_rank, "recurrent_kernel": recurrent_rank}
    for argument, rank in ("input_rank", input_rank), ("recurrent_rank", recurrent_rank):
        checks.positive(1 if rank is None else rank, argument)

    def init(key, input_size):
        params = d.init(key, input_size)
        *keys, k_bias = jax.random.split(jax.random.fold_in(key, 4), 5)
        for name, option, rows in ("kernel", "kernel_init", input_size), ("recurrent_kernel", "recurrent_init", d.H):
            if (rank := ranks[name]) is not None:
                params[name] = d.options[option](keys.pop(), (rows, rank), d.param_dtype)
                params[name + "_right"] = d.options[option](keys.pop(), (rank, d.H), d.param_dtype)
        own = {"zeta": jnp.full(1, zeta, d.param_dtype), "nu": jnp.full(1, nu, d.param_dtype)}
        return params | own | {"bias": d.blocks("bias_init", k_bias, (d.H,), "zn")}

    def times(a, params, name):
        a = product(a, params[name], d.compute(params))
        return a if ranks[name] is None else product(a, params[name + "_right"], d.compute(params))

    def drive(params, x):
        return times(x, params, "kernel").astype(d.compute(params))

    def update(params, s, u, v):
        b_z, b_n = d.split(row(params["bias"], v))
        zeta, nu = (jax.nn.sigmoid(row(params[name], v)) for name in ("zeta", "nu"))
        z, n = d.gate("z", u + v + b_z), d.candidate("n", u + v + b_n)
        return HiddenCarry((zeta * (1 - z) + nu) * n + z * s.h)

    stage = d.stage(lambda params, s: times(s.h, params, "recurrent_kernel"), update)
    return d.cell(HiddenCarry, stage, init=init, drive=drive)
