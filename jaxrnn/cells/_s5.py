"""The simplified state space layer, S5."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven, complex_of
from jaxrnn.cells._dense import Types
from jaxrnn.cells._lru import LRUCarry, readout


def hippo(N: int) -> tuple[np.ndarray, np.ndarray]:
    """The normal part of HiPPO-LegS [2N, 2N]: frequencies [N] of those eigenvalues that are above the real axis, their
    vectors [2N, N]. All eigenvalues have the real part -1/2; the others are the conjugates of these."""
    n = np.arange(2 * N)
    skew = -np.sqrt(np.outer(n + 0.5, n + 0.5)) * np.sign(n[:, None] - n)
    frequencies, vectors = np.linalg.eigh(-1j * skew)
    return frequencies[N:], vectors[:, N:]


def log_steps(size: int, shortest: float, longest: float) -> Callable:
    """A draw of the logarithms of time steps, uniform between those of the shortest and the longest."""
    if not 0 < shortest <= longest:
        raise ValueError(f"dt_min, dt_max: expected 0 < dt_min <= dt_max, got {shortest!r}, {longest!r}")
    return lambda key: jax.random.uniform(key, (size,), minval=math.log(shortest), maxval=math.log(longest))


def held(log_decay: Any, frequency: Any, step: Any) -> tuple[jax.Array, jax.Array]:
    """Λ = -exp(log_decay) + i frequency over a step that holds its input: exp(Λ step) and (exp(Λ step) - 1) / Λ."""
    rate = lax.complex(-jnp.exp(log_decay), frequency)
    by = rate * lax.complex(step, jnp.zeros_like(step))
    return jnp.exp(by), jnp.expm1(by) / rate


@factory
def s5(
    hidden_size: int,
    *,
    state_size: int | None = None,
    dt_min: float = 0.001,
    dt_max: float = 0.1,
    kernel_init: Callable = initializers.lecun_normal(),
    **options: Unpack[Types],
) -> Cell:
    """S5, one diagonal state space for all inputs: x [..., D], h [..., N] -> h', y [..., H].

        Λ  = -exp(log_decay) + i frequency
        a  = exp(Λ exp(log_step))
        h' = a h + (a - 1) / Λ (x B)
        y  = 2 Re(h' C) + x D

    The zero-order hold of dh/dt = Λ h + x B. h is complex; its conjugate, which the paper's state of size 2N also
    holds, is the factor 2. |a| < 1 for any parameters. Affine in h.
    Parameters: kernel [D, 2N + H], the blocks Re B, Im B and D; output_kernel [2N, H], Re C above Im C; log_decay,
    frequency and log_step [N]. All are real.

    state_size: N, half the paper's P; None: half of hidden_size, rounded up.
    dt_min, dt_max: the time steps exp(log_step) start between these, uniform in the logarithm.
    kernel_init: draws D, and B and C of size 2N as real matrices, which are then put in the basis of the eigenvectors.
    Λ starts with the eigenvalues of the normal part of HiPPO-LegS.
    Sources: the authors' code learns Re Λ itself, and may clip it below 0; here it is -exp(log_decay), as in S4D, and
        cannot leave the stable side. Their D is diagonal, which needs D = H; here it is a matrix.

    Good for: long sequences whose memory is linear, with nonlinear layers between; irregular times by its step.
    Paper: Smith, Warrington and Linderman 2023, arXiv 2208.04933.
    """
    N = checks.positive((hidden_size + 1) // 2 if state_size is None else state_size, "state_size")
    d = Driven(hidden_size, options | {"kernel_init": kernel_init}, real=N, imaginary=N, skip=hidden_size)
    steps = log_steps(N, dt_min, dt_max)

    def init(key, input_size):
        k1, k2, k3 = jax.random.split(key, 3)
        frequencies, V = hippo(N)
        params = d.init(k1, input_size, log_step=steps)
        B, C = kernel_init(k2, (input_size, 2 * N), d.param_dtype), kernel_init(k3, (2 * N, d.H), d.param_dtype)

        def turned(sides, *basis):
            return jnp.concatenate([sides(b.astype(d.param_dtype)) for b in basis], 0)

        B = turned(lambda b: b @ B.T, np.real(V.T), -np.imag(V.T)).T  # the conjugate transpose of V, times B
        C = turned(lambda b: b @ C, np.real(V.T), np.imag(V.T))
        return params | {
            "kernel": params["kernel"].at[:, : 2 * N].set(B),
            "output_kernel": C,
            "log_decay": jnp.full(N, math.log(0.5), d.param_dtype),
            "frequency": jnp.asarray(frequencies, d.param_dtype),
        }

    def start(params):
        return LRUCarry(d.zeros(params, N, dtype=complex_of(d.compute(params))), d.zeros(params, d.H))

    def element(params, u):
        real, imaginary, skip = d.of(u)
        decay, frequency, step = (row(params[name], real) for name in ("log_decay", "frequency", "log_step"))
        a, of_input = held(decay, frequency, jnp.exp(step))
        return LRUCarry(a, jnp.zeros_like(skip)), LRUCarry(of_input * lax.complex(real, imaginary), skip)

    def output(params, carry):
        return readout(carry.h, params["output_kernel"], carry.skip, 2)

    return d.affine(LRUCarry, element, init=init, start=start, output=output)
