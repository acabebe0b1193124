"""The gated recurrent unit that resets before the product, as the 2014 paper."""

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
from jaxrnn.cells._gru import GRUCarry


class _Between(NamedTuple):
    """What stands between the two products."""

    h: jax.Array  # [..., H]
    reset_h: jax.Array  # [..., H] r h, what the candidate sees
    z: jax.Array  # [..., H]


@factory
def gru_reset_before(
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
    """GRU, reset before the product: x [..., D], h [..., H] -> h', y [..., H].

        r  = sigmoid(x W_r + h U_r + b_r)
        z  = sigmoid(x W_z + h U_z + b_z)
        n  = tanh(x W_n + (r h) U_n + b_n)
        h' = (1 - z) n + z h,    y = h'

    Parameters, gates in the order r, z, n: kernel [D, 3H], recurrent_kernel [H, 3H], bias [3H]. Two products follow
    one another in a step (two stages), so `gru` is the faster one. Keras calls this reset_after=False; Haiku has it
    with z for 1 - z.

    `update_bias` is what `init` adds to b_z, a number or `initializers.chrono(T)`: above 0, the cell remembers.
    For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Cho et al. 2014, arXiv 1406.1078v3.
    """
    H = checks.positive(hidden_size, "hidden_size")
    act, gate = nonlinearity(activation, "activation"), nonlinearity(gate_activation, "gate_activation")
    checks.floating(dtype, "dtype")
    checks.floating(param_dtype, "param_dtype")

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3, k4 = jax.random.split(key, 4)
        bias = initializers.gates(bias_init, k3, 3, (H,), param_dtype)
        return {
            "kernel": initializers.gates(kernel_init, k1, 3, (input_size, H), param_dtype),
            "recurrent_kernel": initializers.gates(recurrent_init, k2, 3, (H, H), param_dtype),
            "bias": bias.at[H : 2 * H].add(initializers.remember(update_bias, k4, (H,), param_dtype)),
        }

    def start(params):
        return GRUCarry(jnp.zeros(H, compute_dtype(dtype, params)))

    def recur_gates(params, s):
        return product(s.h, params["recurrent_kernel"][:, : 2 * H], compute_dtype(dtype, params))

    def update_gates(params, s, u, v):
        rz = gate(u[..., : 2 * H].astype(v.dtype) + v)
        return _Between(s.h, (tap("r", rz[..., :H]) * s.h.astype(v.dtype)).astype(s.h.dtype), tap("z", rz[..., H:]))

    def recur_candidate(params, s):
        return product(s.reset_h, params["recurrent_kernel"][:, 2 * H :], compute_dtype(dtype, params))

    def update_state(params, s, u, v):
        n = tap("n", tap("candidate", act(u[..., 2 * H :].astype(v.dtype) + v)))
        return like(GRUCarry((1 - s.z) * n + s.z * s.h.astype(v.dtype)), GRUCarry(s.h))

    stages = (Stage(recur_gates, update_gates), Stage(recur_candidate, update_state))
    return Cell(init, start, features, affine_drive(dtype), stages, gates="rzn")
