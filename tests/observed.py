"""What tests of noise share: an engine that takes notes.

An engine is any function (cell, params, carry, xs) -> (carry, ys), so it sees the masks that a wrapper has drawn: those
of inputs in the zeros of xs, of weights in those of the params, those within the recurrence as booleans beside either.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from support import assert_close, tolerance

import jaxrnn

# The plain loop, which compiles fastest: that every engine agrees with it, also on wrapped cells, is asked elsewhere.
run = functools.partial(jaxrnn.unroll, engine=jaxrnn.engines.scan)


class Call(NamedTuple):
    """What an engine was given, and what it gave."""

    params: Any
    xs: Any
    ys: Any

    @property
    def inputs(self):
        """The x of each step, without what else stands beside it."""
        (inputs,) = (a for a in jax.tree.leaves(self.xs) if a.dtype != bool)
        return np.asarray(inputs)

    @property
    def masks(self):
        """Those within the recurrence, in order, each [T, B, ...] also where it is the same for all steps."""
        masks = [np.asarray(a) for a in jax.tree.leaves((self.params, self.xs)) if a.dtype == bool]
        assert all(0 < mask.sum() < mask.size for mask in masks), "a mask that does nothing"
        return [np.broadcast_to(mask, (len(self.inputs), *mask.shape[-2:])) for mask in masks]


def observed(cell, params, carry, xs, key):
    """((carry, ys), calls of the engine in order)."""
    calls = []

    def notes(cell, params, carry, xs):
        carry, ys = jaxrnn.engines.scan(cell, params, carry, xs)
        calls.append(Call(params, xs, ys))
        return carry, ys

    return jaxrnn.unroll(cell, params, carry, xs, engine=notes, key=key), calls


def multiplier(seen, whole, rate):
    """What `whole` was multiplied with: 0 or 1 / (1 - rate), both of them there, and nothing else."""
    seen, whole = np.asarray(seen), np.asarray(whole)
    m = np.where(seen == 0, 0, 1 / (1 - rate))
    assert 0 < (m == 0).sum() < m.size
    assert_close(seen, whole * m, tolerance("float64", 1))
    return m
