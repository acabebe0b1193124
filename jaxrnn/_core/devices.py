"""Rows over devices: the mesh for them, and how to see in the types of arrays that they are on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh

from jaxrnn._core import checks

AXIS = "jaxrnn_rows"  # of the mesh; no name that a user's own mesh would have


def row_mesh(devices: Sequence[Any]) -> Mesh:
    """The mesh of these devices, over which rows are split."""
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def sharing(rows: int, devices: int | None) -> Mesh | None:
    """Of this process's devices, of at most so many (None: all), as many as share the rows equally; None for one."""
    here = jax.local_devices()[: None if devices is None else checks.positive(devices, "devices")]
    n = next((n for n in range(len(here), 1, -1) if rows and rows % n == 0), 1)
    return row_mesh(here[:n]) if n > 1 else None


def meshes(tree: Any) -> set[AbstractMesh]:
    """Those that the arrays of a pytree are on, as their types tell, within `jit` too; none for one device.

    Only what `jit(in_shardings=...)` places by itself is not told.
    """
    found = {jax.typeof(a).sharding.mesh for a in jax.tree.leaves(tree)}
    return {mesh for mesh in found if not mesh.empty and mesh.size > 1}


def in_context() -> bool:
    """Whether there is a mesh of the user's around: within `jax.shard_map`, or under `jax.set_mesh`."""
    return not jax.sharding.get_abstract_mesh().empty
