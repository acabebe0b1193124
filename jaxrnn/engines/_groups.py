"""Rows in groups, one for each device, so that gradients of params are summed over devices once, after the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

from jaxrnn._core.cell import Carry, Cell, Params


def batch_axes(cell: Cell, params: Params, carry: Carry) -> tuple[int, ...]:
    """The batch axes of a carry, whose leaves may be vectors, matrices, images or numbers."""
    leaf, one = jax.tree.leaves(carry)[0], jax.tree.leaves(jax.eval_shape(cell.start, params))[0]
    return leaf.shape[: leaf.ndim - one.ndim]


def groups(carry: Carry, batch: tuple[int, ...]) -> int:
    """Into how many groups the first batch axis of a carry is to be cut: 1 where one device holds all rows.

    How rows are sharded is not known when a program is traced, only how many devices there are. Inside `jax.shard_map`
    each device has its own rows already.
    """
    leaf = jax.tree.leaves(carry)[0]
    mesh = jax.typeof(leaf).sharding.mesh
    if mesh.manual_axes:
        devices = math.prod(size for name, size in mesh.shape.items() if name not in mesh.manual_axes)
    else:
        devices = jax.device_count()
    return math.gcd(batch[0], devices) if batch and leaf.size else 1


def in_groups(n: int, run: Callable, params: Any, carry: Carry, xs: Any) -> Any:
    """run(params, carry, xs) -> (carry, tree [T, B, ...]), over `n` groups of rows side by side."""

    def cut(tree, axis):
        return jax.tree.map(lambda a: a.reshape(*a.shape[:axis], n, -1, *a.shape[axis + 1 :]), tree)

    def joined(tree, axis):
        return jax.tree.map(lambda a: a.reshape(*a.shape[:axis], -1, *a.shape[axis + 2 :]), tree)

    carry, ys = jax.vmap(run, (None, 0, 1), (0, 1))(params, cut(carry, 0), cut(xs, 1))
    return joined(carry, 0), joined(ys, 1)
