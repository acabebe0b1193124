"""Forecasts of simple models, beside a recurrent one's: seasonal naive, and two that see the same last L values.

A forecast is (center [M, K], deviation [K]) for M contexts [M, L], in whatever units those are. The deviation is that
of the residuals on the examples learnt from, at each of the K steps; intervals around the center are normal.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import train

Forecast = tuple[np.ndarray, np.ndarray]
Forecaster = Callable[[np.ndarray], Forecast]


def examples(series: np.ndarray, context: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Every run of `context` values of a series [T] and the `horizon` after it: [M, L], [M, K]."""
    runs = np.lib.stride_tricks.sliding_window_view(series, context + horizon)
    return runs[:, :context], runs[:, context:]


def filled(series: np.ndarray) -> np.ndarray:
    """The series with straight lines over its gaps (NaN), for models that cannot do without."""
    there = np.flatnonzero(~np.isnan(series))
    return np.interp(np.arange(len(series)), there, series[there])


def deviation(center: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Root mean square of the residuals at each step, over what was observed."""
    return np.sqrt(np.nanmean((targets - center) ** 2, 0))


def seasonal_naive(contexts: np.ndarray, targets: np.ndarray, period: int) -> Forecaster:
    """What was last seen at the same point of the period."""
    K = targets.shape[1]

    def center(contexts):
        return contexts[:, contexts.shape[1] - period + np.arange(K) % period]

    spread = deviation(center(contexts), targets)
    return lambda contexts: (center(contexts), spread)


def lagged_regression(contexts: np.ndarray, targets: np.ndarray, ridge: float = 1.0) -> Forecaster:
    """Each step linear in the lags and a constant, by least squares with `ridge` times the squared weights.

    The constant is not held down; targets that are NaN are left out.
    """
    L = contexts.shape[1]
    held = np.sqrt(ridge) * np.eye(L, L + 1)  # as rows that ask each weight to be 0
    weights = []
    for target in targets.T:
        there = ~np.isnan(target)
        rows = np.concatenate([_with_one(contexts[there]), held])
        weights.append(np.linalg.lstsq(rows, np.concatenate([target[there], np.zeros(L)]), rcond=None)[0])
    kernel = np.stack(weights, 1)
    spread = deviation(_with_one(contexts) @ kernel, targets)
    return lambda contexts: (_with_one(contexts) @ kernel, spread)


def _with_one(contexts):
    return np.concatenate([contexts, np.ones((len(contexts), 1))], 1)


def lagged_network(
    contexts: np.ndarray, targets: np.ndarray, seed: int, *, hidden: int = 32, steps: int = 1000, rate: float = 3e-3
) -> Forecaster:
    """A feed-forward network, one hidden layer of tanh, from the lags to all K steps; least squares, AdamW.

    Targets that are NaN do not count.
    """
    L, K = contexts.shape[1], targets.shape[1]

    def init(key):
        k1, k2 = jax.random.split(key)
        scale = jnp.sqrt(1 / jnp.array([L, hidden], "float32"))
        kernels = scale[0] * jax.random.normal(k1, (L, hidden)), scale[1] * jax.random.normal(k2, (hidden, K))
        return {"in": kernels[0], "out": kernels[1], "bias": jnp.zeros(hidden), "last": jnp.zeros(K)}

    def apply(params, xs):
        return jnp.tanh(xs @ params["in"] + params["bias"]) @ params["out"] + params["last"]

    def loss(params, batch, key):
        xs, ys = batch
        there = ~jnp.isnan(ys)
        squares = jnp.square(apply(params, xs) - jnp.where(there, ys, 0))
        return jnp.where(there, squares, 0).sum() / jnp.maximum(there.sum(), 1)

    k1, k2 = jax.random.split(jax.random.key(seed))
    data = contexts.astype("float32"), targets.astype("float32")
    learnt = train.learn(loss, init(k1), data, key=k2, steps=steps, batch=64, rate=rate, decay=1e-2, progress=False)
    params = learnt.params

    def center(contexts):
        return np.asarray(apply(params, jnp.asarray(contexts, "float32")), float)

    spread = deviation(center(contexts), targets)
    return lambda contexts: (center(contexts), spread)
