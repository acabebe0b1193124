"""The theta method, as exponential smoothing with a drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrnn.forecast._regular import cleaned, regular, said
from jaxrnn.forecast._says import Normal

LEAST = 1e-4  # of the smoothing parameter, and of one less it


def theta(past: Any, horizon: int, season: int = 1) -> Normal:
    """The theta method: simple exponential smoothing of the past [T], and half the slope of its trend, for K steps.

        l_t = a y_t + (1 - a) l_{t-1},  l_1 = y_1;   a with the least squares of y_t - l_{t-1}, b the slope of y on t
        mean_k = l_T + b/2 · (k - 1 + (1 - (1 - a)^T) / a),   deviation_k = deviation of errors · sqrt(1 + (k - 1) a²)

    of the seasonally adjusted series, if its autocorrelation at m is beyond 90% of what chance gives: by a classical
    decomposition, of products if all is above 0, else of sums. Gaps are filled with straight lines first. With fewer
    than three values it is the last.
    Assimakopoulos and Nikolopoulos 2000; in this form Hyndman and Billah 2003; the test is that of the M4 benchmark.
    """
    y, gap = regular(cleaned(past, horizon, season))
    K = gap + horizon
    if len(y) < 3:
        return said(np.full(horizon, y[-1] if len(y) else np.nan), np.nan)
    size = np.abs(y).max() or 1.0  # so that no square overflows
    plain, factor, added = _adjusted(y / size, season, K)
    T, steps = len(plain), np.arange(K)
    alpha = _smoothing(plain)
    levels, errors = _smoothed(plain, alpha)
    time = np.arange(T) - (T - 1) / 2
    slope = (time @ plain) / (time @ time)
    mean = levels[-1] + slope / 2 * (steps + (1 - (1 - alpha) ** T) / alpha)
    deviation = np.sqrt((errors**2).sum() / (T - 1) * (1 + steps * alpha**2))
    return said((size * (mean * factor + added))[gap:], (size * deviation * factor)[gap:])


def _adjusted(y, season, steps):
    """(y without its season, the factors, the summands of the next steps)."""
    T, ones = len(y), np.ones(steps)
    if season == 1 or 2 * season > T or not _seasonal(y, season):
        return y, ones, 0 * ones
    weights = np.ones(season) if season % 2 else np.r_[0.5, np.ones(season - 1), 0.5]
    trend = np.convolve(y, weights / season, "valid")
    first = (T - len(trend)) // 2
    inner, points = y[first : first + len(trend)], np.arange(first, first + len(trend)) % season

    def means(of):
        return np.bincount(points, of, season) / np.bincount(points, minlength=season)

    now, ahead = np.arange(T) % season, np.arange(T, T + steps) % season
    if y.min() > 0:
        index = means(inner / trend)
        index = index / index.mean()
        if index.min() > 0:
            return y / index[now], index[ahead], 0 * ones
    index = means(inner - trend)
    index = index - index.mean()
    return y - index[now], ones, index[ahead]


def _seasonal(y, season):
    """Whether the autocorrelation at the season is beyond 90% of what chance gives, by Bartlett's formula."""
    off = y - y.mean()
    power = off @ off
    if power <= (len(y) * np.finfo(float).eps) ** 2:
        return False
    rho = np.array([off[lag:] @ off[: len(y) - lag] for lag in range(1, season + 1)]) / power
    return abs(rho[-1]) > 1.645 * np.sqrt((1 + 2 * (rho[:-1] ** 2).sum()) / len(y))


def _smoothed(y, alpha):
    """The level after each step, and the errors of the steps from the second on."""
    from scipy.signal import lfilter

    levels = lfilter([alpha], [1, alpha - 1], y[1:], zi=[(1 - alpha) * y[0]])[0]
    levels = np.concatenate([y[:1], levels])
    return levels, y[1:] - levels[:-1]


def _smoothing(y):
    """The smoothing parameter with the least squared errors: the best of a grid, and then between its neighbours."""
    from scipy.optimize import minimize_scalar

    def loss(alpha):
        return float((_smoothed(y, alpha)[1] ** 2).sum())

    grid = np.linspace(LEAST, 1 - LEAST, 21)
    losses = [loss(alpha) for alpha in grid]
    best = int(np.argmin(losses))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, 20)]
    found: Any = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(found.x if found.fun < losses[best] else grid[best])
