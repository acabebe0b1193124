"""All that the library uses of JAX beyond its stable interface: `jax.core`, `jax.extend` and `jax.interpreters`.

Written for jax 0.10.2 to 0.12; a newer jax that breaks something breaks it here.

All differentiation and batching rules are here too. A rule may put the batch axis of its outputs elsewhere than the
function that it replaces: inside `jit`, `vmap` takes the axis from the function and the values from the rule, and
silently transposes the result (jax issue 16374 is related). So every custom rule here goes through `custom_vjp`, which
puts the axis of both in the same place by construction, or returns its argument itself (`clip_cotangent`, `_same`), or
what the function returns (`with_derivatives`);
and each batching rule returns the axis that it used. (JAX handles the axes of `jax.custom_batching`, in `lapack`.)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jax.extend.core import Literal as Literal
from jax.extend.core import Primitive
from jax.extend.core import Var as Var
from jax.extend.core import primitives as primitives
from jax.interpreters import ad, batching, mlir

MESSAGE = (
    "engines.deferred: it has a rule for reverse mode only, got jax.jvp, jacfwd or linearize; "
    "use unroll(..., engine=jaxrnn.engines.scan)"
)


def is_traced(value: Any) -> bool:
    """Whether a value is not concrete: a tracer, or only a shape."""
    return isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct)


def custom_vjp(f: Callable, forward: Callable, backward: Callable, axes: Any) -> Callable:
    """`jax.custom_vjp` of f(*args), with `forward(*args) -> (out, kept)` and `backward(kept, ct) -> cts`.

    axes: a pytree prefix of the result, with the place of `vmap`'s axis in each leaf.
    """

    def placed(out, args):
        beside = jax.tree.leaves(args)
        return jax.tree.map(lambda axis, some: jax.tree.map(lambda a: _place(a, beside, axis), some), axes, out)

    def with_kept(*args):
        out, kept = forward(*args)
        return placed(out, args), kept

    g = jax.custom_vjp(lambda *args: placed(f(*args), args))
    g.defvjp(with_kept, backward)
    return g


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def clip_cotangent(bound: float, a: jax.Array) -> jax.Array:
    """Return `a`; its cotangent is clipped to ±bound."""
    return a


clip_cotangent.defvjp(lambda bound, a: (a, None), lambda bound, _, ct: (jnp.clip(ct, -bound, bound),))


def _refuse(*_, **__):
    raise TypeError(MESSAGE)


# The tangent of the identity. Reverse mode only transposes it; only forward mode evaluates or compiles it.
_tangent = Primitive("tangent_in_reverse_only")
_tangent.def_abstract_eval(lambda a: a)
_tangent.def_impl(_refuse)
mlir.register_lowering(_tangent, _refuse)
ad.deflinear2(_tangent, lambda ct, _: [ct])
batching.primitive_batchers[_tangent] = lambda args, at: (_tangent.bind(*args), at[0])


@jax.custom_jvp
def _same(a):
    return a


_same.defjvp(lambda primals, tangents: (primals[0], _tangent.bind(tangents[0])))


def reverse_only(tree: Any) -> Any:
    """The same pytree; forward mode through it raises a TypeError that names engines.scan.

    A custom VJP raises by itself, but only with JAX's own message, and under `jit` where no `try` can catch it.
    """
    return jax.tree.map(lambda a: _same(a) if jnp.issubdtype(a.dtype, jnp.inexact) else a, tree)
