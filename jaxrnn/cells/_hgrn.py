"""The hierarchically gated recurrent unit."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row, wide
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._affine import Driven, complex_of, parts
from jaxrnn.cells._dense import Pointwise


class HGRNCarry(NamedTuple):
    """The complex state, and the gate of its output."""

    h: jax.Array  # [..., N] complex
    g: jax.Array  # [..., H]


def bounded(lower_bound: float | None) -> None:
    """Raise ValueError for a bound of a gate that is not from 0 to below 1."""
    if lower_bound is not None and not 0 <= lower_bound < 1:
        raise ValueError(f"lower_bound: expected a number from 0 to below 1, or None, got {lower_bound!r}")


@factory
def hgrn(hidden_size: int, *, lower_bound: float | None = 0.0, **options: Unpack[Pointwise]) -> Cell:
    """Hierarchically gated recurrent unit: x [..., D], h [..., N] -> h', y [..., H] with H = 2N.

        f  = gamma + (1 - gamma) sigmoid(x W_f + b_f)
        n  = silu(x W_real + b_real) + i silu(x W_imaginary + b_imaginary)
        g  = sigmoid(x W_g + b_g)
        h' = f exp(i theta) h + (1 - f) n
        y  = g [Re h', Im h']

    h is complex: f says how much of it is kept, and theta, the same for all inputs, how far it turns. |f| <= 1, and no
    less than gamma is kept. Affine in h. The last g is in the carry for y; no step reads it.
    Parameters, in the order f, real, imaginary, g: kernel [D, 5N], bias [5N]; theta [N]. All are real.

    lower_bound: gamma, from 0 to below 1. The paper's grow from layer to layer and are learned, all together: see
        `hgrn_stack`, whose cells have lower_bound=None and find gamma [N] in their params, as lower_bound.
    hidden_size is even. theta starts at 10000^(-n/N), as rotary positions do.
    Sources: the paper's layer goes on with a normalisation of y and a linear layer.

    Good for: language models; with bounds that grow, upper layers remember for longer.
    Paper: Qin, Yang and Zhong 2023, arXiv 2311.04823.
    """
    if hidden_size % 2:
        raise ValueError(f"hidden_size: expected an even number, got {hidden_size}")
    bounded(lower_bound)
    N = hidden_size // 2
    d = Driven(hidden_size, options, f=N, real=N, imaginary=N, g=hidden_size)

    def init(key, input_size):
        more = {} if lower_bound is not None else {"lower_bound": lambda key: jnp.zeros(N)}
        return d.init(key, input_size, theta=lambda key: 10000.0 ** -(jnp.arange(N) / N), **more)

    def start(params):
        return HGRNCarry(d.zeros(params, N, dtype=complex_of(d.compute(params))), d.zeros(params, d.H))

    def element(params, u):
        z_f, real, imaginary, z_g = d.of(u)
        least = row(params["lower_bound"], z_f) if lower_bound is None else lower_bound
        f, g = tap("f", least + (1 - least) * d.squash(z_f)), d.gate("g", z_g)
        theta = row(params["theta"], f)
        turned = lax.complex(f * jnp.cos(theta), f * jnp.sin(theta))
        new = lax.complex((1 - f) * jax.nn.silu(real), (1 - f) * jax.nn.silu(imaginary))
        return HGRNCarry(turned, jnp.zeros_like(g)), HGRNCarry(new, g)

    def output(params, carry: Any):
        g = carry.g.astype(wide(carry.g.dtype))
        return (g * parts(carry.h)).astype(carry.g.dtype)

    return d.affine(HGRNCarry, element, init=init, start=start, output=output)
