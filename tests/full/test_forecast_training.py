"""Training a forecaster on tables: it learns what there is to learn, under every option."""

from __future__ import annotations

import dataclasses
import os
import signal
import time

import jax
import numpy as np
import pytest
import support

from jaxrnn import forecast
from jaxrnn.forecast import training

K, SEASON = 6, 12
FIT = {"freq": 1, "seasons": (SEASON,), "hidden": 8, "readout_size": 16, "batch": 16, "progress": False, "cell": "gru"}


def waves(rng, count=12, steps=120):
    """Series with a season and a level that rises, of any scale; and what the K steps after them are."""
    found, coming = [], []
    for n in range(count):
        t = np.arange(steps + K)
        level = 0.05 * (t + np.cumsum(rng.standard_normal(steps + K)))
        y = np.sin(2 * np.pi * t / SEASON + n) + level + 0.1 * rng.standard_normal(steps + K)
        found.append(10.0 ** (n % 5 - 2) * (y[:steps] + 4))
        coming.append(10.0 ** (n % 5 - 2) * (y[steps:] + 4))
    return found, np.array(coming)


def mase(said, series, coming):
    sizes = [np.abs(y[SEASON:] - y[:-SEASON]).mean() for y in series]
    return (np.abs(said["median"].reshape(coming.shape) - coming).mean(-1) / sizes).mean()


@support.lenient()
def test_it_is_ahead_of_last_season(rng):
    """With early stopping, refit and an ensemble."""
    series, coming = waves(rng)
    naive = np.mean([
        np.abs(y[-SEASON:][:K] - after).mean() / np.abs(y[SEASON:] - y[:-SEASON]).mean()
        for y, after in zip(series, coming, strict=True)
    ])  # fmt: skip
    options = FIT | {"key": jax.random.key(0), "steps": 100, "rate": 1e-2, "every": 25, "patience": 3}
    model = forecast.fit(series, K, members=2, refit=True, **options)
    said = model.predict()
    assert mase(said, series, coming) < 0.75 * naive
    inside = (said["lo-80"] <= coming.ravel()) & (coming.ravel() <= said["hi-80"])
    assert 0.6 < inside.mean() < 0.97
    assert model.history["step"][0] == 25
    assert model.history["validation"].min() < model.history["validation"][0]
    assert len(model.members) == 2


@support.lenient()
@pytest.mark.parametrize(
    ("head", "strategy"),
    [
        ("negative_binomial", "direct"),
        ("gaussian", "recursive"),
        ("point", "recursive"),
    ],
)
def test_heads_and_strategies(head, strategy, rng):
    series, coming = waves(rng, 4, 60)
    if head == "negative_binomial":
        series, coming = [np.round(9 * y / y.mean()) for y in series], np.round(9 * coming / coming.mean(1)[:, None])
    options = FIT | {"seasons": (), "steps": 40, "rate": 1e-2, "validate": strategy == "recursive"}
    model = forecast.fit(series, K, head=head, strategy=strategy, lags=(SEASON,), **options)
    said = model.predict(paths=30)
    assert np.isfinite(said["median"]).all()
    assert (np.abs(said["median"].reshape(coming.shape) - coming) < 3 * np.ptp(coming, axis=1).max()).all()
    assert ("lo-80" in said) == (head != "point")
    later = model.update(rows_after(series, coming[:, :3]))
    assert later.kept.steps.tolist() == [63] * 4
    if strategy == "recursive" and head != "point":
        assert np.array_equal(said["median"], model.predict(paths=30)["median"])
        paths = model.sample(jax.random.key(1), 30)
        assert paths.shape == (30, 4, K)
        assert (np.abs(np.median(paths, 0).ravel() - said["median"]) < np.ptp(paths, axis=0).ravel()).all()
    else:
        with pytest.raises(TypeError):
            model.sample(jax.random.key(1), 30)


def rows_after(series, values):
    """A table of values after the series."""
    ids, ds = np.arange(len(series)), [len(y) + np.arange(len(v)) for y, v in zip(series, values, strict=True)]
    return {
        "unique_id": np.repeat(ids, [len(v) for v in values]),
        "ds": np.concatenate(ds),
        "y": np.concatenate(values),
    }


@support.lenient()
def test_minutes(rng):
    """About as long as said, with what is compiled."""
    series, _ = waves(rng, 4, 60)
    began = time.perf_counter()
    model = forecast.fit(series, K, minutes=0.1, validate=False, **FIT)
    assert time.perf_counter() - began < 120  # far above: a machine may have other things to do
    assert model.history["step"][-1] >= 1


@support.lenient()
def test_what_is_known_ahead_is_used(rng):
    """Sales that are a price's alone, and a weather's of the day before."""
    table = {"unique_id": np.repeat(["a", "b", "c"], 100), "ds": np.tile(np.arange(100), 3)}
    price, weather = rng.standard_normal((2, 300))
    y = 5 + price + 0.02 * rng.standard_normal(300)
    table |= {"y": y, "price": price, "weather": weather}
    options = FIT | {
        "seasons": (),
        "steps": 300,
        "rate": 1e-2,
        "scaling": None,
        "validate": False,
        "key": jax.random.key(2),
        "base": False,
    }
    model = forecast.fit(table, K, future=("price",), past=("weather",), **options)
    ahead = rng.standard_normal(3 * K)
    future = {"unique_id": np.repeat(["a", "b", "c"], K), "ds": np.tile(100 + np.arange(K), 3), "price": ahead}
    said = model.predict(future=future)
    assert np.abs(said["median"] - 5 - ahead).mean() < 0.25


@support.lenient()
def test_strange_series_are_trained_beside_others(rng):
    """Short ones, constant ones, one that is missing, one with a spike: it goes on, and says what it did."""
    series, coming = waves(rng, 8)
    odd = [np.full(50, 3.0), np.zeros(50), np.full(50, np.nan), np.where(np.arange(90) == 40, 1e20, series[0][:90])]
    odd += [np.array([1.0]), np.array([1.0, 2.0, 4.0])]
    options = FIT | {"key": jax.random.key(0), "steps": 150, "rate": 1e-2, "validate": False}
    with pytest.warns(UserWarning, match="2 series with fewer than two values are not trained on, such as 10"):
        both = forecast.fit([*series, *odd], K, **options)
    alone = forecast.fit(series, K, **options)
    said = {name: of[: 8 * K] for name, of in both.predict().items()}
    assert mase(said, series, coming) < 1.25 * mase(alone.predict(), series, coming)
    assert "2 series with fewer" in repr(both)
    assert np.isnan(both.predict()["median"]).sum() == K


@support.lenient()
@pytest.mark.parametrize("sampling", ["series", "length", "scale", [1, 0, 2, 1], {0: 1.0, 3: 0.5}])
def test_samplings(sampling, rng):
    """From the same key the same."""
    series, _ = waves(rng, 4, 40)
    said, same = (forecast.fit(series, K, sampling=sampling, steps=2, **FIT).predict() for _ in range(2))
    assert np.isfinite(said["mean"]).all()
    assert all(np.array_equal(said[name], same[name]) for name in said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sampling": "much"}, "sampling: expected 'series', 'length', 'scale' or weights, got 'much'"),
        ({"sampling": [1, 2]}, r"sampling: expected a finite weight of at least 0 for each of 4 series"),
        ({"cell": "lstn"}, r"cell: expected a name in jaxrnn.CELLS, such as 'lstm', or a Cell, got 'lstn'"),
        ({"static": ("region",)}, r"static: expected a column 'region', got a table with \[\] beside y"),
        ({"steps": 0}, "steps: expected an int of at least 1, got 0"),
        ({"context": 0}, "context: expected an int of at least 1, got 0"),
        ({"head": "normal"}, "head: expected one of"),
    ],
)
def test_refused(options, said, rng):
    series, _ = waves(rng, 4, 40)
    with pytest.raises(ValueError, match=said):
        forecast.fit(series, K, **(FIT | options))


@support.lenient()
def test_intervals_are_as_wide_as_the_last_steps_say(rng, tmp_path, monkeypatch):
    """The factor is the 80% quantile of what came, in sides of the intervals that a loop over origins asks for."""
    monkeypatch.setattr(training, "SPREADS", (0.0, 1e9))
    series = {"a": 5 + rng.standard_normal(50), "b": 700 + 40 * rng.standard_normal(64)}
    series["b"][-4] = np.nan

    def table(until):
        parts = {name: y[: len(y) - back] for (name, y), back in zip(series.items(), until, strict=True)}
        ids = np.repeat([*parts], [*map(len, parts.values())])
        ds = np.concatenate([np.arange(len(y)) for y in parts.values()])
        return {"unique_id": ids, "ds": ds, "y": np.concatenate([*parts.values()])}

    model = forecast.fit(table((0, 0)), K, **FIT, steps=3, refit=False, key=jax.random.key(2))
    bare, off = dataclasses.replace(model, spread=1.0), []
    for back in range(6):  # an eighth of 50 steps
        said = bare.predict(table((K + back, K + back)))
        for i, y in enumerate(series.values()):
            for k in range(K):
                came, middle = y[len(y) - K - back + k], said["median"][i * K + k]
                side = said["hi-80" if came > middle else "lo-80"][i * K + k]
                off.append((came - middle) / (side - middle))
    expected = np.nanquantile(off, 0.8)
    np.testing.assert_allclose(model.spread, expected, rtol=2e-3)  # float32, from carries of other lengths
    assert abs(expected - 1) > 0.05
    wide, narrow = model.predict(), bare.predict()
    for side in ("lo-80", "hi-80"):
        bound = wide["median"] + model.spread * (narrow[side] - narrow["median"])
        np.testing.assert_allclose(wide[side], bound, rtol=1e-12)
    model.save(tmp_path / "file")
    assert forecast.load(tmp_path / "file").spread == model.spread


@pytest.mark.parametrize(("count", "length", "horizon", "expected"), [
    (1, 232, 11, 29), (1, 51, 48, 1), (1, 60, 48, 4), (2, 40, 4, 5), (10, 400, 12, 7), (414, 700, 48, 1), (1, 9, 6, 1),
])  # fmt: skip
def test_origins_leave_something_to_learn_from(count, length, horizon, expected):
    judged, lengths = np.ones(count, bool), np.full(count, length)
    assert training.origins_of(judged, lengths, horizon) == expected
    assert length - horizon - expected + 1 > 1


@support.lenient()
def test_interrupted(rng, monkeypatch):
    """Ctrl-C at the first report of the second network: what was learnt forecasts, and notes say what is missing."""
    judge, calls = training.Judged.judge, []

    def interrupts(self, params):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return judge(self, params)

    monkeypatch.setattr(training.Judged, "judge", interrupts)
    series = [20 + rng.standard_normal(60) for _ in range(3)]
    model = forecast.fit(series, K, members=3, **FIT, steps=8, every=2, refit=False, key=jax.random.key(1))
    assert len(model.members) == 2 and model.history["step"].tolist() == [2]
    assert any(note.startswith("interrupted after 2 steps of network 2 of 3") for note in model.notes)
    assert np.isfinite(model.predict()["median"]).all()


@support.lenient()
def test_a_backtest_asks_for_what_a_user_would(rng):
    """From tables cut at each origin, and never from what came later."""
    series = {"a": 5 + rng.standard_normal(70), "b": 300 + 40 * rng.standard_normal(64)}

    def table(back):
        lengths = [len(y) - back for y in series.values()]
        y = np.concatenate([y[:n] for y, n in zip(series.values(), lengths, strict=True)])
        ds = np.concatenate([np.arange(n) for n in lengths])
        return {"unique_id": np.repeat([*series], lengths), "ds": ds, "y": y}

    model = forecast.fit(table(2 * K), K, **FIT, steps=4, key=jax.random.key(3))
    found = forecast.backtest({"m": model}, table(0), K, windows=4, step=2, season=SEASON, freq=1)
    for w, back in enumerate((K + 6, K + 4, K + 2, K)):
        said = model.predict(table(back))
        for name, column in ("median", said["median"]), ("lo-80", said["lo-80"]), ("hi-80", said["hi-80"]):
            mine = {"median": found.forecasts["m"].median}.get(name)
            if mine is None:
                mine = found.forecasts["m"].interval(0.8)[name == "hi-80"]
            np.testing.assert_allclose(mine[w].ravel(), column, rtol=1e-5)
        came = np.concatenate([y[len(y) - back :][:K] for y in series.values()])
        np.testing.assert_array_equal(found.target[w].ravel(), came)
