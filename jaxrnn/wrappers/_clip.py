"""Bounds on the carry, and on the gradient through the recurrent products."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.composition import distributed, in_parts
from jaxrnn._core.numerics import clip_cotangent
from jaxrnn._core.record import factory


def _bound(value, argument="bound"):
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{argument}: expected a number above 0, got {value!r}")


@factory
def clip_carry(cell: Cell, bound: float) -> Cell:
    """The same cell with every field of its carry clipped to ±bound after each step; y comes from the clipped carry.

    Where it is clipped the gradient is 0. Keeps the three parts; around a composition it wraps each member. To clip
    an LSTM's c alone, before h is computed from it, see `lstm(cell_clip=...)`.
    Raises ValueError for a bound that is not above 0, and TypeError (for a composition: when traced) for a cell that
    is not in three parts.
    """
    _bound(bound)
    if cell.sequence is not None:
        return distributed(cell, lambda leaf: clip_carry(leaf, bound))
    in_parts(cell, "clip_carry")

    def clipped(a):
        return jnp.clip(_real("clip_carry", cell, a), -bound, bound)

    clip = Stage(None, lambda params, s, u, v: _floating(clipped, s))
    return dataclasses.replace(cell, stages=(*cell.stages, clip), element=None)


@factory
def clip_gradient(cell: Cell, bound: float) -> Cell:
    """The same cell, with the gradient through its recurrent products clipped to ±bound.

    It clips the cotangent of the operand of each product, element by element, at each step; the pointwise path from
    carry to carry (an LSTM's f c) is untouched, and so are values, and the tangents of forward mode (`jax.jvp`). Keeps
    the three parts; around a composition it wraps each member. FlashRNN (Pöppel, Beck and Hochreiter 2024, arXiv
    2412.07752) calls it the recurrent gradient clip.
    To clip the norm of the whole gradient, use `optax.clip_by_global_norm`.
    Raises ValueError for a bound that is not above 0, and TypeError (for a composition: when traced) for a cell that
    is not in three parts.
    """
    _bound(bound)
    if cell.sequence is not None:
        return distributed(cell, lambda leaf: clip_gradient(leaf, bound))
    in_parts(cell, "clip_gradient")
    return _on_operands(cell, lambda a: clip_cotangent(bound, _real("clip_gradient", cell, a)))


@factory
def cut_gradient(cell: Cell) -> Cell:
    """The same cell, with no gradient through its recurrent products.

    The gradient still flows along the pointwise path from carry to carry, such as an LSTM's f c; in an Elman cell it
    stays within one step. Values are untouched. Keeps the three parts; around a composition it wraps each member.
    FlashRNN's recurrent gradient cut; the LSTM of 1997 was trained this way (Hochreiter and Schmidhuber).
    Raises TypeError (for a composition: when traced) for a cell that is not in three parts.
    """
    if cell.sequence is not None:
        return distributed(cell, cut_gradient)
    in_parts(cell, "cut_gradient")
    return _on_operands(cell, jax.lax.stop_gradient)


def _on_operands(cell, f):
    """The cell with `f` applied to the operands of its recurrent products."""

    def under(recur):
        return lambda params, s: recur(params, _floating(f, s))

    stages = tuple(s._replace(recur=under(s.recur)) if s.recur and s.recurrent else s for s in cell.stages)
    return dataclasses.replace(cell, stages=stages, element=cell.element if stages == cell.stages else None)


def _real(wrapper, cell, a):
    if jnp.issubdtype(a.dtype, jnp.complexfloating):
        raise TypeError(
            f"{wrapper}: expected a real carry, got {a.dtype} in that of {cell!r}, and complex numbers are not between "
            "two bounds; a cell of your own can bound their magnitude"
        )
    return a


def _floating(f, tree):
    return jax.tree.map(lambda a: f(a) if jnp.issubdtype(a.dtype, jnp.inexact) else a, tree)
