"""What comes after a series: intervals, and paths that are drawn step after step."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn.models._forecaster import blending
from jaxrnn.models._forecaster.distribution import NOT_A_DISTRIBUTION
from jaxrnn.models._forecaster.paths import drawn, fed_back, said
from jaxrnn.models._forecaster.series import Prediction, steps_first


def predict(
    model: Any, params: Any, carry: Any, ys: Any, levels: Any, key: Any, paths: int, options: Any
) -> Prediction:
    """`Forecaster.predict`."""
    single = model.head == "point" or (model.strategy == "recursive" and key is None)
    levels = (() if single else (0.8,)) if levels is None else levels
    if any(not 0 < level < 1 for level in levels):
        raise ValueError(f"levels: expected shares between 0 and 1, got {levels!r}")
    if single and levels:
        cure = "another head" if model.head == "point" else "give a key, and paths are drawn"
        raise ValueError(f"levels: expected () where there is no distribution, got {levels!r}; {cure}")
    if model.strategy == "direct":
        distribution = said(model, params, carry, ys, options)[1]
        mean, quantile = steps_first(distribution.mean()), lambda q: steps_first(distribution.quantile(q))
    elif model.strategy == "blended":
        mean, quantile = blending.blended(model, params, carry, ys, None if single else key, paths, options)
    elif single:
        mean = fed_back(model, params, carry, ys, options)
    else:
        samples = drawn(model, params, carry, ys, key, paths, options)
        mean, quantile = samples.mean(0), lambda q: jnp.quantile(samples, q, axis=0)
    none = jnp.zeros((0, *mean.shape), mean.dtype)
    if single:
        return Prediction(mean, mean, none, none)
    lower, upper = ([quantile((1 + side * level) / 2) for level in levels] for side in (-1, 1))
    return Prediction(mean, quantile(0.5), *(jnp.stack(side) if levels else none for side in (lower, upper)))


def sample(model: Any, params: Any, carry: Any, ys: Any, key: Any, n: int, options: Any) -> Any:
    """`Forecaster.sample`."""
    checks.key(key)
    if model.head == "point":
        raise TypeError(NOT_A_DISTRIBUTION)
    if model.strategy == "direct":
        raise TypeError(
            "strategy: expected 'recursive', for paths are drawn step after step, got 'direct', which knows each "
            "step by itself; predict has its intervals, and 'blended' has paths too"
        )
    return drawn(model, params, carry, ys, key, n, options)
