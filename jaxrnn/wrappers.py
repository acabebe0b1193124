"""Cell -> Cell. What is pointwise keeps the three parts, so it costs nothing in any engine."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cell import Carry, Cell, Stage, like
from jaxrnn.record import factory


def select(condition: jax.Array, yes: Any, no: Any) -> Any:
    """Leaf by leaf `yes` where condition [...] else `no`; leaves [..., features], which broadcast.

    A selection, not a product with 0 and 1: a NaN that is not chosen does not pass, forwards or backwards.
    """

    def one(a, b):
        a, b = jnp.asarray(a), jnp.asarray(b)
        where = jnp.expand_dims(condition, range(condition.ndim, max(a.ndim, b.ndim)))
        return jnp.where(where, a, b)

    return jax.tree.map(one, yes, no)


def _with_flag(cell: Cell):
    """The `input` of a wrapper that takes (x, flag)."""
    if cell.input is None:
        return None
    inner = cell.input
    return lambda params: (inner(params), jax.ShapeDtypeStruct((), jnp.bool_))


@factory
def with_reset(cell: Cell) -> Cell:
    """The same cell on (x, reset [...] bool): where True, the carry restarts before the step.

    By selection, so that a NaN in the old carry does not survive. Keeps the three parts: the restart is a stage
    without a product.
    """
    if cell.plain_step is not None:
        inner = cell.plain_step

        def step(params, carry, x):
            x, reset = x
            return inner(params, select(reset, cell.start(params), carry), x)

        return Cell(cell.init, cell.start, _with_flag(cell), plain_step=step, gates=cell.gates)

    assert cell.drive is not None
    inner_drive = cell.drive

    def restart(params, s, u, v):
        return select(u[1], cell.start(params), s)

    stages = tuple(Stage(stage.recur, _on_first(stage.update)) for stage in cell.stages)
    return Cell(
        cell.init,
        cell.start,
        _with_flag(cell),
        lambda params, x: (inner_drive(params, x[0]), x[1]),
        (Stage(None, restart), *stages),
        cell.output,
        gates=cell.gates,
    )


def _on_first(update):
    """An update on the first of u = (inner u, flag)."""
    return lambda params, s, u, v: update(params, s, u[0], v)


class _Held(NamedTuple):
    """The state of the inner cell on its way, and the carry to go back to."""

    state: Any
    before: Carry


@factory
def with_mask(cell: Cell) -> Cell:
    """The same cell on (x, mask [...] bool): where False, the carry is held.

    y is then not to be used, and `unroll` sets it to 0. A held carry may be NaN: the step that is skipped is run on the
    initial one, so that nothing of it reaches a gradient. x must be finite where it is masked: `unroll` sees to that.
    Keeps the three parts.
    """
    if cell.plain_step is not None:
        inner = cell.plain_step

        def step(params, carry, x):
            x, mask = x
            new, y = inner(params, select(mask, carry, cell.start(params)), x)
            return select(mask, new, carry), y

        return Cell(cell.init, cell.start, _with_flag(cell), plain_step=step, gates=cell.gates)

    assert cell.drive is not None
    inner_drive = cell.drive

    def held(stage):
        recur = None if stage.recur is None else lambda params, s: stage.recur(params, s.state)
        return Stage(recur, lambda params, s, u, v: _Held(stage.update(params, s.state, u[0], v), s.before))

    return Cell(
        cell.init,
        cell.start,
        _with_flag(cell),
        lambda params, x: (inner_drive(params, x[0]), x[1]),
        (
            Stage(None, lambda params, s, u, v: _Held(select(u[1], s, cell.start(params)), s)),
            *map(held, cell.stages),
            Stage(None, lambda params, s, u, v: select(u[1], s.state, s.before)),
        ),
        cell.output,
        gates=cell.gates,
    )


@factory
def learned_carry(cell: Cell) -> Cell:
    """The same cell with an initial carry that is learned: params {"cell": ..., "initial_carry": one carry, no batch}.

    It starts from the cell's own, and every fresh row and every reset begins with it. Around a stack it holds the carry
    of all layers, and `unroll` then runs the stack step by step, since a layer by itself would restart from its own;
    `stack(learned_carry(a), learned_carry(b))` is still run layer by layer.
    """

    def init(key, input_size):
        params = cell.init(key, input_size)
        # In the type that params are stored in, where the carry's own is narrower: it is learned as they are.
        stored = jax.tree.leaves(params)[0].dtype
        carry = jax.tree.map(lambda a: a.astype(max(a.dtype, stored, key=lambda d: d.itemsize)), cell.start(params))
        return {"cell": params, "initial_carry": carry}

    def within(f: Any) -> Any:
        return None if f is None else lambda params, *args: f(params["cell"], *args)

    return Cell(
        init,
        lambda params: like(params["initial_carry"], cell.start(params["cell"])),
        within(cell.input),
        within(cell.drive),
        tuple(Stage(within(stage.recur), within(stage.update)) for stage in cell.stages),
        lambda params, carry: cell.output(params["cell"], carry),
        within(cell.plain_step),
        gates=cell.gates,
    )


@factory
def stack(*cells: Cell) -> Cell:
    """Cells one above the other: each reads the y of the one below. Params and carry: {"layer_0": ..., "layer_1": ...}.

    `step` runs one layer after another; `unroll` runs each layer over all of T before the next, so that each drive is
    one product: equal. Raises TypeError for what is not a cell.
    """
    if not cells or any(not isinstance(cell, Cell) for cell in cells):
        cure = "; write stack(*cells)" if len(cells) == 1 and isinstance(cells[0], tuple) else ""
        raise TypeError(f"stack: expected one or more cells, got {cells!r}{cure}")
    layers = {f"layer_{i}": cell for i, cell in enumerate(cells)}

    def init(key, input_size):
        params = {}
        for i, k in enumerate(jax.random.split(key, len(cells))):
            if i:
                input_size = cells[i - 1].outputs(params[f"layer_{i - 1}"]).shape[-1]
            params[f"layer_{i}"] = cells[i].init(k, input_size)
        return params

    def through(run, params, carry, x):
        new = {}
        for name, cell in layers.items():
            new[name], x = run(cell, params[name], carry[name], x)
        return new, x

    def step(params, carry, x):
        return through(lambda cell, *args: cell.step(*args), params, carry, x)

    first = cells[0].input
    return Cell(
        init,
        lambda params: {name: cell.start(params[name]) for name, cell in layers.items()},
        None if first is None else lambda params: first(params["layer_0"]),
        plain_step=step,
        sequence=through,
    )
