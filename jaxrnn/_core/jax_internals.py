"""All that the library uses of JAX beyond its stable interface: `jax.core`, `jax.extend` and `jax.interpreters`.

Written for jax 0.10.2 to 0.12; a newer jax that breaks something breaks it here.

All differentiation and batching rules are here too. A rule may put the batch axis of its outputs elsewhere than the
function that it replaces: inside `jit`, `vmap` takes the axis from the function and the values from the rule, and
silently transposes the result (jax issue 16374 is related). So every custom rule here goes through `own_reverse`, which
puts the axis of both in the same place by construction, or returns what the function returns (`with_derivatives`); and
each batching rule returns the axis that it used. (JAX handles the axes of `jax.custom_batching`, in `lapack`.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jax.export import is_symbolic_dim as is_symbolic_dim
from jax.extend.core import Literal as Literal
from jax.extend.core import Primitive
from jax.extend.core import Var as Var
from jax.extend.core import primitives as primitives
from jax.interpreters import ad, batching, mlir


def is_traced(value: Any) -> bool:
    """Whether a value is not concrete: a tracer, or only a shape."""
    return isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct)


def is_symbolic(tree: Any) -> bool:
    """Whether a size of an array in the tree is not a number but a name, as in `jax.export` for any batch or time."""
    return any(is_symbolic_dim(n) for leaf in jax.tree.leaves(tree) for n in jnp.shape(leaf))


def varying_alike(tree: Any) -> Any:
    """Within `jax.shard_map`: every leaf varies over each mesh axis that one of them varies over. Else the same tree.

    A loop refuses a carry that is the same on all devices at its start and not at its end. The transpose of the cast is
    the one sum over devices of a gradient, so it belongs before the loop.
    """
    axes = frozenset().union(*(_varying(a) for a in jax.tree.leaves(tree)))
    if not axes:
        return tree

    def cast(a):
        missing = axes - _varying(a)
        return lax.pcast(a, tuple(sorted(missing)), to="varying") if missing else a

    return jax.tree.map(cast, tree)


def _varying(a):
    return jax.typeof(a).mat.varying


def own_reverse(f: Callable, forward: Callable, backward: Callable, axes: Any) -> Callable:
    """f(*args) with a reverse of its own, and the usual forward mode.

    forward(*args) -> (out, saved): the same outputs, and what `backward` needs beside the arguments.
    backward(args, saved, ct) -> cts, the cotangents of the arguments.
    axes: a pytree prefix of the result, with the place of `vmap`'s axis in each leaf.

    Unlike `jax.custom_vjp`, which forward mode cannot go through: the tangents of the result are one call, linear in
    the tangents of the arguments, that is evaluated by JAX's derivative of f, and transposed by `backward`.
    """

    def placed(out, args):
        beside = jax.tree.leaves(args)
        return jax.tree.map(lambda axis, some: jax.tree.map(lambda a: _place(a, beside, axis), some), axes, out)

    g = jax.custom_jvp(lambda *args: placed(f(*args), args))

    def rule(args, tangents):
        out, saved = forward(*args)
        out = placed(out, args)
        outs, kinds = jax.tree.flatten(out)
        types = [jax.typeof(a).to_tangent_aval() for a in outs]  # float0 for an output that has no tangent
        real = [t.dtype != jax.dtypes.float0 for t in types]
        tangents = jax.tree.leaves(tangents)
        moving = [i for i, t in enumerate(tangents) if not isinstance(t, SymbolicZero)]
        kept, kind = jax.tree.flatten((args, saved))

        def with_float0(some):
            some = iter(some)
            each = (next(some) if r else np.zeros(t.shape, t.dtype) for t, r in zip(types, real, strict=True))
            return jax.tree.unflatten(kinds, each)

        def tangent(*operands):
            args, structure = jax.tree.flatten(jax.tree.unflatten(kind, operands[: len(kept)])[0])

            def at(*some):
                there = dict(zip(moving, some, strict=True))
                given = [there.get(i, a) for i, a in enumerate(args)]
                outs = jax.tree.leaves(placed(f(*jax.tree.unflatten(structure, given)), given))
                return [a for a, r in zip(outs, real, strict=True) if r]

            return jax.jvp(at, [args[i] for i in moving], list(operands[len(kept) :]))[1]

        def transpose(*operands):
            args, saved = jax.tree.unflatten(kind, operands[: len(kept)])
            cts = jax.tree.leaves(backward(args, saved, with_float0(operands[len(kept) :])))
            return [cts[i] for i in moving]

        moved = _linear.bind(
            *kept,
            *(tangents[i] for i in moving),
            n=len(kept),
            f=tangent,
            transpose=transpose,
            types=tuple(t for t, r in zip(types, real, strict=True) if r),
        )
        return out, with_float0(moved)

    g.defjvp(rule, symbolic_zeros=True)
    return g


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

        def of_kept(*some):
            given = dict(zip(at, some, strict=True))
            return f(*(given.get(i, a) for i, a in enumerate(operands)))

        sums.append(jax.jvp(of_kept, [operands[i] for i in at], [tangents[i] for i in at])[1])
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


def with_derivatives(f: Callable, derivatives: Callable) -> Callable:
    """f(*args), elementwise in arrays of one shape, with `derivatives(*args)` by each of them in place of its own.

    The rule calls the function itself, so that `vmap` puts the axis of both in the same place.
    """
    g = jax.custom_jvp(f)

    def rule(args, tangents):
        parts = [by * tangent for by, tangent in zip(derivatives(*args), tangents, strict=True)]
        return g(*args), functools.reduce(jnp.add, parts)

    g.defjvp(rule)
    return g


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


def clip_cotangent(bound: float, a: jax.Array) -> jax.Array:
    """Return `a`; its cotangent is clipped to ±bound, its tangent is as it is."""

    def clipped(args, saved, ct):
        return (jnp.clip(ct, -bound, bound),)

    return own_reverse(lambda a: a, lambda a: (a, ()), clipped, axes=0)(a)
