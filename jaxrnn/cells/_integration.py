"""What cells with multiplicative integration share: sums in which the two products of a gate also multiply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.numerics import product, row
from jaxrnn.cells._dense import Dense


class Integrating(Dense):
    """Dense parts whose sums are alpha (x W) (h U) + beta_1 (h U) + beta_2 (x W) + b, gate by gate.

    Further parameters: alpha, beta_1, beta_2, each [G·H]. As a function of h U a sum is a line, so the drive is its
    slope and its height, side by side [..., 2·G·H], and the loop sees none of the four vectors.
    """

    def __init__(self, hidden_size: int, gates: str, options: Any, alpha_init: Callable, beta_init: Callable):
        super().__init__(hidden_size, gates, options)
        self.draws = {"alpha": alpha_init, "beta_1": beta_init, "beta_2": beta_init}

    def init(self, key: Any, input_size: Any, **more: Any) -> Any:
        """New params, with the three further vectors."""
        params = super().init(key, input_size, **more)
        keys = jax.random.split(jax.random.fold_in(key, 1), len(self.draws))
        drawn = zip(self.draws.items(), keys, strict=True)
        return params | {name: self.blocks(draw, k, (self.H,)) for (name, draw), k in drawn}

    def drive(self, params: Any, x: jax.Array) -> jax.Array:
        """The slope alpha (x W) + beta_1 and the height beta_2 (x W) + b of the sums: [..., 2·G·H]."""
        a = product(x, params["kernel"], self.compute(params))
        alpha, beta_1, beta_2, b = (row(params[name], a) for name in ("alpha", "beta_1", "beta_2", "bias"))
        return jnp.concatenate([alpha * a + beta_1, beta_2 * a + b], -1).astype(self.compute(params))

    def sums(self, gates: str, u: jax.Array, v: jax.Array) -> list[jax.Array]:
        """The sums of these gates; v has only their columns."""
        slope, height = (half[..., self.columns(gates)] for half in jnp.split(u, 2, axis=-1))
        return self.split(slope * v + height)


ONE, HALF = initializers.constant(1.0), initializers.constant(0.5)
