"""Forecast series: a recurrent network against seasonal naive, linear regression and a feed-forward network on lags.

    python -m experiments.forecast                                  70 s of processor time, with passengers
    python -m experiments.forecast --airline airline-passengers.csv      the monthly passengers of Box and Jenkins too
    python -m experiments.forecast --fast                           seconds, to see that it runs

Yearly sunspots (1700 to 2008) and monthly CO2 at Mauna Loa (1958 to 2001, five months missing) come with statsmodels;
passengers are a file with a column of numbers after one of months, and are forecast as logarithms. Without statsmodels
a made-up seasonal series takes their place, which is said.

Rolling origin: all models learn from the first three quarters of a series, once. In the last quarter every step is an
origin: from the L values before it each model says the next K, with an interval that is to hold 80%. All see the
same L values, shifted and scaled by their own mean and deviation. MASE is the mean absolute error, over that of
seasonal naive one period ahead on what was learnt from (Hyndman and Koehler 2006).

What came out, as MASE (of three seeds, from the least to the most) and how much the 80% intervals held:

                         sunspots                CO2                     passengers
    seasonal naive       1.304           88%     1.231           75%     1.263           97%
    linear regression    1.182           80%     0.367           80%     1.335           15%
    feed-forward         1.243 to 1.319  81%     0.372 to 0.377  78%     0.767 to 0.824  57%
    gru direct           1.106 to 1.164  82%     0.402 to 0.424  76%     0.920 to 1.224  43%
    gru recursive        1.040 to 1.102  82%     0.368 to 0.399  73%     0.761 to 0.970  28%

So the GRU is better on sunspots, whose cycle is not of one length; on CO2, which is nearly linear in its lags, it is
worse than linear regression; and on passengers, 61 examples of years that grew faster than those to come, regression
says too much, the recursive GRU is as good as a feed-forward network, and intervals that know only the past are far too
narrow. The loss counts forecasts from the end of the context on, which is what sets the scale: counted from within it
too, where the scale knows what comes, the networks were worse on passengers (1.45 to 1.62, and 1.13 to 1.49).
The numbers of updates and the ridge were chosen on the last quarter of what is learnt from, for all models alike.

Prints that table, and one line of JSON; writes to --out: that line (result.json) and the figure (forecasts.png).
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from experiments import baselines, program, runs
from experiments.learning import learner
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.data import read_text
from jaxrnn.models import forecaster

LEVEL = 0.8


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    airline: Path | None = None
    """A CSV file of monthly passengers, numbers in its second column. None: without them."""
    cell: Literal[tuple(jaxrnn.CELLS)] = "gru"  # type: ignore[valid-type]
    """The recurrent cell."""
    hidden: int = 32
    """H, hidden units, of the recurrent and of the feed-forward network."""
    head: Literal["gaussian", "student_t", "quantile"] = "gaussian"
    """What the recurrent networks say of a value."""
    held_out: float = 0.25
    """The share at the end of each series that is forecast."""
    steps: int | None = None
    """Updates of each recurrent network. None: as many as did best on the last quarter of what is learnt from."""
    rate: float = 5e-3
    """The learning rate of AdamW at first, which falls to 0 along a cosine."""
    paths: int = 200
    """Drawn for each forecast of the recursive network."""
    seeds: int = 3
    """Networks of each kind."""
    fast: bool = False
    """A run of seconds, which learns next to nothing: one series, 10 updates, 8 units, one seed."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


class Series(NamedTuple):
    """One series [T], NaN where it has gaps, and what is asked of it."""

    name: str
    values: np.ndarray
    unit: str
    start: float  # in years, and how many steps a year has
    yearly: int
    period: int
    horizon: int
    context: int
    # Found on the last quarter of what is learnt from, each among three to six:
    steps: int  # updates of the recurrent networks
    network_steps: int  # and of the feed-forward one
    ridge: float  # of linear regression
    log: bool = False


class Forecasts(NamedTuple):
    """Of M origins, in the unit of the series."""

    center: np.ndarray  # [M, K]
    lower: np.ndarray
    upper: np.ndarray


def shipped() -> list[Series]:
    """Sunspots and CO2, or what stands in for them."""
    if importlib.util.find_spec("statsmodels") is None:
        print('without statsmodels (pip install "jaxrnn[experiments]"): a made-up series instead', file=sys.stderr)
        rng, t = np.random.default_rng(0), np.arange(400)
        noise = np.zeros(400)
        for i in range(1, 400):
            noise[i] = 0.8 * noise[i - 1] + rng.normal()
        return [Series("made up", 0.05 * t + 5 * np.sin(t * np.pi / 6) + noise, "", 0.0, 12, 12, 12, 36, 200, 400, 1.0)]
    sets = optional("statsmodels.datasets", "experiments", "sunspots and CO2")
    sunspots = sets.sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(float)
    co2 = sets.co2.load_pandas().data["co2"].resample("MS").mean().to_numpy(float)
    return [
        Series("sunspots", sunspots, "yearly mean", 1700.0, 1, 11, 11, 44, 100, 100, 10.0),
        Series("CO2", co2, "ppm", 1958 + 2 / 12, 12, 12, 12, 36, 400, 1000, 1.0),
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
    return Series("airline", values, "thousands", year + (month - 1) / 12, 12, 12, 12, 36, 400, 400, 10.0, log=True)


class Task(NamedTuple):
    """A series as examples: what is learnt from, and what is forecast; logarithms where the series is one of those."""

    learnt: np.ndarray  # [M, L + K], NaN in the gaps
    contexts: np.ndarray  # [M, L] of the held-out part, NaN in the gaps
    targets: np.ndarray  # [M, K], in the unit of the series
    cut: int
    seasonal_error: float  # the denominator of MASE


def task(series: Series, held_out: float) -> Task:
    """Examples from the first part of a series, and one for each step that begins K steps of the second."""
    cut, L, K = round(len(series.values) * (1 - held_out)), series.context, series.horizon
    if cut < L + K + 1 or len(series.values) - cut < K:
        raise ValueError(
            f"held_out: expected at least {L + K + 1} values of {series.name} to learn from and {K} to forecast, got "
            f"{cut} and {len(series.values) - cut}; hold out another share, or give a longer series"
        )
    values = np.log(series.values) if series.log else series.values
    learnt = np.concatenate(baselines.examples(values[:cut], L, K), 1)
    contexts = baselines.examples(values[cut - L :], L, K)[0]
    targets = baselines.examples(series.values[cut - L :], L, K)[1]
    past = series.values[:cut]
    return Task(
        learnt, contexts, targets, cut, float(np.nanmean(np.abs(past[series.period :] - past[: -series.period])))
    )


def simple(series: Series, data: Task, fit: Callable[..., baselines.Forecaster]) -> Forecasts:
    """The forecasts of a baseline, which sees contexts without gaps, each by its own mean and deviation."""
    L = series.context

    def scaled(contexts):
        contexts = np.stack([baselines.filled(context) for context in contexts])
        location, size = contexts.mean(1, keepdims=True), contexts.std(1, keepdims=True)
        return (contexts - location) / size, location, size

    contexts, location, size = scaled(data.learnt[:, :L])
    forecast = fit(contexts, (data.learnt[:, L:] - location) / size)
    contexts, location, size = scaled(data.contexts)
    center, deviation = forecast(contexts)
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * deviation
    found = (location + size * a for a in (center, center - reach, center + reach))
    return Forecasts(*(np.exp(a) if series.log else a for a in found))


def recurrent(series: Series, data: Task, options: Options, strategy: str) -> list[Forecasts]:
    """The forecasts of a recurrent network, medians and intervals, for each seed."""
    cell = jaxrnn.CELLS[options.cell](options.hidden)
    model = forecaster(cell, series.horizon, head=options.head, strategy=strategy, scaling="standard")

    def loss(params, rows, key):
        return model.loss(params, None, rows.T[..., None], context=series.context)[0]

    @jax.jit
    def predict(params, contexts, key):
        drawn = {"key": key, "paths": options.paths} if strategy == "recursive" else {}
        return model.predict(params, contexts.T[..., None], levels=(LEVEL,), **drawn)

    batch, steps = min(64, len(data.learnt)), options.steps or series.steps
    learn = learner(model.init, loss, steps=steps, batch=batch, rate=options.rate, decay=1e-2)
    learnt, contexts = jnp.asarray(data.learnt, "float32"), jnp.asarray(data.contexts, "float32")
    found = []
    for seed in range(options.seeds):
        k1, k2 = jax.random.split(jax.random.key(seed))
        params, losses = learn(k1, learnt)
        said = predict(params, contexts, k2)
        print(f"{series.name}, {options.cell} {strategy}, seed {seed}: {losses[-50:].mean():.3f} nats", file=sys.stderr)
        three = (np.asarray(a[..., 0], float).T for a in (said.median, said.lower[0], said.upper[0]))
        found.append(Forecasts(*(np.exp(a) if series.log else a for a in three)))
    return found


def score(data: Task, found: Forecasts) -> dict[str, float]:
    """MASE, RMSE and how much of what came was in the interval, over all that was observed."""
    error, there = found.center - data.targets, ~np.isnan(data.targets)
    covered = (data.targets >= found.lower) & (data.targets <= found.upper)
    return {
        "mase": float(np.nanmean(np.abs(error)) / data.seasonal_error),
        "rmse": float(np.sqrt(np.nanmean(error**2))),
        "coverage": float(covered[there].mean()),
    }


def verdict(scores: dict[str, list[dict]], ours: str) -> str:
    """How a network compares with the best baseline by MASE: a word only where all seeds agree."""
    theirs = {name: [s["mase"] for s in found] for name, found in scores.items() if name in BASELINES}
    best = min(theirs, key=lambda name: float(np.mean(theirs[name])))
    mine = [s["mase"] for s in scores[ours]]
    if max(mine) < min(theirs[best]):
        return f"better than {best}"
    return f"worse than {best}" if min(mine) > max(theirs[best]) else f"no clear difference from {best}"


BASELINES = ("seasonal naive", "linear regression", "feed-forward")


def main(options: Options) -> dict:
    """Learn, forecast, score, write; returns the line."""
    if options.fast:
        options = dataclasses.replace(options, hidden=8, steps=10, seeds=1, paths=20)
    began = time.perf_counter()
    sets = shipped() + ([] if options.airline is None else [passengers(options.airline)])
    tasks = [task(series, options.held_out) for series in sets]
    out = runs.folder("forecast", options.out, new=True)
    results, shown = {}, []
    for series, data in list(zip(sets, tasks, strict=True))[-1 if options.fast else 0 :]:
        updates = 10 if options.fast else series.network_steps
        network = functools.partial(baselines.lagged_network, hidden=options.hidden, steps=updates)
        regression = functools.partial(baselines.lagged_regression, ridge=series.ridge)
        naive = functools.partial(baselines.seasonal_naive, period=series.period)
        found = {
            "seasonal naive": [simple(series, data, naive)],
            "linear regression": [simple(series, data, regression)],
            "feed-forward": [
                simple(series, data, functools.partial(network, seed=seed)) for seed in range(options.seeds)
            ],
            **{f"{options.cell} {how}": recurrent(series, data, options, how) for how in ("direct", "recursive")},
        }
        scores = {name: [score(data, one) for one in seeds] for name, seeds in found.items()}
        words = {name: verdict(scores, name) for name in scores if name not in BASELINES}
        results[series.name] = {
            "origins": len(data.contexts),
            "scores": {name: _columns(seeds) for name, seeds in scores.items()},
            "verdict": words,
        }
        table(series, data, scores, words)
        shown.append((series, data, found))
    line = {"level": LEVEL, "series": results, "seconds": round(time.perf_counter() - began, 1)}
    line |= {"options": runs.plain(options)}
    replace(out / "result.json", json.dumps(line) + "\n")
    plot(shown, out / "forecasts.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def _columns(seeds: list[dict]) -> dict[str, list[float]]:
    return {name: [round(one[name], 4) for one in seeds] for name in seeds[0]}


def table(series: Series, data: Task, scores: dict, words: dict) -> None:
    """Each model in a row: the mean over seeds, and for MASE the least and the most."""
    print(f"\n{series.name}: {len(data.contexts)} origins, K={series.horizon}, L={series.context}", file=sys.stderr)
    print(f"{'':20}{'MASE':>6}{'of seeds':>16}{'RMSE':>9}   {LEVEL:.0%} interval held", file=sys.stderr)
    for name, seeds in scores.items():
        mase, rmse, coverage = ([one[k] for one in seeds] for k in ("mase", "rmse", "coverage"))
        spread = f"{min(mase):.3f} to {max(mase):.3f}" if len(seeds) > 1 else ""
        print(
            f"{name:20}{np.mean(mase):6.3f}{spread:>16}{np.mean(rmse):9.3f}   {np.mean(coverage):6.1%}   "
            f"{words.get(name, '')}",
            file=sys.stderr,
        )


def plot(shown: list, path: Path) -> None:
    """For each series the last forecasts that do not overlap: the better of the networks, and the best baseline."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    style: Any = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(style):
        figure, panels = plt.subplots(
            len(shown), 1, figsize=(10, 3.6 * len(shown)), layout="constrained", squeeze=False
        )
        for axes, (series, data, found) in zip(panels[:, 0], shown, strict=True):
            K, M = series.horizon, len(data.contexts)
            origins = list(range(M - 1, -1, -K))[:4]
            years = series.start + np.arange(len(series.values)) / series.yearly
            first = data.cut + origins[-1] - series.context // 2
            axes.plot(years[first:], series.values[first:], color="black", linewidth=1.5, label="what came")
            mase = {name: np.mean([score(data, one)["mase"] for one in seeds]) for name, seeds in found.items()}
            best = min(BASELINES, key=mase.__getitem__)
            ours = min((name for name in found if name not in BASELINES), key=mase.__getitem__)
            for origin in origins:
                span = slice(data.cut + origin, data.cut + origin + K)
                last = {"label": None} if origin != origins[0] else {}
                one, other = found[ours][0], found[best][0]
                label = {"label": f"{ours}: median and {LEVEL:.0%} (MASE {mase[ours]:.2f})"} | last
                axes.plot(years[span], one.center[origin], color="tab:blue", linewidth=2.5, **label)
                axes.fill_between(
                    years[span], one.lower[origin], one.upper[origin], color="tab:blue", alpha=0.25, linewidth=0
                )
                label = {"label": f"{best} (MASE {mase[best]:.2f})"} | last
                axes.plot(years[span], other.center[origin], "--", color="tab:orange", linewidth=2, **label)
            axes.set_title(f"{series.name}: {K} steps from each origin", loc="left")
            axes.set(ylabel=series.unit, xlim=(years[first], years[-1]))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False, fontsize=10, loc="upper left", bbox_to_anchor=(1, 1))
        runs.save_figure(figure, path)
        plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "forecast", __doc__)
