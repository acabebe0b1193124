"""Rows of a batch over several devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxrnn._core import checks
from jaxrnn.train._loop import TrainState


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


def data_parallel(state: TrainState, windows: Any, devices: int | None = None) -> tuple[TrainState, Placed]:
    """A state and its windows over devices: `fit(update, *data_parallel(state, windows), steps)` trains on all of them.

    Each device has its share of the rows of every window [n, B, ...] and of the carry [B, ...], and a copy of the rest.
    The update is the same program, which JAX divides; the default engine sums gradients over devices once, after its
    loops. devices: how many (None: all), over all processes: with `jax.distributed` each process runs this with the
    same windows. On a CPU `jax.config.update("jax_num_cpu_devices", n)`, before all else, makes n of them.

    Raises ValueError where there are fewer devices, or where they cannot share the rows equally.
    """
    n = len(jax.devices()) if devices is None else checks.positive(devices, "devices")
    if n > len(jax.devices()):
        raise ValueError(
            f"devices: expected at most {len(jax.devices())}, which JAX has, got {n}; on a CPU "
            f'jax.config.update("jax_num_cpu_devices", {n}) before any computation makes as many'
        )
    rows = jax.tree.leaves(state.carry)[0].shape[0]
    if rows % n:
        raise ValueError(f"devices: expected a number that divides the B={rows} rows of a batch, got {n}")
    mesh = Mesh(np.array(jax.devices()[:n]), ("rows",), axis_types=(AxisType.Auto,))

    def put(a, *spec):
        """An array, whole in each process, as one over the devices of all processes."""
        a = np.asarray(a)
        return jax.make_array_from_callback(a.shape, NamedSharding(mesh, PartitionSpec(*spec)), lambda i: a[i])

    def place(window):
        return jax.tree.map(lambda a: put(a, None, "rows") if np.ndim(a) > 1 else put(a), window)

    whole = jax.tree.map(put, state._replace(carry=None))
    return whole._replace(carry=jax.tree.map(lambda a: put(a, "rows"), state.carry)), Placed(windows, place)
