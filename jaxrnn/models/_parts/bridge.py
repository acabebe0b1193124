"""From the carry of one cell, or a vector, to the initial carry of another."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Carry, Params
from jaxrnn._core.numerics import common, like, product, row


def init(key: Any, before: Any, after: Any, dtype: Any, *, always: bool = False) -> Params:
    """Parameters of a bridge between carries of these shapes, without batch axes: {} if they match, unless `always`."""
    alike = jax.tree.structure(before) == jax.tree.structure(after)
    if alike and not always and all(jax.tree.leaves(jax.tree.map(lambda a, b: a.shape == b.shape, before, after))):
        return {}
    kernel = initializers.lecun_normal()(key, (flat_size(before), flat_size(after)), dtype)
    return {"kernel": kernel, "bias": jnp.zeros(flat_size(after), dtype)}


def crossed(params: Params, final: Any, start: Carry, axes: int) -> Carry:
    """The initial carry in place of `start`, from `final` with `axes` batch axes: `final` itself without params.

    Else tanh(all of final concatenated @ kernel + bias), split into fields. Fields that are not real numbers, such as a
    step count, are those of `start`.
    """
    if not params:
        return like(final, start)
    final = flat(final, axes)
    made = product(final, params["kernel"], final.dtype)
    made = jnp.tanh(made + row(params["bias"], made))
    leaves, at = [], 0
    for leaf in jax.tree.leaves(start):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            features = math.prod(leaf.shape[axes:])
            leaf, at = made[..., at : at + features].reshape(leaf.shape).astype(leaf.dtype), at + features
        leaves.append(leaf)
    return jax.tree.unflatten(jax.tree.structure(start), leaves)


def flat(carry: Any, axes: int) -> jax.Array:
    """All real numbers of a carry concatenated: [..., N], after `axes` batch axes."""
    leaves = [a for a in jax.tree.leaves(carry) if jnp.issubdtype(a.dtype, jnp.floating)]
    dtype = common(*leaves)
    return jnp.concatenate([a.reshape(*a.shape[:axes], -1).astype(dtype) for a in leaves], -1)


def flat_size(carry: Any) -> int:
    """The N of `flat`, from a carry without batch axes."""
    return sum(math.prod(a.shape) for a in jax.tree.leaves(carry) if jnp.issubdtype(a.dtype, jnp.floating))
