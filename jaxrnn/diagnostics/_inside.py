"""What diagnostics share: how to reach the cells in a composition, and a step as a function of one vector."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.composition import at_leaves


def watched(cell: Cell, act: Callable[..., tuple[Carry, Any]]) -> Cell:
    """The cell with each member that is no composition run by `act(run, name, member, params, carry, xs, key)`.

    name: the path of the member's carry in the whole, "layer_0" or "layer_0.forward"; "" for a single cell.
    """

    def sequence(run, params, carry, xs, key):
        unnamed = itertools.count()

        def named(run, member, params, its, xs, key):
            name = _place(carry, its)
            if name is None:  # a wrapper made it a new carry
                whole = jax.tree.structure(its) == jax.tree.structure(carry)
                name = "" if whole else f"member_{next(unnamed)}"
            return act(run, name, member, params, its, xs, key)

        return at_leaves(cell, named)(run, params, carry, xs, key)

    return dataclasses.replace(cell, sequence=sequence)


def _place(carry, part):
    """The path of `part` in a carry, its keys joined by dots; None if it is not there."""
    if part is carry:
        return ""
    for key, value in carry.items() if isinstance(carry, dict) else ():
        place = _place(value, part)
        if place is not None:
            return f"{key}.{place}" if place else str(key)
    return None


def by_name(found: dict[str, Any]) -> Any:
    """`found` by member; for a single cell, its own entry."""
    return found[""] if set(found) == {""} else found


def labelled(tree: Any, name: str = "") -> dict[str, Any]:
    """The arrays of nested dicts, by their keys joined with spaces."""
    if not isinstance(tree, dict):
        return {name: tree}
    return {k: v for key, inner in tree.items() for k, v in labelled(inner, f"{name} {key}".strip()).items()}


def flat(carry: Carry, batch: tuple[int, ...]) -> tuple[jax.Array, Callable[[jax.Array], Carry]]:
    """The carry as vectors [..., N], field after field, and the function from a vector [N] back to a carry."""
    _, unflat = _ravel(jax.tree.map(lambda a: jnp.zeros(a.shape[len(batch) :], a.dtype), carry))
    return rows(lambda carry: _ravel(carry)[0], len(batch))(carry), unflat


def flat_step(cell: Cell, params: Params, unflat: Callable) -> Callable[[jax.Array, Inputs], jax.Array]:
    """A step of one row as a function of vectors: v [N], x [D] -> v' [N]."""
    return lambda v, x: _ravel(cell.step(params, unflat(v), x)[0])[0]


def _ravel(tree):
    """`ravel_pytree`, of leaves of several types too: in the one in which they meet."""
    with jax.numpy_dtype_promotion("standard"):
        return ravel_pytree(tree)


def rows(f: Callable, axes: int) -> Callable:
    """f of one row, mapped over `axes` leading axes."""
    for _ in range(axes):
        f = jax.vmap(f)
    return f
