"""Rows over devices: the mesh for them, and how to see in the types of arrays that they are on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh

from jaxrnn._core import checks

AXIS = "jaxrnn_rows"  # of the mesh; no name that a user's own mesh would have
# From this lesser side of a kernel on, its products keep all cores of a CPU at work by themselves, while a core with a
# share of the rows reads all of it at every step: an LSTM of 512 trained at 0.85 to 1 times the speed on two cores as
# devices, of 1024 at 0.75 (B = 32; `benchmarks/language_model.py` has one of 650). Tables of embeddings are narrower.
LARGE = 512


def row_mesh(devices: Sequence[Any]) -> Mesh:
    """The mesh of these devices, over which rows are split."""
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def sharing(rows: int, devices: int | None, params: Any = ()) -> Mesh | None:
    """Of this process's devices, of at most so many, as many as share the rows equally; None for one.

    devices: None: all, but one where they are cores and a kernel of the params is `LARGE`.
    """
    large = any(min(np.shape(a)[-2:]) >= LARGE for a in jax.tree.leaves(params) if np.ndim(a) >= 2)
    if devices is None and large and jax.default_backend() == "cpu":
        return None
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
