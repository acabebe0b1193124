"""The cells again, as another program: NumPy, float64, one row and one step at a time, gates by name, from the papers.

Imports nothing of jaxrnn. Params are dicts of arrays in jaxrnn's layout, a carry is a tuple of arrays, and a step is
`step(params, carry, x [D], **options) -> (carry, y)`. To add a cell: write its step in the file of its family, and
list it in that file's CELLS.
"""

from __future__ import annotations

import operator

import numpy as np

from reference import linear, lstms, matrix, spatial, structured, timed, units
from reference.core import STEPS, elman, gated, gru, lstm
from reference.parts import ACTIVATIONS, Entry, columns, sigmoid

# Cells by name -> Entry, from the files of the families.
CATALOGUE: dict[str, Entry] = (
    linear.CELLS | lstms.CELLS | matrix.CELLS | spatial.CELLS | structured.CELLS | timed.CELLS | units.CELLS
)


__all__ = [
    "ACTIVATIONS",
    "CATALOGUE",
    "STEPS",
    "columns",
    "each",
    "elman",
    "gated",
    "gru",
    "lstm",
    "run",
    "sigmoid",
    "stack",
    "with_kernel",
]


def with_kernel(params):
    """The params of a cell that has no kernel, as it has no input, with one that multiplies an x of size 0."""
    if "kernel" in params or "bias" not in params:
        return params
    return {**params, "kernel": np.zeros((0, params["bias"].shape[-1]))}


def stack(*steps):
    """One step through layers, each reading the y of the one below; params and carry are {"layer_0": ..., ...}."""

    def step(params, carry, x):
        new = {}
        for i, layer in enumerate(steps):
            new[f"layer_{i}"], x = layer(params[f"layer_{i}"], carry[f"layer_{i}"], x)
        return new, x

    return step


def run(step, params, initial, carry, xs, *, lengths=None, mask=None, reset=None, reverse=False, batch=None, hold=None):
    """Every row by itself, every step by itself: xs [T, ..., D] -> (carry, ys [T, ..., H]).

    `initial` is the carry of one row at its start, `carry` that of all rows (None: `initial` in each).

        lengths: a row is its first so many steps; y is 0 after them.
        reset: True puts the carry back to `initial`, then the step is taken.
        mask: False takes no step: the carry stays, y is 0. (A reset at that step has still happened.)
        hold: what such a step does instead, `hold(params, carry, x) -> carry`, for a cell that counts its time.
        reverse: the steps of the row from the last to the first, y written where its x stands.
        batch: the batch axes, where xs is not an array of vectors.
    """
    if batch is None:
        batch = xs.shape[1:-1]
    first = each(lambda a: a[(0,) * (1 + len(batch))], xs)
    T, y = len(leaf(xs)), step(params, initial, first)[1]
    ys = np.zeros((T, *batch, *np.shape(y)), np.result_type(y))
    ends = []
    for row in np.ndindex(*batch):
        state = initial if carry is None else each(operator.itemgetter(row), carry)
        times = list(range(T if lengths is None else lengths[row]))
        if reverse:
            times.reverse()
        for t in times:
            if reset is not None and reset[(t, *row)]:
                state = initial
            x = each(lambda a, at=(t, *row): a[at], xs)
            if mask is None or mask[(t, *row)]:
                state, ys[(t, *row)] = step(params, state, x)
            elif hold is not None:
                state = hold(params, state, x)
        ends.append(state)
    return each(lambda *rows: np.reshape(rows, (*batch, *rows[0].shape)), *ends), ys


def each(f, *trees):
    """f of the arrays that stand at the same place in dicts and tuples."""
    if isinstance(trees[0], dict):
        return {name: each(f, *(tree[name] for tree in trees)) for name in trees[0]}
    if isinstance(trees[0], tuple):
        return tuple(each(f, *parts) for parts in zip(*trees, strict=True))
    return f(*trees)


def leaf(tree):
    """The first array of a tree."""
    while isinstance(tree, dict | tuple):
        tree = next(iter(tree.values() if isinstance(tree, dict) else tree))
    return tree
