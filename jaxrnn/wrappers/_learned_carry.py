"""An initial carry that is learned."""

from __future__ import annotations

import dataclasses

import jax

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.composition import at_leaves, within
from jaxrnn._core.numerics import like, widest
from jaxrnn._core.record import factory


@factory
def learned_carry(cell: Cell) -> Cell:
    """The same cell with an initial carry that is learned: params {"cell": ..., "initial_carry": one carry, no batch}.

    It starts from the cell's own, and every fresh row and every reset of `unroll` begins with it. Around a stack or
    another composition it holds the carries of all members.
    """

    def init(key, input_size):
        params = cell.init(key, input_size)
        # In the type that params are stored in, where the carry's own is narrower: it is learned as they are.
        stored = widest(params)
        carry = jax.tree.map(lambda a: a.astype(max(a.dtype, stored, key=lambda d: d.itemsize)), cell.start(params))
        return {"cell": params, "initial_carry": carry}

    def sequence(run, params, carry, xs, key):
        # Each member gets its part of the learned carry as it gets its part of the carry: the two go in as pairs.
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
        cell.gates,
    )


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A leaf of a carry and the one it starts from: one leaf, for JAX, of which a member may read the shape."""

    carry: jax.Array
    initial: jax.Array

    @property
    def shape(self):
        return self.carry.shape

    @property
    def dtype(self):
        return self.carry.dtype
