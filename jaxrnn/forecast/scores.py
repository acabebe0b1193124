"""How good forecasts are: errors, quantiles, intervals, distributions. NumPy in, float64 out.

Forecasts and targets are [..., K], K steps of any number of series; quantiles have an axis more, [..., K, Q]. A target
that is NaN is left out. A forecast that is NaN where there was a target makes its score NaN: a model that says nothing
is not excused. `axis` are the axes of the target that a score is a mean over: the last, so that each series has its
own, as M4 and M5 count; None for one number, () for one of each target. What is undefined (no target; for the scaled
ones a past that is constant or shorter than a season) is NaN.

`past` is what was known before, [..., T], or a list of N series of unequal lengths; NaN is missing. season: its period
m in steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrnn._core import checks
from jaxrnn.forecast._averages import Axis, axes, chances, like, mean, number, share
from jaxrnn.forecast._crps import crps, crps_gaussian, crps_quantiles, crps_samples, crps_student_t
from jaxrnn.forecast._pit import pit_histogram, pit_quantiles, pit_samples
from jaxrnn.forecast._says import Quantiles

__all__ = [
    "Quantiles",
    "coverage",
    "crps",
    "crps_gaussian",
    "crps_quantiles",
    "crps_samples",
    "crps_student_t",
    "interval_score",
    "mae",
    "mase",
    "msis",
    "pit_histogram",
    "pit_quantiles",
    "pit_samples",
    "quantile_loss",
    "reliability",
    "rmse",
    "rmsse",
    "seasonal_error",
    "smape",
    "table",
    "weighted_quantile_loss",
    "width",
]


def mae(forecast: Any, target: Any, *, axis: Axis = -1) -> Any:
    """The mean absolute error: forecast, target [..., K] -> [...]. What a median makes least."""
    forecast, target = _pair(forecast, target)
    return mean(np.abs(target - forecast), ~np.isnan(target), axis)


def rmse(forecast: Any, target: Any, *, axis: Axis = -1) -> Any:
    """The root of the mean squared error: forecast, target [..., K] -> [...]. What a mean makes least."""
    forecast, target = _pair(forecast, target)
    return np.sqrt(mean(np.square(target - forecast), ~np.isnan(target), axis))


def smape(forecast: Any, target: Any, *, axis: Axis = -1) -> Any:
    """The symmetric mean absolute percentage error, 0 to 200: forecast, target [..., K] -> [...].

    The mean of 200 |y - f| / (|y| + |f|), as the M4 competition has it (Makridakis, Spiliotis and Assimakopoulos 2020);
    0 where both are 0.
    """
    forecast, target = _pair(forecast, target)
    error, size = np.abs(target - forecast), np.abs(target) + np.abs(forecast)
    return mean(np.divide(200 * error, size, out=0 * size, where=size != 0), ~np.isnan(target), axis)


def seasonal_error(past: Any, season: int = 1, *, squared: bool = False) -> Any:
    """The scale of MASE: the mean of |y_t - y_{t-m}| over the past [..., T] -> [...], of RMSSE its root mean square.

    A pair of which one is missing is left out; NaN if there is none.
    """
    past = _past(past)
    checks.positive(season, "season")
    change = np.abs(past[..., season:] - past[..., :-season])
    return np.sqrt(mean(change**2, ~np.isnan(change), -1)) if squared else mean(change, ~np.isnan(change), -1)


def mase(forecast: Any, target: Any, past: Any, season: int = 1, *, axis: Axis = -1) -> Any:
    """The mean absolute scaled error: forecast, target [..., K], past [..., T] -> [...].

    The absolute error over that of seasonal naive one season ahead on the past. Hyndman and Koehler 2006; with the
    season of the frequency (24 for hours) it is M4's, which is then averaged over the series.
    """
    forecast, target = _pair(forecast, target)
    error = np.abs(target - forecast) / _scale(seasonal_error(past, season), target)
    return mean(error, ~np.isnan(target), axis)


def rmsse(forecast: Any, target: Any, past: Any, season: int = 1, *, axis: Axis = -1) -> Any:
    """The root mean squared scaled error: forecast, target [..., K], past [..., T] -> [...].

    The squared error over the mean squared one of (seasonal) naive on the past. Hyndman and Koehler 2006; M5 has
    season=1, and its past begins at the first sale.
    """
    forecast, target = _pair(forecast, target)
    error = (target - forecast) / _scale(seasonal_error(past, season, squared=True), target)
    return np.sqrt(mean(np.square(error), ~np.isnan(target), axis))


def quantile_loss(quantiles: Any, probabilities: Any, target: Any, *, axis: Axis = -1) -> Any:
    """The pinball loss of each quantile: quantiles [..., K, Q], target [..., K] -> [..., Q].

    max(p (y - q), (p - 1) (y - q)): at p = 0.5 it is half the absolute error. Koenker and Bassett 1978.
    """
    p, target = chances(probabilities), number(target, "target")
    error = target[..., None] - like(quantiles, "quantiles", target, len(p))
    return mean(np.maximum(p * error, (p - 1) * error), ~np.isnan(target), axis)


def weighted_quantile_loss(quantiles: Any, probabilities: Any, target: Any, *, axis: Axis = None) -> Any:
    """The sum of twice the pinball loss over the sum of |y|, the mean of it over the Q probabilities.

    quantiles [..., K, Q], target [..., K] -> a number: over all targets, as GluonTS has it (`mean_wQuantileLoss`), so
    that large series count more. Salinas et al. 2020, "DeepAR", which calls it the ρ-risk.
    """
    loss = quantile_loss(quantiles, probabilities, target, axis=axis)
    target = number(target, "target")
    size = mean(np.abs(target), ~np.isnan(target), axis)
    return 2 * np.divide(loss.mean(-1), size, out=np.full(np.shape(size), np.nan), where=size > 0)[()]


def reliability(quantiles: Any, probabilities: Any, target: Any, *, axis: Axis = None) -> Any:
    """The share of targets below each quantile: quantiles [..., K, Q], target [..., K] -> [Q]: near the probabilities,
    if calibrated. A target that equals a quantile counts half.
    """
    p, target = chances(probabilities), number(target, "target")
    error = target[..., None] - like(quantiles, "quantiles", target, len(p))
    return mean((1 - np.sign(error)) / 2, ~np.isnan(target), axis)


def coverage(lower: Any, upper: Any, target: Any, *, axis: Axis = None) -> Any:
    """The share of targets within [lower, upper], all [..., K] -> a number: near the level, if calibrated."""
    lower, target = _pair(lower, target, "lower")
    upper = like(upper, "upper", target)
    held = np.where(np.isnan(lower) | np.isnan(upper), np.nan, (lower <= target) & (target <= upper))
    return mean(held, ~np.isnan(target), axis)


def width(lower: Any, upper: Any, target: Any = None, *, axis: Axis = -1) -> Any:
    """The mean width of intervals, lower, upper [..., K] -> [...]; where there is a target, if one is given."""
    upper, lower = number(upper, "upper"), number(lower, "lower")
    target = np.zeros(lower.shape) if target is None else number(target, "target")
    return mean(like(upper, "upper", target) - like(lower, "lower", target), ~np.isnan(target), axis)


def interval_score(lower: Any, upper: Any, target: Any, level: float, *, axis: Axis = -1) -> Any:
    """The interval score: lower, upper, target [..., K] -> [...], of central intervals that are to hold `level`.

        (u - l) + 2 / α (l - y) where y < l + 2 / α (y - u) where y > u,    α = 1 - level

    Winkler 1972; Gneiting and Raftery 2007, equation 43.
    """
    lower, target = _pair(lower, target, "lower")
    upper, alpha = like(upper, "upper", target), 1 - share(level)
    outside = np.maximum(lower - target, 0) + np.maximum(target - upper, 0)
    return mean(upper - lower + 2 / alpha * outside, ~np.isnan(target), axis)


def msis(
    lower: Any, upper: Any, target: Any, past: Any, season: int = 1, *, level: float = 0.95, axis: Axis = -1
) -> Any:
    """The mean scaled interval score: the interval score over the scale of MASE; M4's has level=0.95."""
    target = number(target, "target")
    scale = _scale(seasonal_error(past, season), target)
    return mean(interval_score(lower, upper, target, level, axis=()) / scale, ~np.isnan(target), axis)


def table(forecasts: Mapping[str, Quantiles], target: Any, past: Any, season: int = 1) -> dict[str, np.ndarray]:
    """All scores of several models, as columns with a row for each: forecasts by name, target [..., K], past [..., T].

    "model"; "mae", "rmse", "mase", "rmsse", "smape" of the median for absolute and of the mean for squared errors;
    "wql" and "crps" of all quantiles; and "coverage-80", "width-80", "msis-80" for each central interval. "crps" and
    "width" are over the scale of MASE. Each is the mean over the series of a mean over steps, but "wql" and "coverage",
    which are over all targets. "targets": how many there were.
    """
    target = number(target, "target")
    scale, root = (_own(seasonal_error(past, season, squared=s), target)[..., None] for s in (False, True))
    every = axes(None, target.ndim)
    return columns(
        {"model": m, **summary(says, target, scale, root, every[-1:], every)} for m, says in forecasts.items()
    )


def summary(
    says: Quantiles, target: np.ndarray, scale: Any, root_scale: Any, within: tuple[int, ...], over: tuple[int, ...]
) -> dict[str, Any]:
    """The scores of one model by name: means over the axes `within`, and then over the rest of `over`.

    scale, root_scale: those of MASE and RMSSE, as [..., 1] or in another shape that fits target [..., K].
    """
    there = ~np.isnan(target)
    scale, root_scale = (np.broadcast_to(np.where(s > 0, s, np.nan), target.shape) for s in (scale, root_scale))
    rest = tuple(a for a in over if a not in within)

    def average(losses, there=there, root=False):
        first = mean(losses, there, within, keepdims=True)
        both = mean(np.sqrt(first) if root else first, np.any(there, axis=within, keepdims=True), rest, keepdims=True)
        return np.squeeze(both, over)[()]

    def scaled(losses, by=scale, root=False):
        return average(losses / by, there & ~np.isnan(by), root)

    center, p, q = says.median, says.probabilities, says.values
    absolute, error = np.abs(target - center), np.square(target - says.mean)
    found = {
        "mae": average(absolute),
        "rmse": average(error, root=True),
        "mase": scaled(absolute),
        "rmsse": scaled(error / root_scale, root_scale, root=True),
        "smape": average(smape(center, target, axis=())),
        "wql": weighted_quantile_loss(q, p, target, axis=over),
        "crps": scaled(crps_quantiles(q, p, target, axis=())),
    }
    for level in says.levels:
        lower, upper = says.interval(level)
        found[f"coverage-{percent(level)}"] = coverage(lower, upper, target, axis=over)
        found[f"width-{percent(level)}"] = scaled(upper - lower)
        found[f"msis-{percent(level)}"] = scaled(interval_score(lower, upper, target, level, axis=()))
    return {**found, "targets": there.sum(over)}


def percent(level: float) -> str:
    """A level as columns name it: 0.8 is "80", 0.975 is "97.5"."""
    return f"{100 * level:g}"


def columns(rows: Any) -> dict[str, np.ndarray]:
    """Rows, as dictionaries with the same names, as columns."""
    rows = list(rows)
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def _pair(forecast, target, name="forecast"):
    target = number(target, "target")
    return like(forecast, name, target), target


def _past(past):
    """The past as [..., T]; series of unequal lengths begin with NaN."""
    if isinstance(past, list | tuple) and any(np.ndim(one) == 1 for one in past):
        series = [number(one, "past") for one in past]
        T = max(map(len, series))
        return np.stack([np.concatenate([np.full(T - len(one), np.nan), one]) for one in series])
    past = number(past, "past")
    if not past.ndim:
        raise ValueError("past: expected [..., T] or a list of series [T], got a number")
    return past


def _own(scale, target):
    """The scale of each series, [...], checked against target [..., K]."""
    if np.shape(scale) not in (target.shape[:-1], ()):
        raise ValueError(
            f"past: expected [..., T] with the series of target [..., K] = {target.shape}, got {np.shape(scale)}"
        )
    return np.asarray(scale)


def _scale(scale, target):
    scale = _own(scale, target)[..., None]
    return np.where(scale > 0, scale, np.nan)
