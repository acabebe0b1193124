"""Loops over time, also in pieces: long enough for products to be efficient, short enough for memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
from jax import lax

from jaxrnn._core.jax_internals import is_symbolic

# jaxlib 0.11.1 on a CPU, and no other: a loop that writes fewer than 256 bytes of an array per iteration (on some
# machines 480) rewrites the whole array, so that its time is quadratic in its length (jax issue 40101).
QUADRATIC = "0.11.1"
TURNS = 64  # iterations of a loop there, about; up to 1.5 times as many, because `length` looks for a divisor

# jax before 0.12 on a CPU: a loop that writes a row of a bfloat16 array converts the whole array at each iteration.
CONVERTS_ROWS = (0, 12)


def steps(xs: Any) -> int:
    """T, the length of the leading axis."""
    return jax.tree.leaves(xs)[0].shape[0]


def one_step(xs: Any) -> Any:
    """Shapes, types and shardings of one step of xs [T, ...], T of 0 too."""
    return jax.eval_shape(_first, xs)


def _first(xs):
    """One step, to look at its shape."""
    return jax.tree.map(lambda a: a[0] if a.shape[0] != 0 else jnp.zeros(a.shape[1:], a.dtype), xs)


def length(time: int, target: int) -> int:
    """The length of the pieces to cut `time` steps into: a divisor of `time` near `target`, else `target`."""
    target = max(1, min(time, target))
    near = (k for k in range(-(-target // 3), min(time, target * 3 // 2) + 1) if time % k == 0)
    return min(near, key=lambda k: max(k / target, target / k), default=target)


def loop(step: Callable, carry: Any, xs: Any, *, reverse: bool = False, unroll: int = 1) -> tuple[Any, Any]:
    """`lax.scan`, with workarounds for XLA versions in which its time is quadratic in its length."""
    if not stacks_half():
        types = jax.tree.map(lambda a: a.dtype, jax.eval_shape(lambda c, xs: step(c, _first(xs))[1], carry, xs))
        if jnp.bfloat16 in jax.tree.leaves(types):
            carry, ys = _loop(_wide_outputs(step), carry, xs, reverse, unroll)
            return carry, jax.tree.map(lambda a, dtype: a.astype(dtype), ys, types)
    return _loop(step, carry, xs, reverse, unroll)


def _loop(step, carry, xs, reverse, unroll):
    """`lax.scan`; with jaxlib `QUADRATIC` on a CPU, nested loops of few iterations."""
    piece = functools.partial(lax.scan, step, reverse=reverse, unroll=unroll)
    longest = TURNS * unroll
    version = jaxlib.__version__  # pyright: ignore[reportPrivateImportUsage]
    if version != QUADRATIC or jax.default_backend() != "cpu" or is_symbolic(xs) or steps(xs) <= longest:
        return piece(carry, xs)
    return in_pieces(piece, length(steps(xs), longest), carry, xs, reverse)


def stacks_half() -> bool:
    """Whether a loop can stack bfloat16 as it is."""
    return jax.default_backend() != "cpu" or jax.__version_info__ >= CONVERTS_ROWS


def _wide_outputs(step):
    """The step with its bfloat16 outputs cast to float32, which is exact."""

    def wide(carry, x):
        carry, y = step(carry, x)
        return carry, jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.bfloat16 else a, y)

    return wide


def in_pieces(piece: Callable, size: int, carry: Any, xs: Any, reverse: bool = False) -> tuple[Any, Any]:
    """Run `piece(carry, xs) -> (carry, ys)` over pieces of `size` steps in turn; a shorter remainder is at the end.

    reverse: run the pieces from the last to the first; `piece` itself must run backwards within each.
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
