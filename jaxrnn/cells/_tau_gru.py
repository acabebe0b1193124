"""The gated recurrent unit with a delay."""

from __future__ import annotations

import functools
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Updating


class TauGRUCarry(NamedTuple):
    """The state of a τ-GRU, and those of the steps before it, the oldest first."""

    h: jax.Array  # [..., H]
    past: jax.Array  # [..., delay, H]


@factory
def tau_gru(hidden_size: int, *, delay: int = 10, **options: Unpack[Updating]) -> Cell:
    """τ-GRU, with a weighted feedback from an old state: x [..., D], h [..., H] -> h', y [..., H].

        u  = tanh(x W_u + h U_u + b_u)
        g  = sigmoid(x W_g + h U_g + b_g)
        a  = sigmoid(x W_a + h U_a + b_a)
        z  = tanh(x W_z + q U_z + b_z),    q the state of `delay` steps before h, 0 before the first
        h' = (1 - g) h + g (u + a z),    y = h'

    g lets the new state in. Parameters, gates in the order u, g, a, z: kernel [D, 4H], recurrent_kernel [H, 4H], whose
    block z reads the old state while the others read h, bias [4H].

    delay: the paper's τ in steps, at least 1; it chooses it for each task. update_bias: is subtracted from b_g.
    Good for: dependencies of about that many steps, to which it gives gradients a short way.
    Paper: Erichson, Lim and Mahoney 2022, arXiv 2212.00228.
    """
    d, delay = Dense(hidden_size, "ugaz", options), checks.positive(delay, "delay")

    def start(params):
        return TauGRUCarry(jnp.zeros(d.H, d.compute(params)), jnp.zeros((delay, d.H), d.compute(params)))

    def recur(params, s):
        old = product(s.past[..., 0, :], params["recurrent_kernel"][:, d.columns("z")], d.compute(params))
        return jnp.concatenate([d.recur("uga")(params, s), old], -1)

    def update(params, s, u, v):
        z_u, z_g, z_a, z_z = d.sums("ugaz", u, v)
        new, g = d.candidate("u", z_u), d.gate("g", z_g)
        h = (1 - g) * s.h + g * (new + d.gate("a", z_a) * tap("z", d.act(z_z)))
        return TauGRUCarry(h, jnp.concatenate([s.past[..., 1:, :], s.h[..., None, :]], -2))

    return d.cell(TauGRUCarry, d.stage(recur, update), init=functools.partial(d.init, memory="-g"), start=start)
