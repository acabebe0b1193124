"""Causal scales: of each step, from the values up to it: every step can be an origin, and a new level is followed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.models._forecaster.memory import Line, back, trailing
from jaxrnn.models._forecaster.series import Scale

CAUSAL = ("rolling", "rolling_mean", "seasonal_naive")
FLOOR = 1e-3  # the least scale, as a share of |location|
WINDOW = 28  # the window where neither it nor a season is given


def causal(scaling: str, line: Line, before: Scale, time: Any, reach: int, window: int, season: int) -> tuple:
    """(Scale of leaves [T, ..., N], whether anything of a series has been seen in its window [T, ..., N]).

    Over the observed ones of the last `window` values, a mean and a deviation:

        "rolling"         location mean y                scale max(standard deviation, FLOOR |location|)
        "rolling_mean"    location 0                     scale mean |y|
        "seasonal_naive"  location mean y                scale max(mean |y_t - y_{t-season}|, FLOOR |location|)

    The deviation of one value is |y|; seasonal_naive has that of "rolling" where no pair was observed. Where the window
    is empty, or its scale 0, what was last known holds, from `before` on. So all is of the unit of y; a constant has
    a scale, and one that begins with zeros has the initial one until something else comes.
    """
    values, seen = line
    there = seen.astype(values.dtype)
    if scaling == "rolling_mean":
        size, count = _mean(jnp.abs(values), there, window)
        location = jnp.zeros_like(size)
    else:
        count, location, root = trailing(_moments, (there, values, jnp.zeros_like(values)), window)
        size = jnp.where(count > 1, root / jnp.sqrt(jnp.maximum(count, 1)), jnp.abs(location))
        if scaling == "seasonal_naive":
            differences, pairs = _seasonal(values, seen, season)
            size_, pairs = _mean(jnp.abs(differences), pairs, window)
            size = jnp.where(pairs > 0, size_, size)
        size = jnp.maximum(size, FLOOR * jnp.abs(location))
    location, size, known = (back(a, 0, time, reach) for a in (location, size, count > 0))
    location = held(location, known, before.location)
    return Scale(location, held(size, size > 0, before.scale)), known


def _seasonal(values, seen, season):
    """y_t - y_{t-season}, and 1 where both were seen, else 0."""

    def earlier(a):
        return jnp.concatenate([jnp.zeros_like(a[:season]), a[:-season]])

    both = seen & earlier(seen)
    return jnp.where(both, values - earlier(values), 0), both.astype(values.dtype)


def _mean(values, there, window):
    """(the mean of the last `window` of what is there, how much there is)."""
    # Divided first: the sum of large numbers may overflow.
    total, count = trailing(lambda a, b: jax.tree.map(jnp.add, a, b), (values / window, there), window)
    return total * (window / jnp.maximum(count, 1)), count


def _moments(later, earlier):
    """(count, mean, root of the sum of squares about it) of two sets as one (Chan, Golub and LeVeque 1979).

    The root, for in float32 the square of a value holds from 1e-19 to 1e19 only.
    """
    (n, mean, root), (m, mean_, root_) = later, earlier
    both = jnp.maximum(n + m, 1)
    off = mean_ - mean
    apart = jnp.abs(jnp.where((n > 0) & (m > 0), off, 0)) * jnp.sqrt(n * m / both)
    return n + m, mean + off * (m / both), _hypot(_hypot(root, root_), apart)


def _hypot(a, b):
    """sqrt(a² + b²) of numbers from 0 on, whose squares may overflow; with a gradient of 0 where both are 0."""
    most = jax.lax.stop_gradient(jnp.maximum(a, b))
    unit = jnp.where(most > 0, most, 1)
    squares = jnp.square(a / unit) + jnp.square(b / unit)
    return jnp.where(most > 0, unit * jnp.sqrt(jnp.where(most > 0, squares, 1)), most)


def held(values: jax.Array, known: jax.Array, before: jax.Array) -> jax.Array:
    """[T, ..., N]: each value if it is known, else the last known one, else `before` [..., N]."""
    steps = jnp.arange(values.shape[0], dtype=jnp.int32).reshape(-1, *[1] * (known.ndim - 1))
    at = jax.lax.cummax(jnp.where(known, steps, -1), axis=0)
    last = jnp.take_along_axis(values, jnp.maximum(at, 0), 0)
    return jnp.where(at >= 0, last, jnp.asarray(before, values.dtype)[None])
