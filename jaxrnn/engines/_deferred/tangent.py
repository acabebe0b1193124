"""A cell whose step is a step of another and its tangent, so that what this engine does for one it does for both.

Reverse mode through a gradient asks for the gradient of <ct, J w>, where J is the derivative of the loop and w the
direction. J w is the outcome of a recurrence too, whose state is the carry and its tangent (Pearlmutter 1994, "Fast
exact multiplication by the Hessian"): its weight gradients are products after the loop like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.jax_internals import with_others
from jaxrnn.engines._deferred.plan import is_real, real

# A tree and the tangents of some of its leaves, in a list; which ones, the caller knows.
Moving = tuple[Any, list[Any]]


def with_tangent(cell: Cell, of_params: list[int], of_xs: list[int], output_reads: list[bool]) -> Cell:
    """The cell of (params, tangents), (carry, tangents), (xs, tangents); its outputs are the tangents that are stacked.

    of_params, of_xs: which leaves have a tangent. Of carry, drive and product all real leaves have one.
    output_reads: for each real leaf of the carry, whether `cell.output` reads it.
    """

    of_input = cell.drive
    assert of_input is not None

    def drive(params, xs):
        return _both(of_input, (params, of_params), (xs, of_xs))

    def of(stage):
        def recur(params, state):
            return _both(stage.recur, (params, of_params), (state, None))

        def update(params, state, u, v):
            product = (None, []) if v is None else v
            return _both(stage.update, (params, of_params), (state, None), (u, None), (product, None))

        return Stage(None if stage.recur is None else recur, update, stage.recurrent)

    def start(params):
        carry = cell.start(params[0])
        return carry, [jnp.zeros_like(a) for a in real(carry)]

    def output(params, carry):
        return [a for a, asked in zip(carry[1], output_reads, strict=True) if asked]

    return Cell(cell.init, start, None, drive, tuple(map(of, cell.stages)), output)


def _both(f: Callable, *args: tuple[Moving, list[int] | None]) -> Moving:
    """f of the trees, and the tangents of the real leaves of its outcome."""
    trees = [jax.tree.flatten(tree) for (tree, _), _ in args]
    places = [
        [i for i, a in enumerate(leaves) if is_real(a)] if at is None else at
        for (leaves, _), (_, at) in zip(trees, args, strict=True)
    ]
    sizes = [len(at) for at in places]

    def g(*moving):
        moving, given = iter(moving), []
        for (leaves, kind), at in zip(trees, places, strict=True):
            given.append(jax.tree.unflatten(kind, with_others(leaves, at, [next(moving) for _ in at])))
        return f(*given)

    primals = [leaves[i] for (leaves, _), at in zip(trees, places, strict=True) for i in at]
    tangents = [t for (_, some), _ in args for t in some]
    assert len(tangents) == sum(sizes), "a tangent for each leaf that moves"
    if not tangents:
        out = g()
        return out, [jnp.zeros_like(a) for a in real(out)]
    out, moved = jax.jvp(g, primals, tangents)
    return out, [t for t in jax.tree.leaves(moved) if t.dtype != jax.dtypes.float0]
