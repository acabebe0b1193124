"""Rows in groups, one for each device, so that gradients of params are summed over devices once, after the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

from jaxrnn._core import devices
from jaxrnn._core.cell import Carry, Cell, Params
from jaxrnn._core.composition import PerRow, by_row, is_per_row


def batch_axes(cell: Cell, params: Params, carry: Carry) -> tuple[int, ...]:
    """The batch axes of a carry, whose leaves may be vectors, matrices, images or numbers."""
    starts = jax.tree.leaves(jax.eval_shape(cell.start, params))
    return next((a.shape[: a.ndim - b.ndim] for a, b in zip(jax.tree.leaves(carry), starts, strict=True)), ())


def groups(cell: Cell, params: Params, carry: Carry, xs: Any) -> int:
    """Into how many groups the first batch axis of a carry is to be cut: 1 where one device holds all rows.

    How rows are sharded is not known when a program is traced, only that arrays are on a mesh. Inside `jax.shard_map`
    each device has its own rows already.
    """
    context = jax.sharding.get_abstract_mesh()
    if context.manual_axes:
        n = math.prod(size for name, size in context.shape.items() if name not in context.manual_axes)
    else:
        n = max((mesh.size for mesh in (*devices.meshes((params, carry, xs)), context) if not mesh.empty), default=1)
    batch = batch_axes(cell, params, carry) if n > 1 else ()
    return math.gcd(batch[0], n) if batch and batch[0] else 1


def in_groups(n: int, run: Callable, params: Any, carry: Carry, xs: Any) -> Any:
    """run(params, carry, xs) -> (carry, tree [T, B, ...]), over `n` groups of rows side by side."""

    def cut(tree, axis):
        return jax.tree.map(lambda a: a.reshape(*a.shape[:axis], n, a.shape[axis] // n, *a.shape[axis + 1 :]), tree)

    def joined(tree, axis):
        return jax.tree.map(lambda a: a.reshape(*a.shape[:axis], n * a.shape[axis + 1], *a.shape[axis + 2 :]), tree)

    params_cut = jax.tree.map(lambda a: cut(a, 0) if isinstance(a, PerRow) else a, params, is_leaf=is_per_row)
    carry, ys = jax.vmap(run, (by_row(params, 0, None), 0, 1), (0, 1))(params_cut, cut(carry, 0), cut(xs, 1))
    return joined(carry, 0), joined(ys, 1)
