"""A recursive forecast: each mean, or a sample, is fed back as the input of the next step."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.loops import loop


@functools.partial(jax.jit, static_argnames="n")
def rollout(model: Any, params: Any, carry: Any, distribution: Any, scale: Any, future: Any, key: Any, n: Any) -> Any:
    """The K values from `distribution` on: means [K, ..., N], or with a key n samples of each [n, K, ..., N]."""
    if n is not None:
        carry, distribution = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *a.shape)), (carry, distribution))

    def body(state, now):
        carry, distribution = state
        k, future = now
        y = distribution.mean() if key is None else distribution.sample(jax.random.fold_in(key, k))
        y = y[..., 0, :]
        if future is not None:
            future = jnp.broadcast_to(future, (*y.shape[:-1], future.shape[-1]))[..., None, :]
        return model.step(params, carry, y, scale, future=future), y

    _, ys = loop(body, (carry, distribution), (jnp.arange(model.horizon), future))
    return ys if n is None else jnp.moveaxis(ys, 1, 0)
