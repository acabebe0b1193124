"""Elman's simple recurrent network."""

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


class ElmanCarry(NamedTuple):
    """The state of an Elman cell."""

    h: jax.Array  # [..., H]


@factory
def elman(
    hidden_size: int,
    *,
    activation: str | Callable = "tanh",
    kernel_init: Callable = initializers.glorot_uniform(),
    recurrent_init: Callable = initializers.orthogonal(),
    bias_init: Callable = initializers.zeros(),
    dtype: Any = None,
    param_dtype: Any = "float32",
) -> Cell:
    """Elman's cell: x [..., D], h [..., H] -> h', y [..., H].

        h' = activation(x kernel + h recurrent_kernel + bias),    y = h'

    Parameters: kernel [D, H], recurrent_kernel [H, H], bias [H]. PyTorch's two biases are their sum here.
    The IRNN of Le, Jaitly and Hinton (2015, arXiv 1504.00941) is
    `elman(H, activation="relu", recurrent_init=initializers.identity())`.

    `dtype` is the type to compute in (None: that of the params), `param_dtype` that of the params made by `init`.
    Raises ValueError or TypeError for options of the wrong kind. Elman 1990, "Finding structure in time".
    """
    H = checks.positive(hidden_size, "hidden_size")
    act = nonlinearity(activation, "activation")
    checks.floating(dtype, "dtype")
    checks.floating(param_dtype, "param_dtype")

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3 = jax.random.split(key, 3)
        return {
            "kernel": kernel_init(k1, (input_size, H), param_dtype),
            "recurrent_kernel": recurrent_init(k2, (H, H), param_dtype),
            "bias": bias_init(k3, (H,), param_dtype),
        }

    def start(params):
        return ElmanCarry(jnp.zeros(H, compute_dtype(dtype, params)))

    def recur(params, s):
        return product(s.h, params["recurrent_kernel"], compute_dtype(dtype, params))

    def update(params, s, u, v):
        return like(ElmanCarry(tap("h", act(u.astype(v.dtype) + v))), s)

    return Cell(init, start, features, affine_drive(dtype), (Stage(recur, update),), gates="h")
