"""Where a server keeps its streams: on the device of its params, or shared among several."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from jaxrnn._core.cell import Params
from jaxrnn._core.devices import sharing

# Multiply-adds in a call of several steps from which several devices are faster than one, about: a call on two costs
# 0.1 ms more. One step in a call was not faster below 2048 streams of 256 units.
WORTH = 1 << 25


def place_of(params: Params) -> Sharding | None:
    """The sharding for everything but the params: a copy on each of their devices; None: JAX's default device."""
    here = jnp.zeros(()).devices()
    away = [a.sharding for a in jax.tree.leaves(params) if isinstance(a, jax.Array) and a.devices() != here]
    if away and isinstance(away[0], NamedSharding):
        return NamedSharding(away[0].mesh, PartitionSpec())
    return away[0] if away else None


def streams_over(batch: tuple[int, ...], steps: int, params: Params, devices: int | None) -> Mesh | None:
    """The devices that share the streams; None for one."""
    work = sum(a.size for a in jax.tree.leaves(params)) * steps * sum(batch)
    worth = steps > 1 and work >= WORTH
    return sharing(sum(batch), devices) if batch and (devices is not None or worth) else None


def guarded(step):
    """A step that looks whether its state is used up: with several devices a compiled program crashes on one."""

    def run(rows, active, x):
        if any(a.is_deleted() for a in rows if isinstance(a, jax.Array)):
            raise RuntimeError("Array has been deleted")
        return step(rows, active, x)

    return run


def at(where: Sharding | None, tree: Any) -> Any:
    """Shapes for arrays there."""
    return jax.tree.map(lambda a: a.update(sharding=where), tree)
