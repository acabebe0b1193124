"""An identity that can be differentiated in reverse, and in forward mode says which engine can."""

from __future__ import annotations

from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

MESSAGE = (
    "engines.deferred: it has a rule for reverse mode only, got jax.jvp, jacfwd or linearize; "
    "use unroll(..., engine=jaxrnn.engines.scan)"
)


def _refuse(*_, **__):
    raise TypeError(MESSAGE)


# The tangent of the identity. Reverse mode only transposes it; what evaluates or compiles it is forward mode.
_tangent = Primitive("tangent_in_reverse_only")
_tangent.def_abstract_eval(lambda a: a)
_tangent.def_impl(_refuse)
mlir.register_lowering(_tangent, _refuse)
ad.deflinear2(_tangent, lambda ct, _: [ct])
batching.primitive_batchers[_tangent] = lambda args, axes: (_tangent.bind(*args), axes[0])


@jax.custom_jvp
def _one(a):
    return a


_one.defjvp(lambda primals, tangents: (primals[0], _tangent.bind(tangents[0])))


def reverse_only(tree: Any) -> Any:
    """The same pytree; forward mode through it raises a TypeError that names engines.scan.

    A custom VJP refuses by itself, but only with JAX's own words, and under `jit` out of reach of a try.
    """
    return jax.tree.map(lambda a: _one(a) if jax.numpy.issubdtype(a.dtype, jax.numpy.inexact) else a, tree)
