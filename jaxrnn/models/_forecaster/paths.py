"""Forecasts from the last step of a series: all steps at once, or one after the other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.rows import last_step
from jaxrnn.models._forecaster.rollout import rollout
from jaxrnn.models._forecaster.series import Forecasts, steps_first, windows


def said(model: Any, params: Any, carry: Any, ys: Any, options: Any) -> tuple[Forecasts, Any]:
    """(the run over a series, the distributions [..., ahead, N] at its last step)."""
    run = model._run(params, carry, ys, whole=True, **options)
    return run, last_step(run.distribution, options.get("lengths"))


def drawn(model: Any, params: Any, carry: Any, ys: Any, key: Any, n: int, options: Any) -> jax.Array:
    """Sampled paths [n, K, ..., N]."""
    checks.key(key)
    return fed_back(model, params, carry, ys, options, key, checks.positive(n, "n"))


def fed_back(model: Any, params: Any, carry: Any, ys: Any, options: Any, key: Any = None, n: Any = None) -> jax.Array:
    """The path of means [K, ..., N], or with a key n that are sampled [n, K, ..., N]."""
    (run, distribution), lengths, future = said(model, params, carry, ys, options), options.get("lengths"), None
    if model.future_size:
        future = jnp.asarray(options["future"], run.ys.dtype)
        # Each step fed back reads the inputs of the next; the last has no next, and its result is not used.
        future = steps_first(last_step(windows(future[1:], run.ys.shape[0], model.horizon), lengths))
    scale = None if model.causal else run.scale
    static = tuple(options.get(name) for name in ("static", "static_ids"))
    return rollout(model, params, run.carry, distribution, scale, future, static, key, n)
