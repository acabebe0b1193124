"""The gated recurrent unit that resets after the product, as PyTorch and cuDNN."""

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


class GRUCarry(NamedTuple):
    """The state of a GRU."""

    h: jax.Array  # [..., H]


@factory
def gru(
    hidden_size: int,
    *,
    update_bias: float | Callable = 0.0,
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    kernel_init: Callable = initializers.glorot_uniform(),
    recurrent_init: Callable = initializers.orthogonal(),
    bias_init: Callable = initializers.zeros(),
    recurrent_bias_init: Callable = initializers.zeros(),
    dtype: Any = None,
    param_dtype: Any = "float32",
) -> Cell:
    """GRU, reset after the product: x [..., D], h [..., H] -> h', y [..., H].

        r  = sigmoid(x W_r + b_r + h U_r + d_r)
        z  = sigmoid(x W_z + b_z + h U_z + d_z)
        n  = tanh(x W_n + b_n + r (h U_n + d_n))
        h' = (1 - z) n + z h,    y = h'

    Parameters, gates in the order r, z, n (as PyTorch and cuDNN): kernel [D, 3H], recurrent_kernel [H, 3H],
    bias b [3H], recurrent_bias d [3H]. d_n stands inside the reset and cannot be merged into b_n; flax.nnx.GRUCell
    lacks it, Keras has it with reset_after=True. z keeps the old state (Haiku's z lets the new one in).

    `update_bias` is what `init` adds to b_z, a number or `initializers.chrono(T)`: above 0, the cell remembers.
    For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Cho et al. 2014, arXiv 1406.1078v1; for the other place of the reset see `gru_reset_before`.
    """
    H = checks.positive(hidden_size, "hidden_size")
    act, gate = nonlinearity(activation, "activation"), nonlinearity(gate_activation, "gate_activation")
    checks.floating(dtype, "dtype")
    checks.floating(param_dtype, "param_dtype")

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3, k4, k5 = jax.random.split(key, 5)
        bias = initializers.gates(bias_init, k3, 3, (H,), param_dtype)
        return {
            "kernel": initializers.gates(kernel_init, k1, 3, (input_size, H), param_dtype),
            "recurrent_kernel": initializers.gates(recurrent_init, k2, 3, (H, H), param_dtype),
            "bias": bias.at[H : 2 * H].add(initializers.remember(update_bias, k4, (H,), param_dtype)),
            "recurrent_bias": initializers.gates(recurrent_bias_init, k5, 3, (H,), param_dtype),
        }

    def start(params):
        return GRUCarry(jnp.zeros(H, compute_dtype(dtype, params)))

    def recur(params, s):
        v = product(s.h, params["recurrent_kernel"], compute_dtype(dtype, params))
        return v + params["recurrent_bias"].astype(v.dtype)

    def update(params, s, u, v):
        u_r, u_z, u_n = jnp.split(u.astype(v.dtype), 3, axis=-1)
        v_r, v_z, v_n = jnp.split(v, 3, axis=-1)
        r, z = tap("r", gate(u_r + v_r)), tap("z", gate(u_z + v_z))
        n = tap("n", tap("candidate", act(u_n + r * v_n)))
        return like(GRUCarry((1 - z) * n + z * s.h.astype(v.dtype)), s)

    return Cell(init, start, features, affine_drive(dtype), (Stage(recur, update),), gates="rzn")
