"""Rows of a ragged batch: which steps are valid, the last valid one, and a row-by-row selection between two trees."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.arrays import numbers, ours, whole
from jaxrnn._core.numerics import common


def inside(lengths: jax.Array, time: int) -> jax.Array:
    """[T, ...] bool: whether each step is within its row, whose number of steps is in `lengths` [...]."""
    lengths = clipped(lengths, 0, time)
    return jnp.arange(time, dtype=jnp.int32).reshape(-1, *[1] * lengths.ndim) < lengths[None]


def clipped(lengths: Any, low: int, high: int) -> jax.Array:
    """Lengths of any integer type, clipped to low and high, as int32."""
    return jnp.clip(whole(lengths, "lengths"), low, high)


def read(lengths: Any, mask: Any, reset: Any, named: str = "lengths") -> tuple[Any, Any, Any]:
    """The arguments of `unroll` as arrays: lengths of any integer type as int32, flags of integers as bool.

    Numbers and lists become arrays; None, and what is neither integer nor bool, stays for `checks` to judge.
    """
    lengths = lengths if lengths is None else whole(_array(lengths, named), named)
    return lengths, _flags(mask, "mask"), _flags(reset, "reset")


def given(carry: Any, xs: Any, lengths: Any, mask: Any, reset: Any) -> tuple[Any, Any, Any, Any, Any]:
    """The same, and carry and xs with the arrays of others, such as PyTorch's tensors, read: what `unroll` is given."""
    return ours(carry, "carry"), ours(xs, "xs"), *read(lengths, mask, reset)


def _flags(flags: Any, name: str) -> Any:
    if flags is None or isinstance(flags, bool | int | float):  # one number is never [T, ...]
        return flags
    flags = _array(flags, name)
    return flags != 0 if jnp.issubdtype(flags.dtype, jnp.integer) else flags


def _array(values: Any, name: str) -> Any:
    if isinstance(values, jax.ShapeDtypeStruct):  # for `explain`, which only wants shapes
        to = jnp.bool_ if name in ("mask", "reset") else jnp.int32
        return jax.ShapeDtypeStruct(values.shape, to) if jnp.issubdtype(values.dtype, jnp.integer) else values
    try:
        array = numbers(values, name)
    except ValueError:
        raise ValueError(f"{name}: expected an array, or a list whose rows are equally long, got {values!r}") from None
    # NumPy makes floats of an empty list.
    return array.astype(np.int32) if isinstance(values, list | tuple) and array.size == 0 else array


def told(time: int, lengths: Any, mask: Any, reset: Any) -> tuple[Any, Any]:
    """(valid, reset), each [T, ...] bool or None, from the arguments of `unroll`.

    A step is valid where both lengths and mask allow it; a reset past the end of its row is dropped.
    """
    if lengths is None:
        return mask, reset
    there = inside(lengths, time)
    return there if mask is None else there & mask, None if reset is None else reset & there


def select(condition: jax.Array, yes: Any, no: Any) -> Any:
    """Leaf by leaf `yes` where condition [...] else `no`; leaves [..., features], which broadcast, in one type.

    A selection, not a product with 0 and 1: a NaN that is not selected does not get through, forwards or backwards.
    """

    def one(a, b):
        a, b = jnp.asarray(a), jnp.asarray(b)
        axes = max(a.ndim, b.ndim)
        dtype = common(a, b)
        a, b = (jnp.expand_dims(c.astype(dtype), range(axes - c.ndim)) for c in (a, b))
        where = jnp.expand_dims(condition, range(condition.ndim, axes))
        return jnp.where(where, a, b)

    return jax.tree.map(one, yes, no)


def last_step(tree: Any, lengths: Any) -> Any:
    """Leaves [T, ..., X] -> [..., X] at the last valid step of each row."""
    if lengths is None:
        return jax.tree.map(lambda a: a[-1], tree)

    def last(a):
        at = clipped(lengths, 1, a.shape[0]) - 1
        return jnp.take_along_axis(a, at.reshape(1, *at.shape, *[1] * (a.ndim - 1 - at.ndim)), 0)[0]

    return jax.tree.map(last, tree)
