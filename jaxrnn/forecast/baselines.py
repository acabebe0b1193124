"""Simple forecasters, which a model has to be ahead of before anybody deploys it.

Each is a function (past [T], horizon K, season m) -> Normal(mean [K], deviation [K]) of one series: float64, NaN where
a value is missing (one that is infinite counts as missing). Values missing at the end make the steps after it longer
steps. None of them raises for a strange series: constant, all zeros, one spike, too short, nothing at all; what cannot
be known is NaN. Intervals are those of a normal distribution whose deviation comes from the residuals on the past.

    forecast.baselines.theta(past, 48, 24).quantiles((0.1, 0.5, 0.9)).values        # [K, 3]

Formulas of the first three: Hyndman and Athanasopoulos 2021, "Forecasting: principles and practice", sections 5.2, 5.5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrnn.forecast._peers import ets, statsforecast
from jaxrnn.forecast._regression import lagged_regression
from jaxrnn.forecast._regular import cleaned, regular, rms, said
from jaxrnn.forecast._says import Normal
from jaxrnn.forecast._theta import theta

__all__ = ["Normal", "drift", "ets", "lagged_regression", "naive", "seasonal_naive", "statsforecast", "theta"]


def naive(past: Any, horizon: int, season: int = 1) -> Normal:
    """The last observed value of past [T], at all K steps; the deviation is that of one step times sqrt(k)."""
    y = cleaned(past, horizon, season)
    seen = np.flatnonzero(~np.isnan(y))
    if not len(seen):
        return said(np.full(horizon, np.nan), np.nan)
    steps = len(y) - 1 - seen[-1] + np.arange(1, horizon + 1)
    return said(np.full(horizon, y[seen[-1]]), rms(np.diff(y)) * np.sqrt(steps))


def seasonal_naive(past: Any, horizon: int, season: int = 1) -> Normal:
    """The last observed value of past [T] at the same point of the season, for each of K steps.

    y_{T+k-mj} with the least j at which it is known, ceil(k / m) where nothing is missing; the deviation is that of
    y_t - y_{t-m} times sqrt(j). A point of the season that was never seen has what `naive` says of it.
    """
    y = cleaned(past, horizon, season)
    ahead = np.arange(1, horizon + 1)
    back = -(-ahead // season)

    def at(back):
        place = len(y) - 1 + ahead - season * back
        return np.where(place >= 0, np.append(y, np.nan)[np.maximum(place, -1)], np.nan), place

    found, place = at(back)
    while (np.isnan(found) & (place >= season)).any():
        back = back + np.isnan(found)
        found, place = at(back)
    deviation = rms(y[season:] - y[:-season]) * np.sqrt(back)
    other = naive(past, horizon)
    return said(
        np.where(np.isnan(found), other.mean, found),
        np.where(np.isnan(found) | np.isnan(deviation), other.deviation, deviation),
    )


def drift(past: Any, horizon: int, season: int = 1) -> Normal:
    """The straight line through the first and last observed values of past [T], for K steps.

    The deviation is that of a step from the slope, times sqrt(k (1 + k / (T - 1))).
    """
    y = cleaned(past, horizon, season)
    line, gap = regular(y)
    if len(line) < 2:
        return naive(past, horizon)
    steps = gap + np.arange(1, horizon + 1)
    slope = (line[-1] - line[0]) / (len(line) - 1)
    deviation = rms(np.diff(y) - slope, 1) * np.sqrt(steps * (1 + steps / (len(line) - 1)))
    return said(line[-1] + slope * steps, deviation)
