"""The coupled oscillatory recurrent neural network."""

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


class CoRNNCarry(NamedTuple):
    """Where the oscillators are (y in the paper) and how fast they move."""

    h: jax.Array  # [..., H]
    z: jax.Array  # [..., H]


@factory
def cornn(
    hidden_size: int,
    *,
    dt: float = 0.042,
    gamma: float = 2.7,
    epsilon: float = 4.7,
    activation: str | Callable = "tanh",
    kernel_init: Callable = initializers.glorot_uniform(),
    recurrent_init: Callable = initializers.orthogonal(),
    bias_init: Callable = initializers.zeros(),
    dtype: Any = None,
    param_dtype: Any = "float32",
) -> Cell:
    """Coupled oscillators: x [..., D], h [..., H], z [..., H] -> (h', z'), y = h'.

        z' = z + dt (tanh(x W + [h, z] U + b) - gamma h - epsilon z)
        h' = h + dt z'

    h is the paper's y, z its velocity. Parameters: kernel [D, H], recurrent_kernel U [2H, H], whose first H rows read h
    and the others z, bias [H]. Damping is by the old z, as in the authors' code; the paper also allows z'.

    dt: the time step, above 0. gamma: the restoring force, the square of the frequency. epsilon: the damping.
        gamma and epsilon are 0 or more. All three are of the task and want tuning. The defaults are the authors' for
        sequential MNIST; for the adding problem of 100 steps they take 0.06, 66 and 15.

    For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Rusch and Mishra 2021, arXiv 2010.00951.
    """
    H = checks.positive(hidden_size, "hidden_size")
    act = nonlinearity(activation, "activation")
    checks.floating(dtype, "dtype")
    checks.floating(param_dtype, "param_dtype")
    if not dt > 0:
        raise ValueError(f"dt: expected a number above 0, got {dt!r}")
    for value, argument in (gamma, "gamma"), (epsilon, "epsilon"):
        if not value >= 0:
            raise ValueError(f"{argument}: expected a number of at least 0, got {value!r}")

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3 = jax.random.split(key, 3)
        return {
            "kernel": kernel_init(k1, (input_size, H), param_dtype),
            "recurrent_kernel": recurrent_init(k2, (2 * H, H), param_dtype),
            "bias": bias_init(k3, (H,), param_dtype),
        }

    def start(params):
        compute = compute_dtype(dtype, params)
        return CoRNNCarry(jnp.zeros(H, compute), jnp.zeros(H, compute))

    def recur(params, s):
        both = jnp.concatenate([s.h, s.z], axis=-1)
        return product(both, params["recurrent_kernel"], compute_dtype(dtype, params))

    def update(params, s, u, v):
        h, z = s.h.astype(v.dtype), s.z.astype(v.dtype)
        z = z + dt * (tap("z", act(u.astype(v.dtype) + v)) - gamma * h - epsilon * z)
        return like(CoRNNCarry(h + dt * z, z), s)

    return Cell(init, start, features, affine_drive(dtype), (Stage(recur, update),), gates="z")
