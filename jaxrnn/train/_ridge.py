"""Ridge regression: a linear readout of states, by a solve."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.numerics import common, wide


def ridge(features: Any, targets: Any, penalty: float = 0.0) -> dict[str, jax.Array]:
    """The linear map with the least squares: features [..., H], targets [..., O] -> kernel [H, O], bias [O].

    Minimises the sum of |features @ kernel + bias - targets|² + penalty |kernel|² over all leading axes, time and batch
    alike; the bias costs nothing. Take away what is not to count, such as the steps after a reset or padding.

    By QR and then singular values, in float32 at least: the error grows with the condition of the features, and not
    with its square, as by the normal equations. With penalty 0 directions that the features do not have, to rounding,
    get no weight. Raises ValueError or TypeError for arguments that do not fit.
    """
    features, targets = jnp.asarray(features), jnp.asarray(targets)
    rows = checks.shape(features)[:-1]
    if not features.ndim > 1 or checks.shape(targets)[:-1] != rows or targets.ndim != features.ndim:
        raise ValueError(
            f"features, targets: expected [..., H] and [..., O] with the same leading axes, at least one, got "
            f"{features.shape} and {targets.shape}"
        )
    if not (is_traced(penalty) or penalty >= 0):
        raise ValueError(f"penalty: expected a number of at least 0, got {penalty!r}")
    dtype = wide(common(features, targets))
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"features, targets: expected real floating-point numbers, got {features.dtype}, {targets.dtype}"
        )
    X, Y = (a.reshape(-1, a.shape[-1]).astype(dtype) for a in (features, targets))
    means = [a.mean(0, keepdims=True) for a in (X, Y)]
    Q, R = jnp.linalg.qr(X - means[0])
    left, sizes, right = jnp.linalg.svd(R, full_matrices=False)
    rounding = max(X.shape) * jnp.finfo(dtype).eps * sizes[0]
    kept = sizes > rounding
    shrunk = jnp.where(kept, sizes / jnp.where(kept, jnp.square(sizes) + penalty, 1), 0)
    kernel = right.T @ (shrunk[:, None] * (left.T @ (Q.T @ (Y - means[1]))))
    return {"kernel": kernel, "bias": (means[1] - means[0] @ kernel)[0]}
