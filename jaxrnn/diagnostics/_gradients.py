"""How far back a loss reaches: its gradient with respect to the carry after each step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks, figure
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params
from jaxrnn._core.composition import around
from jaxrnn._core.numerics import common, wide
from jaxrnn._core.record import factory
from jaxrnn._core.rows import given
from jaxrnn.diagnostics._inside import by_name, watched
from jaxrnn.run import unroll


def gradient_norms(
    cell: Cell,
    params: Params,
    carry: Carry | None,
    xs: Inputs,
    loss: Callable[[Carry, Any], jax.Array],
    *,
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
    reverse: bool = False,
    engine: Engine | None = None,
    key: jax.Array | None = None,
) -> dict[str, Any]:
    """The norm of d loss / d carry_t for every t: {"h": [T, ...], ..., "carry": [T, ...]}, for each row and step.

    loss(carry, ys) -> a number, from the results of `unroll`. The derivative is total: through y_t and all later steps.
    There is a norm for each field of the carry and one for all of it, "carry". A composition gives {"layer_0": {...},
    ...}, by the names of its carry. If the loss is a mean over B rows, each row's norm is divided by B. The other
    arguments are those of `unroll`; at a step that a row does not have the norm is 0.

    All steps take one backward pass: a perturbation of 0 is added to each carry_t, and the loss is differentiated with
    respect to these. A plain step computes y_t beside carry_t, not from it: the path through y_t counts only for parts
    of y that are the same array as a field of the returned carry.
    """
    carry, xs, lengths, mask, reset = given(carry, xs, lengths, mask, reset)
    rows: Any = dict(lengths=lengths, mask=mask, reset=reset, reverse=reverse, engine=engine, key=key)
    time, batch = checks.unroll(cell, params, carry, xs, *rows.values())
    carry = cell.initial_carry(params, batch) if carry is None else carry

    def run(perturbations, params, carry, xs):
        def act(run, name, member, params, its, xs, key):
            e = perturbations.setdefault(name, jax.tree.map(lambda a: jnp.zeros((time, *a.shape), _real(a)), its))
            return run(perturbed(member), params, its, (xs, e), key)

        return loss(*unroll(watched(cell, act), params, carry, xs, **rows))

    def zeros(*args):
        found: dict[str, Any] = {}
        run(found, *args)
        return found

    shapes = jax.eval_shape(zeros, params, carry, xs)
    nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    gradients = jax.grad(run)(nothing, params, carry, xs)
    return by_name({name: _norms(g, 1 + len(batch)) for name, g in gradients.items()})


@factory
def perturbed(cell: Cell) -> Cell:
    """The cell on inputs (x, e): e is added to the carry after the step, and y is computed from the sum."""
    if cell.plain_step is None:
        return around(cell, lambda params, s, e: (s, ()), lambda params, s, kept, e: _sum(s, e))
    plain_step = cell.plain_step

    def step(params, carry, x):
        x, e = x
        carry, y = plain_step(params, carry, x)
        new = _sum(carry, e)
        same = dict(zip(map(id, jax.tree.leaves(carry)), jax.tree.leaves(new), strict=True))
        return new, jax.tree.map(lambda a: same.get(id(a), a), y)

    return Cell(cell.init, cell.start, plain_step=step, gates=cell.gates)


def plot_gradient_norms(norms: dict[str, Any], *, distance: bool = False, ax: Any = None) -> Any:
    """A line for each array [T, ...] of a dict, on a logarithmic scale: the median over rows, and a band of 10 to 90%.

    norms: from `gradient_norms` (for a composition: the whole carry of each member), or arrays to compare, {"LSTM":
        norms["carry"], "tanh": ...}.
    distance: plot against the number of steps from t to the last, instead of t.
    """
    ax = figure.axes(ax)
    for i, (label, values) in enumerate(_lines(norms).items()):
        steps = np.arange(len(values))
        figure.line(ax, steps[::-1] if distance else steps, values, label, figure.colour(i), above=0, linewidth=1.8)
    ax.set_yscale("log")
    x = "distance to the last step, T - 1 - t (steps)" if distance else "t (steps)"
    return figure.finish(ax, x=x, y="norm of d loss / d carry at t", title="How far the gradient reaches", legend=True)


def _lines(norms):
    """The lines to draw: each member's whole carry; for a single cell its fields and, if several, the whole carry."""
    members = {name: inner["carry"] if isinstance(inner, dict) else inner for name, inner in norms.items()}
    one_field = len(members) == 2 and "carry" in members
    return {name: a for name, a in members.items() if not (one_field and name == "carry")}


def _real(a):
    return a.dtype if jnp.issubdtype(a.dtype, jnp.inexact) else jnp.float32


def _sum(carry, e):
    """carry + e; integers, which have no gradient, stay as they are."""
    return jax.tree.map(lambda a, e: a + e if jnp.issubdtype(a.dtype, jnp.inexact) else a, carry, e)


def _norms(gradient, rows):
    """The norm of each field, and of all fields together, over the axes after those of the rows."""
    fields = {
        jax.tree_util.keystr(path, simple=True, separator="."): _norm(
            g.reshape(*g.shape[:rows], math.prod(g.shape[rows:]))
        )
        for path, g in jax.tree_util.tree_leaves_with_path(gradient)
    }
    dtype = common(*fields.values())
    every = jnp.stack([v.astype(dtype) for v in fields.values()], -1)
    return {k: v for k, v in fields.items() if k} | {"carry": _norm(every)}


def _norm(a):
    """Over the last axis; of numbers so small, or so large, that float32 does not hold their squares too."""
    a = jnp.abs(a.astype(wide(a.dtype)))
    largest = a.max(-1, keepdims=True, initial=0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale[..., 0] * jnp.sqrt(jnp.square(a / scale).sum(-1))
