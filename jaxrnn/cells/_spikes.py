"""What spiking cells share: a step whose slope, which is 0 or infinite, is another in its place (a surrogate)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrnn._core.jax_internals import with_derivatives


def spike(surrogate: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """The function a -> 1 where a > 0, else 0, with the derivative surrogate(a)."""
    return with_derivatives(lambda a: (a > 0).astype(a.dtype), lambda a: (surrogate(a),))


def fast_sigmoid(slope: float) -> Callable[[jax.Array], jax.Array]:
    """1 / (1 + slope |a|)², the derivative of a / (1 + slope |a|) (Zenke and Ganguli 2018, arXiv 1705.11146)."""
    return lambda a: 1 / jnp.square(1 + slope * jnp.abs(a))


def triangle(dampening: float) -> Callable[[jax.Array], jax.Array]:
    """dampening max(0, 1 - |a|) (Bellec et al. 2018, arXiv 1803.09574)."""
    return lambda a: dampening * jax.nn.relu(1 - jnp.abs(a))
