"""Recurrent trace units."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Unpack

import jax.numpy as jnp
from jax import lax

from jaxrnn import initializers
from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.numerics import nonlinearity, row
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven, complex_of, parts
from jaxrnn.cells._dense import HiddenCarry, Types
from jaxrnn.cells._lru import eigenvalues, ring


@factory
def rtu(
    hidden_size: int,
    *,
    nonlinear: bool = False,
    activation: str | Callable = "relu",
    r_min: float = 0.0,
    r_max: float = 1.0,
    max_phase: float = 2 * math.pi,
    kernel_init: Callable = initializers.lecun_normal(),
    **options: Unpack[Types],
) -> Cell:
    """Recurrent trace units, pairs that turn and shrink: x [..., D], h [..., N] -> h', y [..., H] with H = 2N.

        λ  = exp(-exp(nu_log) + i exp(theta_log))
        h' = λ h + sqrt(1 - |λ|²) (x W_real + i x W_imaginary)
        y  = relu([Re h', Im h'])

    The paper's two real states of a unit are here the parts of a complex h; |λ| < 1 for any parameters. Affine in h.
    Parameters: kernel [D, 2N], the blocks W_real and W_imaginary; nu_log and theta_log [N]. All are real.

    nonlinear: relu is within the recurrence, on the real and the imaginary part of h', and y = [Re h', Im h']. The cell
        is then not affine in h.
    activation: a function, or its name in `jax.nn`, in place of relu.
    r_min, r_max, max_phase: as of `lru`.
    hidden_size is even.

    Good for: online learning: its exact forward gradient costs no more than a few numbers for each parameter.
    Paper: Elelimy, White, Bowling and White 2024, arXiv 2409.01449.
    """
    if hidden_size % 2:
        raise ValueError(f"hidden_size: expected an even number, got {hidden_size}")
    N, act = hidden_size // 2, nonlinearity(activation, "activation")
    d = Driven(hidden_size, options | {"kernel_init": kernel_init}, real=N, imaginary=N)
    draws = ring(r_min, r_max, max_phase)(N)

    def init(key, input_size):
        return d.init(key, input_size, **draws)

    def start(params):
        return HiddenCarry(d.zeros(params, N, dtype=complex_of(d.compute(params))))

    def element(params, u):
        real, imaginary = d.of(u)
        norm = jnp.sqrt(-jnp.expm1(-2 * jnp.exp(row(params["nu_log"], real))))
        return HiddenCarry(eigenvalues(params, real)), HiddenCarry(lax.complex(norm * real, norm * imaginary))

    def update(params, s, u, v):
        a, b = element(params, u)
        h = a.h * s.h + b.h
        return HiddenCarry(lax.complex(act(h.real), act(h.imag)))

    def output(params, carry: Any):
        h = parts(carry.h).astype(d.compute(params))
        return h if nonlinear else act(h)

    if nonlinear:
        return d.made(HiddenCarry, Stage(None, update), init=init, start=start, output=output)
    return d.affine(HiddenCarry, element, init=init, start=start, output=output)
