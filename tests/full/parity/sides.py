"""One sequence, run by jaxrnn and by a peer: outputs, final carry and all gradients must be the same.

The weights are the peer's own, under its names and in its layout. Each test turns them into jaxrnn's params in the
open, so that orders of gates and sums of biases are read there. Gradients are taken to the peer's weights too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, tolerance

T, B, D, H = 6, 3, 5, 4  # all different, so that no two axes can be taken for one another
LENGTHS = np.array([4, 6, 1])  # one full row, one of a single step; not sorted

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])

VALID = np.arange(T)[:, None] < LENGTHS  # [T, B]


def draw(rng: np.random.Generator, like: Any, dtype: str, scale: float = 0.5) -> Any:
    """Normal noise of the shapes in `like`, a pytree of things that have one: nothing is zero, biases neither.

    Drawn by NumPy: a draw by JAX is compiled for every shape.
    """
    return jax.tree.map(lambda a: (scale * rng.standard_normal(tuple(a.shape))).astype(dtype), like)


def with_gradients(run: Callable) -> Callable:
    """run(weights, carry, xs) -> (carry, ys), as a function that also takes cotangents and returns gradients."""

    def both(weights, carry, xs, cotangents):
        out, pull = jax.vjp(run, weights, carry, xs)
        return out, pull(cotangents)

    return jax.jit(both)


def assert_same(
    rng: np.random.Generator, ours: Callable, theirs: Callable, weights: Any, carry: Any, dtype: str, layers: int = 1
) -> None:
    """`ours`, (weights, carry, xs) -> (carry, ys), and `theirs`, with_gradients, agree in values and in all gradients.

    `weights` and `carry` give the shapes. The tolerance counts T steps a layer for the values, and as many more, on the
    way back, for the gradients.
    """
    weights, carry = draw(rng, weights, dtype), draw(rng, carry, dtype)
    xs = draw(rng, np.empty((T, B, D)), dtype, scale=1.0)
    cotangents = draw(rng, jax.eval_shape(ours, weights, carry, xs), dtype)
    actual, actual_gradients = with_gradients(ours)(weights, carry, xs, cotangents)
    expected, expected_gradients = theirs(weights, carry, xs, cotangents)
    assert_close(actual, expected, tolerance(dtype, layers * T))
    assert_close(actual_gradients, expected_gradients, tolerance(dtype, 2 * layers * T))
    for path, gradient in jax.tree_util.tree_leaves_with_path(expected_gradients):
        assert np.abs(gradient).max() > 0, f"{jax.tree_util.keystr(path)} takes no part: nothing was compared"


def zeros_outside(valid: Any, ys: Any) -> Any:
    """ys [T, B, H] with the outputs past the end of a row, which the peer leaves undefined, set to 0."""
    return jnp.where(valid[..., None], ys, 0)
