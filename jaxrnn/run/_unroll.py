"""A cell over time: ragged rows, masks, resets, direction, and the choice of engine."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxrnn._core import checks
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params
from jaxrnn._core.rows import inside, select, told
from jaxrnn.run._choice import choice
from jaxrnn.wrappers import with_mask, with_reset


def unroll(
    cell: Cell,
    params: Params,
    carry: Carry | None,
    xs: Inputs,
    *,
    lengths: jax.Array | None = None,
    mask: jax.Array | None = None,
    reset: jax.Array | None = None,
    reverse: bool = False,
    engine: Engine | None = None,
    key: jax.Array | None = None,
) -> tuple[Carry, Any]:
    """Run `cell` over time: xs [T, ..., D] -> (carry, ys [T, ..., H]), with any number of batch axes, also none.

    carry: where to begin; None begins with the cell's initial carry. Handing the carry that comes back to the next
        call continues the sequence: any split of T gives the same ys (of a cell that only looks back, without noise).
    lengths [...] int: row b has steps 0 to lengths[b] - 1, from 0 to T of them. Past its end ys is 0, and the carry
        that comes back is the last valid one (for length 0, the one it began with). What xs holds there, NaN included,
        reaches neither values nor gradients: the cell is given 0 for it, where it must have a finite gradient.
    mask [T, ...] bool: where False the carry is held and y is 0; any pattern. With lengths, both must allow a step.
    reset [T, ...] bool: where True the row restarts from the initial carry before this step, also at a masked step;
        past the end of a row it does nothing.
    reverse: from right to left, each row from its own last step; ys stands at the positions of the inputs, and "before"
        a step is to its right.
    engine: one of jaxrnn.engines, or any function (cell, params, carry, xs) -> (carry, ys); None takes the best.
    key: what dropout, zoneout and the like are drawn from, before the loop; None is evaluation, without noise. A cell
        that has none does not look at it. The same key draws the same noise, so training wants a new one each time.

    Under jit, where lengths cannot be looked at, values above T count as T and below 0 as 0.
    Raises ValueError or TypeError, when traced, for arguments that do not fit one another.
    """
    time, batch = checks.unroll(cell, params, carry, xs, lengths, mask, reset, reverse, engine, key)
    if carry is None:
        carry = _placed(cell.initial_carry(params, batch), xs, len(batch))

    valid, reset = told(time, lengths, mask, reset)
    if valid is not None:
        # Before the cell, not only after it: a NaN that the step computes would come back as 0 * NaN in a gradient.
        xs = select(valid, xs, jax.tree.map(jnp.zeros_like, xs))

    def run(turned, cell, params, carry, xs, key):
        if cell.sequence is not None:

            def member(*args, backwards=False):
                return run(turned != backwards, *args)

            return cell.sequence(member, params, carry, xs, key)
        if valid is not None:
            cell, xs = with_mask(cell), (xs, valid)
        if reset is not None:  # outside the mask: a row restarts also at a step it skips
            restart = _seen_from_behind(reset, reverse, lengths) if turned else reset
            cell, xs = with_reset(cell), (xs, restart)
        over_time, flip = choice(cell)[0] if engine is None else engine, reverse != turned
        carry, ys = over_time(cell, params, carry, _flip(xs) if flip else xs)
        ys = _flip(ys) if flip else ys
        return carry, blank(ys)

    def blank(ys):
        return ys if valid is None else select(valid, ys, jax.tree.map(jnp.zeros_like, ys))

    carry, ys = run(False, cell, params, carry, xs, key)
    return carry, ys if cell.sequence is None else blank(ys)


def _seen_from_behind(reset, reverse, lengths):
    """The resets for a member that runs against the others: it restarts where it leaves a segment they restart in."""
    first = jnp.zeros_like(reset[:1])
    moved = jnp.concatenate([first, reset[:-1]] if reverse else [reset[1:], first])
    # What was at a row's last step is now past its end.
    return moved if lengths is None else moved & inside(lengths, len(moved))


def _placed(carry: Carry, xs: Inputs, axes: int) -> Carry:
    """The carry with its batch axes over the devices as those of xs are, where shardings are part of types."""
    sharding = jax.typeof(jax.tree.leaves(xs)[0]).sharding
    if not sharding.mesh.explicit_axes:
        return carry
    rows = sharding.spec[1 : 1 + axes]
    return jax.tree.map(lambda a: jax.sharding.reshard(a, NamedSharding(sharding.mesh, PartitionSpec(*rows))), carry)


def _flip(tree):
    return jax.tree.map(lambda a: jnp.flip(a, 0), tree)
