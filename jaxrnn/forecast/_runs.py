"""Forecasters of all kinds asked at each origin, and what they say in one form."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrnn.forecast._averages import number
from jaxrnn.forecast._says import Normal, Quantiles
from jaxrnn.forecast.columns import columns_of, timestamps
from jaxrnn.forecast.scores import percent
from jaxrnn.forecast.tables import Panel
from jaxrnn.forecast.trained import Trained


def forecasts_of(
    name: str,
    forecaster: Any,
    panel: Panel,
    known: np.ndarray,
    takes: np.ndarray,
    horizon: int,
    season: int,
    probabilities: Sequence[float],
    refit: bool,
) -> Quantiles:
    """What one forecaster says at each origin: mean [W, N, K], values [W, N, K, Q], NaN where it says nothing.

    known, takes: [W, N], the steps of each series up to the origin, and whether it is scored.
    """
    K, levels = horizon, Quantiles(None, None, tuple(probabilities)).levels
    means = np.full((*known.shape, K), np.nan)
    values = np.full((*means.shape, len(probabilities)), np.nan)
    model = forecaster if hasattr(forecaster, "predict") else None
    for w, (ends, asked) in enumerate(zip(known, takes, strict=True)):
        there = np.flatnonzero([not np.isnan(y[:end]).all() for y, end in zip(panel.values, ends, strict=True)])
        if model is None and _of_one_series(forecaster):
            there = np.flatnonzero(asked)
            said: Any = [forecaster(panel.values[n][: ends[n]], K, season) for n in there]
        else:
            past = between(panel.take(there), 0 * ends[there], ends[there])
            if model is None or (refit and model is not forecaster):
                said = forecaster(past)
                model = said if hasattr(said, "predict") else None
            if model is not None:
                past, there = past.take(asked[there]), np.flatnonzero(asked)
                options: dict[str, Any] = {}
                if isinstance(model, Trained) and model.encoding.future:
                    options = {"future": between(panel.take(there), ends[there], ends[there] + K)}
                said = model.predict(past, levels=levels, **options)
            if isinstance(said, Mapping) or hasattr(said, "columns"):
                said = _of_table(name, said, past, K, probabilities)
        means[w, there], values[w, there] = _in_one_form(name, said, len(there), K, probabilities)
    return Quantiles(means, values, tuple(probabilities))


def between(panel: Panel, begin: np.ndarray, end: np.ndarray) -> Panel:
    """The steps of each series from `begin` [N] up to `end` [N]."""

    def cut(of):
        return tuple(one[b:e] for one, b, e in zip(of, begin, end, strict=True))

    columns = {name: cut(of) for name, of in panel.columns.items()}
    return dataclasses.replace(panel, times=cut(panel.times), values=cut(panel.values), columns=columns)


def _of_one_series(forecaster):
    try:
        return next(iter(inspect.signature(forecaster).parameters), None) == "past"
    except (TypeError, ValueError):  # built in, without a signature
        return False


def _in_one_form(name, said, N, K, probabilities):
    """(mean [N, K], values [N, K, Q]) of what a forecaster said of N series."""
    if isinstance(said, list | tuple) and not isinstance(said, Normal | Quantiles):
        if len(said) != N:
            raise ValueError(f"forecasters[{name!r}]: expected forecasts of {N} series, got {len(said)}")
        parts = [_in_one_form(name, _row(one), 1, K, probabilities) for one in said]
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True)) if parts else (np.nan, np.nan)
    if isinstance(said, Normal):
        said = said.quantiles(probabilities)
    if isinstance(said, Quantiles):
        mean = number(said.mean, name)
        values = np.stack([said.quantile(p) for p in probabilities], -1)
    else:  # a number for each step: no interval, and what it is the median
        mean = number(said, name)
        values = np.where(np.isclose(probabilities, 0.5), mean[..., None], np.nan)
    if mean.shape != (N, K) or values.shape != (N, K, len(probabilities)):
        raise ValueError(f"forecasters[{name!r}]: expected forecasts [N, K] = {(N, K)}, got {mean.shape}")
    return mean, values


def _row(said):
    """One series' forecast, [K], as those of one series, [1, K]."""
    if isinstance(said, Normal):
        return Normal(*(np.asarray(a)[None] for a in said))
    if isinstance(said, Quantiles):
        return Quantiles(np.asarray(said.mean)[None], np.asarray(said.values)[None], said.probabilities)
    return np.asarray(said)[None]


def _of_table(name, said, past, K, probabilities):
    """A long table of forecasts as Quantiles of the panel `past`: by unique_id and ds, whatever the order of rows."""
    columns = columns_of(said)
    wanted = [_column(p) for p in probabilities]
    absent = [column for column in ("unique_id", "ds", *wanted) if column not in columns]
    if absent:
        raise ValueError(f"forecasters[{name!r}]: expected a table with {absent}, got the columns {list(columns)}")
    which = {str(one): n for n, one in enumerate(past.ids)}
    series = np.array([which.get(str(one), -1) for one in columns["unique_id"].tolist()])
    ds = timestamps(columns["ds"])
    found = np.full((len(past), K, 1 + len(wanted)), np.nan)
    numbers = np.stack([number(columns[c], c) for c in (("mean" if "mean" in columns else "median"), *wanted)], -1)
    for n in range(len(past)):
        rows = np.flatnonzero(series == n)
        ahead = past.grid.index(past.times[n][0], ds[rows]) - len(past.times[n])
        inside = (ahead >= 0) & (ahead < K)
        found[n, ahead[inside]] = numbers[rows[inside]]
    return Quantiles(found[..., 0], found[..., 1:], tuple(probabilities))


def _column(probability):
    """The column of a long table that has the quantile."""
    if np.isclose(probability, 0.5):
        return "median"
    return f"{'lo' if probability < 0.5 else 'hi'}-{percent(round(abs(2 * probability - 1), 9))}"
