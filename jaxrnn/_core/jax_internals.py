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
from jax.custom_derivatives import SymbolicZero, zero_from_primal
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


def own_reverse(
    f: Callable, forward: Callable, backward: Callable, axes: Any, written: Callable | None = None
) -> Callable:
    """f(*args) with a reverse of its own, and the usual forward mode.

    forward(*args) -> (out, saved): the same outputs, and what `backward` needs beside the arguments.
    backward(args, saved, ct) -> cts, the cotangents of the arguments.
    axes: a pytree prefix of the result, with the place of `vmap`'s axis in each leaf.
    written: the same as f, as JAX differentiates it best: forward mode, and the reverse of the reverse, go through it.
        None: through f, and through `backward` as it stands.

    Unlike `jax.custom_vjp`, which forward mode cannot go through: the tangents of the result are one call, linear in
    the tangents of the arguments, that is evaluated by JAX's derivative of a function, and transposed by another.
    """
    plain = written or f

    def placed(out, args):
        beside = jax.tree.leaves(args)
        return jax.tree.map(lambda axis, some: jax.tree.map(lambda a: _place(a, beside, axis), some), axes, out)

    def with_saved(*args):
        out, saved = forward(*args)
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
            args = jax.tree.unflatten(kind, _with(leaves, moving, some))
            outs = jax.tree.leaves(placed(plain(*args), args))
            return [a for a, r in zip(outs, real, strict=True) if r]

        def pulled(leaves, saved, ct):
            cts = jax.tree.leaves(backward(jax.tree.unflatten(kind, leaves), saved, with_float0(ct)))
            return [cts[i] for i in moving]

        def as_written(leaves, ct):
            return list(jax.vjp(functools.partial(at, leaves), *(leaves[i] for i in moving))[1](list(ct)))

        def anew(leaves, ct):
            return pulled(leaves, forward(*jax.tree.unflatten(kind, leaves))[1], ct)

        reverse = pulled if written is None else _with_reverse_as(pulled, anew, as_written)
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
        return out, saved, with_float0(moved)

    g = jax.custom_jvp(lambda *args: placed(f(*args), args))

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


def _with_reverse_as(pulled: Callable, anew: Callable, as_written: Callable) -> Callable:
    """pulled(leaves, saved, ct), differentiated as anew(leaves, ct) forwards and as as_written(leaves, ct) backwards.

    All three are the same function: `saved` follows from `leaves`.
    """
    g = jax.custom_jvp(pulled)

    def rule(operands, tangents):
        leaves, _, ct = operands
        result, kept = g(*operands), [*leaves, *ct]
        moving, given = _moving((tangents[0], tangents[2]))

        def at(function, kept, *some):
            kept = _with(kept, moving, some)
            return function(kept[: len(leaves)], kept[len(leaves) :])

        def f(*a):
            there, given = a[: len(kept)], list(a[len(kept) :])
            return jax.jvp(functools.partial(at, anew, there), [there[i] for i in moving], given)[1]

        def transpose(*a):
            there, cts = a[: len(kept)], list(a[len(kept) :])
            return list(jax.vjp(functools.partial(at, as_written, there), *(there[i] for i in moving))[1](cts))

        types = tuple(jax.typeof(a).to_tangent_aval() for a in result)
        return result, _linear.bind(*kept, *given, n=len(kept), f=f, transpose=transpose, types=types)

    g.defjvp(rule, symbolic_zeros=True)
    return g


def _moving(tangents):
    """The places of the leaves that have a tangent, and these."""
    leaves = jax.tree.leaves(tangents)
    moving = [i for i, t in enumerate(leaves) if not isinstance(t, SymbolicZero)]
    return moving, [leaves[i] for i in moving]


def _with(leaves, at, some):
    """The leaves with others in these places."""
    there = dict(zip(at, some, strict=True))
    return [there.get(i, a) for i, a in enumerate(leaves)]


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
