"""The Legendre memory unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Ungated


class LMUCarry(NamedTuple):
    """The state of a Legendre memory unit."""

    h: jax.Array  # [..., H]
    m: jax.Array  # [..., N] the last theta steps of u, as coefficients of Legendre polynomials


class _Between(NamedTuple):
    """The state between the memory and the hidden units."""

    h: jax.Array  # [..., H]
    m: jax.Array  # [..., N] already the new one
    z: jax.Array  # [..., H] what h' gets of x and h


def delay(order: int, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """A [N, N] and B [N] of the paper, by which m holds a window of theta steps, for a u held over each step (ZOH)."""
    q = np.arange(order)
    i, j = np.meshgrid(q, q, indexing="ij")
    a = np.where(i < j, -1.0, (-1.0) ** (i - j + 1)) * (2 * i + 1) / theta
    b = (2 * q + 1) * (-1.0) ** q / theta
    both = scipy.linalg.expm(np.block([[a, b[:, None]], [np.zeros((1, order + 1))]]))
    return both[:-1, :-1], both[:-1, -1]


@factory
def lmu(
    hidden_size: int,
    *,
    order: int = 32,
    theta: float = 100.0,
    encoder_init: Callable = initializers.lecun_uniform(),
    **options: Unpack[Ungated],
) -> Cell:
    """Legendre memory unit: x [..., D], h [..., H], m [..., N] -> (h', m'), y = h'.

        u  = x e_x + h e_h + m e_m
        m' = A m + B u
        h' = tanh(x W + h U + m' V),    y = h'

    A [N, N] and B [N] are constants: m' holds u over a sliding window of theta steps, as coefficients of Legendre
    polynomials. Parameters: kernel W [D, H], recurrent_kernel U [H, H], memory_kernel V [N, H], input_encoder e_x [D],
    hidden_encoder e_h [H], memory_encoder e_m [N]; there is no bias, and `bias_init` is not used. A step has two
    products in sequence (two stages).

    order: N, the polynomials. theta: the window, in steps.
    encoder_init: draws e_x and e_h, as columns; e_m starts at 0. The paper draws W, U and V by Xavier's normal:
        `initializers.glorot_normal()` for `kernel_init`, which also draws V, and `recurrent_init`.
    Good for: long windows of a smooth signal, with few parameters.
    Paper: Voelker, Kajić and Eliasmith 2019, NeurIPS 32.
    """
    d = Dense(hidden_size, "h", options)
    N = checks.positive(order, "order")
    if not theta > 0:
        raise ValueError(f"theta: expected a number of steps above 0, got {theta!r}")
    A, B = delay(N, theta)

    def init(key, input_size):
        k1, k2, k3, k4 = jax.random.split(key, 4)
        params = d.init(k1, input_size)
        del params["bias"]
        return params | {
            "memory_kernel": d.options["kernel_init"](k2, (N, d.H), d.param_dtype),
            "input_encoder": encoder_init(k3, (input_size, 1), d.param_dtype)[:, 0],
            "hidden_encoder": encoder_init(k4, (d.H, 1), d.param_dtype)[:, 0],
            "memory_encoder": jnp.zeros(N, d.param_dtype),
        }

    def start(params):
        return LMUCarry(jnp.zeros(d.H, d.compute(params)), jnp.zeros(N, d.compute(params)))

    def with_encoder(kernel, encoder):
        """A kernel, and an encoder as one more column, so that one product serves both."""
        return jnp.concatenate([kernel, encoder[:, None].astype(kernel.dtype)], -1)

    def drive(params, x):
        kernel = with_encoder(params["kernel"], params["input_encoder"])
        return product(x, kernel, d.compute(params)).astype(d.compute(params))

    def recur(params, s):
        kernel = with_encoder(params["recurrent_kernel"], params["hidden_encoder"])
        memory = with_encoder(jnp.asarray(A.T, params["kernel"].dtype), params["memory_encoder"])
        return product(s.h, kernel, d.compute(params)), product(s.m, memory, d.compute(params))

    def remember(params, s, u, v):
        v_h, v_m = v
        encoded = u[..., -1:] + v_h[..., -1:] + v_m[..., -1:]
        return _Between(s.h, v_m[..., :-1] + row(jnp.asarray(B), encoded) * encoded, u[..., :-1] + v_h[..., :-1])

    def recall(params, s):
        return product(s.m, params["memory_kernel"], d.compute(params))

    def update(params, s, u, v):
        return LMUCarry(d.candidate("h", s.z + v), s.m)

    return d.cell(LMUCarry, d.stage(recur, remember), d.stage(recall, update), init=init, start=start, drive=drive)
