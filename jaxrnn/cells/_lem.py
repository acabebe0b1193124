"""Long expressive memory."""

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


class LEMCarry(NamedTuple):
    """What a long expressive memory shows (y in the paper) and its slower variable."""

    h: jax.Array  # [..., H]
    z: jax.Array  # [..., H]


class _Between(NamedTuple):
    """What stands between the two products."""

    h: jax.Array  # [..., H]
    z: jax.Array  # [..., H] already the new one
    e: jax.Array  # [..., H] the time step of h


@factory
def lem(
    hidden_size: int,
    *,
    dt: float = 1.0,
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    kernel_init: Callable = initializers.glorot_uniform(),
    recurrent_init: Callable = initializers.orthogonal(),
    bias_init: Callable = initializers.zeros(),
    dtype: Any = None,
    param_dtype: Any = "float32",
) -> Cell:
    """Long expressive memory: x [..., D], h [..., H], z [..., H] -> (h', z'), y = h'.

        d  = dt sigmoid(x W_d + h U_d + b_d)
        e  = dt sigmoid(x W_e + h U_e + b_e)
        z' = (1 - d) z + d tanh(x W_z + h U_z + b_z)
        h' = (1 - e) h + e tanh(x W_h + z' U_h + b_h)

    h is the paper's y; d and e, the learned time steps of z and h, are its Δt and Δt with a bar. Parameters, gates in
    the order d, e, z, h: kernel [D, 4H], recurrent_kernel [H, 4H], whose block h reads z' while the others read h,
    bias [4H]. Two products follow one another in a step (two stages). In the authors' code inp2hid has the order
    e, d, h, z and hid2hid e, d, z; its two biases a gate are their sum here. That code draws all parameters uniform in
    ±1/sqrt(H): `kernel_init`, `recurrent_init` and `bias_init` of `initializers.uniform_hidden()`.

    dt: the longest time step, above 0; at 1 or below, each state is a mean of the old and the new. The authors tune it
        to the task, from 1 down to 0.024 for 10,000 steps.

    For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Rusch, Mishra, Erichson and Mahoney 2022, arXiv 2110.04744.
    """
    H = checks.positive(hidden_size, "hidden_size")
    act, gate = nonlinearity(activation, "activation"), nonlinearity(gate_activation, "gate_activation")
    checks.floating(dtype, "dtype")
    checks.floating(param_dtype, "param_dtype")
    if not dt > 0:
        raise ValueError(f"dt: expected a number above 0, got {dt!r}")

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3 = jax.random.split(key, 3)
        return {
            "kernel": initializers.gates(kernel_init, k1, 4, (input_size, H), param_dtype),
            "recurrent_kernel": initializers.gates(recurrent_init, k2, 4, (H, H), param_dtype),
            "bias": initializers.gates(bias_init, k3, 4, (H,), param_dtype),
        }

    def start(params):
        compute = compute_dtype(dtype, params)
        return LEMCarry(jnp.zeros(H, compute), jnp.zeros(H, compute))

    def recur_z(params, s):
        return product(s.h, params["recurrent_kernel"][:, : 3 * H], compute_dtype(dtype, params))

    def update_z(params, s, u, v):
        p = u[..., : 3 * H].astype(v.dtype) + v
        d, e = tap("d", dt * gate(p[..., :H])), tap("e", dt * gate(p[..., H : 2 * H]))
        z = (1 - d) * s.z.astype(v.dtype) + d * tap("z", tap("candidate", act(p[..., 2 * H :])))
        return _Between(s.h, z.astype(s.z.dtype), e)

    def recur_h(params, s):
        return product(s.z, params["recurrent_kernel"][:, 3 * H :], compute_dtype(dtype, params))

    def update_h(params, s, u, v):
        n = tap("h", tap("candidate", act(u[..., 3 * H :].astype(v.dtype) + v)))
        return like(LEMCarry((1 - s.e) * s.h.astype(v.dtype) + s.e * n, s.z), LEMCarry(s.h, s.z))

    stages = (Stage(recur_z, update_z), Stage(recur_h, update_h))
    return Cell(init, start, features, affine_drive(dtype), stages, gates="dezh")
