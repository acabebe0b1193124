"""A learned initial carry."""

from __future__ import annotations

import dataclasses

import jax

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.composition import at_leaves, within
from jaxrnn._core.numerics import like, widest
from jaxrnn._core.record import factory


@factory
def learned_carry(cell: Cell) -> Cell:
    """The same cell with a learned initial carry: params {"cell": ..., "initial_carry": a carry without batch axes}.

    It is initially the cell's own; rows without a given carry, and every reset of `unroll`, start from it. Around a
    stack or another composition it holds the carries of all members.
    """

    def init(key, input_size):
        params = cell.init(key, input_size)
        # In the type of the params, if the carry's own is narrower: it is trained like them.
        stored = widest(params)
        carry = jax.tree.map(lambda a: a.astype(max(a.dtype, stored, key=lambda d: d.itemsize)), cell.start(params))
        return {"cell": params, "initial_carry": carry}

    def sequence(run, params, carry, xs, key):
        # Carry and learned carry go in as pairs, so that each member gets its part of both.
        def act(run, leaf, params, carry, xs, key):
            initial = jax.tree.map(lambda pair: pair.initial, carry)
            carry = jax.tree.map(lambda pair: pair.carry, carry)
            return run(learned_carry(leaf), {"cell": params, "initial_carry": initial}, carry, xs, key)

        pairs = jax.tree.map(_Pair, carry, params["initial_carry"])
        return at_leaves(cell, act)(run, params["cell"], pairs, xs, key)

    return Cell(
        init,
        lambda params: like(params["initial_carry"], cell.start(params["cell"])),
        within(cell.input),
        within(cell.drive),
        tuple(Stage(within(stage.recur), within(stage.update), stage.recurrent) for stage in cell.stages),
        lambda params, carry: cell.output(params["cell"], carry),
        within(cell.plain_step),
        None if cell.sequence is None else sequence,
        element=within(cell.element),
        gates=cell.gates,
    )


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A leaf of a carry and its learned initial value: a single leaf to JAX, whose shape a member may read."""

    carry: jax.Array
    initial: jax.Array

    @property
    def shape(self):
        return self.carry.shape

    @property
    def dtype(self):
        return self.carry.dtype
