"""Dropout masks, drawn before the loop from the key given to `unroll`; without a key there is no dropout."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.clock import Timed, known, values
from jaxrnn._core.numerics import wide


def rate(value: Any, argument: str) -> None:
    """Raise ValueError unless `value` is a probability below 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{argument}: expected a probability, 0 <= {argument} < 1, got {value!r}")


def per_what(value: Any) -> None:
    """Raise ValueError unless `value` is "step" or "sequence"."""
    if value not in ("step", "sequence"):
        raise ValueError(f"per: expected 'step', a fresh mask for each, or 'sequence', one for all, got {value!r}")


def kept(key: Any, shape: tuple[int, ...], rate: float) -> jax.Array:
    """A mask: True with probability 1 - rate."""
    return jax.random.bernoulli(key, 1.0 - rate, shape)


def dropped(mask: jax.Array, value: jax.Array, rate: float) -> jax.Array:
    """value / (1 - rate) where the mask is True, else 0: what is expected is the value."""
    scaled = value.astype(wide(value.dtype)) / (1 - rate)  # 1 - rate itself is not rounded to a half type
    return jnp.where(jnp.expand_dims(mask, range(value.ndim - mask.ndim)), scaled, 0).astype(value.dtype)


def drop(key: Any, xs: Any, rate: float, per: str = "step") -> Any:
    """Dropout on the real and complex leaves [T, ..., N] of a pytree, with a mask for each step or one for all of T."""
    if rate == 0:
        return xs
    if isinstance(xs, Timed):  # time is not dropped, and what is missing stays so
        return xs._replace(x=drop(key, values(xs), rate, per), observed=known(xs))
    leaves, tree = jax.tree.flatten(xs)
    for i, k in enumerate(jax.random.split(key, len(leaves))):
        if jnp.issubdtype(leaves[i].dtype, jnp.inexact):
            mask = kept(k, leaves[i].shape[per == "sequence" :], rate)
            leaves[i] = dropped(mask, leaves[i], rate)
    return jax.tree.unflatten(tree, leaves)
