"""Checkpointed backpropagation through time: store a few carries, and recompute the forward pass between them."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax

from jaxrnn._core import checks, taps
from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.jax_internals import is_symbolic, varying_alike
from jaxrnn._core.loops import in_pieces, length, one_step, steps
from jaxrnn.engines._deferred.engine import deferred
from jaxrnn.engines._deferred.handover import handover
from jaxrnn.engines._scan import scan


def checkpointed(
    cell: Cell,
    params: Params,
    carry: Carry,
    xs: Inputs,
    *,
    segment: int | None = None,
    memory: int | None = None,
) -> tuple[Carry, Any]:
    """Checkpointed backpropagation through time: xs [T, ..., D] -> (carry, ys [T, ..., H]).

    Only the carry at the start of each segment is stored; the backward pass runs each segment again (by `deferred`, if
    the cell has three parts) and stores its residuals. Memory for a gradient, beside xs, ys and their cotangents, is
    T / segment carries and the residuals of one segment, at the cost of one more forward pass. One level of what
    Gruslys et al. (2016, arXiv 1606.03401) and Chen et al. (2016, arXiv 1604.06174) describe.

    segment: steps in a segment; None: the length that needs least memory, which is O(sqrt T).
    memory: instead of segment, a limit in bytes: the longest segments whose carries and residuals fit.
    Raises ValueError for both at once, a segment below 1, or a memory too small for any segment.
    """
    if segment is not None and memory is not None:
        raise ValueError("engines.checkpointed: expected segment or memory, got both; leave one out")
    for value, argument in (segment, "segment"), (memory, "memory"):
        if value is not None:
            checks.positive(value, argument)
    params, carry, xs = varying_alike((params, carry, xs))
    time = steps(xs)
    if is_symbolic(xs) or time == 0 or (cell.has_parts and handover(cell, params, carry, one_step(xs))):
        return scan(cell, params, carry, xs)
    if segment is None:
        segment = _segment(cell, params, carry, xs, memory)
    run = _checkpointed if taps.active() else _compiled  # as in `deferred`
    return run(cell, params, carry, xs, min(segment, time))


def _checkpointed(cell, params, carry, xs, segment):
    engine = deferred if cell.has_parts else scan
    # prevent_cse is for code outside of loops, which these pieces are not.
    piece = jax.checkpoint(lambda carry, xs: engine(cell, params, carry, xs), prevent_cse=False)
    return in_pieces(piece, segment, carry, xs)


_compiled = jax.jit(_checkpointed, static_argnums=(0, 4))


def _segment(cell, params, carry, xs, memory):
    """The length of a segment: the one that needs least memory, or the longest that fits in `memory` bytes."""
    time, engine = steps(xs), deferred if cell.has_parts else scan

    def kept(steps):
        """Bytes of residuals that the reverse of this many steps needs."""
        some = jax.tree.map(lambda a: jax.ShapeDtypeStruct((steps, *a.shape[1:]), a.dtype), xs)
        pulled = jax.eval_shape(lambda *args: jax.vjp(functools.partial(engine, cell), *args)[1], params, carry, some)
        return _bytes(pulled)

    one, two = kept(1), kept(2)
    step, start = max(1, two - one), max(1, _bytes(carry))

    def needed(segment):
        return -(-time // segment) * start + segment * step

    if memory is None:
        return length(time, max(1, round(math.sqrt(time * start / step))))
    fitting = [s for s in range(1, time + 1) if needed(s) <= memory]
    if not fitting:
        least = min(map(needed, range(1, time + 1)))
        raise ValueError(f"memory: expected at least {least} bytes for T={time}, got {memory}")
    return max((s for s in fitting if time % s == 0 and 2 * s >= fitting[-1]), default=fitting[-1])


def _bytes(tree):
    return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(tree))
