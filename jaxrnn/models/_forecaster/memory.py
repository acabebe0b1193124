"""What a forecaster remembers: the last R values of each series, so that a carry continues as if all had been given.

Everything that looks back is computed on the remembered values and those of this call as one line of R + T steps, by
its indices alone: so `step` says what `apply` says, wherever a series is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn._core.jax_internals import varying_alike
from jaxrnn._core.rows import clipped


class Remembered(NamedTuple):
    """The carry of a forecaster that looks back over R steps; batch axes come first, as in any carry."""

    cell: Any  # the carry of its cell
    values: jax.Array  # [..., R, N]: the last R values, NaN where one is missing or nothing came yet
    scale: Any  # the last known Scale, leaves [..., N]; None where the scale is not causal


class Line(NamedTuple):
    """R remembered steps and the T of a call, one after the other."""

    values: jax.Array  # [R + T, ..., N], 0 where not seen
    seen: jax.Array  # [R + T, ..., N] bool


def line(before: jax.Array, ys: jax.Array, observed: jax.Array) -> Line:
    """before [..., R, N], NaN where missing; ys and observed [T, ..., N]."""
    before = jnp.moveaxis(jnp.asarray(before, ys.dtype), -2, 0)
    seen = jnp.concatenate([~jnp.isnan(before), observed])
    # What is infinite has become NaN and is seen: it makes NaN of all that it enters (see `series`).
    return Line(jnp.where(seen, jnp.concatenate([before, ys]), 0), seen)


def back(a: jax.Array, steps: int, time: Any, reach: int) -> jax.Array:
    """Of a line's array [R + T, ...] what stood `steps` before each step of the call: [T, ...]."""
    return a[reach - steps : reach - steps + time]


def kept(line: Line, time: Any, reach: int, lengths: Any) -> jax.Array:
    """The last R steps of each row, NaN where not seen: [..., R, N]."""
    values = jnp.where(line.seen, line.values, jnp.nan)
    if lengths is None:
        return jnp.moveaxis(values[-reach:], 0, -2)
    ends = clipped(lengths, 0, time)
    at = ends[None] + jnp.arange(reach, dtype=jnp.int32).reshape(-1, *[1] * ends.ndim)
    return jnp.moveaxis(jnp.take_along_axis(values, at[..., None], 0), 0, -2)


def trailing(join: Callable, parts: Any, n: int, stride: int = 1) -> Any:
    """`join` over the n parts that end at each step, `stride` apart; leaves [S, ...] -> [S, ...].

    join(later, earlier) must be associative, with leaves of 0 (or False) as what changes nothing: they stand before the
    first step. By doubling, in log n joins; in one order whatever stands before, so that a result does not depend on
    where a line begins, as a difference of sums would. As a loop, for the joins of a long window compile for long.
    """
    bit, most = np.arange(n.bit_length()), n * stride
    taken, covered, size = (n >> bit) & 1 == 1, (n & ((1 << bit) - 1)) * stride, (1 << bit) * stride

    def shifted(tree, by):
        def one(a):
            padded = jnp.concatenate([jnp.zeros((most, *a.shape[1:]), a.dtype), a])
            return lax.dynamic_slice_in_dim(padded, most - by, a.shape[0])

        return jax.tree.map(one, tree)

    def double(state, now):
        joined, parts = state
        taken, covered, size = now
        more = join(joined, shifted(parts, covered))
        joined = jax.tree.map(lambda a, b: jnp.where(taken, a, b), more, joined)
        return (joined, join(parts, shifted(parts, size))), None

    start = varying_alike((jax.tree.map(jnp.zeros_like, parts), parts))
    turns = jnp.asarray(taken), jnp.asarray(covered, jnp.int32), jnp.asarray(size, jnp.int32)
    return lax.scan(double, start, turns)[0][0]
