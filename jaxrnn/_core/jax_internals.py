"""What the library uses of JAX beyond its stable interface: `jax.core`, `jax.extend` and `jax.interpreters`.

Written for jax 0.10.2 to 0.12; a newer jax that breaks something breaks it here, or in `custom_rules.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
from jax import lax
from jax.export import is_symbolic_dim as is_symbolic_dim
from jax.extend.core import Literal as Literal
from jax.extend.core import Primitive, jaxpr_as_fun
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


def with_others(leaves, at, some):
    """The leaves with others in these places."""
    there = dict(zip(at, some, strict=True))
    return [there.get(i, a) for i, a in enumerate(leaves)]


# The program of a function, as a call of it. Under vmap a loop over the batch, where worth(shapes of one element's
# operands, which are batched). Unlike `jax.custom_batching`, it can be differentiated in both modes.
_in_turn = Primitive("one_by_one")
_in_turn.multiple_results = True
_in_turn.def_impl(lambda *operands, jaxpr, worth: jaxpr_as_fun(jaxpr)(*operands))
_in_turn.def_abstract_eval(lambda *_, jaxpr, worth: jaxpr.out_avals)
mlir.register_lowering(
    _in_turn,
    mlir.lower_fun(lambda *operands, jaxpr, worth: jaxpr_as_fun(jaxpr)(*operands), multiple_results=True),
)


def one_by_one(f: Callable, worth: Callable, *args: Any) -> Any:
    """f(*args); under `vmap` a loop over its batch where worth(shapes of one element's leaves, which are batched)."""
    leaves, kind = jax.tree.flatten(args)
    jaxpr, shapes = jax.make_jaxpr(lambda *a: f(*jax.tree.unflatten(kind, a)), return_shape=True)(*leaves)
    return jax.tree.unflatten(jax.tree.structure(shapes), _in_turn.bind(*leaves, jaxpr=jaxpr, worth=worth))


def _along(operands, tangents, *, jaxpr, worth):
    """The function's own derivative: what is differentiated is no longer run in turn."""
    at = [i for i, t in enumerate(tangents) if not isinstance(t, ad.Zero)]
    there, given = [operands[i] for i in at], [tangents[i] for i in at]
    return jax.jvp(lambda *some: jaxpr_as_fun(jaxpr)(*with_others(operands, at, some)), there, given)


def _batched(operands, at, *, jaxpr, worth):
    f = jaxpr_as_fun(jaxpr)
    shapes = [a.shape if i is None else a.shape[:i] + a.shape[i + 1 :] for a, i in zip(operands, at, strict=True)]
    batched = [i is not None for i in at]
    if not worth(shapes, batched):
        size = next(a.shape[i] for a, i in zip(operands, at, strict=True) if i is not None)
        # The same again: the next vmap around may be the one over networks.
        outs = one_by_one(jax.vmap(f, tuple(at), axis_size=size), worth, *operands)
        return outs, [0] * len(outs)

    def one(moving):
        moving = iter(moving)
        return f(*(next(moving) if b else a for a, b in zip(operands, batched, strict=True)))

    outs = lax.map(one, [jnp.moveaxis(a, i, 0) for a, i in zip(operands, at, strict=True) if i is not None])
    return outs, [0] * len(outs)


ad.primitive_jvps[_in_turn] = _along
batching.primitive_batchers[_in_turn] = _batched
