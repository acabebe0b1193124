"""The one-gate recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage, affine_drive, features
from jaxrnn._core.numerics import compute_dtype, like, nonlinearity, product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap


class GatedCarry(NamedTuple):
    """The state of a one-gate cell."""

    h: jax.Array  # [..., H]


@factory
def gated(
    hidden_size: int,
    *,
    update_bias: float | Callable = 0.0,
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    kernel_init: Callable = initializers.glorot_uniform(),
    recurrent_init: Callable = initializers.orthogonal(),
    bias_init: Callable = initializers.zeros(),
    dtype: Any = None,
    param_dtype: Any = "float32",
) -> Cell:
    """The one-gate cell: x [..., D], h [..., H] -> h', y [..., H].

        g  = sigmoid(x W_g + h U_g + b_g)
        h' = (1 - g) h + g tanh(x W_n + h U_n + b_n),    y = h'

    Parameters, gates in the order g, n: kernel [D, 2H], recurrent_kernel [H, 2H], bias [2H].
    g lets the new in, so a cell that remembers starts with b_g below 0: `update_bias` is taken off b_g, and
    `update_bias=initializers.chrono(T)` spans memories up to T steps.

    The simplest cell with an additive path for the gradient, as in the classic notes on recurrent networks; the same
    equations as the update gate recurrent network of Collins, Sohl-Dickstein and Sussillo (2017, arXiv 1611.09913),
    with 1 - g for their g. For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    """
    H = checks.positive(hidden_size, "hidden_size")
    act, gate = nonlinearity(activation, "activation"), nonlinearity(gate_activation, "gate_activation")
    checks.floating(dtype, "dtype")
    checks.floating(param_dtype, "param_dtype")

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3, k4 = jax.random.split(key, 4)
        bias = initializers.gates(bias_init, k3, 2, (H,), param_dtype)
        return {
            "kernel": initializers.gates(kernel_init, k1, 2, (input_size, H), param_dtype),
            "recurrent_kernel": initializers.gates(recurrent_init, k2, 2, (H, H), param_dtype),
            "bias": bias.at[:H].add(-initializers.remember(update_bias, k4, (H,), param_dtype)),
        }

    def start(params):
        return GatedCarry(jnp.zeros(H, compute_dtype(dtype, params)))

    def recur(params, s):
        return product(s.h, params["recurrent_kernel"], compute_dtype(dtype, params))

    def update(params, s, u, v):
        z = u.astype(v.dtype) + v
        z_g, z_n = jnp.split(z, 2, axis=-1)
        g, n = tap("g", gate(z_g)), tap("n", tap("candidate", act(z_n)))
        return like(GatedCarry((1 - g) * s.h.astype(v.dtype) + g * n), s)

    return Cell(init, start, features, affine_drive(dtype), (Stage(recur, update),), gates="gn")
