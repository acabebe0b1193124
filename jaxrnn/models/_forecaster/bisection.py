"""Where a monotone condition begins to hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def bisect(enough: Callable, low: jax.Array, high: Any, *, whole: bool = False) -> jax.Array:
    """The smallest x in (low, high] with `enough(x)`, monotone; of whole numbers from `low`, if `whole`."""
    turns = 2 * jnp.finfo(low.dtype).nmant  # more than enough for the bits of any of these numbers

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        middle = jnp.floor(middle) if whole else middle
        yes = enough(middle)
        return jnp.where(yes, low, middle), jnp.where(yes, middle, high)

    high = jnp.broadcast_to(jnp.asarray(high, low.dtype), low.shape)
    return jax.lax.fori_loop(0, turns, halve, (low, high))[1]
