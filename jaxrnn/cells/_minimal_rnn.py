"""MinimalRNN."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Updating


@factory
def minimal_rnn(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """MinimalRNN: x [..., D], h [..., H] -> h', y [..., H].

        z  = tanh(x W + b_z)
        u  = sigmoid(h U + z V + b_u)
        h' = u h + (1 - u) z,    y = h'

    u keeps the old state. Parameters: kernel W [D, H], latent_kernel V [H, H], recurrent_kernel U [H, H], bias [2H] in
    the order u, z. z and z V are products over all of T, outside the loop.

    update_bias: is added to b_u.
    Good for: a state that stays in the space that z spans, and is easy to train and to read.
    Paper: Chen 2017, arXiv 1711.06788.
    """
    d = Dense(hidden_size, "uz", options)

    def init(key, input_size):
        params = d.init(key, input_size, kernel="z", recurrent="u", memory="+u")
        latent = d.options["recurrent_init"](jax.random.fold_in(key, 4), (d.H, d.H), d.param_dtype)
        return {**params, "latent_kernel": latent}

    def drive(params, x):
        z = product(x, params["kernel"], d.compute(params))
        z = d.act(z + row(params["bias"][d.columns("z")], z)).astype(d.compute(params))
        u = product(z, params["latent_kernel"], d.compute(params))
        u = u + row(params["bias"][d.columns("u")], u)
        return jnp.concatenate([u.astype(z.dtype), z], -1)

    def update(params, s, u, v):
        [z_u] = d.sums("u", u, v)
        gate, z = d.gate("u", z_u), tap("z", tap("candidate", u[..., d.columns("z")]))
        return HiddenCarry(gate * s.h + (1 - gate) * z)

    return d.cell(HiddenCarry, d.stage(d.recur(), update), init=init, drive=drive)
