"""What every distribution of a forecaster has, whatever its head."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

Levels = tuple[float, ...]
NOT_A_DISTRIBUTION = "head: expected one that is a distribution, such as 'gaussian', got 'point', which is one number"


def positive(raw: jax.Array) -> jax.Array:
    """softplus(raw) + eps: without the eps it is 0, with an infinite logarithm, below about raw = -90 (float32)."""
    return jax.nn.softplus(raw) + jnp.finfo(raw.dtype).eps


class Distribution:
    """The base class of the distributions."""

    def loss(self, y: jax.Array, scale: Any) -> jax.Array:
        """-log_prob(y), in nats. `scale` is for heads whose loss is in the units of y."""
        return -self.log_prob(y)

    def log_prob(self, y: jax.Array) -> jax.Array:
        """log p(y). This, `quantile` and `sample` raise TypeError for the head "point"."""
        raise TypeError(NOT_A_DISTRIBUTION)

    def quantile(self, q: Any) -> jax.Array:
        """The q-quantile: the y with P(Y <= y) = q."""
        raise TypeError(NOT_A_DISTRIBUTION)

    def sample(self, key: jax.Array) -> jax.Array:
        """One sample for each element."""
        raise TypeError(NOT_A_DISTRIBUTION)
