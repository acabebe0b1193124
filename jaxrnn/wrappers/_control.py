"""Restart or hold the carry where a flag beside the input says so."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.clock import clock, stopped, waited
from jaxrnn._core.composition import around, at_leaves, with_extra
from jaxrnn._core.record import factory
from jaxrnn._core.rows import select

FLAG = jax.ShapeDtypeStruct((), jnp.bool_)


@factory
def with_reset(cell: Cell) -> Cell:
    """The same cell on inputs (x, reset [...] bool): where True, the carry restarts before the step.

    It selects, so a NaN in the old carry does not survive. Keeps the three parts: the restart is a stage without a
    product. Make it the outermost wrapper, as `unroll(reset=)` does: it would not restart inside a zoneout, which keeps
    the old state, or inside a learned carry, which it does not know.
    Raises TypeError, when traced, for a composition that also runs backwards.
    """
    if cell.plain_step is not None:
        inner = cell.plain_step

        def step(params, carry, x):
            x, reset = x
            return inner(params, select(reset, cell.start(params), carry), x)

        return Cell(cell.init, cell.start, with_extra(cell, FLAG), plain_step=step, gates=cell.gates)
    if cell.sequence is not None:
        return _flagged(cell, with_reset)
    made = around(
        cell,
        lambda params, s, reset: (select(reset, cell.start(params), s), ()),
        lambda params, s, kept, reset: s,
    )
    return dataclasses.replace(made, input=with_extra(cell, FLAG))


@factory
def with_mask(cell: Cell) -> Cell:
    """The same cell on inputs (x, mask [...] bool): where False, the carry is held.

    A clock goes on there: the field `elapsed` in the carry of a cell that knows time grows by dt.

    Do not use y there; `unroll` sets it to 0. A held carry may be NaN: the skipped step runs on the initial carry
    instead, so that the held one does not reach a gradient. x must be finite where it is masked: `unroll` ensures that.
    Keeps the three parts. Raises TypeError, when traced, for a composition that also runs backwards.
    """
    if cell.plain_step is not None:
        inner = cell.plain_step

        def step(params, carry, x):
            x, mask = x
            new, y = inner(params, select(mask, carry, cell.start(params)), stopped(x, mask))
            return select(mask, new, waited(carry, clock(x))), y

        return Cell(cell.init, cell.start, with_extra(cell, FLAG), plain_step=step, gates=cell.gates)
    if cell.sequence is not None:
        return _flagged(cell, with_mask)
    made = around(
        cell,
        lambda params, s, flag: (select(flag[0], s, cell.start(params)), s),
        lambda params, new, old, flag: select(flag[0], new, waited(old, flag[1])),
    )
    inner_drive = made.drive
    assert inner_drive is not None

    def drive(params, x):
        x, mask = x
        return inner_drive(params, (stopped(x, mask), (mask, clock(x))))

    return dataclasses.replace(made, input=with_extra(cell, FLAG), drive=drive)


def _flagged(cell, make):
    """The composition with `make` around each leaf; the flag goes directly to the leaves."""

    def sequence(run, params, carry, xs, key):
        xs, flag = xs

        def act(run, leaf, params, carry, xs, key):
            if run.keywords["backwards"]:
                raise TypeError(f"{make.__name__}: {cell!r} also runs backwards; pass reset=, mask= to jaxrnn.unroll")
            return run(make(leaf), params, carry, (xs, flag), key)

        return at_leaves(cell, act)(run, params, carry, xs, key)

    base = make(dataclasses.replace(cell, sequence=None)) if cell.has_parts else cell
    return dataclasses.replace(base, input=with_extra(cell, FLAG), sequence=sequence)
