"""What tests share: problems without a zero, tolerances derived from the type, and one way to compare."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def noisy_params(cell: Any, key: jax.Array, input_size: int, dtype: Any = None, scale: float = 0.3) -> Any:
    """Params of `cell` with normal noise on every entry, so that no bias is zero and none can be left out unseen.

    `dtype`: the type they are cast to; None keeps that of `init`.
    """
    leaves, tree = jax.tree.flatten(cell.init(key, input_size))
    keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))
    noise = [scale * jax.random.normal(k, leaf.shape, float) for k, leaf in zip(keys, leaves, strict=True)]
    noisy = [(leaf.astype(n.dtype) + n).astype(dtype or leaf.dtype) for leaf, n in zip(leaves, noise, strict=True)]
    assert all((leaf != 0).all() for leaf in noisy)
    return jax.tree.unflatten(tree, noisy)


def problem(
    cell: Any, key: jax.Array, T: int = 6, batch: tuple[int, ...] = (2,), D: int = 3, dtype: Any = None
) -> tuple[Any, Any, Any]:
    """(params, carry, xs): nothing is zero in them. xs is what the cell's `input` asks for, flags as coin tosses.

    The carry has the types of the cell's own; xs has those of the params.
    """
    k_params, k_carry, k_xs = jax.random.split(key, 3)
    params = noisy_params(cell, k_params, D, dtype)
    carry = cell.initial_carry(params, batch)
    x = jax.ShapeDtypeStruct((D,), dtype or jnp.float32) if cell.input is None else cell.input(params)
    xs = jax.tree.map(lambda a: jax.ShapeDtypeStruct((T, *batch, *a.shape), a.dtype), x)
    return params, _draw(k_carry, carry, 0.5), _draw(k_xs, xs, 1.0)


def _draw(key, like, scale):
    def one(k, a):
        if a.dtype == jnp.bool_:
            return jax.random.bernoulli(k, 0.5, a.shape)
        return (scale * jax.random.normal(k, a.shape, float)).astype(a.dtype)

    leaves, tree = jax.tree.flatten(like)
    return jax.tree.unflatten(tree, map(one, jax.random.split(key, len(leaves)), leaves))


def tolerance(dtype: Any, steps: int) -> float:
    """How far two right answers may be apart after `steps` steps, relative to the largest number compared: 4 eps a step.

    In a step the drive, the recurrent product, the activations and the carry are each rounded once, to half an eps of a number
    of about 1 to 4; the gates hand errors on with a slope below 1, so they add up over steps at worst.
    """
    return 4 * steps * float(jnp.finfo(dtype).eps)


def assert_close(actual: Any, expected: Any, tol: float) -> None:
    """Two pytrees have the same structure and shapes, and each leaf is finite and within tol · max(1, largest expected)."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, a), e in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        a, e = np.asarray(a, np.float64), np.asarray(e, np.float64)
        name = jax.tree_util.keystr(path) or "value"
        assert a.shape == e.shape, f"{name}: {a.shape} is not {e.shape}"
        assert np.isfinite(e).all() and np.isfinite(a).all(), f"{name}: not finite"
        error = np.abs(a - e).max(initial=0.0) / max(1.0, np.abs(e).max(initial=0.0))
        assert error <= tol, f"{name}: off by {error:.3g}, tolerance {tol:.3g}"
