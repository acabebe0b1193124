"""At the door: arrays of others as NumPy's, and whole numbers of any type as int32."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.jax_internals import is_traced


def ours(tree: Any, name: str) -> Any:
    """The pytree with each leaf that NumPy or DLPack can read, such as a tensor of PyTorch, as an array.

    Arrays of JAX and NumPy, and all that is no array, stay as they are. name: for messages.
    Raises TypeError for a leaf that neither can read, such as a tensor that requires a gradient.
    """
    return jax.tree.map(lambda leaf: _read(leaf, name), tree)


def _read(leaf: Any, name: str) -> Any:
    known = isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct)
    if known or hasattr(leaf, "__jax_array__") or not (hasattr(leaf, "__array__") or hasattr(leaf, "__dlpack__")):
        return leaf
    error: Exception | None = None
    for read in np.asarray, jnp.from_dlpack:  # NumPy has no bfloat16, and reads no other device
        try:
            array = read(leaf)
        except Exception as raised:  # whatever somebody else's conversion raises
            error = error or raised
        else:
            if array.dtype.kind not in "OSUmM":
                return array
    kind = f"{type(leaf).__module__}.{type(leaf).__name__}"
    why = "" if error is None else f": {error}"
    raise TypeError(f"{name}: expected an array of numbers, got {kind}, which cannot be read as one{why}")


def numbers(values: Any, name: str) -> Any:
    """An array, a number, or numbers in a list, as an array; concrete ones stay NumPy's, whose values jit knows."""
    values = ours(values, name)
    if hasattr(values, "dtype"):
        return values
    traced = any(is_traced(leaf) for leaf in jax.tree.leaves(values))
    return jnp.asarray(values) if traced else np.asarray(values)


def whole(values: Any, name: str) -> Any:
    """Whole numbers, of any integer type or in a list, as int32: what does not fit in it becomes its nearest end.

    So a uint8 that is compared with, or indexes, more than 255 does not wrap, and what was out of range stays so. What
    is not of integers is returned as an array as it is.
    """
    values = numbers(values, name)
    if values.dtype == jnp.int32 or not jnp.issubdtype(values.dtype, jnp.integer):
        return values
    held, wanted = jnp.iinfo(values.dtype), jnp.iinfo(jnp.int32)
    low, high = max(held.min, wanted.min), min(held.max, wanted.max)
    clip = jnp.clip if isinstance(values, jax.Array) else np.clip
    return clip(values, low, high).astype(jnp.int32)


def tokens(values: Any, size: int, name: str, like: Any = None, valid: Any = True) -> Any:
    """Symbols as int32. Raises if they are no integers, or are out of range where they are concrete and `valid`."""
    values = numbers(values, name)
    if not jnp.issubdtype(values.dtype, jnp.integer):
        raise TypeError(f"{name}: expected [T, ...] of int, symbols numbered from 0, got {checks.describe(values)}")
    if like is not None and checks.shape(values) != checks.shape(like):
        raise ValueError(f"{name}: expected [T, ...] = {checks.shape(like)}, as tokens, got {checks.shape(values)}")
    if is_traced(values) or is_traced(valid):
        return whole(values, name)
    known = np.asarray(values)
    wrong = ((known < 0) | (known >= size)) & np.asarray(valid)
    if wrong.any():
        at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        raise ValueError(f"{name}: expected numbers below V={size}, got {int(known[at])} at {checks.place(at)}")
    return whole(values, name)
