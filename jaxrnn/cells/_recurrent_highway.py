"""The recurrent highway network."""

from __future__ import annotations

import functools
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


class RecurrentHighwayCarry(NamedTuple):
    """The state of a recurrent highway network."""

    h: jax.Array  # [..., H]


@factory
def recurrent_highway(
    hidden_size: int,
    *,
    depth: int = 3,
    update_bias: float | Callable = 2.0,
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    kernel_init: Callable = initializers.glorot_uniform(),
    recurrent_init: Callable = initializers.orthogonal(),
    bias_init: Callable = initializers.zeros(),
    dtype: Any = None,
    param_dtype: Any = "float32",
) -> Cell:
    """Recurrent highway network: x [..., D], h [..., H] -> h', y [..., H].

        s = h; for k = 0, ..., depth - 1, with x W for k = 0 alone:
            t = sigmoid(x W_t + s U_t[k] + b_t[k])
            n = tanh(x W_n + s U_n[k] + b_n[k])
            s = (1 - t) s + t n
        h' = s,    y = h'

    Parameters, gates in the order t, n: kernel [D, 2H], recurrent_kernel [depth, H, 2H], bias [depth, 2H]. In the
    paper's words t is the transform gate, and its carry gate is coupled to it, c = 1 - t, as in all of its
    experiments. Each k is a stage with a product of its own; with depth=1 this is `gated`.

    `update_bias` is what `init` takes off b_t at every k, a number or an initializer: above 0, the cell remembers. The
    authors' code starts with b_t = -2 (words) or -4 (characters). One step passes `depth` gates, so memories of up to
    T steps want `initializers.chrono(depth * T)`.
    For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Zilly, Srivastava, Koutník and Schmidhuber 2017, arXiv 1607.03474.
    """
    H, depth = checks.positive(hidden_size, "hidden_size"), checks.positive(depth, "depth")
    act, gate = nonlinearity(activation, "activation"), nonlinearity(gate_activation, "gate_activation")
    checks.floating(dtype, "dtype")
    checks.floating(param_dtype, "param_dtype")
    affine = affine_drive(dtype)

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3, k4 = jax.random.split(key, 4)

        def each(initializer, key, shape):
            blocks = [initializers.gates(initializer, k, 2, shape, param_dtype) for k in jax.random.split(key, depth)]
            return jnp.stack(blocks)

        remember = initializers.remember(update_bias, k4, (depth, H), param_dtype)
        return {
            "kernel": initializers.gates(kernel_init, k1, 2, (input_size, H), param_dtype),
            "recurrent_kernel": each(recurrent_init, k2, (H, H)),
            "bias": each(bias_init, k3, (H,)).at[:, :H].add(-remember),
        }

    def start(params):
        return RecurrentHighwayCarry(jnp.zeros(H, compute_dtype(dtype, params)))

    def drive(params, x):
        return affine({**params, "bias": params["bias"][0]}, x)

    def recur(k, params, s):
        v = product(s.h, params["recurrent_kernel"][k], compute_dtype(dtype, params))
        return v + params["bias"][k].astype(v.dtype) if k else v  # the first bias is in the drive

    def update(k, params, s, u, v):
        z = v if k else u.astype(v.dtype) + v
        t, n = tap("t", gate(z[..., :H])), tap("n", tap("candidate", act(z[..., H:])))
        return like(RecurrentHighwayCarry((1 - t) * s.h.astype(v.dtype) + t * n), s)

    stages = tuple(Stage(functools.partial(recur, k), functools.partial(update, k)) for k in range(depth))
    return Cell(init, start, features, drive, stages, gates="tn")
