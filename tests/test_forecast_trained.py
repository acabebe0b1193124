"""Trained forecasters: what they tell a model, what they keep, files; beside loops, and a model called by hand."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
from statistics import NormalDist, median

import jax
import numpy as np
import pytest
import support
from reference.autoregression import autoregression

import jaxrnn
from jaxrnn import forecast
from jaxrnn.forecast import network
from jaxrnn.forecast.kept import keep, unit_of
from jaxrnn.forecast.streams import learn_encoding, units
from jaxrnn.forecast.training import Plan, Windows

K, SEASON, LEVELS = 4, 6, (0.8, 0.5)
REGIONS = ("north", "south", "east")
EPS = float(np.finfo(np.float32).eps)


def column(ids, lengths, start="2024-01-03"):
    """unique_id and ds, days from `start` on."""
    ds = [np.datetime64(start, "D") + np.arange(n).astype("m8[D]") for n in lengths]
    return {"unique_id": np.repeat(np.array(ids, object), lengths), "ds": np.concatenate(ds)}


def sales(rng, lengths=(40, 33, 47)):
    """A table of series of days, with all kinds of columns and some values missing."""
    ids = [f"shop {n}" for n in range(len(lengths))]
    table = column(ids, lengths)
    rows = len(table["ds"])
    y = np.concatenate([(n + 1) * (9 + np.sin(np.arange(T)) + rng.standard_normal(T)) for n, T in enumerate(lengths)])
    y[rng.random(rows) < 0.1] = math.nan
    region = np.repeat(np.array([REGIONS[n % 3] for n in range(len(ids))], object), lengths)
    area = np.repeat([0.5, 2.0, 0.75, 1.25][: len(ids)], lengths)
    price, weather = 5 + rng.standard_normal(rows), rng.standard_normal(rows)
    weather[rng.random(rows) < 0.1] = math.nan
    return table | {"y": y, "region": region, "area": area, "price": price, "weather": weather}


def cut(table, which):
    """Some rows of a table."""
    return {name: np.asarray(of)[which] for name, of in table.items()}


def coming(steps, rng):
    """Prices of the K days after so many of each series."""
    parts = [
        prices(rng, [name], np.datetime64("2024-01-03") + np.timedelta64(int(T), "D")) for name, T in steps.items()
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def prices(rng, ids, start, steps=K):
    """Prices to come."""
    table = column(ids, [steps] * len(ids), start)
    return table | {"price": 5 + rng.standard_normal(steps * len(ids))}


FIT = {
    "freq": "D",
    "steps": 2,
    "batch": 4,
    "validate": False,
    "hidden": 5,
    "cell": "gru",
    "readout_size": 7,
    "progress": False,
}


@pytest.fixture(scope="module")
def shops():
    """(the table of three shops, a forecaster trained on it)."""
    table = sales(np.random.default_rng(5))
    with support.lenient():
        model = forecast.fit(
            table,
            K,
            key=jax.random.key(4),
            static=("region", "area"),
            future=("price",),
            past=("weather",),
            identity=True,
            seasons=(SEASON,),
            **FIT,
        )
    return table, model


@functools.partial(jax.jit, static_argnums=0)
def whole(model, params, ys, arrays):
    return model.predict(params, ys, levels=(0.8,), **arrays)


def by_hand(model, table, series, future):
    """One series through the model alone: the inputs are put together here, in loops."""
    net, params = model.network.model, model.members[0]
    known, mine = sales(np.random.default_rng(5)), table["unique_id"] == series
    ids = sorted({*known["unique_id"].tolist()})
    areas = [known["area"][known["unique_id"] == name][0] for name in ids]
    stays = [np.array([(table["area"][mine][0] - np.mean(areas)) / np.std(areas)])]
    stays += [params["embeddings"][0][ids.index(series)] if series in ids else params["embeddings"][0].mean(0)]
    region = {*table["region"][mine].tolist()}.pop()
    stays.append(params["embeddings"][1][sorted(REGIONS).index(region)])

    def standard(name, values):
        values = (values - np.nanmean(known[name])) / np.nanstd(known[name])
        return np.where(np.isnan(values), 0, values)

    days = np.concatenate([table["ds"][mine], future["ds"][future["unique_id"] == series]]).astype("datetime64[D]")
    price = np.concatenate([table["price"][mine], future["price"][future["unique_id"] == series]])
    turns = [day.weekday() / 7 for day in days.astype(datetime.date)]
    ahead = [standard("price", price), np.sin(2 * np.pi * np.array(turns)), np.cos(2 * np.pi * np.array(turns))]
    y = known["y"][known["unique_id"] == series] if series in ids else table["y"][mine]
    size = np.nanmean(np.abs(y[SEASON:] - y[:-SEASON]))
    arrays = {
        "past": standard("weather", table["weather"][mine])[:, None, None],
        "future": np.stack(ahead, -1)[:, None],
        "static": np.concatenate(stays)[None],
    }
    arrays = {name: a.astype(np.float32) for name, a in arrays.items()}
    ys = (table["y"][mine] / size).astype(np.float32)[:, None, None]
    mean, center, lower, upper = (np.asarray(a, float).reshape(-1) for a in whole(net, params["model"], ys, arrays))
    base = model.encoding.base
    assert base.lags == (*range(1, 14),)  # those up to a third of the 40 steps
    line, deviation = autoregression(np.float64(ys[:, 0, 0]), base.lags, SEASON, K, base.every, base.ridge)
    reach = NormalDist().inv_cdf(0.9) * deviation
    way = model.share * np.nan_to_num(line[-1] - center)
    bounds = [own + model.share * (line[-1] + sign * reach - own) for own, sign in ((lower, -1), (upper, 1))]
    if np.isnan(reach).any():  # too few values to know it
        bounds = [lower + way, upper + way]
    return [size * a for a in (mean + way, center + way, *bounds)]


def test_predict_is_the_model_alone(shops, rng):
    """From what is kept of a series, and of a table: of a series that is known, and of one that is not."""
    table, model = shops
    assert model.share == 0.5  # there was no validation
    model = dataclasses.replace(model, share=0.3)
    steps = dict(zip(model.ids, model.kept.steps, strict=True))
    assert steps == {"shop 0": 40, "shop 1": 33, "shop 2": 47}
    future = coming(steps, rng)
    said = model.predict(future=future, levels=LEVELS)
    assert list(said) == ["unique_id", "ds", "mean", "median", "lo-80", "hi-80", "lo-50", "hi-50"]
    np.testing.assert_array_equal(said["ds"], future["ds"])
    new = sales(rng, (47, 33, 9, 33))
    new = cut(new, new["unique_id"] != "shop 2")
    later = coming({"shop 0": 47, "shop 1": 33, "shop 3": 33}, rng)
    sizes = dict(zip(("shop 0", "shop 1", "shop 3"), model._of(new).size, strict=True))
    assert [sizes[name] for name in ("shop 0", "shop 1")] == model.kept.size[:2].tolist()  # those of training
    for out, of, ahead, names in (
        (said, table, future, ["shop 1"]),
        (model.predict(new, future=later, levels=LEVELS), new, later, ["shop 1", "shop 3"]),
    ):
        for name in names:
            mine, expected = out["unique_id"] == name, by_hand(model, of, name, ahead)
            for told, values in zip(("mean", "median", "lo-80", "hi-80"), expected, strict=True):
                np.testing.assert_allclose(out[told][mine], values, rtol=64 * EPS, atol=64 * EPS)


def test_updates_are_as_if_all_had_been_there(shops, rng):
    """Rows that come one by one and in two parts, with gaps, of two series of three; beside a table of all."""
    table, model = shops
    more = sales(rng, (60, 60, 60))
    day = ((more["ds"] - np.datetime64("2024-01-03")) / np.timedelta64(1, "D")).astype(int)
    begin = np.array([{"shop 0": 40, "shop 1": 33, "shop 2": 99}[name] for name in more["unique_id"]])
    gap = (day == 41) | (day == 42)
    new = cut(more, (day >= begin) & (day < 47) & ~gap)
    statics = {name: new.pop(name) for name in ("region", "area")}  # which are known already
    whole = {name: np.concatenate([table[name], (new | statics)[name]]) for name in table}
    steps = {"shop 0": 47, "shop 1": 47, "shop 2": 47}
    future = coming(steps, rng)
    expected = model.predict(whole, future=future, levels=LEVELS)
    order = np.lexsort((new["unique_id"] == "shop 0", new["ds"]))
    early = new["ds"][order] < np.datetime64("2024-02-12")
    ways = {"one by one": order[:, None], "in two parts": [order[early], order[~early]]}
    for way, pieces in ways.items():
        now = model
        for piece in pieces:
            now = now.update(cut(new, piece))
        assert now.kept.steps.tolist() == [47, 47, 47]
        out = now.predict(future=future, levels=LEVELS)
        for name in ("mean", "median", "lo-80", "hi-80"):
            np.testing.assert_allclose(out[name], expected[name], rtol=64 * EPS, err_msg=way)
    assert model.kept.steps.tolist() == [40, 33, 47]


def test_files(shops, rng, tmp_path):
    """To the bit, also after the next rows."""
    _, model = shops
    model.save(tmp_path / "a.jaxrnn")
    again = forecast.load(tmp_path / "a.jaxrnn")
    assert repr(again) == repr(model)
    assert {name: of.tolist() for name, of in again.history.items()} == {
        name: of.tolist() for name, of in model.history.items()
    }
    new = cut(sales(rng, (41,)), [40])
    for one, other in ((model, again), (model.update(new), again.update(new))):
        future = coming(dict(zip(one.ids, one.kept.steps, strict=True)), rng)
        said, same = (each.predict(future=future, levels=LEVELS) for each in (one, other))
        assert all(np.array_equal(said[name], same[name]) for name in said)
    gru = jaxrnn.gru(3)
    jaxrnn.save(tmp_path / "b", gru, gru.init(jax.random.key(0), 2))
    with pytest.raises(ValueError, match=r"expected a file of Trained.save, got one of gru\(3\); jaxrnn.load reads it"):
        forecast.load(tmp_path / "b")


def short(table):
    return {name: table[name] for name in ("unique_id", "ds", "y")}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda m, t: m.predict(),
            r"future: expected a table of \['price'\] for the 4 steps after each series, got None",
        ),
        (lambda m, t: m.predict(future=prices(np.random, ["shop 0"], "2024-02-12")), r"4 rows of 'shop 1', got none"),
        (
            lambda m, t: m.predict(future=prices(np.random, m.ids, "2024-02-13")),
            r"rows of 'shop 0' from 2024-02-12T00:00:00 to 2024-02-15T00:00:00, got those from 2024-02-13",
        ),
        (lambda m, t: m.update(cut(t, [3])), r"ds: expected steps of 'D' after 2024-02-11.* got 2024-01-06"),
        (
            lambda m, t: m.update(cut(t, [3]) | {"unique_id": ["x"]}),
            r"unique_id: expected series .* known, got 'x'; pred",
        ),
        (lambda m, t: m.predict(short(t)), r"table: expected a column 'weather', got a table with \[\] beside y"),
    ],
    ids=range(6),
)
def test_refused(shops, call, said):
    table, model = shops
    with pytest.raises(ValueError, match=said):
        call(model, table)


@pytest.fixture(scope="module")
def plain():
    """A forecaster of numbered steps, whose network is only drawn."""
    rng = np.random.default_rng(3)
    panel = forecast.panel([np.sin(np.arange(T)) + rng.standard_normal(T) for T in (40, 50)], 1)
    options = {"seasons": (SEASON,), "differencing": True, "readout_size": 7, "scaling": "rolling", "head": "quantile"}
    net = network.network(jaxrnn.models.forecaster(jaxrnn.gru(5), K, **options))
    drawn = net.init(jax.random.key(1))
    noise = support.normal_like(jax.random.key(2), drawn, 0.1)
    members = (jax.tree.map(np.add, jax.device_get(drawn), jax.device_get(noise)),)
    encoding = learn_encoding(panel, (), (), (), False, True)
    return forecast.Trained(net, members, encoding, keep(net, members, encoding, panel, unit_of(net, panel)), {}, ())


STRANGE = {
    "constant": lambda y: np.full_like(y, 3.25),
    "zeros": np.zeros_like,
    "missing": lambda y: np.full_like(y, math.nan),
    "spike": lambda y: np.where(np.arange(len(y)) == 20, 1e30, y),
    "large": lambda y: 1e12 * y,
    "infinite": lambda y: np.where(np.arange(len(y)) == 7, math.inf, y),
    "level": lambda y: 7e9 + 3 * y,
    "tiny": lambda y: 1e-300 * y,
    "one": lambda y: y[:1],
}


@pytest.mark.filterwarnings("ignore:y. inf in row")
def test_a_strange_series_changes_no_other(plain, rng):
    """And of one that has another unit all is in that."""
    ys = [np.sin(np.arange(30)) + 2 + rng.standard_normal(30) for _ in range(len(STRANGE) + 4)]
    ys[3:5] = [1e12 * ys[2], 1e-20 * ys[2]]
    ys[-2][4:9] = math.nan
    names = ("mean", "median", "lo-80", "hi-80")
    ordinary = {name: of.reshape(-1, K) for name, of in plain.predict(ys).items()}
    odd = [of(y) for of, y in zip(STRANGE.values(), ys, strict=False)]
    beside = {name: of.reshape(-1, K) for name, of in plain.predict([*odd, *ys[len(odd) :]]).items()}
    for name in names:
        np.testing.assert_allclose(beside[name][len(odd) :], ordinary[name][len(odd) :], rtol=64 * EPS)
        np.testing.assert_allclose(ordinary[name][3], 1e12 * ordinary[name][2], rtol=64 * EPS)
        np.testing.assert_allclose(ordinary[name][4], 1e-20 * ordinary[name][2], rtol=64 * EPS)
    said = {name: {told: beside[told][n] for told in names} for n, name in enumerate(STRANGE)}
    assert np.isnan(said.pop("missing")["median"]).all()
    assert all(np.isfinite(of[told]).all() for of in said.values() for told in names)
    level, spread = odd[[*STRANGE].index("level")].mean(), np.ptp(odd[[*STRANGE].index("level")])
    width = said["level"]["hi-80"] - said["level"]["lo-80"]
    assert (np.abs(said["level"]["median"] - level) < spread).all()
    assert ((width > 0.01 * spread) & (width < 3 * spread)).all()


def test_units(rng):
    """Beside sorting and summing in Python."""
    ys = [rng.standard_normal(50) * 2, 7e9 + 3 * rng.standard_normal(50), rng.standard_normal(30)]
    ys[2][[3, 4, 9]] = math.nan
    ys[0][20] = 1e6
    panel = forecast.panel([*ys, [5.0] * 9, [0.0] * 9, [math.nan] * 9, [8.0]], 1)
    shift, size = units(panel, SEASON, None)
    for n, y in enumerate(ys):
        moved = [abs(a - b) for a, b in zip(y[SEASON:], y, strict=False) if not math.isnan(a - b)]
        most = 30 * median(moved)
        expected = sum(min(m, most) for m in moved) / len(moved)
        assert size[n] == pytest.approx(expected, rel=1e-6 if n == 1 else 1e-12)
    assert shift.tolist() == [0, np.median(ys[1]), 0, 0, 0, 0, 0]
    assert size[3:].tolist() == [5, 1, 1, 8]
    shifted, _ = units(panel, SEASON, True)
    assert shifted.tolist() == [np.nanmedian(y) for y in ys] + [5, 0, 0, 8]


def test_windows_of_training(plain, rng):
    """Each is a piece of its series, after what was before it; and series come as often as their share says."""
    ys = [rng.standard_normal(T) for T in (9, 30, 40)]
    streams = plain.encoding.streams(forecast.panel(ys, 1), np.zeros(3), np.ones(3))
    plan = Plan(12, 4000, 1, 0.1, 0.0, None, 1, None, False)
    until, shares = np.array([9, 26, 36]), np.array([1.0, 2.0, 5.0])
    batch = Windows(plain.network, streams, until, shares, plan, [7])[3]
    R, firsts = plain.network.model.reach, {}
    for ys_, before, weights in zip(batch["ys"], batch["memory"], batch["weights"], strict=True):
        n = next(n for n, y in enumerate(ys) if ys_[0] in y.astype(np.float32))
        at = int(np.flatnonzero(ys[n].astype(np.float32) == ys_[0])[0])
        padded = np.concatenate([np.full(R, math.nan), ys[n][: until[n]], np.full(12, math.nan)]).astype(np.float32)
        np.testing.assert_array_equal(ys_, padded[R + at : R + at + 12])
        np.testing.assert_array_equal(before, padded[at : at + R])
        np.testing.assert_array_equal(weights, [at == 0 or t >= (12 - K) // 3 for t in range(12)])
        firsts.setdefault(n, []).append(at)
    assert [{*of} for _, of in sorted(firsts.items())] == [{0}, set(range(15)), set(range(25))]
    counts = np.array([len(firsts[n]) for n in range(3)])
    assert (np.abs(counts - 500 * shares) < 5 * np.sqrt(500 * shares)).all()
