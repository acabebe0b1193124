"""The values of the gates at every step."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxrnn._core import checks, figure
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params, advance
from jaxrnn._core.record import factory
from jaxrnn._core.rows import given
from jaxrnn._core.taps import tapped
from jaxrnn.diagnostics._inside import by_name, labelled, watched
from jaxrnn.run import unroll


def gate_trace(
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
) -> dict[str, Any]:
    """The value of every gate at every step, by its letter: for an LSTM {"i": [T, ..., H], "f": ..., ...}.

    The letters are those of `cell.gates`, the values those of the formulas in the cell's docstring: a GRU's r, z, n.
    A letter that occurs several times in a step, as in a recurrent highway network, gives "t_0", "t_1", ... A
    composition gives {"layer_0": {...}, ...}, by the names of its carry. All arguments are those of `unroll`; at steps
    that a row does not have, the values are 0.

    It runs the cell again, in a plain loop; other runs pay nothing. A cell of your own marks its gates with
    `jaxrnn.taps.tap("f", value)`. Raises ValueError if no gate is marked.
    """
    found: dict[str, Any] = {}

    def act(run, name, member, params, its, xs, key):
        its, (ys, seen) = run(traced(member), params, its, xs, key)
        ordered = sorted(seen, key=lambda k: (member.gates.find(k[0]), k))  # a compiled loop sorts them by letter
        found.update({name: {k: seen[k] for k in ordered}} if seen else {})
        return its, ys

    carry, xs, lengths, mask, reset = given(carry, xs, lengths, mask, reset)
    rows: Any = dict(lengths=lengths, mask=mask, reset=reset, reverse=reverse, engine=engine, key=key)
    _, batch = checks.unroll(cell, params, carry, xs, *rows.values())
    carry = cell.initial_carry(params, batch) if carry is None else carry
    unroll(watched(cell, act), params, carry, xs, **rows)
    if not found:
        raise ValueError(f"gate_trace: {cell!r} marks no gate; write jaxrnn.taps.tap('f', value) in its update")
    return by_name(found)


@factory
def traced(cell: Cell) -> Cell:
    """The cell as a plain step whose y is (y, {letter: value})."""

    def step(params, carry, x):
        found: dict[str, list] = {}

        def seen(letter):
            return lambda value: found.setdefault(letter, []).append(value) or value

        with tapped({letter: seen(letter) for letter in string.ascii_letters}):
            if cell.plain_step is not None:
                carry, y = cell.plain_step(params, carry, x)
            else:
                assert cell.drive is not None
                carry = advance(cell.stages, params, carry, cell.drive(params, x))
                y = cell.output(params, carry)
        once = {k: v[0] for k, v in found.items() if len(v) == 1}
        often = {f"{k}_{i}": a for k, v in found.items() if len(v) > 1 for i, a in enumerate(v)}
        return carry, (y, once | often)

    return Cell(cell.init, cell.start, cell.input, plain_step=step, gates=cell.gates)


def plot_gate_trace(
    trace: dict[str, Any], *, row: Any = 0, inputs: Sequence[str] | None = None, ax: Sequence[Any] | None = None
) -> Any:
    """An image for each gate, steps to the right and units upwards: trace from `gate_trace` -> the axes, one per gate.

    Units are sorted by the mean of the first gate, so that those that remember and those that forget are apart.
    row: which row of the batch. inputs: what was read at each step, T words as tick labels. ax: one for each gate.
    """
    gates = {label: np.asarray(values, np.float64) for label, values in labelled(trace).items()}
    gates = {label: a if a.ndim == 2 else a[:, row] for label, a in gates.items()}
    if ax is None:
        size = (7.2, 0.7 + 1.35 * len(gates))
        options: dict[str, Any] = dict(figsize=size, sharex=True, squeeze=False, layout="constrained")
        ax = figure.pyplot().subplots(len(gates), **options)[1][:, 0]
    orders: dict[int, np.ndarray] = {}
    assert ax is not None
    for axis, (label, values) in zip(ax, gates.items(), strict=True):
        order = orders.setdefault(values.shape[1], np.argsort(values.mean(0), kind="stable"))
        signed, reach = values.min() < 0, max(1.0, float(np.abs(values).max()))
        image = axis.imshow(
            values.T[order],
            aspect="auto",
            origin="lower",
            interpolation="nearest",
            cmap="RdBu_r" if signed else "viridis",
            vmin=-reach if signed else 0,
            vmax=reach,
        )
        axis.figure.colorbar(image, ax=axis, pad=0.01).locator = figure.ticker().MaxNLocator(4)
        axis.set_ylabel(f"gate {label}\nunit, sorted")
        axis.yaxis.set_major_locator(figure.ticker().MaxNLocator(4, integer=True))
        axis.spines[:].set_visible(False)
    ax[0].set_title("What each gate does at each step", loc="left", fontsize="medium", fontweight="bold")
    ax[-1].set_xlabel("t (steps)")
    if inputs is not None:
        ax[-1].set_xticks(range(len(inputs)), list(inputs))
        ax[-1].set_xlabel("what was read")
    return ax
