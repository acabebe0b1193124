"""The diagonal structured state space, S4D."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row, wide
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven, complex_of
from jaxrnn.cells._dense import Pointwise
from jaxrnn.cells._s5 import held, hippo, log_steps


class S4DCarry(NamedTuple):
    """The complex states of each unit, and its last input."""

    h: jax.Array  # [..., H, N] complex
    u: jax.Array  # [..., H]


FREQUENCIES = {
    "lin": lambda N: math.pi * np.arange(N),
    "inv": lambda N: 2 * N / math.pi * (2 * N / (2 * np.arange(N) + 1) - 1),
    "legs": lambda N: hippo(N)[0],
}


@factory
def s4d(
    hidden_size: int,
    *,
    state_size: int = 32,
    spectrum: str = "lin",
    dt_min: float = 0.001,
    dt_max: float = 0.1,
    **options: Unpack[Pointwise],
) -> Cell:
    """S4D, a diagonal state space of its own for each unit: x [..., D], h [..., H, N] -> h', y [..., H].

        u  = x W + b
        Λ  = -exp(log_decay) + i frequency
        a  = exp(Λ exp(log_step))
        h' = a h + (a - 1) / Λ u
        y  = 2 Re(sum over N of C h') + D u

    Zero-order hold; h is complex, and its conjugate is the factor 2. |a| < 1 for any parameters. Affine in h.
    Parameters: kernel W [D, H], bias b [H]; log_decay and frequency [H, N]; log_step [H]; output_weight [2, H, N], Re C
    and Im C; skip D [H]. All are real. Units mix in W alone, which the paper has between its layers.

    state_size: N, half the paper's.
    spectrum: where frequency starts: "lin" π n, "inv" by the inverse law of HiPPO-LegS, "legs" its normal part's
        eigenvalues; the real part starts at -1/2 in each.
    dt_min, dt_max: the time steps exp(log_step) start between these, uniform in the logarithm.

    Good for: long signals, such as raw audio, with nonlinear layers between.
    Paper: Gu, Gupta, Goel and Ré 2022, arXiv 2206.11893.
    """
    d, N = Driven(hidden_size, options, u=hidden_size), checks.positive(state_size, "state_size")
    if spectrum not in FREQUENCIES:
        raise ValueError(f"spectrum: expected one of {', '.join(FREQUENCIES)}, got {spectrum!r}")
    steps = log_steps(hidden_size, dt_min, dt_max)

    def init(key, input_size):
        return d.init(
            key,
            input_size,
            log_decay=lambda key: jnp.full((d.H, N), math.log(0.5)),
            frequency=lambda key: jnp.broadcast_to(jnp.asarray(FREQUENCIES[spectrum](N), "float32"), (d.H, N)),
            log_step=steps,
            output_weight=lambda key: jax.random.normal(key, (2, d.H, N)) / math.sqrt(2),
            skip=lambda key: jax.random.normal(key, (d.H,)),
        )

    def start(params):
        return S4DCarry(d.zeros(params, d.H, N, dtype=complex_of(d.compute(params))), d.zeros(params, d.H))

    def element(params, u):
        [u] = d.of(u)
        step = jnp.exp(row(params["log_step"], u))[..., None]
        decay, frequency = (row(params[name], u[..., None]) for name in ("log_decay", "frequency"))
        a, of_input = held(decay, frequency, jnp.broadcast_to(step, decay.shape))
        return S4DCarry(a, jnp.zeros_like(u)), S4DCarry(of_input * lax.complex(u, jnp.zeros_like(u))[..., None], u)

    def output(params, carry: Any):
        u = carry.u.astype(wide(carry.u.dtype))
        real, imaginary = (row(c, carry.h.real) for c in params["output_weight"])
        y = 2 * (real * carry.h.real - imaginary * carry.h.imag).sum(-1) + row(params["skip"], u) * u
        return y.astype(carry.u.dtype)

    return d.affine(S4DCarry, element, init=init, start=start, output=output)
