"""Other libraries' forecasters of one series, as `baselines`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from jaxrnn._core.optional import optional
from jaxrnn.forecast._regular import cleaned, regular, said
from jaxrnn.forecast._says import Normal


def ets(past: Any, horizon: int, season: int = 1, *, damped: bool = True) -> Normal:
    """Exponential smoothing with additive error, (damped) trend and season, by statsmodels: past [T] -> K steps.

    The season is there with two of them in the past, else it is smoothed without. Parameters by maximal likelihood, the
    first states by statsmodels' heuristic. NaN where that finds none. Hyndman, Koehler, Ord and Snyder 2008,
    "Forecasting with exponential smoothing", models (A, Ad, A) and (A, Ad, N). Raises ImportError without statsmodels.
    """
    model = optional("statsmodels.tsa.exponential_smoothing.ets", "forecast", "exponential smoothing").ETSModel
    series = optional("pandas", "forecast", "exponential smoothing").Series  # its variances want one
    y, gap = regular(cleaned(past, horizon, season))
    if len(y) < 10:
        return said(np.full(horizon, y[-1] if len(y) else np.nan), np.nan)
    location, size = float(y.mean()), float(y.std()) or 1.0  # its optimizer's tolerances are absolute
    seasonal = "add" if season > 1 and len(y) >= max(2 * season, 10 + 2 * (season // 2)) else None

    def fitted():
        made = model(
            series((y - location) / size),
            error="add",
            trend="add",
            damped_trend=damped,
            seasonal=seasonal,
            seasonal_periods=season if seasonal else None,
            initialization_method="heuristic",
        )
        found = made.fit(disp=False).get_prediction(len(y), len(y) + gap + horizon - 1)
        return np.asarray(found.predicted_mean), np.sqrt(np.asarray(found.forecast_variance))

    mean, deviation = _tried(fitted, gap + horizon)
    return said((location + size * mean)[gap:], (size * deviation)[gap:])


def statsforecast(name: str = "AutoETS", **options: Any) -> Callable[..., Normal]:
    """A model of statsforecast by its name, "AutoETS", "AutoTheta", "AutoARIMA", ..., as a function like these.

    It is made anew with `season_length` and options for each series, whose gaps are filled with straight lines. The
    deviation is that of a normal distribution with the interval that the model says. NaN where it raises.
    Raises ImportError without statsforecast, AttributeError for a name that it has not.
    """
    make = getattr(optional("statsforecast.models", "forecast", "a model of statsforecast"), name)

    def forecast(past: Any, horizon: int, season: int = 1) -> Normal:
        y, gap = regular(cleaned(past, horizon, season))
        K = gap + horizon

        def fitted():
            found = make(season_length=season, **options).forecast(y=y, h=K, level=[80])
            return np.asarray(found["mean"]), (found["hi-80"] - found["lo-80"]) / (2 * special.ndtri(0.9))

        mean, deviation = _tried(fitted, K) if len(y) else (np.full(K, np.nan),) * 2
        return said(mean[gap:], deviation[gap:])

    return forecast


def _tried(fitted, steps):
    """What a library says without its warnings; NaN if it raises, as they do for short and for constant series."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return fitted()
        except (ArithmeticError, IndexError, TypeError, ValueError, np.linalg.LinAlgError):
            return np.full(steps, np.nan), np.full(steps, np.nan)
