"""The plain loop: the reference that every other engine must equal."""

from __future__ import annotations

import functools
from typing import Any

import jax

from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.jax_internals import varying_alike
from jaxrnn._core.loops import loop


# Jitted as a whole, because `lax.scan` by itself would trace its body again at each call outside of `jit`.
@functools.partial(jax.jit, static_argnames="unroll")
def scan(cell: Cell, params: Params, carry: Carry, xs: Inputs, *, unroll: int = 1) -> tuple[Carry, Any]:
    """`lax.scan` of `cell.step`: xs [T, ..., D] -> (carry, ys [T, ..., H]).

    Every transformation of JAX works through it. `unroll`: steps per iteration of the loop.
    Memory for a gradient is O(T).
    """
    params, carry, xs = varying_alike((params, carry, xs))
    return loop(functools.partial(cell.step, params), carry, xs, unroll=unroll)
