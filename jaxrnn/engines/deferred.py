"""Backpropagation through time whose weight gradients are products over many steps, after the loop."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cell import Carry, Cell, Inputs, Params
from jaxrnn.engines.plan import Plan, cotangent, is_real, plan, pull, real
from jaxrnn.engines.program import assigned, evaluate, leading_to, read, tidy, trace, variables
from jaxrnn.engines.scan import scan
from jaxrnn.record import wide

AHEAD = 8  # steps written out in a turn of the loop where no gradient is asked for: XLA then fuses the drive well
CHUNK = 2**21  # bytes of the drive in a chunk: products long enough to run at their peak, that still stay in cache


@functools.partial(jax.jit, static_argnames="chunk")
def deferred(cell: Cell, params: Params, carry: Carry, xs: Inputs, *, chunk: int | None = None) -> tuple[Carry, Any]:
    time = jax.tree.leaves(xs)[0].shape[0]
    if time == 0:
        return scan(cell, params, carry, xs)
    if chunk is None:
        u = jax.eval_shape(cell.drive, params, jax.tree.map(lambda a: a[0], xs))
        step = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(u))
        chunk = divisor(time, max(1, CHUNK // max(1, step)))
    chunk = min(chunk, time)
    end, shown = _loop(cell, chunk, params, carry, xs)
    leaves = iter(shown)
    asked = _asked(cell, params, carry)
    carries = jax.tree.map(lambda a, asked: next(leaves) if asked else jnp.zeros((time, *a.shape), a.dtype), carry, asked)
    return end, cell.output(params, carries)


def divisor(time: int, target: int) -> int:
    """A length for chunks that divides time, if one is near to the target, and else the target."""
    near = [k for k in range((target + 1) // 2, min(time, 2 * target) + 1) if time % k == 0]
    return min(near, key=lambda k: abs(math.log(k / target)), default=min(time, target))


def _asked(cell, params, carry):
    """The carry, with whether `output` reads a leaf for each."""
    traced = trace(cell.output, params, carry)
    read = variables([e.inputs for e in leading_to(traced.equations, traced.outputs)]) | variables(traced.outputs)
    return jax.tree.map(lambda v: v in read, traced.inputs[1])


def _shown(cell, params, carry, tree):
    return [a for a, asked in zip(jax.tree.leaves(tree), jax.tree.leaves(_asked(cell, params, carry)), strict=True) if asked]


def _planned(cell, params, carry, xs) -> Plan:
    shape = lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype)
    first = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), xs)
    return plan(cell, jax.tree.map(shape, params), jax.tree.map(shape, carry), jax.eval_shape(cell.drive, params, first))


def _forward(cell, chunk, params, carry, xs, keep):
    p = _planned(cell, params, carry, xs)
    known = evaluate(p.once, p.constants | assigned(p.params, params))

    def step(carry, u):
        values = evaluate(p.forward if keep else p.advance, known | assigned(p.carry, carry) | assigned(p.u, u))
        new = read(values, p.new)
        return new, (_shown(cell, params, carry, new), read(values, p.saved) if keep else [])

    def piece(carry, xs):
        return lax.scan(step, carry, cell.drive(params, xs), unroll=1 if keep else chunk)

    return _in_pieces(piece, chunk, carry, xs)


def _in_pieces(piece, chunk, carry, xs, reverse=False):
    """`piece` over chunks of time, one after another; what is left when they do not fill it comes last."""
    time = jax.tree.leaves(xs)[0].shape[0]
    whole = time - time % chunk

    def most(carry):
        if whole == chunk:
            return piece(carry, jax.tree.map(lambda a: a[:whole], xs))
        pieces = jax.tree.map(lambda a: a[:whole].reshape(-1, chunk, *a.shape[1:]), xs)
        carry, ys = lax.scan(piece, carry, pieces, reverse=reverse)
        return carry, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), ys)

    def rest(carry):
        return piece(carry, jax.tree.map(lambda a: a[whole:], xs))

    if whole == time:
        return most(carry)
    carry, first = (rest if reverse else most)(carry)
    carry, second = (most if reverse else rest)(carry)
    if reverse:
        first, second = second, first
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _loop(cell, chunk, params, carry, xs):
    time = jax.tree.leaves(xs)[0].shape[0]
    end, (shown, _) = _forward(cell, divisor(time, AHEAD), params, carry, xs, keep=False)
    return end, shown


def _loop_forward(cell, chunk, params, carry, xs):
    end, (shown, saved) = _forward(cell, chunk, params, carry, xs, keep=True)
    return (end, shown), (params, carry, xs, saved)


def _loop_backward(cell, chunk, kept, cotangents):
    params, carry, xs, saved = kept
    d_end, d_shown = cotangents
    p = _planned(cell, params, carry, xs)
    known = evaluate(p.once, p.constants | assigned(p.params, params))
    asked = [a for a, leaf in zip(jax.tree.leaves(_asked(cell, params, carry)), jax.tree.leaves(carry), strict=True) if is_real(leaf)]
    shown_real = [is_real(a) for a in _shown(cell, params, carry, carry)]
    d_shown = [d for d, r in zip(d_shown, shown_real, strict=True) if r]
    emitted = sorted(variables((p.d_u, p.d_v, p.states)) - set(p.saved) - set(known))

    def step(state, given):
        ct, d_params = state
        saved, d_shown = given
        more = iter(d_shown)
        ct = [d + next(more) if a else d for d, a in zip(ct, asked, strict=True)]
        values = evaluate([*p.again, *p.backward], known | dict(zip(p.saved, saved, strict=True)) | assigned(p.ct, ct))
        d_params = {i: d + read(values, p.d_params[i]).astype(d.dtype) for i, d in d_params.items()}
        return (read(values, p.d_carry), d_params), [values[v] for v in emitted]

    def piece(state, given):
        ct, d_params, total = state
        xs, saved, d_shown = given
        (ct, d_params), outs = lax.scan(step, (ct, d_params), (saved, d_shown), reverse=True)
        stacked = dict(zip(emitted, outs, strict=True)) | dict(zip(p.saved, saved, strict=True))
        steps = jax.tree.leaves(xs)[0].shape[0]

        def over(atoms):
            """The atoms for every step of the chunk, also what is the same for all of them."""
            return jax.tree.map(one, atoms)

        def one(a):
            if isinstance(a, jax.ShapeDtypeStruct):
                return jnp.zeros((steps, *a.shape), a.dtype)
            return stacked[a] if a in stacked else jnp.broadcast_to(known[a], (steps, *known[a].shape))

        more, d_xs = tidy(lambda params, xs, d_u: pull(cell.drive, params, xs)[1](d_u))(params, xs, over(p.d_u))
        total = [t + d for t, d in zip(total, more, strict=True)]
        for stage, state, d_v in zip(cell.stages, p.states, p.d_v, strict=True):
            if stage.recur is not None:
                product = tidy(lambda params, s, d, f=stage.recur: pull(lambda p: f(p, s), params)[1](d)[0])
                total = [t + d for t, d in zip(total, product(params, over(state), over(d_v)), strict=True)]
        return (ct, d_params, total), d_xs

    total = [jnp.zeros(a.shape, wide(a.dtype)) for a in real(params)]
    start = (real(d_end), {i: total[i] for i in p.d_params}, total)
    (ct, d_params, total), d_xs = _in_pieces(piece, chunk, start, (xs, saved, d_shown), reverse=True)
    total = [(t + d_params.get(i, 0)).astype(a.dtype) for i, (t, a) in enumerate(zip(total, real(params), strict=True))]
    return cotangent(params, total), cotangent(carry, ct), cotangent(xs, d_xs)


_loop.defvjp(_loop_forward, _loop_backward)
