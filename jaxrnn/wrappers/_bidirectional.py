"""Two cells over one sequence, in opposite directions."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.clock import along, knows_time, timed
from jaxrnn._core.composition import one_array
from jaxrnn._core.numerics import PAIRWISE, common
from jaxrnn._core.record import factory

MERGES = {
    "concat": lambda a, b: jnp.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
}


@factory
def bidirectional(forward: Cell, backward: Cell, *, merge: str | Callable = "concat") -> Cell:
    """One cell run from left to right and another from right to left: y_t depends on the steps before t and after t.

        y_t = merge(forward's y_t, backward's y_t)

    merge: "concat" [..., H1 + H2], "sum", "mean", or a function (y, y) -> y. Both y are at the positions of the
    inputs. Params and carry: {"forward": ..., "backward": ...}; the returned carry is forward's after the last valid
    step and backward's after the first. With `lengths`, backward starts each row at its own last step. A `reset`
    splits a row for both directions: backward restarts at the last step of each segment.

    It needs the whole sequence: use `unroll`; `step` raises TypeError. Each direction runs in the engine that it would
    use alone. Raises TypeError for arguments that are not cells, ValueError for an unknown merge.
    Schuster and Paliwal 1997, "Bidirectional recurrent neural networks".
    """
    merged = merge
    if isinstance(merge, str):
        merged = MERGES.get(merge) or PAIRWISE.get(merge)  # `factory` turns jnp.multiply into its name
    if not callable(merged):
        raise ValueError(f"merge: expected one of {', '.join(MERGES)}, or a function (y, y) -> y, got {merge!r}")

    members = (("forward", forward), ("backward", backward))

    def init(key, input_size):
        k1, k2 = jax.random.split(key)
        return {"forward": forward.init(k1, input_size), "backward": backward.init(k2, input_size)}

    def sequence(run, params, carry, xs, key):
        k1, k2 = (None, None) if key is None else jax.random.split(key)
        x, z = (along(cell, params[name], xs, xs) for name, cell in members)
        there, ys = run(forward, params["forward"], carry["forward"], x, k1)
        back, zs = run(backward, params["backward"], carry["backward"], z, k2, backwards=True)
        if isinstance(merge, str):
            one_array("bidirectional", forward, ys)
            one_array("bidirectional", backward, zs)
        if hasattr(ys, "astype") and hasattr(zs, "astype"):  # a merge of the user's own may take other things
            dtype = common(ys, zs)
            ys, zs = ys.astype(dtype), zs.astype(dtype)
        if merge in ("sum", "mean") and jnp.shape(ys) != jnp.shape(zs):
            raise ValueError(
                f"merge: expected y of one size from both cells for {merge!r}, got {checks.describe(ys)} of "
                f"{forward!r} and {checks.describe(zs)} of {backward!r}; merge='concat' takes two sizes"
            )
        return {"forward": there, "backward": back}, merged(ys, zs)

    first = forward.input

    def input(params):
        assert first is not None
        x = first(params["forward"])
        return timed(x) if any(knows_time(cell, params[name]) for name, cell in members) else x

    return Cell(
        init,
        lambda params: {"forward": forward.start(params["forward"]), "backward": backward.start(params["backward"])},
        None if first is None else input,
        sequence=sequence,
    )
