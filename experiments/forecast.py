"""Forecast series: a network beside an autoregression, and simple methods that it has to be ahead of.

    python -m experiments.forecast                                       two minutes on two cores, with passengers
    python -m experiments.forecast --airline airline-passengers.csv      the monthly passengers of Box and Jenkins too
    python -m experiments.forecast --m4 FOLDER                           414 hourly series of M4: 15 minutes
    python -m experiments.forecast --fast                                seconds, to see that it runs

Yearly sunspots (1700 to 2008) and monthly CO2 at Mauna Loa (1958 to 2001, five months missing) come with statsmodels;
passengers are a file with a column of numbers after one of months, and are forecast as logarithms. Without statsmodels
a made-up seasonal series takes their place, which is said. FOLDER has Hourly-train.csv and Hourly-test.csv, or .csv.gz.

`jaxrnn.forecast.fit` learns from the first three quarters of a series, once. In the last quarter every step is an
origin: from all before it each method says the next K, with an interval that is to hold 80%. The simple methods are
fitted anew at each origin. Of M4 the origin is the end of the training data, and K = 48. MASE is the mean absolute
error, over that of seasonal naive on what is before the origin (Hyndman and Koehler 2006).

What came out (three seeds, from the least to the most), as MASE and how much the 80% intervals held; of M4, each after
1500 updates of 32 windows, sMAPE too:

                             sunspots             CO2          passengers            M4 hourly
    seasonal naive           1.270     74%     1.212  67%     1.317     96%     1.193  13.91     84%
    lagged regression        1.097     76%     0.378  75%     0.677     78%     0.746  11.22     78%
    theta                    1.925     68%     0.490  76%     0.714     87%     2.454  18.14     82%
    exponential smoothing    1.648     76%     0.420  74%     0.888     71%     -
    ours                     1.104           0.373  83%       0.622             0.721  10.13
                          to 1.144  81-84%                 to 0.669  72-79%  to 0.727  10.28  80-81%

So one network with an autoregression is ahead of all of them on M4; on CO2 it is the autoregression alone (its share is
100%), which is what the series is; on passengers most of it; on sunspots the share is 0 to 20%, and the regression with
more lags, fitted anew at each origin, is 1 to 4% better. The form of "lagged regression" was chosen on the test hours
of M4. Without the autoregression the network alone has 0.79 to 0.83 and 10.7 to 11.4 on M4, 0.47 on CO2 and 0.81 on
passengers, whose growth halves in the first year forecast, which no year before had.

Prints that table, and one line of JSON; writes to --out: that line (result.json) and the figure (forecasts.png).
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

import jaxrnn
from experiments import program, runs
from jaxrnn import forecast
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.data import read_text

LEVEL = 0.8
HOURS = 48  # of M4 that are forecast


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    airline: Path | None = None
    """A CSV file of monthly passengers, numbers in its second column. None: without them."""
    m4: Path | None = None
    """A folder with the hourly series of M4: these alone are forecast. None: without them."""
    cell: Literal[tuple(jaxrnn.CELLS)] = "lstm"  # type: ignore[valid-type]
    """The recurrent cell."""
    hidden: int | None = None
    """H, hidden units. None: 32, and 64 for M4."""
    held_out: float = 0.25
    """The share at the end of each series that is forecast; not of M4."""
    steps: int | None = None
    """Updates of each network. None: 240, and for M4 as many as take `minutes`."""
    minutes: float = 3.5
    """For each network of M4."""
    seeds: int = 3
    """Networks of each kind."""
    fast: bool = False
    """A run of seconds, which learns next to nothing: one series, 10 updates, 8 units, one seed."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


class Series(NamedTuple):
    """What is to be forecast: one series or many."""

    name: str
    values: list[np.ndarray]  # of each series [T], NaN where it has gaps
    season: int
    horizon: int
    unit: str = ""
    start: float = 0.0  # in years, and how many steps a year has
    yearly: int = 1
    log: bool = False


def shipped() -> list[Series]:
    """Sunspots and CO2, or what stands in for them."""
    if importlib.util.find_spec("statsmodels") is None:
        print('without statsmodels (pip install "jaxrnn[experiments]"): a made-up series instead', file=sys.stderr)
        rng, t = np.random.default_rng(0), np.arange(200)
        noise = np.zeros(200)
        for i in range(1, 200):
            noise[i] = 0.8 * noise[i - 1] + rng.normal()
        return [Series("made up", [0.05 * t + 5 * np.sin(t * np.pi / 6) + noise], 12, 12, yearly=12)]
    sets = optional("statsmodels.datasets", "experiments", "sunspots and CO2")
    sunspots = sets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(float)
    co2 = sets.co2.load_pandas().data["co2"].resample("MS").mean().to_numpy(float)
    return [
        Series("sunspots", [sunspots], 11, 11, "yearly mean", 1700.0),
        Series("CO2", [co2], 12, 12, "ppm", 1958 + 2 / 12, 12),
    ]


def passengers(path: Path) -> Series:
    """The series in a file of lines such as "1949-01",112 under a line of names."""
    rows = list(csv.reader(read_text(path)[0].splitlines()))[1:] if path.is_file() else []
    try:
        year, month = map(int, rows[0][0].split("-"))
        values = np.array([float(row[1]) for row in rows if len(row) > 1])
        if not (np.isfinite(values) & (values > 0)).all():
            raise ValueError("numbers that are not above 0, of which there are logarithms")
    except (IndexError, ValueError) as error:
        raise ValueError(
            f'airline: expected a file of lines such as "1949-01",112 under a line of names at {path}, got {error}'
        ) from None
    return Series("airline", [values], 12, 12, "thousands", year + (month - 1) / 12, 12, log=True)


def m4_hourly(folder: Path) -> Series:
    """The hourly series of M4, each with the 48 hours to forecast at its end."""
    parts = []
    for part in ("train", "test"):
        path = next((p for p in (folder / f"Hourly-{part}.csv", folder / f"Hourly-{part}.csv.gz") if p.is_file()), None)
        if path is None:
            raise ValueError(f"m4: expected Hourly-{part}.csv or Hourly-{part}.csv.gz in {folder}, got neither")
        raw = path.read_bytes()
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode().splitlines()
        parts.append({row[0]: [float(v) for v in row[1:] if v] for row in list(csv.reader(lines))[1:]})
    known, came = parts
    if [*known] != [*came] or any(len(values) != HOURS for values in came.values()):
        raise ValueError(f"m4: expected {HOURS} hours in Hourly-test for each series of Hourly-train in {folder}")
    return Series("M4 hourly", [np.array(known[one] + came[one]) for one in known], 24, HOURS)


def table_of(series: Series, until: Callable[[int], int]) -> dict[str, np.ndarray]:
    """A long table of the first until(T) steps of each series, as logarithms where it is one of those."""
    values = [y[: until(len(y))] for y in series.values]
    ids = np.repeat([f"{series.name} {n}" for n in range(len(values))], [len(y) for y in values])
    y = np.concatenate(values)
    times = np.concatenate([np.arange(len(one)) for one in values])
    return {"unique_id": ids, "ds": times, "y": np.log(y) if series.log else y}


class InLogs(NamedTuple):
    """A forecaster of logarithms as one of what they are of."""

    trained: Any

    def predict(self, panel: forecast.Panel, **options: Any) -> dict[str, np.ndarray]:
        """What `Trained.predict` returns."""
        said = self.trained.predict(dataclasses.replace(panel, values=tuple(map(np.log, panel.values))), **options)
        return {name: a if name in ("unique_id", "ds") else np.exp(a) for name, a in said.items()}


def simple(log: bool, many: bool) -> dict[str, Callable]:
    """The simple methods: exponential smoothing where statsmodels is, and not for hundreds of series, of minutes."""
    of = forecast.baselines
    found = {"seasonal naive": of.seasonal_naive, "lagged regression": of.lagged_regression, "theta": of.theta}
    if importlib.util.find_spec("statsmodels") and not many:
        found["exponential smoothing"] = of.ets

    def in_logs(method):
        def one(past, horizon, season):
            said = method(np.log(past), horizon, season).quantiles((0.1, 0.5, 0.9))
            return said._replace(mean=np.exp(said.mean), values=np.exp(said.values))

        return one

    return {name: in_logs(method) for name, method in found.items()} if log else found


def networks(series: Series, options: Options, until: Callable[[int], int]) -> dict[str, Any]:
    """The trained forecasters, one for each seed."""
    many, table, found = len(series.values) > 1, table_of(series, until), {}
    more: dict[str, Any] = {"seasons": (24, 168), "identity": True, "batch": 32} if many else {"readout_size": 32}
    if options.steps is None and many:
        more["minutes"] = options.minutes
    else:
        more["steps"] = options.steps or 240
    more = {"seasons": (series.season,), "batch": 16, "hidden": options.hidden or (64 if many else 32)} | more
    for seed in range(options.seeds):
        began = time.perf_counter()
        trained = forecast.fit(
            table, series.horizon, freq=1, cell=options.cell, key=jax.random.key(seed), progress=False, **more
        )
        seconds = time.perf_counter() - began
        print(
            f"{series.name}, {options.cell}, seed {seed}: {seconds:.0f} s, {trained.share:.0%} of the autoregression",
            file=sys.stderr,
        )
        found[f"{options.cell}, seed {seed}"] = InLogs(trained) if series.log else trained
    return found


def cut_of(series: Series, options: Options) -> int:
    """How many steps of the first series are learnt from."""
    many, T, K = len(series.values) > 1, len(series.values[0]), series.horizon
    cut = T - K if many else round(T * (1 - options.held_out))
    least = max(2 * series.season, K) + K + 1
    if not many and (cut < least or T - cut < K):
        raise ValueError(
            f"held_out: expected at least {least} values of {series.name} to learn from and {K} to forecast, got {cut} "
            f"and {T - cut}; hold out another share, or give a longer series"
        )
    return cut


def tested(series: Series, options: Options) -> forecast.Backtest:
    """All methods at all origins."""
    many, T, K, cut = len(series.values) > 1, len(series.values[0]), series.horizon, cut_of(series, options)
    models = networks(series, options, (lambda T: T - K) if many else (lambda _: cut))
    names = [f"{series.name} {n}" for n in range(len(series.values))]
    whole = dict(zip(names, series.values, strict=True))
    windows = 1 if many else T - K - cut + 1
    panel = forecast.panel(
        {
            "unique_id": np.repeat(names, [len(y) for y in series.values]),
            "ds": np.concatenate([np.arange(len(y)) for y in series.values]),
            "y": np.concatenate([*whole.values()]),
        },
        freq=1,
    )
    methods = simple(series.log, many) | models
    return forecast.backtest(
        methods, panel, K, windows=windows, step=1, season=series.season, levels=(LEVEL,), origins="end"
    )


def scores_of(found: forecast.Backtest, options: Options) -> dict[str, dict[str, list[float]]]:
    """MASE, sMAPE and coverage of each simple method, and of the networks, one for each seed."""
    summary, scores = found.summary(), {}
    for m, name in enumerate(summary["model"].tolist()):
        row = scores.setdefault(name.partition(", seed ")[0], {"mase": [], "smape": [], "coverage": []})
        for score in row:
            column = score if score in summary else f"{score}-{100 * LEVEL:g}"
            row[score].append(round(float(summary[column][m]), 4))
    return scores


def verdict(scores: dict[str, dict[str, list[float]]], ours: str) -> str:
    """How the networks compare with the best simple method by MASE: a word only where all seeds agree."""
    theirs = {name: row["mase"][0] for name, row in scores.items() if name != ours}
    best = min(theirs, key=theirs.__getitem__)
    mine = scores[ours]["mase"]
    if max(mine) < theirs[best]:
        return f"better than {best}"
    return f"worse than {best}" if min(mine) > theirs[best] else f"no clear difference from {best}"


def main(options: Options) -> dict:
    """Learn, forecast, score, write; returns the line."""
    if options.fast:
        options = dataclasses.replace(options, hidden=8, steps=10, seeds=1)
    began = time.perf_counter()
    sets = [m4_hourly(options.m4)] if options.m4 else shipped()
    sets += [passengers(options.airline)] if options.airline else []
    for series in sets:
        cut_of(series, options)  # a series that is too short is found before the work
    out = runs.folder("forecast", options.out, new=True)
    results, shown = {}, []
    for series in sets[-1:] if options.fast else sets:
        found = tested(series, options)
        scores = scores_of(found, options)
        word = verdict(scores, options.cell)
        W, N, _ = found.target.shape
        results[series.name] = {"origins": W, "series": N, "scores": scores, "verdict": word}
        show(series, W, scores, word)
        shown.append((series, found, scores))
    line = {"level": LEVEL, "series": results, "seconds": round(time.perf_counter() - began, 1)}
    line |= {"options": runs.plain(options)}
    replace(out / "result.json", json.dumps(line) + "\n")
    plot(shown, options.cell, out / "forecasts.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def show(series: Series, origins: int, scores: dict, word: str) -> None:
    """Each method in a row; of the networks the least and the most."""
    print(f"\n{series.name}: {len(series.values)} series, {origins} origins, K={series.horizon}", file=sys.stderr)
    print(f"{'':24}{'MASE':>16}{'sMAPE':>18}   {LEVEL:.0%} interval held", file=sys.stderr)
    for name, row in scores.items():
        cells = [span(row["mase"], 3), span(row["smape"], 2), span([100 * c for c in row["coverage"]], 0)]
        print(f"{name:24}{cells[0]:>16}{cells[1]:>18}   {cells[2]}%", file=sys.stderr)
    print(word, file=sys.stderr)


def span(values: list[float], digits: int) -> str:
    """One number, or from the least to the most."""
    low, high = (f"{bound(values):.{digits}f}" for bound in (min, max))
    return low if low == high else f"{low} to {high}"


def plot(shown: list, cell: str, path: Path) -> None:
    """For each series the last forecasts that do not overlap: the first network's, and the best simple method's."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    style: Any = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        figure, panels = plt.subplots(
            len(shown), 1, figsize=(10, 3.6 * len(shown)), layout="constrained", squeeze=False
        )
        for axes, (series, found, scores) in zip(panels[:, 0], shown, strict=True):
            W, _, K = found.target.shape
            known, values = found.known[:, 0], series.values[0]
            windows = list(range(W - 1, -1, -K))[:4]
            years = series.start + np.arange(len(values)) / series.yearly
            first = max(0, int(known[windows[-1]]) - max(2 * series.season, 18))
            axes.plot(years[first:], values[first:], color="black", linewidth=1.5, label="what came")
            mase = {name: float(np.mean(row["mase"])) for name, row in scores.items()}
            best = min((name for name in mase if name != cell), key=mase.__getitem__)
            ours, other = found.forecasts[f"{cell}, seed 0"], found.forecasts[best]
            low, high = ours.interval(LEVEL)
            for w in windows:
                span_, last = slice(known[w], known[w] + K), {} if w == windows[0] else {"label": None}
                label = {"label": f"{cell} and autoregression: median and {LEVEL:.0%} (MASE {mase[cell]:.2f})"} | last
                axes.plot(years[span_], ours.median[w, 0], color="tab:blue", linewidth=2.5, **label)
                axes.fill_between(years[span_], low[w, 0], high[w, 0], color="tab:blue", alpha=0.25, linewidth=0)
                label = {"label": f"{best} (MASE {mase[best]:.2f})"} | last
                axes.plot(years[span_], other.median[w, 0], "--", color="tab:orange", linewidth=2, **label)
            title = f"{series.name}: {K} steps from each origin"
            axes.set_title(title + f", the first of {len(series.values)} series" * (len(series.values) > 1), loc="left")
            axes.set(ylabel=series.unit, xlim=(years[first], years[-1]))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False, fontsize=10, loc="upper left", bbox_to_anchor=(1, 1))
        runs.save_figure(figure, path)
        plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "forecast", __doc__)
