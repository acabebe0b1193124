"""Rows over devices: each runs any engine on its share of the rows, in a loop of its own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh
from jax.sharding import PartitionSpec as P

from jaxrnn._core import checks, taps
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params
from jaxrnn._core.composition import PerRow, by_row, is_per_row
from jaxrnn._core.devices import AXIS, in_context, meshes, row_mesh
from jaxrnn._core.jax_internals import is_symbolic, is_traced
from jaxrnn.engines._deferred.engine import deferred
from jaxrnn.engines._groups import batch_axes
from jaxrnn.engines._scan import scan


@dataclasses.dataclass(frozen=True)
class OverDevices:
    """An engine that runs another on several devices; see `over_devices`, which makes it."""

    engine: Engine | None
    devices: tuple[Any, ...] | int | None

    def __repr__(self) -> str:
        inner = "" if self.engine is None else getattr(self.engine, "__name__", repr(self.engine))
        return f"over_devices({inner})"

    def inner(self, cell: Cell) -> Engine:
        """The engine that each device runs."""
        return self.engine or (deferred if cell.has_parts else scan)

    def chosen(self) -> tuple[Any, ...]:
        """The devices that share the rows, where arrays are not on some already."""
        if isinstance(self.devices, tuple):
            return self.devices
        there = jax.local_devices()
        n = len(there) if self.devices is None else self.devices
        if n > len(there):
            raise ValueError(
                f"devices: expected at most {len(there)}, which JAX has in this process, got {n}; on a CPU, "
                f"jaxrnn.cores_as_devices({n}) before any computation makes as many"
            )
        return tuple(there[:n])

    def mesh(self, cell: Cell, params: Params, carry: Carry, xs: Inputs) -> Mesh | AbstractMesh | str:
        """The devices that would share the rows, or why `engine` runs by itself."""
        given = meshes((params, carry, xs))
        if taps.active():
            return "values within the loop are asked for"
        if in_context():
            return "it is within jax.shard_map, or under a mesh of jax.set_mesh"
        if any(mesh.axis_names != (AXIS,) for mesh in given) or len(given) > 1:
            return "the arrays are on a mesh of the user's"
        mesh = next(iter(given), None) or row_mesh(self.chosen())
        if mesh.size == 1:
            return "there is one device"
        if is_symbolic((carry, xs)):
            return "its sizes are symbolic (jax.export)"
        batch = batch_axes(cell, params, carry)
        if not batch:
            return "there is no batch axis"
        if mesh.size > batch[0]:
            return f"the first batch axis has {batch[0]} rows, fewer than the {mesh.size} devices"
        if isinstance(mesh, Mesh) and (elsewhere := _committed(mesh, (params, carry, xs))):
            return f"an array is committed to {elsewhere}"
        return mesh

    def said(self, cell: Cell, params: Params, carry: Carry, xs: Inputs) -> str:
        """What it does with rows, and why, in a line."""
        mesh = self.mesh(cell, params, carry, xs)
        if isinstance(mesh, str):
            return f"on one device: {mesh}"
        return f"rows over {mesh.size} devices, {-(-batch_axes(cell, params, carry)[0] // mesh.size)} on each"

    def __call__(self, cell: Cell, params: Params, carry: Carry, xs: Inputs) -> tuple[Carry, Any]:
        """As any engine: xs [T, B, ..., D] -> (carry [B, ...], ys [T, B, ..., H])."""
        mesh, engine = self.mesh(cell, params, carry, xs), self.inner(cell)
        if isinstance(mesh, str):
            return engine(cell, params, carry, xs)
        return _shared(cell, engine, mesh, params, carry, xs)


def over_devices(engine: Engine | None = None, *, devices: int | Sequence[Any] | None = None) -> OverDevices:
    """The engine that splits the first batch axis over devices, each of which runs `engine` on its rows.

        ys = jaxrnn.unroll(cell, params, carry, xs, engine=jaxrnn.engines.over_devices())[1]

    engine: any engine; None: the cell's default. devices: jax.Devices, or how many of this process's; None: all of
        them. On a CPU, `jaxrnn.cores_as_devices()` at the start of the program makes one of each core. Arrays that
        `train.data_parallel` placed stay on their devices.

    Params are whole on each device; carries, inputs, lengths, masks, resets and noise, which `unroll` draws before the
    loop, are split alike, so the values are those of one device up to rounding. Each device has a loop of its own, and
    gradients of params are summed over devices once, after it. All transformations of JAX work through it. Where B is
    not a multiple, some rows are computed twice and what is twofold is cut off.

    It steps aside, and `engine` runs as if by itself, for one device, without a batch axis, for fewer rows than
    devices, within `jax.shard_map` or under `jax.set_mesh`, for arrays that are on a mesh of the user's or committed to
    other devices, for symbolic sizes, and where values within the loop are asked for (`jaxrnn.taps`); `explain` says
    which. Within `jit` it cannot see that an array is committed to one device, and JAX raises ValueError.
    Raises ValueError for more devices than there are, or fewer than one.
    """
    if engine is not None and not callable(engine):
        raise TypeError(f"engine: expected one of jaxrnn.engines or None, got {engine!r}")
    if devices is None or isinstance(devices, int):
        return OverDevices(engine, devices if devices is None else checks.positive(devices, "devices"))
    if not len(devices):
        raise ValueError("devices: expected at least one, got none")
    return OverDevices(engine, tuple(devices))


def where_they_are(engine: Engine, params: Params, carry: Carry, xs: Inputs) -> Engine:
    """`engine`, for arrays that `train.data_parallel` placed on devices, over those."""
    there = meshes((params, carry, xs))
    return OverDevices(engine, None) if {mesh.axis_names for mesh in there} == {(AXIS,)} else engine


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _shared(cell, engine, mesh, params, carry, xs):
    """The rows of each device through `engine`, and what was added to make their number a multiple cut off."""
    B = jax.tree.leaves(carry)[0].shape[0]
    more = -B % mesh.size

    def filled(tree, axis):
        """With copies of the first rows: what they compute is no less regular than what they are copies of."""
        if not more:
            return tree
        return jax.tree.map(lambda a: jnp.concatenate([a, jax.lax.slice_in_dim(a, 0, more, axis=axis)], axis), tree)

    def cut(tree, axis):
        return jax.tree.map(lambda a: jax.lax.slice_in_dim(a, 0, B, axis=axis), tree) if more else tree

    params = jax.tree.map(lambda a: filled(a, 0) if is_per_row(a) else a, params, is_leaf=is_per_row)
    split = jax.shard_map(
        functools.partial(engine, cell),
        mesh=mesh,
        in_specs=(by_row(params, PerRow(P(AXIS)), P()), P(AXIS), P(None, AXIS)),
        out_specs=(P(AXIS), P(None, AXIS)),
    )
    carry, ys = split(params, filled(carry, 0), filled(xs, 1))
    return cut(carry, 0), cut(ys, 1)


def _committed(mesh, tree):
    """The devices, other than the mesh's, that an array must stay on; None within `jit`, where it is not known."""
    here = set(mesh.devices.flat)
    for a in jax.tree.leaves(tree):
        if isinstance(a, jax.Array) and not is_traced(a) and a.committed and a.devices() != here:
            return sorted(map(str, a.devices()))
    return None
