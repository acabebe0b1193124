"""The minimal gated unit."""

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


class MGUCarry(NamedTuple):
    """The state of a minimal gated unit."""

    h: jax.Array  # [..., H]


class _Between(NamedTuple):
    """What stands between the two products."""

    h: jax.Array  # [..., H]
    reset_h: jax.Array  # [..., H] f h, what the candidate sees
    f: jax.Array  # [..., H]


@factory
def mgu(
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
    """Minimal gated unit: x [..., D], h [..., H] -> h', y [..., H].

        f  = sigmoid(x W_f + h U_f + b_f)
        n  = tanh(x W_n + (f h) U_n + b_n)
        h' = (1 - f) h + f n,    y = h'

    Parameters, gates in the order f, n: kernel [D, 2H], recurrent_kernel [H, 2H], bias [2H]. One gate is both the reset
    and the update of a GRU. The paper calls it the forget gate: open, it forgets, and lets the new in. Two products
    follow one another in a step (two stages). flax's MGUCell is another cell: it resets after the product, and its
    h' = (1 - f) n + f h.

    `update_bias` is what `init` takes off b_f, a number or `initializers.chrono(T)`: above 0, the cell remembers.
    For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Zhou, Wu, Zhang and Zhou 2016, arXiv 1603.09420.
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
        return MGUCarry(jnp.zeros(H, compute_dtype(dtype, params)))

    def recur_gate(params, s):
        return product(s.h, params["recurrent_kernel"][:, :H], compute_dtype(dtype, params))

    def update_gate(params, s, u, v):
        f = tap("f", gate(u[..., :H].astype(v.dtype) + v))
        return _Between(s.h, (f * s.h.astype(v.dtype)).astype(s.h.dtype), f)

    def recur_candidate(params, s):
        return product(s.reset_h, params["recurrent_kernel"][:, H:], compute_dtype(dtype, params))

    def update_state(params, s, u, v):
        n = tap("n", tap("candidate", act(u[..., H:].astype(v.dtype) + v)))
        return like(MGUCarry((1 - s.f) * s.h.astype(v.dtype) + s.f * n), MGUCarry(s.h))

    stages = (Stage(recur_gate, update_gate), Stage(recur_candidate, update_state))
    return Cell(init, start, features, affine_drive(dtype), stages, gates="fn")
