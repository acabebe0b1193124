"""Linear regression on lags, fitted to each series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrnn._core import checks
from jaxrnn.forecast._regular import cleaned, regular, said
from jaxrnn.forecast._says import Normal


def lagged_regression(
    past: Any,
    horizon: int,
    season: int = 1,
    *,
    lags: Sequence[int] | None = None,
    ridge: float = 0.1,
    recursive: bool = True,
) -> Normal:
    """Ridge regression of the next step on the past [T] at `lags` before it: an autoregression, for K steps.

        y_t - c_t = sum over lags of w_l (y_{t-l} - c_t) + b,    c_t the mean of y_{t-m} ... y_{t-1}

    Beside c_t, so that a change of level moves the forecast, and neither the mean of all nor the ridge pulls it back. w
    costs `ridge` times its square, in units of the inputs' deviation, b nothing. recursive: the forecast of a step is
    read as a value for the steps after it, and the deviation is what an error of each step makes of those. Otherwise
    each of the K steps has weights of its own, of the lags before the first of them, and the deviation of its own
    residuals: by the degrees of freedom that the ridge leaves (Hastie, Tibshirani and Friedman 2009, section 3.4.1).
    lags: None: 1 to 3 m, or to 12; where m is that of days in hours or a part of them (a multiple of 24) also 7 m and
    two on each side, a week; none above T/3. Gaps are filled with straight lines as inputs, left out as targets.
    A series that is constant, or too short, goes on as its last value.
    """
    y = cleaned(past, horizon, season)
    there = ~np.isnan(y)
    y, gap = regular(y)
    K, T = gap + horizon, len(y)
    there = there[len(there) - gap - T : len(there) - gap]
    ahead, span = 1 if recursive else K, max(min(season, T // 3), 1)
    if lags is None:
        week = range(7 * season - 2, 7 * season + 3) if season % 24 == 0 else ()
        lags = [lag for lag in (*range(1, max(3 * season, 12) + 1), *week) if lag <= min(T // 3, (T - ahead) // 2)]
    back = np.array(sorted({checks.positive(lag, "lags") for lag in lags}), int)
    if not isinstance(ridge, int | float) or not ridge >= 0:
        raise ValueError(f"ridge: expected a number of at least 0, got {ridge!r}")
    reach = max(max(back, default=T), span)
    rows = T - ahead + 1 - reach  # examples: all lags, and all steps ahead
    whole = np.abs(y).max(initial=0) or 1.0  # so that no square overflows
    y, last = y / whole, np.full(horizon, y[-1] if T else np.nan)
    if rows < 3 or not np.ptp(y) > 8 * np.finfo(float).eps:
        return said(last, 0.0 if T > 2 and np.ptp(y) == 0 else np.nan)
    means = np.convolve(y, np.full(span, 1 / span), "valid")  # of the span before t at t - span
    at = reach + np.arange(rows)  # of the first target
    steps, center = at[:, None] + np.arange(ahead), means[at - span][:, None]
    inputs = y[at[:, None] - back] - center
    size = float(inputs.std()) or 1.0
    weights, constant, deviation = _ridge(inputs / size, (y[steps] - center) / size, there[steps], ridge)
    if recursive:
        full = np.zeros(reach)
        full[back - 1] = weights[:, 0]
        full[:span] += (1 - weights.sum()) / span
        mean, deviation = _recursive(y, full, size * constant[0], deviation[0], K)
    else:
        mean = means[-1] + (y[T - back] - means[-1]) @ weights + size * constant
    return said((whole * mean)[gap:], (whole * size * deviation)[gap:])


def _ridge(inputs, targets, there, ridge):
    """Weights [L, K], constants [K] and deviations of residuals [K] of targets [M, K] on inputs [M, L], where there."""
    found = [np.empty((inputs.shape[1], targets.shape[1])), *np.full((2, targets.shape[1]), np.nan)]
    # Columns with the same rows share a decomposition: all, unless something is missing.
    for rows in np.unique(there, axis=1).T:
        which = (there == rows[:, None]).all(0)
        x, y = inputs[rows], targets[rows][:, which]
        if len(x) < 3:
            found[0][:, which] = np.nan
            continue
        mean, center = x.mean(0), y.mean(0)
        # All that is needed of [x y] is its triangle: the rows are many, the lags few.
        triangle: Any = np.linalg.qr(np.concatenate([x - mean, y - center], 1), mode="r")
        u, s, vt = np.linalg.svd(triangle[: len(mean), : len(mean)], full_matrices=False)
        kept = s > s[0] * len(x) * np.finfo(float).eps
        shrunk = np.divide(s, s**2 + ridge, out=np.zeros_like(s), where=kept)
        weights = vt.T @ (shrunk[:, None] * (u.T @ triangle[: len(mean), len(mean) :]))
        errors = y - center - (x - mean) @ weights
        left = max(len(x) - 1 - (s * shrunk).sum(), 1)
        constant, deviation = center - mean @ weights, np.sqrt((errors**2).sum(0) / left)
        for part, value in zip(found, (weights, constant, deviation), strict=True):
            part[..., which] = value
    return found


def _recursive(y, weights, constant, deviation, steps):
    """Mean and deviation of the next steps, by weights [R] of the last, the last but one, ...

    Each step's forecast is read as a value by those after it; psi is what an error makes of them.
    """
    reach = len(weights)
    line = np.concatenate([y[-reach:], np.empty(steps)])
    psi = np.concatenate([np.zeros(reach - 1), [1.0], np.empty(steps - 1)])
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(steps):
            line[reach + k] = weights @ line[k : reach + k][::-1] + constant
            if k:
                psi[reach - 1 + k] = weights @ psi[k - 1 : reach - 1 + k][::-1]
        return line[reach:], deviation * np.sqrt(np.cumsum(psi[reach - 1 :] ** 2))
