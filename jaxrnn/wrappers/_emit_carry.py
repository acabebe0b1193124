"""The carry of every step, as part of the output."""

from __future__ import annotations

import dataclasses

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory


@factory
def emit_carry(cell: Cell) -> Cell:
    """The same cell with y = (y, carry after the step): `unroll` then returns the carries of all steps, [T, ..., H].

    For storing states, attention over c, and inspection; O(T) memory. Keeps the three parts.
    Raises TypeError for a composition: put it inside, as in `stack(emit_carry(a))` for the last layer.
    """
    if cell.sequence is not None:
        raise TypeError(
            f"emit_carry: expected a single cell, got {cell!r}; it goes inside, as in zoneout(emit_carry(cell))"
        )
    if cell.plain_step is not None:
        plain_step = cell.plain_step

        def step(params, carry, x):
            carry, y = plain_step(params, carry, x)
            return carry, (y, carry)

        return dataclasses.replace(cell, plain_step=step)
    output = cell.output
    return dataclasses.replace(cell, output=lambda params, carry: (output(params, carry), carry))
