"""Multiplicative LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage, affine_drive, features
from jaxrnn._core.numerics import compute_dtype, nonlinearity, product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._lstm import LSTMCarry


class _Between(NamedTuple):
    """What stands between the two products."""

    m: jax.Array  # [..., H] what the gates see in place of h
    c: jax.Array  # [..., H]


@factory
def multiplicative_lstm(
    hidden_size: int,
    *,
    forget_bias: float | Callable = 1.0,
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    kernel_init: Callable = initializers.glorot_uniform(),
    recurrent_init: Callable = initializers.orthogonal(),
    bias_init: Callable = initializers.zeros(),
    dtype: Any = None,
    param_dtype: Any = "float32",
) -> Cell:
    """Multiplicative LSTM: x [..., D], h [..., H], c [..., H] -> (h', c'), y = h'.

        m = (x W_m + b_m) (h U_m)
        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + m U + b), gate by gate
        c' = f c + i g
        h' = o tanh(c')

    Each x chooses, by W_m, its own transition of h. Parameters, gates in the order m, i, f, g, o: kernel [D, 5H],
    recurrent_kernel [H, 5H], whose block m reads h while the others read m, bias [5H]. The carry is an `LSTMCarry`.
    Two products follow one another in a step (two stages).

    The paper writes no biases. Those of i, f, g and o are the field's; with b_m = 0, where `init` puts it, m is the
    paper's. Implementations differ in what comes after the gates: here it is as in `lstm` and in OpenAI's reviews
    model (Radford et al. 2017, arXiv 1704.01444); others leave g without its tanh and take h' = tanh(o c').

    `forget_bias` is what `init` adds to f's bias; an initializer gives f its draw and i the negative of it, as in
    `lstm`. For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Krause, Lu, Murray and Renals 2016, arXiv 1609.07959.
    """
    H = checks.positive(hidden_size, "hidden_size")
    act, gate = nonlinearity(activation, "activation"), nonlinearity(gate_activation, "gate_activation")
    checks.floating(dtype, "dtype")
    checks.floating(param_dtype, "param_dtype")

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3, k4 = jax.random.split(key, 4)
        bias = initializers.gates(bias_init, k3, 5, (H,), param_dtype)
        remember = initializers.remember(forget_bias, k4, (H,), param_dtype)
        bias = bias.at[2 * H : 3 * H].add(remember)
        if callable(forget_bias):
            bias = bias.at[H : 2 * H].add(-remember)
        return {
            "kernel": initializers.gates(kernel_init, k1, 5, (input_size, H), param_dtype),
            "recurrent_kernel": initializers.gates(recurrent_init, k2, 5, (H, H), param_dtype),
            "bias": bias,
        }

    def start(params):
        compute = compute_dtype(dtype, params)
        return LSTMCarry(jnp.zeros(H, compute), jnp.zeros(H, compute))

    def recur_factor(params, s):
        return product(s.h, params["recurrent_kernel"][:, :H], compute_dtype(dtype, params))

    def update_factor(params, s, u, v):
        m = tap("m", u[..., :H].astype(v.dtype) * v)
        return _Between(m.astype(s.h.dtype), s.c)

    def recur_gates(params, s):
        return product(s.m, params["recurrent_kernel"][:, H:], compute_dtype(dtype, params))

    def update_state(params, s, u, v):
        z = u[..., H:].astype(v.dtype) + v
        z_i, z_f, z_g, z_o = (z[..., k * H : (k + 1) * H] for k in range(4))
        c = tap("f", gate(z_f)) * s.c.astype(v.dtype) + tap("i", gate(z_i)) * tap("g", tap("candidate", act(z_g)))
        h = tap("o", gate(z_o)) * act(tap("cell", c))
        return LSTMCarry(h.astype(s.m.dtype), c.astype(s.c.dtype))

    stages = (Stage(recur_factor, update_factor), Stage(recur_gates, update_state))
    return Cell(init, start, features, affine_drive(dtype), stages, gates="mifgo")
