"""One series as the simple forecasters read it: float64, what is infinite missing, gaps filled with straight lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrnn._core import checks
from jaxrnn.forecast._averages import number
from jaxrnn.forecast._says import Normal


def cleaned(past: Any, horizon: int, season: int) -> np.ndarray:
    """past [T] as float64, NaN where it is missing or infinite; raises ValueError for other shapes and numbers."""
    y = number(past, "past")
    if y.ndim != 1:
        raise ValueError(f"past: expected one series [T], got {y.shape}")
    checks.positive(horizon, "horizon")
    checks.positive(season, "season")
    return np.where(np.isinf(y), np.nan, y)


def regular(y: np.ndarray) -> tuple[np.ndarray, int]:
    """(y [T'] from its first to its last observed value, straight lines in between; steps missing after the last)."""
    seen = np.flatnonzero(~np.isnan(y))
    if not len(seen):
        return y[:0], 0
    inner = np.arange(seen[0], seen[-1] + 1)
    return np.interp(inner, seen, y[seen]), len(y) - 1 - int(seen[-1])


def rms(a: np.ndarray, lost: int = 0) -> float:
    """The root mean square of what is not NaN, of which `lost` numbers went into parameters; NaN of too few."""
    a = a[~np.isnan(a)]
    if len(a) <= lost:
        return np.nan
    size = np.abs(a).max() or 1.0  # so that no square overflows, or vanishes
    return float(size * np.sqrt(((a / size) ** 2).sum() / (len(a) - lost)))


def said(mean: Any, deviation: Any) -> Normal:
    """A Normal in which what overflowed is NaN."""
    mean, deviation = (np.where(np.isfinite(a), a, np.nan) for a in np.broadcast_arrays(mean, deviation))
    return Normal(mean, deviation)
