"""Dropout on the inputs, the outputs and the recurrent weights of a cell."""

from __future__ import annotations

import dataclasses

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.composition import leaves_named, shown
from jaxrnn._core.record import factory
from jaxrnn.wrappers._noise import drop, dropped, kept, per_what, rate
from jaxrnn.wrappers._recurrent_dropout import recurrent_dropout


@factory
def dropout(cell: Cell, *, input: float = 0.0, output: float = 0.0, per: str = "step") -> Cell:
    """The same cell with dropout on x and y (Srivastava et al. 2014) in training, when `unroll` has a key.

        x_t <- m x_t / (1 - input),   y_t <- m' y_t / (1 - output)

    with m [..., D] and m' [..., H] of 0 and 1, 0 with probability `input`, `output`, drawn for every element of every
    row: anew at each step (per="step"), or once for all steps of a call, across resets too (per="sequence"). The carry
    is untouched, except that a carry in y (`emit_carry`) is dropped with it. Masks are drawn before the loop and
    applied outside it, so no engine sees them. Without a key, and in `step`: the cell itself.
    Raises ValueError for a rate outside 0 <= rate < 1.
    """
    rate(input, "input")
    rate(output, "output")
    per_what(per)

    def sequence(run, params, carry, xs, key):
        if key is None:
            return run(cell, params, carry, xs, None)
        k1, k2, k3 = jax.random.split(key, 3)
        carry, ys = run(cell, params, carry, drop(k1, xs, input, per), k2)
        return carry, drop(k3, ys, output, per)

    return dataclasses.replace(cell, sequence=sequence)


@factory
def variational_dropout(cell: Cell, *, input: float = 0.0, recurrent: float = 0.0, output: float = 0.0) -> Cell:
    """The same cell with dropout masks that are fixed over a sequence in training, when `unroll` has a key.

        x_t <- m x_t / (1 - input),   y_t <- m' y_t / (1 - output),   h_{t-1} <- m'' h_{t-1} / (1 - recurrent)

    with masks of 0 and 1, one for each row of the call, each element 0 with the given probability. The recurrent mask
    is on what the recurrent products read, not on the carry itself: it is `recurrent_dropout` with on="carry",
    per="sequence". Calls with the same key and batch axes draw the same masks, whatever their T; a mask spans the
    resets in a row. For an embedding see `jaxrnn.regularizers.embedding_dropout`. Without a key, and in
    `step`: the cell itself.
    Raises ValueError for a rate outside 0 <= rate < 1. Gal and Ghahramani 2016, arXiv 1512.05287.
    """
    if recurrent:
        rate(recurrent, "recurrent")
        cell = recurrent_dropout(cell, recurrent, on="carry", per="sequence")
    return dropout(cell, input=input, output=output, per="sequence")


@factory
def weight_drop(cell: Cell, rate: float, *, names: tuple[str, ...] = ("recurrent_kernel",)) -> Cell:
    """The same cell with dropout on its recurrent weights in training, when `unroll` has a key.

        U <- M U / (1 - rate)

    with M of 0 and 1, of U's shape, each element 0 with probability `rate`, drawn once per call: the same for all
    rows and steps. `names`: the parameters, by the last name of their path, anywhere in a composition.
    Without a key, and in `step`: the cell itself. With `weight_norm` it goes inside, `weight_norm(weight_drop(cell,
    r))`: outside, weight_norm would scale what is left of a column back to its full length.
    Raises ValueError for a rate outside 0 <= rate < 1, and, when traced, if no parameter has such a name.
    DropConnect (Wan et al. 2013) on the recurrence, as in Merity, Keskar and Socher 2017, arXiv 1708.02182.
    """
    _rate(rate, "rate")

    def sequence(run, params, carry, xs, key):
        if key is None or not rate:
            return run(cell, params, carry, xs, key)
        key, own = jax.random.split(key)
        found = leaves_named(params, names, cell)
        keys = dict(zip(found, jax.random.split(own, len(found)), strict=True))

        def one(path, leaf):
            k = keys.get(shown(path))
            return leaf if k is None else dropped(kept(k, leaf.shape, rate), leaf, rate)

        return run(cell, jax.tree_util.tree_map_with_path(one, params), carry, xs, key)

    return dataclasses.replace(cell, sequence=sequence)


_rate = rate  # `rate` is an argument above
