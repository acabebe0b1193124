"""Run a cell over time: ragged rows, masks, resets, direction, and the choice of engine."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxrnn._core import checks, clock
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params
from jaxrnn._core.jax_internals import varying_alike
from jaxrnn._core.rows import given, inside, select, told
from jaxrnn.engines import where_they_are
from jaxrnn.run._choice import choice
from jaxrnn.wrappers import with_mask, with_reset


def unroll(
    cell: Cell,
    params: Params,
    carry: Carry | None,
    xs: Inputs,
    *,
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    reverse: bool = False,
    engine: Engine | None = None,
    key: jax.Array | None = None,
) -> tuple[Carry, Any]:
    """Run `cell` over time: xs [T, ..., D] -> (carry, ys [T, ..., H]), with any number of batch axes, or none.

    carry: the carry to start from; None: the cell's initial carry. Passing the returned carry to the next call
        continues the sequence: any split of T gives the same ys (for a cell that only looks back, without noise).
    lengths [...] int: row b has steps 0 to lengths[b] - 1, from 0 to T of them. Past its end ys is 0, and the returned
        carry is that of its last valid step (for length 0, the one it started from). Padding in xs, NaN included,
        reaches neither values nor gradients: the cell reads 0 there, where its gradient must be finite.
    mask [T, ...] bool: where False the carry is held and y is 0; any pattern. With lengths, both must allow a step.
        For a cell that knows time, the dt of a masked step counts for the next: docs/time.md.
    reset [T, ...] bool: where True the row restarts from the initial carry before this step, even at a masked step;
        past the end of a row it has no effect.
    reverse: run from right to left, each row from its own last step; ys are at the positions of the inputs, and
        "before" a step is to its right.
    engine: one of jaxrnn.engines, or any function (cell, params, carry, xs) -> (carry, ys); None: the cell's default,
        with the rows over devices where `train.data_parallel` has placed them so.
    lengths, mask, reset may be of any integer type, or of bool for the two, and NumPy's, JAX's, numbers or lists.
    key: draws the noise of dropout, zoneout and the like, before the loop; None is evaluation, without noise. A cell
        without noise ignores it. The same key draws the same noise, so pass a new one for each training step.

    Under jit, where the values of lengths are not known, those above T count as T and those below 0 as 0.
    Raises ValueError or TypeError, when traced, for arguments that do not fit one another.
    """
    carry, xs, lengths, mask, reset = given(carry, xs, lengths, mask, reset)
    time, batch = checks.unroll(cell, params, carry, xs, lengths, mask, reset, reverse, engine, key)
    xs = clock.read(cell, params, xs)
    params, xs, lengths, mask, reset = varying_alike((params, xs, lengths, mask, reset))
    if carry is None:
        carry = _placed(cell.initial_carry(params, batch), xs, len(batch))

    valid, reset = told(time, lengths, mask, reset)
    if valid is not None:
        # The inputs too, not only the outputs: a NaN computed by the step would enter gradients as 0 * NaN.
        blank = select(valid, xs, jax.tree.map(jnp.zeros_like, xs))
        xs = clock.keeping_time(xs, blank, None if lengths is None else inside(lengths, time))

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
        over_time, flip = engine or where_they_are(choice(cell)[0], params, carry, xs), reverse != turned
        carry, ys = over_time(cell, params, carry, _flip(clock.backwards(xs, lengths)) if flip else xs)
        ys = _flip(ys) if flip else ys
        return carry, blank(ys)

    def blank(ys):
        return ys if valid is None else select(valid, ys, jax.tree.map(jnp.zeros_like, ys))

    carry, ys = run(False, cell, params, carry, xs, key)
    return carry, ys if cell.sequence is None else blank(ys)


def _seen_from_behind(reset, reverse, lengths):
    """The resets of a member that runs in the opposite direction: it restarts at the other end of each segment."""
    first = jnp.zeros_like(reset[:1])
    moved = jnp.concatenate([first, reset[:-1]] if reverse else [reset[1:], first])
    # A reset that moved past the end of its row is dropped.
    return moved if lengths is None else moved & inside(lengths, moved.shape[0])


def _placed(carry: Carry, xs: Inputs, axes: int) -> Carry:
    """The carry with its batch axes sharded like those of xs, if shardings are part of types (explicit axes)."""
    sharding = jax.typeof(jax.tree.leaves(xs)[0]).sharding
    if not sharding.mesh.explicit_axes:
        return carry
    rows = sharding.spec[1 : 1 + axes]
    return jax.tree.map(lambda a: jax.sharding.reshard(a, NamedSharding(sharding.mesh, PartitionSpec(*rows))), carry)


def _flip(tree):
    return jax.tree.map(lambda a: jnp.flip(a, 0), tree)
