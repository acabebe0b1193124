"""A recursive forecast: each mean, or a sample, is fed back as the input of the next step."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.loops import loop


@functools.partial(jax.jit, static_argnames="n")
def rollout(
    model: Any, params: Any, carry: Any, distribution: Any, scale: Any, future: Any, static: Any, key: Any, n: Any
) -> Any:
    """The K values from `distribution` on: means [K, ..., N], or with a key n samples of each [n, K, ..., N].

    static: (static [..., S], static_ids [...]), of which either may be None.
    """
    if n is not None:
        many = (carry, distribution, static)
        carry, distribution, static = jax.tree.map(lambda a: jnp.broadcast_to(a, (n, *jnp.shape(a))), many)

    def body(state, now):
        carry, distribution = state
        k, future = now
        y = distribution.mean() if key is None else distribution.sample(jax.random.fold_in(key, k))
        y = y[..., 0, :]
        if future is not None:
            future = jnp.broadcast_to(future, (*y.shape[:-1], future.shape[-1]))[..., None, :]
            if model.ahead > 1:  # of which only the first step's result is used
                future = jnp.repeat(future, model.ahead, -2)
        stays = {"static": static[0], "static_ids": static[1]}
        return model.step(params, carry, y, scale, future=future, **stays), y

    _, ys = loop(body, (carry, distribution), (jnp.arange(model.horizon), future))
    return ys if n is None else jnp.moveaxis(ys, 1, 0)
