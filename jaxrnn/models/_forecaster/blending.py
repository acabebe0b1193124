"""A direct and a recursive forecast as one: the same network says all K steps, and is fed with its own first ones."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxrnn._core.cell import Params
from jaxrnn._core.numerics import wide
from jaxrnn._core.rows import clipped, last_step
from jaxrnn.models._forecaster.paths import drawn, fed_back, said
from jaxrnn.models._forecaster.series import series, steps_first, windows


def chosen(model: Any, params: Params, carry: Any, ys: Any, options: dict[str, Any]) -> Params:
    """`Forecaster.blend`: for each k the share w in [0, 1] of least squares of y - (1 - w) direct - w recursive."""
    K, T, batch = model.horizon, len(ys), jnp.shape(ys)[1:-1]
    lengths = options.get("lengths")
    lengths = jnp.full(batch, T, jnp.int32) if lengths is None else clipped(lengths, 0, T)
    origin = {**options, "lengths": jnp.maximum(lengths - K, 0)}
    values, observed = series(ys, options.get("observed"), lengths, model.targets, wide(params["bias"].dtype))

    def after(a):
        return steps_first(last_step(windows(a, T, K), origin["lengths"]))

    y, there = after(values), after(observed) & (lengths > K)[None, ..., None]
    run, direct = said(model, params, carry, ys, origin)
    size = last_step(run.scale.scale, origin["lengths"]) if model.causal else run.scale.scale
    direct = steps_first(direct.mean())
    off, apart = (
        jnp.where(there, (a - direct) / size[None], 0) for a in (y, fed_back(model, params, carry, ys, origin))
    )
    axes = tuple(range(1, off.ndim))
    squares = jnp.square(apart).sum(axes)
    share = jnp.clip((off * apart).sum(axes) / jnp.where(squares > 0, squares, 1), 0, 1)
    return {**params, "blend": jnp.where(squares > 0, share, params["blend"]).astype(params["blend"].dtype)}


def blended(model: Any, params: Params, carry: Any, ys: Any, key: Any, paths: int, options: dict[str, Any]) -> tuple:
    """(the mean [K, ..., N], a function from q to the quantiles).

    The quantile functions are averaged, so that of two of one family location and scale are; without a key the direct
    one is moved to the mean.
    """
    direct = said(model, params, carry, ys, options)[1]
    mean = steps_first(direct.mean())
    share = params["blend"].astype(mean.dtype).reshape(-1, *[1] * (mean.ndim - 1))
    if key is None:
        move = share * (fed_back(model, params, carry, ys, options) - mean)
        return mean + move, lambda q: steps_first(direct.quantile(q)) + move
    samples = drawn(model, params, carry, ys, key, paths, options)

    def quantile(q):
        return (1 - share) * steps_first(direct.quantile(q)) + share * jnp.quantile(samples, q, axis=0)

    return (1 - share) * mean + share * samples.mean(0), quantile
