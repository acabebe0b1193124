"""A carry as one array for each dtype in it, because each array that a call returns costs a microsecond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Carry


def packing(row: Carry) -> tuple[Callable, Callable]:
    """(pack, unpack): from a carry with any leading axes to one array [..., N] for each dtype, and back."""
    likes, structure = jax.tree.flatten(row)
    types = list(dict.fromkeys(a.dtype for a in likes))

    def pack(carry):
        leaves = zip(jax.tree.leaves(carry), likes, strict=True)
        flat = [a.reshape(*a.shape[: a.ndim - like.ndim], like.size) for a, like in leaves]
        return tuple(jnp.concatenate([a for a in flat if a.dtype == t], -1) for t in types)

    def unpack(rows):
        leaves, end = [], dict.fromkeys(types, 0)
        for like in likes:
            begin, end[like.dtype] = end[like.dtype], end[like.dtype] + like.size
            a = rows[types.index(like.dtype)][..., begin : end[like.dtype]]
            leaves.append(a.reshape(*a.shape[:-1], *like.shape))
        return jax.tree.unflatten(structure, leaves)

    return pack, unpack


def after(axes: tuple[int, ...], tree: Any) -> Any:
    """The shapes and dtypes of a pytree, with these leading axes added."""
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((*axes, *a.shape), a.dtype), jax.eval_shape(lambda: tree))
