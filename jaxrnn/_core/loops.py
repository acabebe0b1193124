"""A loop over time in pieces: long enough for a product to be worth it, short enough for memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
from jax import lax

# jaxlib 0.11.1 on a CPU, and no other: a loop that writes fewer than 256 bytes of an array in a turn (on some machines
# 480) writes all of that array anew, so that its time is quadratic in its length (jax issue 40101).
QUADRATIC = "0.11.1"
TURNS = 64  # there, a loop makes about so many; at most half as many again, for `length` looks for a divisor

# jax before 0.12 on a CPU: a loop that writes a row of a bfloat16 array converts all of that array at each turn.
CONVERTS_ROWS = (0, 12)


def steps(xs: Any) -> int:
    """T, the length of the leading axis."""
    return jax.tree.leaves(xs)[0].shape[0]


def length(time: int, target: int) -> int:
    """How long pieces of `time` steps should be: the target, or a divisor of `time` not far from it."""
    target = max(1, min(time, target))
    near = (k for k in range(-(-target // 3), min(time, target * 3 // 2) + 1) if time % k == 0)
    return min(near, key=lambda k: max(k / target, target / k), default=target)


def loop(step: Callable, carry: Any, xs: Any, *, reverse: bool = False, unroll: int = 1) -> tuple[Any, Any]:
    """`lax.scan`, mended where a version of XLA would take time that is quadratic in its length."""
    if jax.default_backend() == "cpu" and jax.__version_info__ < CONVERTS_ROWS:
        x = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), xs)  # not a[0]: T may be 0
        types = jax.tree.map(lambda a: a.dtype, jax.eval_shape(step, carry, x)[1])
        if jnp.bfloat16 in jax.tree.leaves(types):
            carry, ys = _loop(_wide_outputs(step), carry, xs, reverse, unroll)
            return carry, jax.tree.map(lambda a, dtype: a.astype(dtype), ys, types)
    return _loop(step, carry, xs, reverse, unroll)


def _loop(step, carry, xs, reverse, unroll):
    """`lax.scan`; as loops of few turns, one within another, where `QUADRATIC` says so."""
    piece = functools.partial(lax.scan, step, reverse=reverse, unroll=unroll)
    longest = TURNS * unroll
    version = jaxlib.__version__  # pyright: ignore[reportPrivateImportUsage]
    if version != QUADRATIC or jax.default_backend() != "cpu" or steps(xs) <= longest:
        return piece(carry, xs)
    return in_pieces(piece, length(steps(xs), longest), carry, xs, reverse)


def _wide_outputs(step):
    """The step with bfloat16 outputs in float32, which holds them exactly."""

    def wide(carry, x):
        carry, y = step(carry, x)
        return carry, jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.bfloat16 else a, y)

    return wide


def in_pieces(piece: Callable, size: int, carry: Any, xs: Any, reverse: bool = False) -> tuple[Any, Any]:
    """`piece(carry, xs) -> (carry, ys)` over pieces of `size` steps, one after another; a shorter rest lies at the end.

    reverse: the pieces from the last to the first; `piece` itself goes backwards inside.
    """
    time = steps(xs)
    whole = time - time % size

    def most(carry):
        if whole == size:
            return piece(carry, jax.tree.map(lambda a: a[:whole], xs))
        pieces = jax.tree.map(lambda a: a[:whole].reshape(whole // size, size, *a.shape[1:]), xs)
        carry, ys = loop(piece, carry, pieces, reverse=reverse)
        return carry, jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), ys)

    def rest(carry):
        return piece(carry, jax.tree.map(lambda a: a[whole:], xs))

    if whole == 0:
        return rest(carry)
    if whole == time:
        return most(carry)
    if reverse:
        carry, after = rest(carry)
        carry, before = most(carry)
    else:
        carry, before = most(carry)
        carry, after = rest(carry)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), before, after)
