"""What `learn` asks of params that it has found: the loss on other rows, or a function of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.described import describe
from jaxrnn.train._devices import Over, along, axes, gathered
from jaxrnn.train._program import evaluation
from jaxrnn.train._sources import is_arrays, row_count

LARGEST = 2**28  # bytes of arrays that are cut up and placed once


def validator(validation: Any, loss: Callable, carry: Callable | None, axis: Any, batch: int) -> Callable:
    """`(params, mesh) -> {name: number}`, the first of which is to become small; params are on the mesh.

    carry(params) is what a loss that carries begins with.
    """
    arrays = is_arrays(validation)
    if not arrays and not hasattr(type(validation), "__iter__"):
        if not callable(validation):
            raise TypeError(
                "validation: expected a function of params, arrays with rows, or an iterable of batches, got "
                f"{describe(validation)}"
            )
        return lambda params, mesh: _named(validation(gathered(params)))
    if arrays:
        row_count(validation, axis)
    ask = evaluation(loss, carry is not None)
    small = arrays and sum(a.nbytes for a in jax.tree.leaves(validation)) <= LARGEST
    placed: list[Any] = []  # small ones are put on the devices once

    def evaluate(params, mesh):
        state, values, counts = None if carry is None else carry(params), [], []
        for part in placed[:] or _parts(validation, axis, batch, carry is not None):
            if small and len(placed) == len(values):
                part = Over(along(axis, part, state), mesh).split(jax.tree.map(jnp.asarray, part))
                placed.append(part)
            elif not small:
                part = Over(along(axis, part, state), mesh).split(part)
            value, beside, state = ask(params, state, part)
            values.append((value, beside))
            counts.append(_count(part, axis))
        if not values:
            raise ValueError(f"validation: expected batches, got none in {describe(validation)}")
        values = [({"": value} | beside) for value, beside in jax.device_get(values)]
        sums = {name: sum(float(each[name]) * n for each, n in zip(values, counts, strict=True)) for name in values[0]}
        return {f"validation_{name}".rstrip("_"): value / sum(counts) for name, value in sums.items()}

    return evaluate


def _parts(validation: Any, axis: Any, batch: int, in_order: bool) -> Iterator[Any]:
    """Batches; of arrays four times as many rows in each as in training, but with a carry as many."""
    if not is_arrays(validation):
        yield from validation
        return
    rows, size = row_count(validation, axis), batch if in_order else 4 * batch
    leaves, form = jax.tree.flatten(validation)
    for first in range(0, rows, size):
        cut = slice(first, first + size)
        parts = [
            a if n is None else a[(*[slice(None)] * n, cut)]
            for a, n in zip(leaves, axes(axis, validation), strict=True)
        ]
        yield form.unflatten(parts)


def _count(part: Any, axis: Any) -> int:
    """How many rows a batch has; 1 where its arrays do not agree."""
    found = zip(jax.tree.leaves(part), axes(axis, part), strict=True)
    rows = {np.shape(a)[n] for a, n in found if n is not None and n < np.ndim(a)}
    return rows.pop() if len(rows) == 1 else 1


def _named(found: Any) -> dict[str, float]:
    if not isinstance(found, dict):
        found = {"validation": found}
    try:
        return {name: float(value) for name, value in found.items()}
    except (TypeError, ValueError) as error:
        raise TypeError(f"validation: expected a number, or numbers by name, got {describe(found)}") from error
