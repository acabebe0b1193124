"""Rolling origins: what forecasters are given and asked, and what becomes of what they say."""

from __future__ import annotations

import numpy as np
import pytest

from jaxrnn.forecast import backtest, baselines, scores
from jaxrnn.forecast.baselines import Normal
from jaxrnn.forecast.columns import Table
from jaxrnn.forecast.tables import panel

K, M = 3, 4


def dated(rng):
    """Three daily series: of 30 days; of the last 20, with gaps; and one that ends 4 days before the others."""
    days = np.arange("2024-02-20", "2024-03-21", dtype="datetime64[D]")
    parts = {"long": days, "late": days[10:], "over": days[:-4]}
    y = {name: 10 + rng.standard_normal(len(ds)) for name, ds in parts.items()}
    y["late"][[2, 18]] = np.nan
    table = {
        "unique_id": np.concatenate([np.full(len(ds), name) for name, ds in parts.items()]),
        "ds": np.concatenate(list(parts.values())),
        "y": np.concatenate(list(y.values())),
    }
    return table, y, parts


def test_origins_in_time(rng):
    """One time for all series; of one that has ended, what is left of it."""
    table, y, days = dated(rng)
    found = backtest({"naive": baselines.seasonal_naive}, table, K, windows=2, step=2, season=M)
    rows = found.table()
    for w, origin in enumerate(days["long"][[-6, -4]]):
        for n, (name, ds) in enumerate(days.items()):
            known = int((ds <= origin).sum())
            came = np.full(K, np.nan)
            came[: len(y[name][known : known + K])] = y[name][known : known + K]
            np.testing.assert_array_equal(found.target[w, n], came)
            assert found.known[w, n] == known
            if np.isnan(came).all():
                assert np.isnan(found.forecasts["naive"].values[w, n]).all()
                continue
            says = baselines.seasonal_naive(y[name][:known], K, M).quantiles((0.1, 0.5, 0.9))
            np.testing.assert_array_equal(found.forecasts["naive"].values[w, n], says.values)
            at = (rows["unique_id"] == name) & (rows["window"] == w)
            assert (rows["origin"][at] == origin).all() and rows["step"][at].tolist() == [1, 2, 3]
            np.testing.assert_array_equal(rows["ds"][at], origin + np.arange(1, 4))
            columns = [rows[c][at] for c in ("target", "mean", "lo-80", "median", "hi-80")]
            np.testing.assert_array_equal(columns, [came, says.mean, *says.values.T])
    assert found.notes  # the series that was over before the second
    assert np.isnan(found.target[1, 2]).all() and not np.isnan(found.target[0, 2]).all()
    last = found.table("naive", -1)
    assert set(last["window"].tolist()) == {1} and len(last["ds"]) == 2 * K


def test_origins_at_the_ends(rng):
    """Series without dates, each by its own end."""
    series = [rng.standard_normal(n) for n in (20, 9, 13)]
    found = backtest({"a": baselines.naive}, series, K, windows=2, season=M)
    assert found.known.tolist() == [[14, 3, 7], [17, 6, 10]]
    for w, n in np.ndindex(2, 3):
        k = found.known[w, n]
        np.testing.assert_array_equal(found.target[w, n], series[n][k : k + K])
        np.testing.assert_array_equal(found.forecasts["a"].mean[w, n], series[n][k - 1])
    same = backtest({"a": baselines.naive}, series, K, windows=2, season=M, origins="time")
    assert same.known.tolist() == [[14, 9, 13], [17, 9, 13]]


def test_summary_by_loops(rng):
    """By model: the mean over series and windows of each one's score. By step: over all that were forecast."""
    series = [5 + rng.standard_normal(n) for n in (40, 25, 31)]
    series[1][-2] = np.nan
    series.append(np.full(30, 4.0))  # without a scale
    models = {"seasonal": baselines.seasonal_naive, "drift": baselines.drift}
    found = backtest(models, series, K, windows=2, season=M, levels=(0.5, 0.8))
    assert [found.summary(by)["model"].size for by in ("model", "series", "window", "step")] == [2, 8, 4, 6]
    for m, forecaster in enumerate(models.values()):
        q, error, mase = np.empty((2, 4, K, 5)), np.empty((2, 4, K)), np.empty((2, 4))
        for w, n in np.ndindex(2, 4):
            past = series[n][: (k := len(series[n]) - K * (2 - w))]
            q[w, n] = forecaster(past, K, M).quantiles((0.1, 0.25, 0.5, 0.75, 0.9)).values
            error[w, n] = np.abs(series[n][k : k + K] - q[w, n, :, 2]) / (scores.seasonal_error(past, M) or np.nan)
            mase[w, n] = np.nanmean(error[w, n]) if n < 3 else np.nan
        total, by_step = found.summary(), found.summary("step")
        by_series, by_window = found.summary("series"), found.summary("window")
        np.testing.assert_allclose(total["mase"][m], np.nanmean(mase))
        np.testing.assert_allclose(by_step["mase"][m * K : m * K + K], np.nanmean(error, (0, 1)))
        np.testing.assert_allclose(by_series["mase"][4 * m : 4 * m + 3], mase[:, :3].mean(0))
        assert np.isnan(by_series["mase"][4 * m + 3])
        np.testing.assert_allclose(by_window["mase"][2 * m : 2 * m + 2], np.nanmean(mase, 1))
        held = [(q[..., 1] <= found.target) & (found.target <= q[..., 3])][0][~np.isnan(found.target)]
        np.testing.assert_allclose(total["coverage-50"][m], held.mean())
        np.testing.assert_allclose(
            total["wql"][m], scores.weighted_quantile_loss(q, (0.1, 0.25, 0.5, 0.75, 0.9), found.target)
        )
    assert total["targets"].tolist() == [23, 23]
    head, names, first, *_ = repr(found).splitlines()
    assert head == "Backtest of 4 series in 2 windows, 3 steps ahead, season 4"
    said = dict(zip(names.split(), first.split()[1:], strict=True))
    assert said["mase"] == f"{total['mase'][0]:.4g}" and said["coverage-80"] == f"{total['coverage-80'][0]:.4g}"
    assert by_step["step"].tolist() == [1, 2, 3, 1, 2, 3] and by_series["unique_id"].tolist() == 2 * [0, 1, 2, 3]


class Fitted:
    """A fitted model, as `fit` would return it: what it was fitted on, and what it is asked, is written down."""

    def __init__(self, panel, log):
        self.size, self.log = sum(map(len, panel.values)), log
        log.append(("fit", self.size))

    def predict(self, table, levels):
        self.log.append(("predict", sum(map(len, table.values)), levels))
        parts = []
        for name, ds, y in zip(table.ids, table.times, table.values, strict=True):
            center = np.nanmean(y) + np.arange(1, K + 1)
            columns = {"ds": ds[-1] + np.timedelta64(86400, "s") * np.arange(1, K + 1), "mean": center + 0.5}
            columns |= {"median": center, "lo-80": center - 2.5, "hi-80": center + self.size}
            parts.append({"unique_id": np.full(K, name), **columns})
        order = np.random.default_rng(0).permutation(K * len(parts))  # rows may come in any order
        return Table({c: np.concatenate([part[c] for part in parts])[order] for c in parts[0]})


@pytest.mark.parametrize("refit", [False, True])
def test_fitted_once_or_at_each_origin(rng, refit):
    table, y, days = dated(rng)
    log = []
    found = backtest({"ours": lambda panel: Fitted(panel, log)}, table, K, windows=2, refit=refit)
    known = [sum((ds <= origin).sum() for ds in days.values()) for origin in days["long"][[-7, -4]]]
    fits = [("fit", size) for size in known]
    ended = len(days["over"])  # before the second origin: learnt from, and no more asked for
    asked = [("predict", size, (0.8,)) for size in (known[0], known[1] - ended)]
    assert log == ([fits[0], asked[0], fits[1], asked[1]] if refit else [fits[0], *asked])
    says = found.forecasts["ours"]
    for w, n in ((0, 0), (1, 1)):
        name = found.panel.ids[n]
        center = np.nanmean(y[name][: found.known[w, n]]) + np.arange(1, K + 1)
        top = center + known[w if refit else 0]
        np.testing.assert_allclose(says.mean[w, n], center + 0.5)
        np.testing.assert_allclose(says.values[w, n], np.stack([center - 2.5, center, top], -1))
    assert found.season == 7  # of days


def test_forecasters_of_all_kinds_say_the_same(rng):
    table, _, _ = dated(rng)
    whole = panel(table)
    fitted = Fitted(whole, [])

    def record(panel):
        parts = [baselines.naive(one, K) for one in panel.values]
        return Normal(*(np.stack(a) for a in zip(*parts, strict=True)))

    forecasters = {
        "series": baselines.naive,
        "list": lambda panel: [baselines.naive(one, K) for one in panel.values],
        "record": record,
        "quantiles": lambda panel: record(panel).quantiles((0.1, 0.3, 0.5, 0.9)),
        "points": lambda panel: record(panel).mean,
        "fitted": fitted,
    }
    found = backtest(forecasters, whole, K, windows=2)
    first = found.forecasts["series"]
    for name in ("list", "record", "quantiles", "points"):
        there = ~np.isnan(first.mean)
        np.testing.assert_array_equal(found.forecasts[name].mean[there], first.mean[there])
        own = [1] if name == "points" else [0, 1, 2]  # the median alone
        np.testing.assert_array_equal(found.forecasts[name].values[there][:, own], first.values[there][:, own])
    rows = dict(zip(found.summary()["model"], found.summary()["coverage-80"], strict=True))
    assert np.isnan(rows.pop("points")) and not np.isnan(list(rows.values())).any()


def test_nothing_after_the_origin_is_shown(rng):
    """What came is made another: no forecast changes."""
    table, _, _ = dated(rng)
    models = {"theta": baselines.theta, "panel": lambda panel: [baselines.drift(one, K) for one in panel.values]}
    found = backtest(models, table, K, windows=1)
    changed = dict(table, y=np.where(table["ds"] > found.table()["origin"][0], 1e6, table["y"]))
    other = backtest(models, changed, K, windows=1)
    for name in models:
        np.testing.assert_array_equal(found.forecasts[name].values, other.forecasts[name].values)
    np.testing.assert_array_equal(found.scale, other.scale)
    assert (other.target[~np.isnan(other.target)] == 1e6).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(windows=20), "windows: expected fewer than 20, or a shorter horizon or step"),
        (dict(origins="first"), "origins: expected 'time', 'end' or None, got 'first'"),
        (dict(levels=(80,)), "level: expected the share that an interval is to hold, between 0 and 1, got 80"),
        (dict(forecasters={}), "forecasters: expected some by name, got none"),
        (dict(forecasters={"a": lambda panel: np.zeros((3, 9))}), r"forecasters\['a'\]: expected forecasts \[N, K\]"),
        (
            dict(forecasters={"a": lambda panel: [np.zeros(K)]}),
            r"forecasters\['a'\]: expected forecasts of 3 series, got 1",
        ),
        (
            dict(forecasters={"a": lambda panel: {"unique_id": np.zeros(1), "ds": np.zeros(1, int)}}),
            r"forecasters\['a'\]: expected a table with \['lo-80', 'median', 'hi-80'\]",
        ),
    ],
)
def test_refused(rng, options, message):
    with pytest.raises(ValueError, match=message):
        backtest(**{"forecasters": {"a": baselines.naive}, "table": dated(rng)[0], "horizon": K, **options})


def test_refused_of_a_result(rng):
    found = backtest({"a": baselines.naive}, dated(rng)[0], K)
    with pytest.raises(ValueError, match="by: expected one of"):
        found.summary("day")
    with pytest.raises(ValueError, match=r"model: expected one of \('a',\), got 'b'"):
        found.table("b")
