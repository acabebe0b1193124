"""The arrays of a trial: NumPy's, as JAX compiles each operation that is outside of a program."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.composition import one_input
from jaxrnn._core.numerics import common
from jaxrnn._core.record import arguments
from jaxrnn.run import unroll

T, BATCH = 6, (2, 3)


def again(cell):
    """The cell of the same call, made anew."""
    args, kwargs = arguments(*cell.origin)
    return cell.origin.factory(*args, **kwargs)


def main():
    """The widest type that JAX has here."""
    return jax.dtypes.canonicalize_dtype(np.float64)


def inexact(a):
    """Whether an array is of real or complex floats."""
    return jnp.issubdtype(a.dtype, jnp.inexact)


def cast(tree, dtype):
    """The tree with its floats in this type, complex ones in the least that holds it."""

    def one(a):
        if jnp.issubdtype(a.dtype, jnp.complexfloating):
            return a.astype(common(jnp.complex64, dtype))
        return a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return jax.tree.map(one, tree)


def shape(a):
    """The shape and type of an array."""
    return jax.ShapeDtypeStruct(jnp.shape(a), jnp.result_type(a))


def normal(rng, tree, scale=1.0):
    """Noise in the shapes and types of a pytree: small whole numbers and coins where it is not of floats."""

    def one(a):
        if inexact(a):
            draw = scale * rng.standard_normal(a.shape)
            if jnp.issubdtype(a.dtype, jnp.complexfloating):
                draw = draw + 1j * scale * rng.standard_normal(a.shape)
            return draw.astype(a.dtype)
        return rng.integers(0, 2, a.shape).astype(a.dtype)

    return jax.tree.map(one, tree)


def problem(cell, input_size, xs, seed):
    """(params, carry, xs, weights of the outcome, flags), no number in them 0; NumPy's, as each operation of JAX's
    outside of a program is compiled."""
    rng = np.random.default_rng(seed)
    params = jax.device_get(jax.jit(lambda key: cast(cell.init(key, input_size), main()))(jax.random.key(seed)))
    params = jax.tree.map(lambda a: a + normal(rng, a, 0.3) if inexact(a) else a, params)
    x = one_input(cell, params, input_size)
    if xs is None:
        xs = normal(rng, jax.tree.map(lambda a: jax.ShapeDtypeStruct((T, *BATCH, *a.shape), a.dtype), x))
    xs = jax.device_get(cast(xs, main()))
    carry = normal(rng, jax.eval_shape(lambda p: cell.initial_carry(p, BATCH), params), 0.5)
    mask, reset = rng.random((2, T, *BATCH)) < np.reshape([0.8, 0.3], (2, 1, 1, 1))
    weights = jax.eval_shape(functools.partial(unroll, cell), params, carry, xs)
    weights = jax.tree.map(lambda a: a if inexact(a) else None, weights)
    return params, carry, xs, normal(rng, weights), {"mask": mask, "reset": reset}


def with_nan(a, invalid):
    """NaN in floats where `invalid` [T, ...]."""
    if not inexact(a):
        return a
    return np.where(invalid.reshape(*invalid.shape, *[1] * (a.ndim - 3)), np.asarray(np.nan, a.dtype), a)
