"""Backpropagation through time whose weight gradients are products over many steps, after the loop.

One step of the cell and its reverse are traced into a flat list of equations (`program.py`), sorted into those before
the loop, in the forward loop and in the backward loop (`plan.py`). A minimum cut of the forward equations finds the
fewest bytes from which a step can be reversed, and the forward loop saves those (`minimum_cut.py`). Time runs in
chunks: forward, the drive of a chunk is one product, and the loop over its steps is left with what depends on the
carry. Backward, the loop over a chunk carries only the carry's cotangent and writes the cotangents of each step's drive
and recurrent product, from which the gradients of kernels and inputs are computed after that loop, one product each.
The whole is one function with a reverse of its own (`own_reverse`); the cell's `output` stays outside it and runs over
all steps at once. Forward mode differentiates the forward loop. Where arrays are on several devices the rows run in
groups, one for each (`engines/_groups.py`).

docs/deferred.md follows one GRU through all of this, with its numbers, and says what the engine does not keep.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks, devices, taps
from jaxrnn._core.cell import Carry, Cell, Inputs, Params, advance
from jaxrnn._core.custom_rules import own_reverse
from jaxrnn._core.jax_internals import is_symbolic, varying_alike
from jaxrnn._core.loops import in_pieces, length, loop, one_step, steps
from jaxrnn._core.numerics import wide
from jaxrnn._core.rows import select
from jaxrnn.engines._deferred import whole_step
from jaxrnn.engines._deferred.handover import planned
from jaxrnn.engines._deferred.plan import Plan, cotangent, is_real, plan, pull, real
from jaxrnn.engines._deferred.program import assigned, evaluate, read, variables, with_fast_products
from jaxrnn.engines._deferred.tangent import with_tangent
from jaxrnn.engines._groups import batch_axes, groups, in_groups
from jaxrnn.engines._scan import scan
from jaxrnn.wrappers import with_reset

# The least length of a chunk: its products then run at peak speed and cost more than adding up their results, and its
# arrays still fit in cache.
ROWS = 512  # of the products
BYTES = 2**20  # of the drive
AHEAD = 8  # steps per iteration of the loop without a gradient: XLA then fuses the drive well
# Several networks on a CPU run one after the other from so many multiplications in a step of one (with a gradient), or
# numbers in its kernel (without). Smaller ones gain more from sharing a loop.
NETWORK = 2**17
KERNEL = 2**14


def deferred(cell: Cell, params: Params, carry: Carry, xs: Inputs, *, chunk: int | None = None) -> tuple[Carry, Any]:
    """Backpropagation through time with deferred weight gradients: xs [T, ..., D] -> (carry, ys [T, ..., H]).

    The drive is one product for each `chunk` of steps (None: as many as fit in cache). The forward loop keeps the
    fewest bytes from which a step can be reversed, found by a minimum cut of its equations. The reverse loop carries
    the carry's cotangent alone; the gradients of kernels, biases and inputs are one product each for a chunk, after
    its loop. Appleyard, Kocisky and Blunsom (2016, arXiv 1604.01946) describe both products for an LSTM.

    A cell with effects (prints, callbacks, collectives), or whose step cannot be reversed, is run by engines.scan, and
    `explain` says why. For cells in three parts; gradients of params that `update` reads (peepholes) are summed in the
    loop. Memory for a gradient is O(T). Differentiable in both modes, any number of times; `jax.jvp` by itself runs the
    forward loop twice, and is faster through engines.scan.
    Raises ValueError for a cell without the parts or a chunk below 1.
    """
    if not cell.has_parts:
        raise ValueError(f"engines.deferred: expected a cell in three parts, got {cell!r}; use engines.scan")
    if chunk is not None:
        checks.positive(chunk, "chunk")
    # A program with taps in it is nobody else's: it is not kept.
    params, carry, xs = varying_alike((params, carry, xs))
    run = _deferred if taps.active() else _compiled
    return run(cell, params, carry, xs, chunk)


def _deferred(cell, params, carry, xs, chunk):
    """The custom rule around the loop, planned for these shapes, and the outputs after it."""
    p = "" if is_symbolic(xs) or not steps(xs) else planned(cell, params, carry, one_step(xs))
    if isinstance(p, str):
        return scan(cell, params, carry, xs)
    n = groups(cell, params, carry, xs)
    if n == 1:
        end, stacked = _over_time(cell, p, chunk, params, carry, xs)
    else:
        end, stacked = in_groups(n, functools.partial(_over_time, cell, None, chunk), params, carry, xs)
    # The carries of all steps, for `output`. Leaves that it does not read were not stacked, and are zeros.
    stacked, leaves = iter(stacked), []
    for leaf, asked in zip(jax.tree.leaves(end), p.output_reads, strict=True):
        leaves.append(next(stacked) if asked else jnp.zeros((steps(xs), *leaf.shape), leaf.dtype))
    return end, cell.output(params, jax.tree.unflatten(jax.tree.structure(end), leaves))


def _over_time(cell, p: Plan | str | None, chunk, params, carry, xs):
    """The last carry, and the stacked carry leaves that `output` reads, with the reverse of this engine."""
    if p is None:
        p = planned(cell, params, carry, one_step(xs))
    assert isinstance(p, Plan)
    if chunk is None:
        u = jax.eval_shape(cell.drive, params, one_step(xs))
        rows = max(1, math.prod(batch_axes(cell, params, carry)))
        size = max(1, sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(u)))
        chunk = length(steps(xs), max(ROWS // rows, BYTES // size))
    own_axes = jax.tree.leaves(carry)[0].ndim - len(batch_axes(cell, params, carry))
    on_mesh = bool(devices.meshes((params, carry, xs)))
    rule = own_reverse(
        functools.partial(_primal_only, cell, p),
        functools.partial(_forward_saving, cell, p, chunk),
        functools.partial(_backward, cell, p, chunk),
        axes=(0, 1),  # first in the carry, after time in what is stacked
        written=functools.partial(_as_written, cell, p),
        along=functools.partial(_along, cell, p, chunk),
        alone=functools.partial(_alone, on_mesh, len(jax.tree.leaves(params)), own_axes),
    )
    return rule(params, carry, xs)


def _alone(on_mesh, n, own_axes, shapes, batched, gradient):
    """Whether networks under `vmap` run one after the other, on a CPU; the first n leaves are params, then the carry.

    own_axes: of the carry's first leaf, how many are no batch axes.

    XLA runs a product of several kernels as a product for each, at every step: large ones are out of cache by the next.
    """
    mesh = jax.sharding.get_abstract_mesh()
    shared = set(mesh.axis_names) > set(mesh.manual_axes) if mesh.manual_axes else on_mesh or not mesh.empty
    if jax.default_backend() != "cpu" or shared:  # the loop would go from device to device
        return False
    size = max((math.prod(s) for s, b in zip(shapes[:n], batched, strict=False) if b and len(s) > 1), default=0)
    return size * math.prod(shapes[n][: len(shapes[n]) - own_axes]) >= NETWORK if gradient else size >= KERNEL


_compiled = jax.jit(_deferred, static_argnums=(0, 4))


def _loop(cell, p: Plan, equations, kept, size, unroll, params, carry, xs):
    """The forward loop: the last carry and, stacked over time, the carry leaves that `output` reads and `kept`.

    size: steps in a chunk. unroll: steps per iteration of the loop over them.
    """
    known = evaluate(p.loop_invariant, p.constants | assigned(p.params, params))

    def step(carry, u):
        values = evaluate(equations, known | assigned(p.carry, carry) | assigned(p.u, u))
        new = read(values, p.new)
        return new, ([a for a, s in zip(jax.tree.leaves(new), p.output_reads, strict=True) if s], read(values, kept))

    def piece(carry, xs):
        return loop(step, carry, cell.drive(params, xs), unroll=unroll)

    return in_pieces(piece, size, carry, xs)


def _primal_only(cell, p: Plan, params, carry, xs):
    """The forward loop without a gradient: the last carry, and the stacked carry leaves that `output` reads."""
    if whole_step.is_better(batch_axes(cell, params, carry), xs):
        return whole_step.over_time(cell, p.output_reads, params, carry, xs)
    size = length(steps(xs), AHEAD)
    end, (stacked, _) = _loop(cell, p, p.advance, [], size, size, params, carry, xs)
    return end, stacked


def _as_written(cell, p: Plan, params, carry, xs):
    """The same for JAX to differentiate: the loop of `scan`."""

    def step(carry, x):
        new = advance(cell.stages, params, carry, cell.drive(params, x))
        return new, [a for a, s in zip(jax.tree.leaves(new), p.output_reads, strict=True) if s]

    return loop(step, carry, xs)


def _forward_saving(cell, p: Plan, chunk, params, carry, xs):
    """The same, and for `_backward` the variables of the cut for each step."""
    end, (stacked, saved) = _loop(cell, p, p.forward, p.saved, chunk, 1, params, carry, xs)
    return (end, stacked), saved


def _backward(cell, p: Plan, chunk, args, saved, cotangents):
    """The cotangents of params, carry and xs, chunk by chunk from the last.

    Variables of the plan stand for arrays of one step inside `step`, and of all steps of a chunk in `piece`.
    """
    params, carry, xs = args
    d_end, d_stacked = cotangents
    d_stacked = [d for d in d_stacked if d.dtype != jax.dtypes.float0]
    rows = xs[1].ndim - 1 if _resets(cell) else None
    known = evaluate(p.loop_invariant, p.constants | assigned(p.params, params))
    usual = None if rows is None else _usual(cell, p, known, params, carry, xs)
    # What the products after the loop read, unless it is saved or the same for all steps.
    emitted = sorted(variables((p.d_u, p.d_v, p.states)) - set(p.saved) - set(known))

    def step(state, given):
        ct, d_params = state
        saved, d_stacked = given
        more = iter(d_stacked)
        ct = [d + next(more) if reads else d for d, reads in zip(ct, p.output_reads_real, strict=True)]
        asked = _asked(ct, rows)
        saved = saved if asked is None else select(asked, saved, usual)
        values = evaluate([*p.recompute, *p.backward], known | assigned(p.saved, saved) | assigned(p.ct, ct))
        d_params = add(d_params, read(values, p.d_params))
        return (read(values, p.d_carry), d_params), (asked, read(values, emitted))

    def piece(state, given):
        ct, d_params, total = state
        xs, saved, d_stacked = given
        (ct, d_params), (asked, outs) = loop(step, (ct, d_params), (saved, d_stacked), reverse=True)
        if asked is not None:
            xs, saved = (select(asked, tree, jax.tree.map(jnp.zeros_like, tree)) for tree in (xs, saved))
        stacked = assigned(emitted, outs) | assigned(p.saved, saved)

        def of_all_steps(a):
            """The array [steps, ...] of a variable; zeros for a shape, where only the shape matters."""
            if isinstance(a, jax.ShapeDtypeStruct):
                return jnp.zeros((steps(xs), *a.shape), a.dtype)
            if isinstance(a, int) and a in stacked:
                return stacked[a]
            a = jnp.asarray(read(known, a))  # the same at every step
            return jnp.broadcast_to(a, (steps(xs), *a.shape))

        d_u, states, d_vs = jax.tree.map(of_all_steps, (p.d_u, p.states, p.d_v))
        more, d_xs = with_fast_products(lambda params, xs, d: pull(cell.drive, params, xs)[1](d))(params, xs, d_u)
        total = add(total, more)
        for stage, state, d_v in zip(cell.stages, states, d_vs, strict=True):
            if stage.recur is not None:
                total = add(total, with_fast_products(functools.partial(_of_product, stage.recur))(params, state, d_v))
        return (ct, d_params, total), d_xs

    total = [jnp.zeros(a.shape, wide(a.dtype)) for a in real(params)]
    total = varying_alike((total, real(params)))[0]
    start = (real(d_end), [total[i] for i in p.params_read_by_update], total)
    (ct, d_params, total), d_xs = in_pieces(piece, chunk, start, (xs, saved, d_stacked), reverse=True)
    for i, d in zip(p.params_read_by_update, d_params, strict=True):
        total[i] += d
    total = [t.astype(a.dtype) for t, a in zip(total, real(params), strict=True)]
    return cotangent(params, total), cotangent(carry, ct), cotangent(xs, d_xs)


def _of_product(recur, params, state, d_v):
    """The cotangent of params by a stage's product. d_v may have been narrowed (see `plan`)."""
    v, back = pull(lambda p: recur(p, state), params)
    return back([d.astype(a.dtype) for d, a in zip(d_v, real(v), strict=True)])[0]


def _along(cell, p: Plan, chunk, args, moving, given):
    """The tangents of the real leaves of `_over_time`'s outcome, by this engine; None where it cannot.

    moving: which leaves of args have a tangent; given: these.
    """
    if _resets(cell):
        return None
    (params, carry, xs), sizes = args, [len(jax.tree.leaves(tree)) for tree in args]
    there, end = dict(zip(moving, given, strict=True)), sizes[0] + sizes[1]
    of_params = [i for i in moving if i < sizes[0]]
    of_xs = [i - end for i in moving if i >= end]
    leaves = enumerate(jax.tree.leaves(carry), sizes[0])
    d_carry = [there[i] if i in there else jnp.zeros_like(a) for i, a in leaves if is_real(a)]
    both = with_tangent(cell, of_params, of_xs, p.output_reads_real)
    assert both.drive is not None
    params, xs = (params, [there[i] for i in of_params]), (xs, [there[i + end] for i in of_xs])
    params, carry, xs = varying_alike((params, (carry, d_carry), xs))
    try:
        planned_both = plan(both, params, carry, jax.eval_shape(both.drive, params, one_step(xs)))
    except Exception:  # a derivative that cannot be reversed: JAX says so where it comes to it
        return None
    (_, d_end), stacked = _over_time(both, planned_both, chunk, params, carry, xs)
    return [*d_end, *stacked]


def _resets(cell):
    """Whether a step may restart a row. Not by the name: a factory of the user's may have the same."""
    return cell.origin is not None and cell.origin.factory is with_reset


def _asked(ct, rows):
    """Whether a row [...] of a step has a cotangent that is not 0, where there are resets; else None.

    What lies before a reset may be NaN, and the loss may leave it out. 0 times NaN must then be 0, in gradients too.
    """
    if rows is None:
        return None
    return functools.reduce(jnp.logical_or, [jnp.any(d != 0, axis=tuple(range(rows, d.ndim))) for d in ct])


def _usual(cell, p: Plan, known, params, carry, xs):
    """What a step from the start of a row saves, with a drive of 0: it stands in where nothing is asked.

    Zeros would not do: a step may divide by what it saves, as a softmax by its sum, and 0 times NaN is NaN.
    """
    start = jax.tree.map(lambda s, c: jnp.broadcast_to(s, c.shape).astype(c.dtype), cell.start(params), carry)
    u = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(cell.drive, params, one_step(xs)))
    start, u, _ = varying_alike((start, u, (known, carry)))
    return read(evaluate(p.forward, known | assigned(p.carry, start) | assigned(p.u, u)), p.saved)


def add(total, more):
    """total + more, leaf by leaf, in the type of the total, which is the wider."""
    return [t + m.astype(t.dtype) for t, m in zip(total, more, strict=True)]
