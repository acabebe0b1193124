"""A learned initial carry."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.composition import at_leaves, within
from jaxrnn._core.numerics import common, like, widest
from jaxrnn._core.record import factory


@factory
def learned_carry(cell: Cell) -> Cell:
    """The same cell with a learned initial carry: params {"cell": ..., "initial_carry": a carry without batch axes}.

    It is initially the cell's own; rows without a given carry, and every reset of `unroll`, start from it. Around a
    stack or another composition it holds the carries of all members. Whole numbers in a carry, such as a clock, are not
    learned: they start as the cell's own, and None stands in their place.
    """

    def init(key, input_size):
        params = cell.init(key, input_size)
        # In the type of the params, if the carry's own is narrower: it is trained like them.
        stored = widest(params)
        carry = jax.tree.map(lambda a: a.astype(common(a, stored)) if _learned(a) else None, cell.start(params))
        return {"cell": params, "initial_carry": carry}

    def start(params):
        own = cell.start(params["cell"])
        given = iter(jax.tree.leaves(params["initial_carry"]))
        return jax.tree.map(lambda a: like(next(given), a) if _learned(a) else a, own)

    def sequence(run, params, carry, xs, key):
        # Carry and learned carry go in as pairs, so that each member gets its part of both.
        def act(run, leaf, params, carry, xs, key):
            initial = jax.tree.map(lambda pair: pair.initial if _learned(pair) else None, carry)
            carry = jax.tree.map(lambda pair: pair.carry, carry)
            return run(learned_carry(leaf), {"cell": params, "initial_carry": initial}, carry, xs, key)

        pairs = jax.tree.map(_Pair, carry, start(params))
        return at_leaves(cell, act)(run, params["cell"], pairs, xs, key)

    return Cell(
        init,
        start,
        within(cell.input),
        within(cell.drive),
        tuple(Stage(within(stage.recur), within(stage.update), stage.recurrent) for stage in cell.stages),
        lambda params, carry: cell.output(params["cell"], carry),
        within(cell.plain_step),
        None if cell.sequence is None else sequence,
        within(cell.element),
        gates=cell.gates,
    )


def _learned(a):
    return jnp.issubdtype(a.dtype, jnp.inexact)


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
