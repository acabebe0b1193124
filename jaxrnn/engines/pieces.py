"""A loop over time in pieces: long enough for a product to be worth it, short enough for memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def steps(xs: Any) -> int:
    """T, the length of the leading axis."""
    return jax.tree.leaves(xs)[0].shape[0]


def length(time: int, target: int) -> int:
    """How long pieces of `time` steps should be: the target, or a divisor of `time` not far below."""
    target = max(1, min(time, target))
    return max((k for k in range(-(-target // 3), target + 1) if time % k == 0), default=target)


def in_pieces(piece: Callable, size: int, carry: Any, xs: Any, reverse: bool = False) -> tuple[Any, Any]:
    """`piece(carry, xs) -> (carry, ys)` over pieces of `size` steps, one after another; a shorter rest lies at the end.

    reverse: the pieces from the last to the first; `piece` itself goes backwards inside.
    """
    time = steps(xs)
    whole = time - time % size

    def most(carry):
        if whole == size:
            return piece(carry, jax.tree.map(lambda a: a[:whole], xs))
        pieces = jax.tree.map(lambda a: a[:whole].reshape(-1, size, *a.shape[1:]), xs)
        carry, ys = lax.scan(piece, carry, pieces, reverse=reverse)
        return carry, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), ys)

    def rest(carry):
        return piece(carry, jax.tree.map(lambda a: a[whole:], xs))

    if whole == time:
        return most(carry)
    if reverse:
        carry, after = rest(carry)
        carry, before = most(carry)
    else:
        carry, before = most(carry)
        carry, after = rest(carry)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), before, after)
