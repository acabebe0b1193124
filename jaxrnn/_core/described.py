"""Shapes and pytrees in one line, for messages."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def shape(array: Any) -> tuple[int, ...]:
    """The shape of an array, of whoever made it, or of a number, as a plain tuple."""
    return tuple(np.shape(array))


def describe(tree: Any) -> str:
    """A pytree in one line: its type, and the name, type and shape of each leaf (the first twelve)."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    if tree is None or (len(leaves) == 1 and not leaves[0][0]):
        return leaf_name(tree)
    inside = [f"{path_name(path)}: {leaf_name(leaf)}" for path, leaf in leaves[:12]]
    more = [f"and {len(leaves) - 12} more"] * (len(leaves) > 12)
    return f"{type(tree).__name__}({', '.join(inside + more)})"


def path_name(path: Any) -> str:
    """A path in a pytree, as its names joined by dots."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def leaf_name(leaf: Any) -> str:
    """A leaf in a few words: its type and shape, or what it is."""
    if hasattr(leaf, "dtype"):
        return f"{leaf.dtype}{shape(leaf)}"
    return "None" if leaf is None else f"{type(leaf).__name__} {leaf!r}"[:60]
