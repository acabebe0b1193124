"""Rules of our own for derivatives and batches, of functions that JAX would differentiate badly.

A rule may put the batch axis of its outputs elsewhere than the function that it replaces: inside `jit`, `vmap` takes
the axis from the function and the values from the rule, and silently transposes the result (jax issue 16374 is
related). So every custom rule here goes through `own_reverse`, which puts the axis of both in the same place by
construction; and each batching rule returns the axis that it used. (JAX handles those of `jax.custom_batching`.)

Beside `jax_internals.py`, the one file that uses JAX beyond its stable interface.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero, zero_from_primal
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxrnn._core.jax_internals import one_by_one, with_others


def own_reverse(
    f: Callable,
    forward: Callable,
    backward: Callable,
    axes: Any,
    written: Callable | None = None,
    along: Callable | None = None,
    alone: Callable | None = None,
) -> Callable:
    """f(*args) with a reverse of its own, and the usual forward mode.

    forward(*args) -> (out, saved): the same outputs, and what `backward` needs beside the arguments.
    backward(args, saved, ct) -> cts, the cotangents of the arguments.
    axes: a pytree prefix of the result, with the place of `vmap`'s axis in each leaf.
    written: the same as f, as JAX differentiates it best: forward mode goes through it. None: through f.
    along: along(args, moving, given) -> the tangents of the outputs that have one, for those given of the leaves
        `moving`; reverse mode through the reverse is that of this. It may give None: then by `written`. Without
        `written`, the reverse is differentiated as it stands.
    alone: alone(shapes of the leaves of args, which are batched, whether with a gradient): whether `vmap` is a loop
        over its batch. None: never.

    Unlike `jax.custom_vjp`, which forward mode cannot go through: the tangents of the result are one call, linear in
    the tangents of the arguments, that is evaluated by JAX's derivative of a function, and transposed by another.
    """
    plain = written or f

    def placed(out, args):
        beside = jax.tree.leaves(args)
        return jax.tree.map(lambda axis, some: jax.tree.map(lambda a: _place(a, beside, axis), some), axes, out)

    def run(function, gradient, leaves, *rest):
        """function(leaves, *rest), whose `vmap` may be a loop."""
        if alone is None:
            return function(leaves, *rest)
        n, told = len(leaves), alone
        return one_by_one(function, lambda shapes, at: told(shapes[:n], at[:n], gradient), leaves, *rest)

    def called(function, gradient, args):
        leaves, kind = jax.tree.flatten(args)
        return run(lambda leaves: function(*jax.tree.unflatten(kind, leaves)), gradient, leaves)

    def with_saved(*args):
        out, saved = called(forward, True, args)
        return placed(out, args), saved

    saving = with_saved if written is None else jax.custom_jvp(with_saved)

    def differentiated(args, tangents):
        out, saved = saving(*args)
        outs, kinds = jax.tree.flatten(out)
        types = [jax.typeof(a).to_tangent_aval() for a in outs]  # float0 for an output that has no tangent
        real = [t.dtype != jax.dtypes.float0 for t in types]
        leaves, kind = jax.tree.flatten(args)
        moving, given = _moving(tangents)

        def with_float0(some):
            some = iter(some)
            each = (next(some) if r else np.zeros(t.shape, t.dtype) for t, r in zip(types, real, strict=True))
            return jax.tree.unflatten(kinds, each)

        def at(leaves, *some):
            """The outputs that have a tangent, at other values of the leaves that have one."""
            args = jax.tree.unflatten(kind, with_others(leaves, moving, some))
            outs = jax.tree.leaves(placed(plain(*args), args))
            return [a for a, r in zip(outs, real, strict=True) if r]

        def pulled(leaves, saved, ct):
            cts = jax.tree.leaves(backward(jax.tree.unflatten(kind, leaves), saved, with_float0(ct)))
            return [cts[i] for i in moving]

        def tangents_at(leaves, given):
            found = None if along is None else along(jax.tree.unflatten(kind, leaves), moving, given)
            if found is None:
                found = jax.jvp(functools.partial(at, leaves), [leaves[i] for i in moving], given)[1]
            return found

        def anew(leaves, ct):
            return pulled(leaves, forward(*jax.tree.unflatten(kind, leaves))[1], ct)

        alike = functools.partial(run, pulled, True)
        reverse = alike if written is None else _with_reverse_as(alike, anew, tangents_at)
        moved = _linear.bind(
            *leaves,
            *jax.tree.leaves(saved),
            *given,
            n=len(leaves) + len(jax.tree.leaves(saved)),
            f=lambda *a: jax.jvp(
                functools.partial(at, a[: len(leaves)]), [a[i] for i in moving], list(a[len(a) - len(moving) :])
            )[1],
            transpose=lambda *a: reverse(
                list(a[: len(leaves)]),
                jax.tree.unflatten(jax.tree.structure(saved), a[len(leaves) : len(a) - sum(real)]),
                list(a[len(a) - sum(real) :]),
            ),
            types=tuple(t for t, r in zip(types, real, strict=True) if r),
        )
        some = iter(moved)
        tangents = [
            next(some) if r else zero_from_primal(a, symbolic_zeros=True) for a, r in zip(outs, real, strict=True)
        ]
        return out, saved, jax.tree.unflatten(kinds, tangents)

    g = jax.custom_jvp(lambda *args: placed(called(f, False, args), args))

    def rule(args, tangents):
        out, _, moved = differentiated(args, tangents)
        return out, moved

    g.defjvp(rule, symbolic_zeros=True)
    if isinstance(saving, jax.custom_jvp):

        def rule_of_saving(args, tangents):
            out, saved, moved = differentiated(args, tangents)
            # What is saved is a function of the arguments, by which `_with_reverse_as` differentiates.
            return (out, saved), (moved, jax.tree.map(lambda a: zero_from_primal(a, symbolic_zeros=True), saved))

        saving.defjvp(rule_of_saving, symbolic_zeros=True)
    return g


def _with_reverse_as(pulled: Callable, anew: Callable, tangents_at: Callable) -> Callable:
    """pulled(leaves, saved, ct), differentiated as anew(leaves, ct) forwards: `saved` follows from the leaves.

    Backwards, with a cotangent w, it is the gradient of <w, pulled> = <ct, tangents_at(leaves, w)>.
    """
    g = jax.custom_jvp(pulled)

    def rule(operands, tangents):
        leaves, _, ct = operands
        result, kept = g(*operands), [*leaves, *ct]
        moving, given = _moving((tangents[0], tangents[2]))

        def at(function, kept, *some):
            kept = with_others(kept, moving, some)
            return function(kept[: len(leaves)], kept[len(leaves) :])

        def f(*a):
            there, given = a[: len(kept)], list(a[len(kept) :])
            return jax.jvp(functools.partial(at, anew, there), [there[i] for i in moving], given)[1]

        def transpose(*a):
            there, w, n = list(a[: len(kept)]), list(a[len(kept) :]), len(leaves)
            still = [i for i in moving if i < n]
            out, back = jax.vjp(
                lambda *some: tangents_at(with_others(there[:n], still, some), w), *(there[i] for i in still)
            )
            found = dict(zip(still, back(there[n:]), strict=True)) | dict(enumerate(out, n))
            return [found[i] for i in moving]

        types = tuple(jax.typeof(a).to_tangent_aval() for a in result)
        return result, _linear.bind(*kept, *given, n=len(kept), f=f, transpose=transpose, types=types)

    g.defjvp(rule, symbolic_zeros=True)
    return g


def _moving(tangents):
    """The places of the leaves that have a tangent, and these."""
    leaves = jax.tree.leaves(tangents)
    moving = [i for i, t in enumerate(leaves) if not isinstance(t, SymbolicZero)]
    return moving, [leaves[i] for i in moving]


# out = f(*kept, *moving), linear in `moving`; n of the operands are kept. transpose(*kept, *cts) gives the cotangents
# of `moving`. types: of the outputs.
_linear = Primitive("own_reverse")
_linear.multiple_results = True
_linear.def_impl(lambda *operands, n, f, transpose, types: f(*operands))
_linear.def_abstract_eval(lambda *_, n, f, transpose, types: list(types))
mlir.register_lowering(
    _linear, mlir.lower_fun(lambda *operands, n, f, transpose, types: f(*operands), multiple_results=True)
)


def _transposed(cts, *operands, n, f, transpose, types):
    cts = [ad.instantiate_zeros(ct) for ct in cts]
    return [None] * n + transpose(*operands[:n], *cts)


def _jvp(operands, tangents, *, n, f, **rest):
    out = _linear.bind(*operands, n=n, f=f, **rest)
    still, moved = (any(not isinstance(t, ad.Zero) for t in some) for some in (tangents[:n], tangents[n:]))
    sums = []
    if moved:
        there = [ad.instantiate_zeros(t) for t in tangents[n:]]
        sums.append(_linear.bind(*operands[:n], *there, n=n, f=f, **rest))
    if still:
        at = [i for i in range(n) if not isinstance(tangents[i], ad.Zero)]

        there, given = [operands[i] for i in at], [tangents[i] for i in at]
        sums.append(jax.jvp(lambda *some: f(*with_others(operands, at, some)), there, given)[1])
    return out, [functools.reduce(jnp.add, some) for some in zip(*sums, strict=True)]


def _vmapped(operands, at, *, n, f, transpose, types):
    size = next(a.shape[i] for a, i in zip(operands, at, strict=True) if i is not None)

    def summed(*operands_and_cts):
        """The cotangent of what is not batched is the sum over the batch."""
        cts = jax.vmap(transpose, (*at[:n], *[0] * len(types)), axis_size=size)(*operands_and_cts)
        return [ct.sum(0) if i is None else jnp.moveaxis(ct, 0, i) for ct, i in zip(cts, at[n:], strict=True)]

    batched = jax.vmap(f, tuple(at), axis_size=size)
    types = tuple(jax.make_jaxpr(batched)(*operands).out_avals)
    return _linear.bind(*operands, n=n, f=batched, transpose=summed, types=types), [0] * len(types)


ad.primitive_transposes[_linear] = _transposed
ad.primitive_jvps[_linear] = _jvp
batching.primitive_batchers[_linear] = _vmapped


# Returns its first operand. Under vmap the result is batched if any operand is, at the axis given: so two functions
# that end in it have outputs that are batched alike, whatever they did before.
_placed = Primitive("batch_axis_placed")
_placed.def_abstract_eval(lambda a, *_, axis: a)
_placed.def_impl(lambda a, *_, axis: a)
mlir.register_lowering(_placed, lambda _, a, *__, axis: [a])


def _place(a, beside, axis):
    return _placed.bind(a, *beside, axis=axis)


def _batched(args, at, *, axis):
    a, where = args[0], at[0]
    if where is None:
        size = next(arg.shape[i] for arg, i in zip(args, at, strict=True) if i is not None)
        a = jnp.broadcast_to(jnp.expand_dims(a, axis), (*a.shape[:axis], size, *a.shape[axis:]))
    else:
        a = jnp.moveaxis(a, where, axis)
    return _placed.bind(a, *args[1:], axis=axis), axis


batching.primitive_batchers[_placed] = _batched
ad.primitive_jvps[_placed] = lambda primals, tangents, *, axis: (_placed.bind(*primals, axis=axis), tangents[0])
