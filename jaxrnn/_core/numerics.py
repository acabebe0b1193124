"""Types and products: what a cell multiplies in, what it sums in, and the functions that a name stands for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn._core.taps import tap


def wide(dtype: Any) -> np.dtype:
    """The type to sum and to draw in: float32 for half-width types, else the type itself."""
    return max(jnp.dtype(dtype), jnp.dtype(jnp.float32), key=lambda d: d.itemsize)


def widest(tree: Any) -> np.dtype:
    """The widest of the floating types in a pytree, in which what goes with it is made; float32 where there is none."""
    types = [a.dtype for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.floating)]
    return max(types, key=lambda d: d.itemsize, default=jnp.dtype(jnp.float32))


def common(*arrays: Any) -> np.dtype:
    """The type in which arrays, or numbers, of several meet: JAX's own, said, for JAX may be told to take none itself.

    (`jax_numpy_dtype_promotion`. It looks at the types alone.)
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*arrays)


def nonlinearity(value: str | Callable, argument: str) -> Callable:
    """The pointwise function a name of `jax.nn` or `jax.numpy` stands for; a function stands for itself."""
    if callable(value):
        return value
    for module in (jax.nn, jnp):
        if isinstance(value, str) and callable(getattr(module, value, None)):
            return getattr(module, value)
    raise ValueError(
        f"{argument}: expected a function or its name in jax.nn, such as 'tanh', 'relu' or 'sigmoid', got {value!r}"
    )


FEW_ROWS = 16  # below, XLA on a CPU has only a slow loop for a product of half types


def compute_dtype(dtype: Any, params: Any) -> jnp.dtype:
    """The type a cell computes in: `dtype` where given, else that of its kernel."""
    return jnp.dtype(params["kernel"].dtype if dtype is None else dtype)


def product(a: jax.Array, kernel: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """a [..., N] @ kernel [N, M] with operands in `dtype` -> [..., M].

    Half-width types are summed, and returned, in float32: the gates are then computed there, and only what is
    stored (the drive, the carry) is rounded. On a CPU a few rows of them are also multiplied in float32, which gives
    the same products (those of two halves are exact there) and is up to 50 times as fast.
    """
    a, kernel = tap("operand", a).astype(dtype), kernel.astype(dtype)
    if math.prod(a.shape[:-1]) < FEW_ROWS and jax.default_backend() == "cpu":
        a, kernel = a.astype(wide(dtype)), kernel.astype(wide(dtype))
    axes = (((a.ndim - 1,), (0,)), ((), ()))
    return tap("product", lax.dot_general(a, kernel, axes, preferred_element_type=wide(dtype)))


def row(vector: jax.Array, like: jax.Array) -> jax.Array:
    """A vector of the params [N] as a row of `like` [..., N]: in its type, and said with all of its axes.

    JAX would add the axes by itself, unless it is told not to (`jax_numpy_rank_promotion`).
    """
    return jnp.expand_dims(vector.astype(like.dtype), range(like.ndim - vector.ndim))


def aligned(first: Any, *others: Any) -> list[jax.Array]:
    """Arrays, or numbers, in the type of the first and with as many axes each: JAX adds none if it is told not to."""
    arrays = [jnp.asarray(a, first.dtype) for a in (first, *others)]
    axes = max(a.ndim for a in arrays)
    return [jnp.expand_dims(a, range(axes - a.ndim)) for a in arrays]


def like(new: Any, old: Any) -> Any:
    """`new` in the types of `old`: how an update keeps its carry's types closed."""
    return jax.tree.map(lambda n, o: n.astype(o.dtype), new, old)
