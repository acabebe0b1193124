"""The differential state framework's delta-RNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity, product, row
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Gated, HiddenCarry
from jaxrnn.cells._integration import HALF, ONE, Integrating


@factory
def delta_rnn(
    hidden_size: int,
    *,
    output_activation: str | Callable = "tanh",
    alpha_init: Callable = ONE,
    beta_init: Callable = HALF,
    **options: Unpack[Gated],
) -> Cell:
    """Delta-RNN: x [..., D], h [..., H] -> h', y [..., H].

        n  = tanh(alpha (x W) (h U) + beta_1 (h U) + beta_2 (x W) + b)
        r  = sigmoid(x W + d)
        h' = output_activation((1 - r) n + r h),    y = h'

    The candidate and the gate r, which keeps the old state, share x W. Parameters: kernel W [D, H], recurrent_kernel U
    [H, H], alpha, beta_1, beta_2, bias b and gate_bias d [H].

    output_activation: of the mixed state; the paper also tries relu and identity.
    alpha_init, beta_init: initializers of alpha and of both betas.
    Good for: language models of few parameters: gated, with one matrix each for x and h.
    Paper: Ororbia, Mikolov and Reitter 2017, arXiv 1703.08864.
    """
    d = Integrating(hidden_size, "n", options, alpha_init, beta_init)
    out = nonlinearity(output_activation, "output_activation")

    def init(key, input_size):
        bias = d.blocks("bias_init", jax.random.fold_in(key, 2), (d.H,))
        return d.init(key, input_size) | {"gate_bias": bias}

    def drive(params, x):
        gate = product(x, params["kernel"], d.compute(params))
        gate = (gate + row(params["gate_bias"], gate)).astype(d.compute(params))
        return jnp.concatenate([d.drive(params, x), gate], -1)

    def update(params, s, u, v):
        slope, height, z_r = d.split(u)
        n, r = d.candidate("n", slope * v + height), d.gate("r", z_r)
        return HiddenCarry(out((1 - r) * n + r * s.h))

    return d.cell(HiddenCarry, d.stage(d.recur(), update), init=init, drive=drive)
