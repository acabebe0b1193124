"""Bounds on the carry, and on the gradient of the recurrent path."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxrnn.cell import Cell
from jaxrnn.record import factory
from jaxrnn.wrappers.members import around, distributed, in_parts, tapped_stage


def _bound(value, argument="bound"):
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{argument}: expected a number above 0, got {value!r}")


@factory
def clip_carry(cell: Cell, bound: float) -> Cell:
    """The same cell with every field of its carry kept within ±bound after each step; y is made of the clipped one.

    Where it is clipped the gradient stops. Keeps the three parts; around a composition it is around each member. For
    the clip of an LSTM's c alone, before h is made of it, see `lstm(cell_clip=...)`.
    Raises ValueError for a bound that is not above 0, TypeError, for a composition when traced, for a cell that is not
    in three parts.
    """
    _bound(bound)
    if cell.sequence is not None:
        return distributed(cell, lambda leaf: clip_carry(leaf, bound))
    in_parts(cell, "clip_carry")

    def end(params, new, old, _):
        return jax.tree.map(lambda a: jnp.clip(a, -bound, bound) if jnp.issubdtype(a.dtype, jnp.inexact) else a, new)

    inner = around(cell, lambda params, s, _: (s, ()), end)
    drive = inner.drive
    assert drive is not None
    return dataclasses.replace(inner, input=cell.input, drive=lambda params, x: drive(params, (x, ())))


@factory
def clip_gradient(cell: Cell, bound: float) -> Cell:
    """The same cell, with the gradient that comes back through its recurrent products clipped to ±bound.

    What clips is the cotangent of what a product reads, element by element, at each step; the pointwise way from carry
    to carry (an LSTM's f c) is untouched, and so are values. Keeps the three parts; around a composition it is around
    each member. FlashRNN (Pöppel, Beck and Hochreiter 2024, arXiv 2412.07752) calls it the recurrent gradient clip.
    For the norm of the whole gradient take `optax.clip_by_global_norm`.
    Raises ValueError for a bound that is not above 0, TypeError, for a composition when traced, for a cell that is not
    in three parts.
    """
    _bound(bound)
    if cell.sequence is not None:
        return distributed(cell, lambda leaf: clip_gradient(leaf, bound))
    in_parts(cell, "clip_gradient")
    return _on_operands(cell, functools.partial(_clipped, bound))


@factory
def cut_gradient(cell: Cell) -> Cell:
    """The same cell, with no gradient coming back through its recurrent products.

    It still comes through the pointwise way from carry to carry, such as an LSTM's f c; of an Elman cell nothing is
    left but one step. Values are untouched. Keeps the three parts; around a composition it is around each member.
    FlashRNN's recurrent gradient cut; the LSTM of 1997 was trained so (Hochreiter and Schmidhuber).
    Raises TypeError, for a composition when traced, for a cell that is not in three parts.
    """
    if cell.sequence is not None:
        return distributed(cell, cut_gradient)
    in_parts(cell, "cut_gradient")
    return _on_operands(cell, jax.lax.stop_gradient)


def _on_operands(cell, f):
    """The cell with a function on what its recurrent products read."""
    stages = tuple(tapped_stage(stage, {"operand": f}) if stage.recurrent else stage for stage in cell.stages)
    return dataclasses.replace(cell, stages=stages)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _clipped(bound, a):
    """a, whose cotangent is clipped."""
    return a


_clipped.defvjp(lambda bound, a: (a, None), lambda bound, _, ct: (jnp.clip(ct, -bound, bound),))
