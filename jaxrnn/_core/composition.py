"""What wrappers share: how to reach the cells in a composition, and how to add stages to a cell."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxrnn._core import checks, clock
from jaxrnn._core.cell import Carry, Cell, Inputs, Params, Stage, step_with
from jaxrnn._core.numerics import widest
from jaxrnn._core.taps import tapped


class Held(NamedTuple):
    """The state of the inner cell within a step, and what a wrapper keeps beside it."""

    state: Any
    kept: Any


class PerRow(NamedTuple):
    """What comes with the params and belongs to rows, [B, ...] in each leaf: an engine that splits rows splits it."""

    values: Any


def is_per_row(leaf: Any) -> bool:
    """For `is_leaf` of jax.tree.map."""
    return isinstance(leaf, PerRow)


def by_row(params: Any, of_rows: Any, of_all: Any) -> Any:
    """A pytree prefix of params: `of_rows` for what is PerRow, `of_all` for all else."""
    return jax.tree.map(lambda leaf: of_rows if is_per_row(leaf) else of_all, params, is_leaf=is_per_row)


def at_leaves(cell: Cell, act: Callable[..., tuple[Carry, Any]]) -> Callable[..., tuple[Carry, Any]]:
    """A `sequence` in which `act(run, leaf, params, carry, xs, key)` runs each leaf, a cell that is no composition."""

    def visit(run, turned, cell, params, carry, xs, key):
        if cell.sequence is None:
            return act(functools.partial(run, backwards=turned), cell, params, carry, xs, key)

        def member(*args, backwards=False):
            return visit(run, turned != backwards, *args)

        return cell.sequence(member, params, carry, xs, key)

    return lambda run, *args: visit(run, False, cell, *args)


def looks_ahead(cell: Cell, params: Params, x: Inputs) -> bool:
    """Whether a member runs backwards, so that the cell needs the whole sequence. x: one input, or its shape."""
    directions, x = [], clock.read(cell, params, x)

    def run(cell, params, carry, x, key, backwards=False):
        directions.append(backwards)
        return step_with(run, cell, params, carry, x, key)

    jax.eval_shape(lambda params, x: step_with(run, cell, params, cell.start(params), x, None), params, x)
    return any(directions)


def distributed(cell: Cell, make: Callable[[Cell], Cell]) -> Cell:
    """The composition with `make` around each leaf, and around the composition's own parts if it has them."""
    base = make(dataclasses.replace(cell, sequence=None)) if cell.has_parts else cell
    return dataclasses.replace(base, sequence=at_leaves(cell, lambda run, leaf, *args: run(make(leaf), *args)))


def in_parts(cell: Cell, wrapper: str) -> None:
    """Raise TypeError for a cell without the three parts, which the wrapper needs."""
    if not cell.has_parts:
        raise TypeError(
            f"{wrapper}: expected a cell in three parts (drive, stages, output), to reach its state within a step, "
            f"got {cell!r}, a plain step"
        )


def leaves_named(params: Any, names: tuple[str, ...], owner: Cell) -> dict[str, Any]:
    """{path: leaf} for the leaves of params whose last name is one of `names`. Raises ValueError if there are none."""
    if not isinstance(names, tuple):
        raise TypeError(f"names: expected a tuple of names, got {names!r}; write ({names!r},)")
    leaves = jax.tree_util.tree_leaves_with_path(params)
    last = [jax.tree_util.keystr(path[-1:], simple=True) for path, _ in leaves]
    if not set(names) & set(last):
        raise ValueError(
            f"names: expected names of parameters of {owner!r}, which are {', '.join(sorted(set(last)))}, got {names!r}"
        )
    return {shown(path): leaf for (path, leaf), name in zip(leaves, last, strict=True) if name in names}


def shown(path: Any) -> str:
    """A path in a pytree, as its names joined by dots."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def one_input(cell: Cell, params: Params, size: int) -> Any:
    """The shape of one input of a cell without batch axes: as the cell says, or an array of that many features."""
    return jax.ShapeDtypeStruct((size,), widest(params)) if cell.input is None else cell.input(params)


def one_array(wrapper: str, cell: Cell, value: Any, name: str = "y") -> None:
    """Raise TypeError for outputs (or inputs) that are not one array, such as those of emit_carry."""
    if not hasattr(value, "shape"):
        outer = "with_reset or with_mask" if name == "x" else "emit_carry"
        raise TypeError(
            f"{wrapper}: expected {name} of {cell!r} as one array, got {checks.describe(value)}; put what makes more "
            f"of it, such as {outer}, on the outside"
        )


def within(f: Callable[..., Any] | None) -> Any:
    """`f(params, ...)` of the inner cell as a function of {"cell": its params, ...: those of the wrapper}."""
    return None if f is None else lambda params, *args: f(params["cell"], *args)


def around(
    cell: Cell,
    begin: Callable[[Any, Carry, Any], tuple[Any, Any]],
    end: Callable[[Any, Any, Any, Any], Carry],
    *,
    taps: Callable[[Any, int, bool], dict[str, Callable]] | None = None,
    shared_over_time: bool = False,
) -> Cell:
    """The cell in three parts on inputs (x, extra), with a stage before its own and one after them.

    begin(params, carry, extra) -> (state, kept): the state for the cell's stages, and what to keep beside it.
    end(params, state, kept, extra) -> carry: the carry after them. taps(kept, k, in_recur) -> functions for the values
    that stage k taps, in its `recur` or in its `update`. shared_over_time: `extra` is the same for all steps, and comes
    with the params, {"cell": ..., "extra": PerRow}, instead of with x.
    """
    drive = cell.drive
    assert drive is not None

    def params_(f):
        return within(f) if shared_over_time else f

    def inner_u(u):
        return u if shared_over_time else u[0]

    def first(params, s, u, v):
        inner, extra = (params["cell"], params["extra"].values) if shared_over_time else (params, u[1])
        return Held(*begin(inner, s, extra))

    def last(params, s, u, v):
        inner, extra = (params["cell"], params["extra"].values) if shared_over_time else (params, u[1])
        return end(inner, s.state, s.kept, extra)

    def held(k, stage):
        def recur(params, s):
            with tapped(taps(s.kept, k, True) if taps else {}):
                return stage.recur(params, s.state)

        def update(params, s, u, v):
            with tapped(taps(s.kept, k, False) if taps else {}):
                return Held(stage.update(params, s.state, inner_u(u), v), s.kept)

        return Stage(None if stage.recur is None else params_(recur), params_(update), stage.recurrent)

    return Cell(
        cell.init,
        params_(cell.start),
        None,  # not checked; a wrapper whose extra has a fixed shape sets its own
        params_(drive) if shared_over_time else lambda params, x: (drive(params, x[0]), x[1]),
        (Stage(None, first), *itertools.starmap(held, enumerate(cell.stages)), Stage(None, last)),
        params_(cell.output),
        gates=cell.gates,
    )


def with_extra(cell: Cell, extra: Any) -> Any:
    """The `input` of a wrapper that takes (x, extra)."""
    if cell.input is None:
        return None
    inner = cell.input
    return lambda params: (inner(params), extra)
