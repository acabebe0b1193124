"""Rows of a batch over several devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrnn._core import checks
from jaxrnn._core.devices import AXIS, in_context, meshes, row_mesh, sharing
from jaxrnn._core.jax_internals import is_traced

S = TypeVar("S", bound=tuple)  # TrainState


class Placed(NamedTuple):
    """Windows whose arrays are put on their devices when they are asked for."""

    windows: Any
    place: Callable[[Any], Any]

    def __getitem__(self, k: Any) -> Any:
        return self.place(self.windows[k])

    def __len__(self) -> int:
        return len(self.windows)

    def __iter__(self) -> Any:
        return map(self.place, self.windows)


def data_parallel(state: S, windows: Any, devices: int | None = None) -> tuple[S, Placed]:
    """A state and its windows over devices: `fit(update, *data_parallel(state, windows), steps)` trains on all of them.

    Each device has its share of the rows of every window [n, B, ...] and of the carry [B, ...], and a copy of the rest.
    The update is the same program, which JAX divides: each device runs its own loop over time, and gradients are summed
    over devices once, after it. devices: how many (None: all), over all processes: with `jax.distributed` each process
    runs this with the same windows. `fit` does this by itself within one process. On a CPU `jaxrnn.cores_as_devices()`,
    before all else, makes a device of each core.

    Raises ValueError where there are fewer devices, or where they cannot share the rows equally.
    """
    n = len(jax.devices()) if devices is None else checks.positive(devices, "devices")
    if n > len(jax.devices()):
        raise ValueError(
            f"devices: expected at most {len(jax.devices())}, which JAX has, got {n}; on a CPU "
            f"jaxrnn.cores_as_devices({n}) before any computation makes as many"
        )
    carry: Any = getattr(state, "carry")  # noqa: B009 - a NamedTuple's field
    rows = jax.tree.leaves(carry)[0].shape[0]
    if rows % n:
        raise ValueError(f"devices: expected a number that divides the B={rows} rows of a batch, got {n}")
    mesh = row_mesh(jax.devices()[:n])
    whole = _put(state._replace(carry=None), mesh)  # pyright: ignore[reportAttributeAccessIssue]
    return whole._replace(carry=_put(carry, mesh, AXIS)), Placed(windows, lambda window: _split(window, mesh, rows))


class Shared(NamedTuple):
    """What `shared` gives."""

    tree: Any
    carry: Any
    place: Callable[[Any], Any]  # of each window
    home: Callable[[Any], Any]  # of what is computed


def shared(tree: Any, carry: Any, window: Any, devices: int | None) -> Shared:
    """Params and the like, a carry and windows on this process's devices, each with its share of the rows.

    devices: how many at most; None: all, if `sharing` finds the params small enough. As many take part as divide the
    rows. All stays as it is where that is one, where there are no rows, where something is elsewhere than on JAX's
    default device, and where several processes run.
    """
    B = _rows(carry, window)
    mesh = sharing(B, devices, tree)
    if mesh is None or jax.process_count() > 1 or not _at_home((tree, carry, window)):
        return Shared(tree, carry, _same, _same)
    return Shared(_put(tree, mesh), _put(carry, mesh, AXIS), lambda window: _split(window, mesh, B), gathered)


def spread(tree: Any, axis: int = 0, *, devices: int | None = None) -> Any:
    """The arrays with `axis` split over devices, each with its own share, in a program of one's own.

        @jax.jit
        def update(params, xs, labels):                                  # xs [T, B, D], labels [B]
            xs, labels = train.spread(xs, 1), train.spread(labels)

    What is computed from them, JAX divides alike; `unroll` runs a loop on each device, and sums gradients of params
    over devices once. In `jit` and outside.
    devices: how many of this process's (None: all). As many take part as divide the axis; one, `jax.shard_map` and a
    mesh of `jax.set_mesh` leave all as it is.
    """

    def one(a):
        mesh = sharing(a.shape[axis], devices)
        if mesh is None or in_context():
            return a
        where = NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))
        return jax.lax.with_sharding_constraint(a, where) if is_traced(a) else jax.device_put(a, where)

    return jax.tree.map(one, tree)


def gathered(tree: Any) -> Any:
    """The arrays on JAX's default device, free to go elsewhere, if they are on devices that share rows."""
    if jax.process_count() > 1 or {mesh.axis_names for mesh in meshes(tree)} != {(AXIS,)}:
        return tree

    def one(a):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(
                jnp.asarray(np.asarray(jax.random.key_data(a))), impl=jax.random.key_impl(a)
            )
        return jnp.array(np.asarray(a), copy=True)

    return jax.tree.map(one, tree)


class Over(NamedTuple):
    """Which axis of each array of a batch is split over which devices; None: a copy on each."""

    axes: tuple[int | None, ...]
    mesh: Mesh | None

    def split(self, batch: Any) -> Any:
        """A batch with its rows over the devices, in a program and outside."""
        if self.mesh is None:
            return batch
        leaves, form = jax.tree.flatten(batch)
        return form.unflatten([self._put(a, axis) for a, axis in zip(leaves, self.axes, strict=True)])

    def whole(self, tree: Any) -> Any:
        """A copy on each device."""
        return jax.tree.map(self._put, tree)

    def state(self, state: S) -> S:
        """A TrainState, its carry by rows."""
        carry: Any = getattr(state, "carry")  # noqa: B009 - a NamedTuple's field
        whole = self.whole(state._replace(carry=None))  # pyright: ignore[reportAttributeAccessIssue]
        return whole._replace(carry=jax.tree.map(lambda a: self._put(a, 0), carry))

    def _put(self, a: Any, axis: int | None = None) -> Any:
        if self.mesh is None:
            return a
        if axis is not None and np.shape(a)[axis] % self.mesh.size:  # such as a last batch of fewer rows
            axis = None
        where = NamedSharding(self.mesh, PartitionSpec(*() if axis is None else (*[None] * axis, AXIS)))
        return jax.lax.with_sharding_constraint(a, where) if is_traced(a) else jax.device_put(a, where)


def over(axis: Any, batch: Any, carry: Any, devices: int | None, params: Any, others: Any) -> Over:
    """How a batch goes over this process's devices, of at most so many as many as divide its rows.

    axis: of the rows in each array, as `axes` reads it. One device where the arrays do not agree in how many rows they
    have, and where `shared` says so.
    """
    found = along(axis, batch, carry)
    sizes = {np.shape(a)[n] for a, n in zip(jax.tree.leaves(batch), found, strict=True) if n is not None}
    alone = len(sizes) != 1 or jax.process_count() > 1 or in_context() or not _at_home((carry, params, others))
    return Over(found, None if alone else sharing(sizes.pop(), devices, params))


def along(axis: Any, batch: Any, carry: Any) -> tuple[int | None, ...]:
    """The axis of the rows in each array of a batch: `axis`; with a carry [B, ...], the second where that has B."""
    shapes = [np.shape(a) for a in jax.tree.leaves(batch)]
    if carry is not None:
        rows = _rows(carry, batch)
        return tuple(1 if rows and shape[1:2] == (rows,) else None for shape in shapes)
    found = axes(axis, batch)
    return tuple(n if n is not None and n < len(shape) else None for n, shape in zip(found, shapes, strict=True))


def axes(axis: Any, tree: Any) -> tuple[int | None, ...]:
    """The axis of the rows in each array of a tree: `axis` is an int, or a tree of ints and None as in_axes of vmap."""
    found: list[int | None] = []

    def one(n, part):
        leaves = jax.tree.leaves(part)
        found.extend(n if n is None or n >= 0 else n + np.ndim(a) for a in leaves)

    try:
        jax.tree.map(one, axis, tree, is_leaf=lambda n: n is None)
    except (ValueError, TypeError) as error:
        came = jax.tree.structure(tree)
        raise ValueError(f"axis: expected an int, or ints in the form of the data, {came}, got {axis!r}") from error
    return tuple(found)


def _same(tree):
    return tree


def _rows(carry, window):
    """B, if leaves of the carry [B, ...] have it in common and a window has it after its steps [n, B, ...]; else 0."""
    first = {np.shape(a)[:1] for a in jax.tree.leaves(carry)}
    if len(first) != 1 or not (batch := first.pop()):
        return 0
    return batch[0] if any(np.shape(a)[1:2] == batch for a in jax.tree.leaves(window)) else 0


def _at_home(tree):
    """Whether all arrays are on JAX's default device, and may leave it."""
    home = jnp.zeros(()).devices()
    arrays = [a for a in jax.tree.leaves(tree) if isinstance(a, jax.Array)]
    return not meshes(arrays) and all(a.devices() == home and not a.committed for a in arrays)


def _split(window, mesh, rows):
    """A window with its rows over the mesh; what has none, such as a flag for each step, is whole."""
    return jax.tree.map(lambda a: _put(a, mesh, *((None, AXIS) if np.shape(a)[1:2] == (rows,) else ())), window)


def _put(tree, mesh, *spec):
    """Arrays, whole in each process, as arrays over the devices of all processes."""
    sharding = NamedSharding(mesh, PartitionSpec(*spec))

    def one(a):
        if jax.process_count() == 1:
            return jax.device_put(a, sharding)
        a = np.asarray(a)
        return jax.make_array_from_callback(a.shape, sharding, lambda i: a[i])

    return jax.tree.map(one, tree)
