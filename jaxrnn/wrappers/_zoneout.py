"""Zoneout: units that randomly keep their old state for a step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.composition import around, at_leaves, in_parts
from jaxrnn._core.numerics import common, like
from jaxrnn._core.record import factory
from jaxrnn._core.rows import select
from jaxrnn.wrappers._noise import rate


@factory
def zoneout(cell: Cell, *, h: float = 0.0, c: float = 0.0) -> Cell:
    """The same cell, whose units randomly keep their old state (Krueger et al. 2017, arXiv 1606.01305).

        training, `unroll` has a key:   h_t = d h_{t-1} + (1 - d) h'_t,   d [..., H] of 0 and 1, 1 with probability h
        evaluation, and `step`:         h_t = h h_{t-1} + (1 - h) h'_t,   its expected value

    where h' is what the cell computes from the whole carry; c has its own masks, with probability c. y is computed
    from the state after zoneout. `h` is for the carry's field h, `c` for all other fields, such as an LSTM's c,
    integers included, but not for the clock `elapsed`.
    Masks are drawn before the loop, for every unit of every row and step; the three parts are kept. Around a
    composition it wraps each member.
    Raises ValueError for a rate outside 0 <= rate < 1 and for c if the carry has only h; when traced, TypeError for a
    cell that is not in three parts.
    """
    rate(h, "h")
    rate(c, "c")

    def expected(leaf):
        return _expected(leaf, h, c)

    def act(run, leaf, params, carry, xs, key):
        in_parts(leaf, "zoneout")
        if key is None:
            return run(expected(leaf), params, carry, xs, None)
        key, own = jax.random.split(key)
        time = jax.tree.leaves(xs)[0].shape[0]
        leaves, rates = jax.tree.leaves(carry), _rates(leaf, carry, h, c)
        masks = [
            jax.random.bernoulli(k, p, (time, *a.shape))
            for k, a, p in zip(jax.random.split(own, len(leaves)), leaves, rates, strict=True)
            if p
        ]
        return run(_drawn(leaf, h, c), params, carry, (xs, masks), key)

    base = expected(dataclasses.replace(cell, sequence=None)) if cell.has_parts else cell
    return dataclasses.replace(base, sequence=at_leaves(cell, act))


def _rates(cell, carry, h, c):
    """The zoneout probability of each leaf of the carry."""
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(carry)]
    names = [jax.tree_util.keystr(path[-1:], simple=True) for path in paths]
    if c and all(name in ("h", "", "elapsed") for name in names):
        raise ValueError(f"c: expected 0 for {cell!r}, whose carry has no other field than h, got {c}")
    return [h if name in ("h", "") else 0 if name == "elapsed" else c for name in names]


def _mean(p, a, b):
    """Of a with the weight p and b, which may be of two types, or integers."""
    dtype = common(a, b, p)
    return p * a.astype(dtype) + (1 - p) * b.astype(dtype)


@factory
def _expected(cell: Cell, h: float, c: float) -> Cell:
    """The cell with the expected value of zoneout at each step."""

    def end(params, new, old, _):
        leaves = [
            _mean(p, a, b) if p else b
            for p, a, b in zip(_rates(cell, old, h, c), jax.tree.leaves(old), jax.tree.leaves(new), strict=True)
        ]
        return like(jax.tree.unflatten(jax.tree.structure(old), leaves), old)

    inner = around(cell, lambda params, s, _: (s, s), end)
    drive = inner.drive
    assert drive is not None
    return dataclasses.replace(inner, input=cell.input, drive=lambda params, x: drive(params, (x, ())))


@factory
def _drawn(cell: Cell, h: float, c: float) -> Cell:
    """The cell with zoneout on inputs (x, masks), a mask for each carry leaf with a rate: True keeps the old state."""

    def end(params, new, old, masks):
        left = iter(masks)
        leaves: list[Any] = [
            select(next(left), a, b) if p else b
            for p, a, b in zip(_rates(cell, old, h, c), jax.tree.leaves(old), jax.tree.leaves(new), strict=True)
        ]
        return jax.tree.unflatten(jax.tree.structure(old), leaves)

    return around(cell, lambda params, s, _: (s, s), end)
