"""Figures: fans, errors by horizon, calibration. Each returns matplotlib's Figure: `.savefig("fan.png")`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from jaxrnn._core import figure as drawing
from jaxrnn._core.optional import optional
from jaxrnn.forecast._backtest import Backtest
from jaxrnn.forecast._pit import pit_histogram, pit_quantiles
from jaxrnn.forecast.columns import columns_of, timestamps
from jaxrnn.forecast.scores import reliability
from jaxrnn.forecast.tables import panel

__all__ = ["calibration", "error_by_horizon", "fan"]

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)), (0, (1, 3)))  # beside colours: for print in grey
MARKS = "osD^vPX"
UNITS = {
    "mase": "MASE (1: seasonal naive on the past)",
    "rmsse": "RMSSE (1: seasonal naive on the past)",
    "mae": "MAE (unit of y)",
    "rmse": "RMSE (unit of y)",
    "smape": "sMAPE (%, 0 to 200)",
    "crps": "CRPS (over the scale of MASE)",
    "wql": "weighted quantile loss (share of |y|)",
}


def fan(
    forecast: Any, table: Any, unique_id: Any = None, *, shown: int | None = None, freq: Any = None, unit: str = ""
) -> Any:
    """Fans: the past, the median and the nested intervals of a forecast, and what came where that is known.

    forecast: a long table as `predict` or `Backtest.table(model, window)` give it, with unique_id, ds, median and any
    of lo-80, hi-80, .... table: the series (see `panel`); what of them is before the forecast is its past, the rest
    came. unique_id: a series, or some, one below another; None: the first. shown: steps of the past, None: 4 K.
    freq: as for `panel`. unit: that of y, for the axis.
    Raises ValueError for a series that is not in both.
    """
    said, series = columns_of(forecast), panel(table, freq)
    names = [str(one) for one in said["unique_id"].tolist()]
    chosen = names[:1] if unique_id is None else [unique_id] if np.ndim(unique_id) == 0 else list(unique_id)
    figure, rows = _paper(len(chosen), 1, (9.0, 3.2 * len(chosen)))
    places = {str(one): n for n, one in enumerate(series.ids)}
    for ax, one in zip(rows[:, 0], chosen, strict=True):
        at = np.flatnonzero([name == str(one) for name in names])
        if not len(at) or str(one) not in places:
            raise ValueError(f"unique_id: expected a series of both the forecast and the table, got {one!r}")
        n, ds = places[str(one)], timestamps(said["ds"][at])
        if len(np.unique(ds)) < len(ds):
            raise ValueError("forecast: expected one of each time; give that of one model and one window")
        at, ds = at[np.argsort(ds)], np.sort(ds)
        times, values = series.times[n], series.values[n]
        known, steps = int(np.searchsorted(times, ds[0])), shown or 4 * len(ds)
        past, came = slice(max(known - steps, 0), known), slice(known, known + len(ds))
        levels = sorted((float(c[3:]) for c in said if c[:3] == "lo-"), reverse=True)
        colour = drawing.colour(0)
        for i, level in enumerate(levels):
            low, high = (said[f"{end}-{level:g}"][at] for end in ("lo", "hi"))
            alpha = 0.16 + 0.14 * i  # the narrower lies on the wider, and is darker in grey too
            ax.fill_between(ds, low, high, color=colour, alpha=alpha, linewidth=0, label=f"{level:g}% interval")
        ax.plot(times[past], values[past], color="black", linewidth=1.2, label="past")
        ax.plot(ds, said["median"][at], color=colour, linewidth=2, linestyle="--", label="median")
        if np.isfinite(values[came]).any():
            style: Any = dict(color="black", linewidth=1.2, marker="o", markersize=2.5)
            ax.plot(times[came], values[came], label="what came", **style)
        if known:
            ax.axvline(times[known - 1], color="0.4", linewidth=0.8, linestyle=":")
        name = f"{said['model'][at[0]]}, {one}" if "model" in said else str(one)
        drawing.finish(ax, x="time" if series.dated else "step", y=f"y ({unit})" if unit else "y", title=name)
        if series.dated:
            dates = optional("matplotlib.dates", "train", "a plot")
            ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(ax.xaxis.get_major_locator()))
    rows[0, 0].legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def error_by_horizon(result: Backtest, score: str = "mase", *, models: Sequence[str] | None = None) -> Any:
    """A score, of those of `Backtest.summary`, against the steps ahead: a line for each model."""
    found = result.summary(by="step")
    if score not in found or score in ("model", "step"):
        names = [name for name in found if name not in ("model", "step", "targets")]
        raise ValueError(f"score: expected one of {names}, got {score!r}")
    figure, axes = _paper(1, 1, (7.0, 4.0))
    for i, name in enumerate(_models(result, models)):
        rows = found["model"] == name
        K = int(rows.sum())
        axes[0, 0].plot(found["step"][rows], found[score][rows], label=name, markevery=max(K // 8, 1), **_style(i))
    label, _, level = score.partition("-")
    y = UNITS.get(score, f"{label} of the {level}% interval")
    ax = drawing.finish(axes[0, 0], x="steps ahead (k)", y=y, title="Error by horizon", legend=True)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_ylim(bottom=0)
    return figure


def calibration(result: Backtest, *, models: Sequence[str] | None = None, band: float = 0.9) -> Any:
    """Two views of how often what came was where: the reliability of the quantiles, and the histogram of F(y).

    Left: the share of targets below each quantile against its probability; on the diagonal, if calibrated. The band
    holds the share of calibrated forecasts with probability `band`, by a binomial distribution of as many draws as
    there are forecasts, series times windows: the K steps of one err together, so they count as one. So do series
    that move together, for which the band is too narrow.
    Right: the density of F(y) between the quantiles: 1, if calibrated. A model without quantiles is left out.
    """
    figure, axes = _paper(1, 2, (9.6, 4.2))
    left, right = axes[0]
    p = np.asarray(next(iter(result.forecasts.values())).probabilities)
    draws = int((~np.isnan(result.target)).any(2).sum())
    grid = np.linspace(0.001, 0.999, 199)
    low, high = (_binomial(share, draws, grid) for share in ((1 - band) / 2, (1 + band) / 2))
    left.fill_between(grid, low, high, color="0.5", alpha=0.2, linewidth=0, step="mid", label=f"{band:.0%} of chance")
    left.plot([0, 1], [0, 1], color="0.4", linewidth=0.8, label="calibrated")
    right.axhline(1, color="0.4", linewidth=0.8)
    for i, name in enumerate(_models(result, models)):
        says = result.forecasts[name]
        values = pit_quantiles(says.values, p, result.target)
        if np.isnan(values).all():
            continue
        style = _style(i)
        left.plot(
            p, reliability(says.values, p, np.where(np.isnan(values), np.nan, result.target)), label=name, **style
        )
        density, edges = pit_histogram(values, [0, *p, 1])
        right.stairs(density, edges, label=name, color=style["color"], linestyle=style["linestyle"], linewidth=1.8)
    drawing.finish(left, x="probability of the quantile", y="share of targets below it", title="Reliability")
    drawing.finish(right, x="F(y), by the quantiles", y="density (1: calibrated)", title="PIT histogram")
    left.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    right.set(xlim=(0, 1), ylim=(0, None))
    left.legend(frameon=False, fontsize="small")
    return figure


def _paper(rows, columns, size):
    """A figure and its axes [rows, columns]: not pyplot's, so that a notebook shows it once, and nothing keeps it."""
    drawing.pyplot()  # by which a notebook learns to show figures
    figure = optional("matplotlib.figure", "train", "a plot").Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _models(result, models):
    absent = [name for name in models or () if name not in result.forecasts]
    if absent:
        raise ValueError(f"models: expected some of {tuple(result.forecasts)}, got {absent[0]!r}")
    return list(result.forecasts if models is None else models)


def _style(i) -> dict[str, Any]:
    return dict(
        color=drawing.colour(i),
        linestyle=DASHES[i % len(DASHES)],
        linewidth=1.8,
        marker=MARKS[i % len(MARKS)],
        markersize=4,
    )


def _binomial(share, draws, p):
    """The quantile of a binomial share of `draws`."""
    return np.ceil(np.clip(special.bdtrik(share, draws, p), 0, draws) - 1e-9) / draws
