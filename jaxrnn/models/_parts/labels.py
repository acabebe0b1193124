"""Which labels of sequences or steps count, and the mean cross entropy over those."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrnn._core import arrays, checks
from jaxrnn._core.jax_internals import is_traced


def counted(labels: Any, classes: int, shape: tuple[int, ...], letters: str, weights: Any, valid: Any = True) -> Any:
    """(labels as int32, weights as an array or None, which labels count: those that are `valid` and have a weight).

    The last is a bool that broadcasts to `shape`; a weight of 0 is none. Raises TypeError or ValueError for labels and
    weights of another shape, and, where values are concrete, for labels that count and are not a class. letters: the
    axes of `shape`, for messages.
    """
    labels = None if labels is None else arrays.numbers(labels, "labels")
    weights = None if weights is None else arrays.numbers(weights, "weights")
    for name, array in ("labels", labels), ("weights", weights):
        if (array is None and name == "labels") or (array is not None and checks.shape(array) != shape):
            raise ValueError(
                f"{name}: expected an array {letters} = {shape}, as xs has before its features, "
                f"got {checks.describe(array)}"
            )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels: expected {letters} of int, classes numbered from 0, got {checks.describe(labels)}")
    count = valid if weights is None else valid & weighed(weights)
    if not is_traced(labels) and not is_traced(count):
        known = np.asarray(labels)  # by NumPy: within jit even a comparison of constants is traced
        wrong = ((known < 0) | (known >= classes)) & np.asarray(count)
        if wrong.any():
            at = tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))
            where = f" at {at}" if at else ""
            raise ValueError(f"labels: expected classes 0 to C - 1 with C={classes}, got {known[at]}{where}")
    return arrays.whole(labels, "labels"), weights, count


def weighed(weights: Any) -> Any:
    """Where weights, numbers or flags, are not 0: bool, NumPy's of NumPy's."""
    return weights.astype(bool) if hasattr(weights, "astype") else weights != 0


def mean_cross_entropy(logits: jax.Array, labels: Any, weights: Any, count: Any) -> jax.Array:
    """Mean cross entropy in nats, by `weights` (None: 1), over labels [...] that count. logits [..., C].

    If none counts it is 0, with gradients of 0, so that an empty batch changes nothing where a mean would be NaN.
    """
    labels = jnp.where(count, arrays.whole(labels, "labels"), 0)
    nats = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    weights = jnp.ones_like(nats) if weights is None else jnp.asarray(weights, nats.dtype)
    nats, weights = jnp.where(count, nats, 0), jnp.where(count, weights, 0)
    return (nats * weights).sum() / jnp.maximum(weights.sum(), jnp.finfo(nats.dtype).tiny)
