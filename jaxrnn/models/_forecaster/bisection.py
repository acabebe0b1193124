"""Where a monotone condition begins to hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def bisect(enough: Callable, low: jax.Array, high: Any, *, whole: bool = False) -> jax.Array:
    """The smallest x in (low, high] with `enough(x)`, monotone; of whole numbers from `low`, if `whole`."""
    # More than enough for the bits of a number below 1, and for whole numbers to come down from the largest.
    info = jnp.finfo(low.dtype)
    turns = int(info.maxexp) if whole else 2 * info.nmant

    def middle(low, high):
        return jnp.floor((low + high) / 2) if whole else (low + high) / 2

    def halve(state):
        turn, low, high = state
        at = middle(low, high)
        yes = enough(at)
        return turn + 1, jnp.where(yes, low, at), jnp.where(yes, at, high)

    def goes_on(state):
        turn, low, high = state
        at = middle(low, high)
        return (turn < turns) & ((low < at) & (at < high)).any()

    high = jnp.broadcast_to(jnp.asarray(high, low.dtype), low.shape)
    return jax.lax.while_loop(goes_on, halve, (jnp.int32(0), low, high))[2]
