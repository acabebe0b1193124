"""Dropout within the recurrence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.composition import PerRow, around, at_leaves, in_parts
from jaxrnn._core.loops import one_step
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tapped
from jaxrnn.wrappers._noise import dropped, kept, per_what, rate

TAPS = {"candidate": "candidate", "carry": "operand"}


@factory
def recurrent_dropout(cell: Cell, rate: float, *, on: str = "candidate", per: str = "step") -> Cell:
    """The same cell with dropout inside its recurrence in training, when `unroll` has a key.

    on="candidate": drops what a gate lets into the state, so that nothing stored is ever lost; in an LSTM
            c' = f c + i m g / (1 - rate),   in a GRU   h' = (1 - z) m n / (1 - rate) + z h
        (Semeniuta, Severyn and Barth 2016, arXiv 1603.05118). For cells with gates.
    on="carry": drops what the recurrent products read, h_{t-1} <- m h_{t-1} / (1 - rate); where the carry is used
        pointwise, it is whole. Each product of a step has its own mask (in a GRU that resets before the product: one
        for the gates, one for r h); an LSTM's projection, which does not connect steps, has none.

    m [..., H] of 0 and 1, 0 with probability `rate`, is drawn for every row: anew at each step (per="step"), or once
    for all steps of a call (per="sequence"). Masks are drawn before the loop; the three parts are kept. Around a
    composition it wraps each member. Without a key, and in `step`: the cell itself.
    Raises ValueError for a rate outside 0 <= rate < 1 and for an unknown `on` or `per`; when traced, TypeError for a
    cell that is not in three parts, ValueError for one that has nothing of the kind to drop.
    """
    _rate(rate, "rate")
    per_what(per)
    if on not in TAPS:
        raise ValueError(f"on: expected 'candidate' or 'carry', got {on!r}")

    def act(run, leaf, params, carry, xs, key):
        if key is None or not rate:
            return run(leaf, params, carry, xs, key)
        in_parts(leaf, "recurrent_dropout")
        key, own = jax.random.split(key)
        sites = _sites(leaf, TAPS[on], params, carry, one_step(xs))
        shapes, tree = jax.tree.flatten(sites)
        if not shapes:
            cure = "cells with gates have one" if on == "candidate" else "products made by jaxrnn.cell.product have one"
            raise ValueError(f"recurrent_dropout: expected a cell that has a {TAPS[on]} to drop ({cure}), got {leaf!r}")
        time = jax.tree.leaves(xs)[0].shape[0]
        lead = (time,) if per == "step" else ()
        keys = jax.random.split(own, len(shapes))
        masks = [kept(k, (*lead, *s.shape), rate) for k, s in zip(keys, shapes, strict=True)]
        masks = jax.tree.unflatten(tree, masks)
        masked = _masked(leaf, TAPS[on], rate, per == "sequence")
        if per == "step":
            return run(masked, params, carry, (xs, masks), key)
        return run(masked, {"cell": params, "extra": PerRow(masks)}, carry, xs, key)

    return dataclasses.replace(cell, sequence=at_leaves(cell, act))


_rate = rate  # `rate` is an argument above


def _sites(leaf, name, params, carry, x):
    """The shapes of what each stage taps under that name: per stage, those in its `recur` and those in its `update`."""

    def step(params, carry, x):
        state, u, sites = carry, leaf.drive(params, x), []

        def recorded(f: Callable, *args: Any):
            found: list[Any] = []
            with tapped({name: lambda value: found.append(value) or value}):
                return f(*args), found

        for stage in leaf.stages:
            v, reads = (None, []) if stage.recur is None else recorded(stage.recur, params, state)
            state, more = recorded(stage.update, params, state, u, v)
            sites.append((reads, more) if stage.recurrent else ([], []))
        return sites

    return jax.eval_shape(step, params, carry, x)


@factory
def _masked(cell: Cell, name: str, rate: float, shared_over_time: bool) -> Cell:
    """The cell on inputs (x, masks); shared_over_time: on x, with params {"cell": ..., "extra": PerRow(masks)}."""

    def taps(masks, k, in_recur):
        left = iter(masks[k][0 if in_recur else 1])  # in the order of the taps
        return {name: lambda value: value if (mask := next(left, None)) is None else dropped(mask, value, rate)}

    return around(
        cell, lambda params, s, m: (s, m), lambda params, s, kept, m: s, taps=taps, shared_over_time=shared_over_time
    )
