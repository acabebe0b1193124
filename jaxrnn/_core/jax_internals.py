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


# f(*operands). Under vmap a loop over the batch, where worth(shapes of one element's operands, which are batched).
# Unlike `jax.custom_batching`, it can be differentiated in both modes, as f itself.
_mapped = Primitive("one_by_one")
_mapped.multiple_results = True
_mapped.def_impl(lambda *operands, f, worth, types: f(*operands))
_mapped.def_abstract_eval(lambda *_, f, worth, types: list(types))
mlir.register_lowering(_mapped, mlir.lower_fun(lambda *operands, f, worth, types: f(*operands), multiple_results=True))


def _along(operands, tangents, *, f, **_):
    """The function's own derivative: what is differentiated is no longer run in turn."""
    at = [i for i, t in enumerate(tangents) if not isinstance(t, ad.Zero)]
    there, given = [operands[i] for i in at], [tangents[i] for i in at]
    return jax.jvp(lambda *some: f(*with_others(operands, at, some)), there, given)


ad.primitive_jvps[_mapped] = _along


def one_by_one(f, worth, *args):
    """f(*args); under `vmap` a loop over its batch where worth(shapes of one element's leaves, which are batched)."""
    leaves, kind = jax.tree.flatten(args)
    structures = []

    def flat(*leaves):
        outs, structure = jax.tree.flatten(f(*jax.tree.unflatten(kind, leaves)))
        structures.append(structure)
        return outs

    types = tuple(jax.make_jaxpr(flat)(*leaves).out_avals)
    return jax.tree.unflatten(structures[0], _mapped.bind(*leaves, f=flat, worth=worth, types=types))


def _in_turn(operands, at, *, f, worth, types):
    size = next(a.shape[i] for a, i in zip(operands, at, strict=True) if i is not None)
    shapes = [a.shape if i is None else a.shape[:i] + a.shape[i + 1 :] for a, i in zip(operands, at, strict=True)]
    batched = [i is not None for i in at]
    if not worth(shapes, batched):
        g = jax.vmap(f, tuple(at), axis_size=size)
        types = tuple(jax.make_jaxpr(g)(*operands).out_avals)
        # The same again: the next vmap around may be the one over networks.
        return _mapped.bind(*operands, f=g, worth=worth, types=types), [0] * len(types)

    def one(moving):
        moving = iter(moving)
        return f(*(next(moving) if b else a for a, b in zip(operands, batched, strict=True)))

    outs = lax.map(one, [jnp.moveaxis(a, i, 0) for a, i in zip(operands, at, strict=True) if i is not None])
    return outs, [0] * len(outs)


batching.primitive_batchers[_mapped] = _in_turn
