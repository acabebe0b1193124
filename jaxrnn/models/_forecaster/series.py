"""Series as arrays: their scale, the windows after each step, and exogenous inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core import checks

SCALINGS = ("mean", "standard", None)


class Scale(NamedTuple):
    """The location and scale of a series: the cell reads (y - location) / scale."""

    location: Any  # [..., N]
    scale: Any  # [..., N]


class Forecasts(NamedTuple):
    """The result of a forecaster's run over T steps, with what it was computed from."""

    carry: Any
    distribution: Any  # [T, ..., ahead, N], of the steps after each
    ys: jax.Array  # [T, ..., N], with the location in place of missing values
    observed: jax.Array  # [T, ..., N]
    scale: Scale


class Prediction(NamedTuple):
    """The K steps after a series. Without a distribution, the median is the mean, and I (intervals) is 0."""

    mean: jax.Array  # [K, ..., N]
    median: jax.Array  # [K, ..., N]
    lower: jax.Array  # [I, K, ..., N], one for each level
    upper: jax.Array  # [I, K, ..., N]


def scale_of(scaling: str | None, ys: jax.Array, observed: jax.Array) -> Scale:
    """The scale of each series, from its observed values: ys, observed [T, ..., N] -> leaves [..., N].

    "mean": location 0, scale the mean of |y|. "standard": mean and standard deviation. None: 0 and 1. A scale of 0 is
    replaced by 1, or for "standard" by the mean of |y|.
    """
    ys = jnp.where(observed, ys, 0)
    if scaling is None:
        return Scale(jnp.zeros_like(ys[0]), jnp.ones_like(ys[0]))

    def mean(a):
        return jnp.where(observed, a, 0).sum(0) / jnp.maximum(observed.sum(0), 1).astype(a.dtype)

    magnitude = mean(jnp.abs(ys))
    magnitude = jnp.where(magnitude > 0, magnitude, 1)
    if scaling == "mean":
        return Scale(jnp.zeros_like(magnitude), magnitude)
    # In units of the magnitude, so that no square overflows; the variance of a constant is only rounding.
    location = mean(ys)
    variance = mean(jnp.square((ys - location[None]) / magnitude[None]))
    varies = variance > jnp.square(8 * jnp.finfo(ys.dtype).eps)
    return Scale(location, magnitude * jnp.sqrt(jnp.where(varies, variance, 1)))


def windows(a: jax.Array, time: int, n: int) -> jax.Array:
    """[T or more, ..., X] -> [T, ..., n, X]: the n steps after each step, 0 past the end."""
    a = jnp.pad(a, [(0, max(0, time + n - len(a)))] + [(0, 0)] * (a.ndim - 1))
    return jnp.stack([a[k : k + time] for k in range(1, n + 1)], -2)


def steps_first(a: jax.Array) -> jax.Array:
    """[..., K, X] -> [K, ..., X]."""
    return jnp.moveaxis(a, -2, 0)


def exogenous(name: str, letter: str, values: Any, size: int, times: Any, batch: Any, dtype: Any) -> Any:
    """Exogenous inputs, checked against the series and in its type; None if there are none."""
    expected = " or ".join(str((time, *batch, size)) for time in times)
    if size and (values is None or jnp.shape(values) not in [(time, *batch, size) for time in times]):
        came = None if values is None else jnp.shape(values)
        raise ValueError(f"{name}: expected [T, ..., {letter}] = {expected}, got {came}")
    if not size and values is not None:
        raise ValueError(f"{name}: expected None with {name}_size=0, got {checks.describe(values)}")
    return None if values is None else jnp.asarray(values, dtype)
