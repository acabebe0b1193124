"""Rolling origin: what forecasters would have said at several times, beside what came (Tashman 2000)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrnn._core import checks
from jaxrnn.forecast._runs import forecasts_of
from jaxrnn.forecast._says import Quantiles, probabilities_of
from jaxrnn.forecast.calendar import seasons
from jaxrnn.forecast.columns import Table, as_column
from jaxrnn.forecast.scores import percent, seasonal_error, summary
from jaxrnn.forecast.tables import Panel, panel

AXES = {"model": ((2,), (0, 1, 2)), "series": ((2,), (0, 2)), "window": ((2,), (1, 2)), "step": ((0, 1), (0, 1))}


@dataclasses.dataclass(frozen=True, eq=False)
class Backtest:
    """The result of `backtest`: W windows, N series, K steps. What is not there is NaN."""

    panel: Panel
    season: int
    known: np.ndarray  # [W, N] int, the steps of each series up to the origin
    target: np.ndarray  # [W, N, K], NaN in all windows in which a series does not take part
    forecasts: dict[str, Quantiles]  # by model: mean [W, N, K], values [W, N, K, Q]
    scale: np.ndarray  # [W, N], the mean absolute error of seasonal naive before the origin, and
    root_scale: np.ndarray  # the root of its mean square
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        found = self.summary()
        W, N, K = self.target.shape
        heads = ["", *(name for name in found if name not in ("model", "targets"))]
        cells = [[name, *(f"{found[h][m]:.4g}" for h in heads[1:])] for m, name in enumerate(found["model"].tolist())]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in [heads, *cells]]
        first = f"Backtest of {N} series in {W} windows, {K} steps ahead, season {self.season}"
        return "\n".join([first, *lines, *self.notes])

    def summary(self, by: str = "model") -> Table:
        """All scores (see `scores.table`) of each model; by "series", "window" or "step" (1 to K) as well.

        A score over several series or windows is the mean of each one's own, as in M4; one of a step is the mean over
        all forecasts of that step. A scaled score leaves out a series that was constant before the origin.
        """
        if by not in AXES:
            raise ValueError(f"by: expected one of {tuple(AXES)}, got {by!r}")
        kept = np.flatnonzero((~np.isnan(self.target)).any((0, 2)))
        W, _, K = self.target.shape
        places = {
            "model": {},
            "series": {"unique_id": as_column(self.panel.ids)[kept]},
            "window": {"window": np.arange(W)},
            "step": {"step": np.arange(1, K + 1)},
        }[by]
        parts = []
        for name, says in self.forecasts.items():
            says = says._replace(mean=says.mean[:, kept], values=says.values[:, kept])
            scales = self.scale[:, kept, None], self.root_scale[:, kept, None]
            found = summary(says, self.target[:, kept], *scales, *AXES[by])
            rows = np.size(found["targets"])
            first = {"model": np.full(rows, name), **places}
            parts.append(first | {score: np.reshape(values, rows) for score, values in found.items()})
        return Table({column: np.concatenate([part[column] for part in parts]) for column in parts[0]})

    def table(self, model: str | None = None, window: int | None = None) -> Table:
        """Every forecast in a row, as a long table; of one model, or one window (-1: the last), or all.

        Columns: model, unique_id, window, origin (the time of the last step that was known), step (1 to K), ds, target,
        mean, median, and the ends of each interval, such as lo-80 and hi-80.
        """
        if model is not None and model not in self.forecasts:
            raise ValueError(f"model: expected one of {tuple(self.forecasts)}, got {model!r}")
        windows = range(len(self.known)) if window is None else [range(len(self.known))[window]]
        grid, parts = self.panel.grid, []
        for name, says in self.forecasts.items():
            for w in windows if model in (None, name) else ():
                there = np.flatnonzero((~np.isnan(self.target[w])).any(1))
                parts += [self._rows(name, says, w, n, grid.after) for n in there]
        flat = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
        return Table(flat)

    def _rows(self, name, says, w, n, after):
        K, first, known = self.target.shape[2], self.panel.times[n][0], int(self.known[w, n])
        step = np.arange(1, K + 1)
        same = {
            "model": np.full(K, name),
            "unique_id": np.repeat(as_column(self.panel.ids)[n : n + 1], K),
            "window": np.full(K, w),
            "origin": np.full(K, self.panel.times[n][known - 1]),
        }
        center = {"mean": says.mean[w, n], "median": says.median[w, n]}
        ends = {}
        for level in says.levels:
            lower, upper = says.interval(level)
            ends |= {f"lo-{percent(level)}": lower[w, n], f"hi-{percent(level)}": upper[w, n]}
        return {
            **same,
            "step": step,
            "ds": after(first, known - 1 + step),
            "target": self.target[w, n],
            **center,
            **ends,
        }


def backtest(
    forecasters: Mapping[str, Any],
    table: Any,
    horizon: int,
    *,
    windows: int = 3,
    step: int | None = None,
    refit: bool = False,
    season: int | None = None,
    levels: Sequence[float] = (0.8,),
    freq: Any = None,
    origins: str | None = None,
) -> Backtest:
    """What each forecaster says of the K = `horizon` steps after each of `windows` origins, beside what came.

    table: whatever `panel` takes: a long table or frame, a path, a list of arrays [T]; freq as there. The last origin
    is K steps before the end, the others `step` steps (None: K, so that no step is forecast twice) before one another.
    origins: "time", one time for all series, as they would be forecast; or "end", each series by its own end, where
    times mean nothing, as in M4. None: "time" for dates, "end" for numbered steps.

    forecasters, by name, are any of
        a function (past [T], horizon, season) of one series, as those of `baselines`, told by the name `past`;
        a function (panel), which gets the Panel cut at the origin and returns what `predict` does, a long table; or
            forecasts of its N series: `Quantiles` or `Normal` of [N, K], an array [N, K], or a list of one for each;
        a function (panel) that fits, and returns something with `predict`: called at each origin with `refit`, else
            once at the first, and then asked to predict from what is known at the others;
        something fitted, with `predict`, which is to know nothing that came after the first origin.

    season: the period in steps of the baselines and of the scale of MASE; None: the shortest that the frequency has, or
    1. levels: the intervals' shares. A series takes part in a window if it has an observed value before the origin and
    a target after it. Raises ValueError if a window is left without a series.
    """
    series = panel(table, freq)
    K, W = checks.positive(horizon, "horizon"), checks.positive(windows, "windows")
    apart = K if step is None else checks.positive(step, "step")
    if not forecasters:
        raise ValueError("forecasters: expected some by name, got none")
    if season is None:
        season = min(seasons(series.frequency, int(series.lengths.max())), default=1)
    checks.positive(season, "season")
    known = _known(series, K + apart * np.arange(W)[::-1], origins)
    target = np.full((W, len(series), K), np.nan)
    scale, root = np.full((2, W, len(series)), np.nan)
    for w, n in np.ndindex(known.shape):
        past, came = np.split(series.values[n], [known[w, n]])
        if not np.isnan(past).all():
            target[w, n, : len(came[:K])] = came[:K]
            scale[w, n], root[w, n] = (seasonal_error(past, season, squared=s) for s in (False, True))
    takes = np.any(~np.isnan(target), axis=2)
    if not np.any(takes, axis=1).all():
        most = int(series.lengths.max())
        raise ValueError(
            f"windows: expected fewer than {W}, or a shorter horizon or step: nothing is known before the origin of "
            f"window {int(np.any(takes, axis=1).argmin())} that goes on after it; horizon {K}, step {apart}, "
            f"and series of at most {most} steps"
        )
    left = int((~takes).sum())
    notes = (
        (f"{left} of {takes.size} series in windows have nothing before or nothing after the origin",) if left else ()
    )
    p = probabilities_of(levels)
    found = {
        name: forecasts_of(name, one, series, known, takes, K, season, p, refit) for name, one in forecasters.items()
    }
    return Backtest(series, season, known, target, found, scale, root, notes)


def _known(series, back, origins):
    """The steps of each series up to each origin, [W, N]: the origins are `back` [W] steps before the end."""
    if origins not in (None, "time", "end"):
        raise ValueError(f"origins: expected 'time', 'end' or None, got {origins!r}")
    if origins == "end" or (origins is None and not series.dated):
        return np.maximum(series.lengths - back[:, None], 0)
    last = max(range(len(series)), key=lambda n: series.times[n][-1])
    times = series.grid.after(series.times[last][0], series.lengths[last] - 1 - back)
    return np.stack([np.searchsorted(one, times, side="right") for one in series.times], 1)
