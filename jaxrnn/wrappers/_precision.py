"""Mixed precision: the types of parameters, products, carries and outputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.clock import Timed
from jaxrnn._core.composition import at_leaves
from jaxrnn._core.numerics import common, like
from jaxrnn._core.record import factory


@factory
def precision(
    cell: Cell,
    *,
    compute_dtype: Any = "bfloat16",
    param_dtype: Any = "float32",
    carry_dtype: Any = None,
    output_dtype: Any = None,
) -> Cell:
    """The same cell in mixed precision: `precision(cell)` keeps float32 parameters and computes in bfloat16.

    param_dtype: of the parameters from `init`, and so of gradients and optimizer states. compute_dtype: what parameters
    and inputs are cast to before the loop, and what products multiply; half-precision products are summed in float32.
    carry_dtype: of every field of the carry (None: compute_dtype); "float32" preserves sums over many steps.
    output_dtype: of y (None: compute_dtype). Around a composition it wraps the whole. A learned carry goes outside,
    `learned_carry(precision(cell))`, to keep the type it is stored in; carries from `emit_carry` get the type of y. A
    cell made with a `dtype` of its own computes in that. Complex numbers are complex64, or complex128 where the type is
    float64: there are no complex halves.

    float16 needs loss scaling as well: `jaxrnn.loss_scale`. Raises TypeError for a type that is not floating-point.
    Micikevicius et al. 2018, arXiv 1710.03740.
    """
    for value, argument in (
        (compute_dtype, "compute_dtype"),
        (param_dtype, "param_dtype"),
        (carry_dtype, "carry_dtype"),
        (output_dtype, "output_dtype"),
    ):
        checks.floating(value, argument)
    carried = compute_dtype if carry_dtype is None else carry_dtype
    shown = compute_dtype if output_dtype is None else output_dtype

    def sequence(run, params, carry, xs, key):
        params, times = _cast(params, compute_dtype), xs
        xs = _cast(xs, compute_dtype)
        if isinstance(times, Timed):  # times are summed, which half types are too short for
            xs = xs._replace(dt=times.dt)

        def act(run, leaf, *args):
            return run(_carrying(leaf, carried), *args)

        carry, ys = at_leaves(cell, act)(run, params, carry, xs, key)
        return carry, _cast(ys, shown)

    return dataclasses.replace(
        cell,
        init=lambda key, input_size: _cast(cell.init(key, input_size), param_dtype),
        start=lambda params: _cast(cell.start(_cast(params, compute_dtype)), carried),
        drive=None,
        stages=(),
        plain_step=None,
        sequence=sequence,
        element=None,
    )


@factory
def _carrying(cell: Cell, carry_dtype: Any) -> Cell:
    """The cell with its carry in `carry_dtype`: `update` keeps the type it is given."""
    plain_step = cell.plain_step

    def start(params):
        return _cast(cell.start(params), carry_dtype)

    if plain_step is None:
        return dataclasses.replace(cell, start=start)

    def step(params, carry, x):
        new, y = plain_step(params, carry, x)
        return like(new, carry), y

    return dataclasses.replace(cell, start=start, plain_step=step)


def _cast(tree, dtype):
    def one(a):
        if jnp.issubdtype(a.dtype, jnp.complexfloating):
            return a.astype(common(jnp.complex64, dtype))
        return a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return jax.tree.map(one, tree)
