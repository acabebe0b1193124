"""The linear recurrent unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row, wide
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven, complex_of
from jaxrnn.cells._dense import Types


class LRUCarry(NamedTuple):
    """The complex state of a diagonal recurrence, and what its last input adds to the output directly."""

    h: jax.Array  # [..., N] complex
    skip: jax.Array  # [..., H]


def ring(r_min: float, r_max: float, max_phase: float) -> Callable[[int], dict[str, Callable]]:
    """Draws of nu_log and theta_log: eigenvalues uniform in the area of a ring, or of a part of it."""
    if not 0 <= r_min < r_max <= 1:
        raise ValueError(f"r_min, r_max: expected 0 <= r_min < r_max <= 1, got {r_min!r}, {r_max!r}")

    def of(N):
        def open_unit(key):  # without 0 and 1, where logarithms are infinite
            return jax.random.uniform(key, (N,), minval=1e-4, maxval=1 - 1e-4)

        return {
            "nu_log": lambda key: jnp.log(-0.5 * jnp.log(open_unit(key) * (r_max**2 - r_min**2) + r_min**2)),
            "theta_log": lambda key: jnp.log(max_phase * open_unit(key)),
        }

    return of


def eigenvalues(params: Any, like: jax.Array) -> jax.Array:
    """exp(-exp(nu_log) + i exp(theta_log)) [..., N], within the unit circle whatever the params are."""
    nu, theta = (jnp.exp(row(params[name], like)) for name in ("nu_log", "theta_log"))
    return lax.complex(jnp.exp(-nu) * jnp.cos(theta), jnp.exp(-nu) * jnp.sin(theta))


def readout(h: jax.Array, kernel: jax.Array, skip: jax.Array, times: int = 1) -> jax.Array:
    """times Re(h C) + skip, with C as its real rows above its imaginary rows: kernel [2N, H]."""
    y = times * product(jnp.concatenate([h.real, -h.imag], -1), kernel, skip.dtype)
    return (y + skip.astype(y.dtype)).astype(skip.dtype)


@factory
def lru(
    hidden_size: int,
    *,
    state_size: int | None = None,
    r_min: float = 0.0,
    r_max: float = 1.0,
    max_phase: float = 2 * math.pi,
    kernel_init: Callable = initializers.lecun_normal(),
    **options: Unpack[Types],
) -> Cell:
    """Linear recurrent unit, a complex diagonal recurrence: x [..., D], h [..., N] -> h', y [..., H].

        λ  = exp(-exp(nu_log) + i exp(theta_log))
        h' = λ h + exp(gamma_log) (x B)
        y  = Re(h' C) + x D

    h is complex, and |λ| < 1 for any parameters. Affine in h.
    Parameters: kernel [D, 2N + H], the blocks Re B, Im B and D; output_kernel [2N, H], Re C above Im C; nu_log,
    theta_log and gamma_log [N]. All are real. The carry is complex64, or complex128 where the params are float64.

    state_size: N; None: hidden_size.
    r_min, r_max: λ starts uniform in the area of the ring between these radii; for long memories the paper takes r_min
        of 0.9 or more.
    max_phase: the angles start uniform in [0, max_phase].
    kernel_init: draws each block of kernel and output_kernel; Re and Im of B are then divided by sqrt(2).
    gamma_log starts at log sqrt(1 - |λ|²), so that h keeps the size of the inputs.
    Sources: the authors' code has a diagonal D, which needs D = H; here it is a matrix, as in the paper's equation.

    Good for: long sequences whose memory is linear, with nonlinear layers between.
    Paper: Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu and De 2023, arXiv 2303.06349.
    """
    N = checks.positive(hidden_size if state_size is None else state_size, "state_size")
    d = Driven(hidden_size, options | {"kernel_init": kernel_init}, real=N, imaginary=N, skip=hidden_size)
    draws = ring(r_min, r_max, max_phase)(N)

    def init(key, input_size):
        params = d.init(
            key, input_size, output_kernel=lambda key: kernel_init(key, (2 * N, d.H), d.param_dtype), **draws
        )
        params["kernel"] = params["kernel"].at[:, : 2 * N].divide(math.sqrt(2))
        nu = jnp.exp(params["nu_log"].astype(wide(d.param_dtype)))
        return params | {"gamma_log": (0.5 * jnp.log(-jnp.expm1(-2 * nu))).astype(d.param_dtype)}

    def start(params):
        return LRUCarry(d.zeros(params, N, dtype=complex_of(d.compute(params))), d.zeros(params, d.H))

    def element(params, u):
        real, imaginary, skip = d.of(u)
        gamma = jnp.exp(row(params["gamma_log"], real))
        b = lax.complex(gamma * real, gamma * imaginary)
        return LRUCarry(eigenvalues(params, real), jnp.zeros_like(skip)), LRUCarry(b, skip)

    def output(params, carry):
        return readout(carry.h, params["output_kernel"], carry.skip)

    return d.affine(LRUCarry, element, init=init, start=start, output=output)
