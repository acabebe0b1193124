"""Long tables into regular panels, beside loops and pandas; calendars beside Python's and pandas' own."""

from __future__ import annotations

import datetime
import math
import warnings

import numpy as np
import pytest

from jaxrnn import forecast
from jaxrnn.forecast import calendar

STEPS = {
    # ours: (pandas', first, a time between two steps)
    "s": ("s", "2023-12-31T23:59:40", None),
    "15min": ("15min", "2024-02-28T22:10", "2024-02-28T22:15"),
    "h": ("h", "2024-02-28T05:30", "2024-02-28T06:00"),
    "D": ("D", "2023-12-20", "2023-12-20T01:00"),
    "2D": ("2D", "2023-12-20", "2023-12-21"),
    "B": ("B", "2024-02-26", "2024-03-02"),
    "W-SUN": ("W-SUN", "2023-11-05", "2023-11-06"),
    "MS": ("MS", "2023-11-01", "2023-11-15"),
    "M": ("ME", "2023-11-30", "2023-12-30"),
    "ME": ("ME", "2024-02-29", "2024-03-29"),
    "QS": ("QS", "2023-10-01", "2023-11-01"),
    "QE": ("QE", "2023-12-31", "2024-01-31"),
    "YS": ("YS", "2000-01-01", "2000-07-01"),
    "YE": ("YE", "2000-12-31", "2001-01-01"),
}


@pytest.mark.parametrize("freq", STEPS)
def test_steps_are_those_of_pandas(freq):
    pandas = pytest.importorskip("pandas")
    theirs, first, between = STEPS[freq]
    expected = pandas.date_range(first, periods=50, freq=theirs).to_numpy().astype("datetime64[s]")
    step, first = calendar.frequency(freq), np.datetime64(first, "s")
    np.testing.assert_array_equal(step.after(first, np.arange(50)), expected)
    np.testing.assert_array_equal(step.index(first, expected[::-1]), np.arange(50)[::-1])
    np.testing.assert_array_equal(step.index(expected[7], expected[:8]), np.arange(-7, 1))
    if between is not None:
        assert step.index(first, np.array([between], "datetime64[s]"))[0] < -50
    assert calendar.frequency(str(step)) == step
    told = calendar.inferred([expected, expected[:1]])
    assert told == step if not freq.startswith("M") else told in (step, calendar.frequency("ME"))


def test_a_day_that_a_month_has_not_is_its_last():
    months = calendar.frequency("MS").after(np.datetime64("2024-01-31T06:00", "s"), np.arange(4))
    assert months.astype(str).tolist() == [f"2024-{day}T06:00:00" for day in ("01-31", "02-29", "03-31", "04-30")]


@pytest.mark.parametrize(
    ("freq", "length", "seasons", "cycles"),
    [
        ("h", 1000, (24, 168), ("day", "week")),
        ("h", 100, (24,), ("day",)),
        ("h", 47, (), ()),
        ("h", 20_000, (24, 168), ("day", "week", "year")),
        ("15min", 2000, (96, 672), ("day", "week")),
        ("min", 50_000, (1440,), ("day", "week")),
        ("D", 800, (7,), ("week", "year")),
        ("B", 300, (5,), ("week",)),
        ("W", 120, (52,), ("year",)),
        ("MS", 30, (12,), ("year",)),
        ("QS", 30, (4,), ("year",)),
        ("YS", 30, (), ()),
        (1, 500, (), ()),
    ],
)
def test_seasons_and_cycles(freq, length, seasons, cycles):
    step = calendar.frequency(freq)
    assert (calendar.seasons(step, length), calendar.cycles(step, length)) == (seasons, cycles)


def test_features_of_the_calendar():
    times = np.datetime64("2023-12-29T05:30", "s") + np.arange(60) * np.timedelta64(13 * 3600 + 7, "s")
    expected = []
    for now in times.tolist():
        midnight, new_year = now.replace(hour=0, minute=0, second=0), datetime.datetime(now.year, 1, 1)
        day = (now - midnight) / datetime.timedelta(days=1)
        year = (now - new_year) / (datetime.datetime(now.year + 1, 1, 1) - new_year)
        turns = (day, (now.weekday() + day) / 7, year)
        expected.append([f(2 * math.pi * turn) for turn in turns for f in (math.sin, math.cos)])
    found = calendar.features(("day", "week", "year"), times)
    np.testing.assert_allclose(found, expected, atol=4 * np.finfo(np.float32).eps)


def rows():
    """A table in disorder: two series of days, with gaps, missing values and further columns."""
    lines = [
        # unique_id, ds, y, price, region
        ("b", "2024-02-27", 5.5, 2.0, "south"),
        ("a", "2024-01-02", 2.0, 1.0, "north"),
        ("b", "2024-03-01", 7.25, 3.0, "south"),
        ("a", "2024-01-01", 1.0, None, "north"),
        ("a", "2024-01-05", None, 4.0, None),
    ]
    columns = [list(column) for column in zip(*lines, strict=True)]
    return dict(zip(("unique_id", "ds", "y", "price", "region"), columns, strict=True))


NAN = math.nan


def is_the_panel_of_rows(panel):
    assert panel.ids == ("b", "a")
    assert panel.freq == "D"
    assert [str(one[0]) for one in panel.times] == ["2024-02-27T00:00:00", "2024-01-01T00:00:00"]
    assert [np.diff(one).astype(int).tolist() for one in panel.times] == [[86400] * 3, [86400] * 4]
    np.testing.assert_array_equal(panel.values[0], [5.5, NAN, NAN, 7.25])
    np.testing.assert_array_equal(panel.values[1], [1, 2, NAN, NAN, NAN])
    np.testing.assert_array_equal(panel.columns["price"][0], [2, NAN, NAN, 3])
    np.testing.assert_array_equal(panel.columns["price"][1], [NAN, 1, NAN, NAN, 4])
    assert panel.columns["region"][1].tolist() == ["north", "north", None, None, None]
    assert "4 steps without a row are NaN, in 2 series" in repr(panel)


@pytest.mark.parametrize("kind", ["lists", "arrays", "csv", "pandas", "pandas with dates"])
def test_every_kind_of_table(kind, tmp_path):
    table = rows()
    if kind == "arrays":
        table = {name: np.array(column, None if name in ("y", "price") else object) for name, column in table.items()}
        table |= {"y": table["y"].astype(float), "ds": table["ds"].astype("datetime64[ns]")}
    if kind == "csv":
        forecast.Table({name: np.array(column, object) for name, column in table.items()}).to_csv(tmp_path / "a.csv")
        table = tmp_path / "a.csv"
        assert "b  2024-02-27   5.5" in repr(forecast.read_csv(table))
    if kind.startswith("pandas"):
        pandas = pytest.importorskip("pandas")
        table = pandas.DataFrame(table)
        if kind == "pandas with dates":
            table["ds"] = pandas.to_datetime(table["ds"])
            table["unique_id"] = table["unique_id"].astype("category")
            table["y"] = table["y"].astype("Float64")
    panel = forecast.panel(table, "D")
    is_the_panel_of_rows(panel)
    is_the_panel_of_rows(forecast.panel(panel))
    again = forecast.panel(panel.table(), "D")
    np.testing.assert_array_equal(again.values[0], panel.values[0])


def test_as_pandas_lays_a_grid(rng):
    """A large one, whose rows are in no order, beside reindexing."""
    pandas = pytest.importorskip("pandas")
    frames = []
    for name, start in (("x", "2021-05-03"), ("y", "2020-02-29 17:00"), ("z", "2022-01-01")):
        ds = pandas.date_range(start, periods=200, freq="h")[rng.permutation(200)[:150]]
        frames.append(pandas.DataFrame({"unique_id": name, "ds": ds, "y": rng.standard_normal(150)}))
    table = pandas.concat(frames).sample(frac=1, random_state=1)
    panel = forecast.panel(table)
    assert panel.freq == "h"
    for n, name in enumerate(panel.ids):
        expected = table[table["unique_id"] == name].set_index("ds")["y"].sort_index().asfreq("h")
        np.testing.assert_array_equal(panel.times[n], expected.index.to_numpy().astype("datetime64[s]"))
        np.testing.assert_array_equal(panel.values[n], expected.to_numpy())


def test_series_without_times_or_names():
    two = forecast.panel([[1.0, 2.0, 3.0], np.array([4, 5])], "h")
    assert (two.ids, two.freq, two.dated) == ((0, 1), "h", False)
    assert [one.tolist() for one in two.times] == [[0, 1, 2], [0, 1]]
    one = forecast.panel({"y": [3, 4, 5]})
    assert (one.ids, one.freq, one.values[0].tolist()) == (("series",), "1", [3, 4, 5])
    mixed = forecast.panel({"unique_id": [7, 3, 7], "y": [1, 2, 3]}, 1)
    assert (mixed.ids, [one.tolist() for one in mixed.values]) == ((7, 3), [[1, 3], [2]])
    numbered = forecast.panel({"ds": [30, 10, 20, 60], "y": [3, 1, 2, 6]})
    assert numbered.freq == "10"
    np.testing.assert_array_equal(numbered.values[0], [1, 2, 3, NAN, NAN, 6])


def test_split():
    panel = forecast.panel({"unique_id": list("aaaabb"), "y": [1, 2, 3, 4, 5, 6], "x": [1, 2, 3, 4, 5, 6]})
    past, coming = panel.split(2)
    assert past.ids == coming.ids == ("a",)
    assert (past.values[0].tolist(), coming.values[0].tolist()) == ([1, 2], [3, 4])
    assert (past.columns["x"][0].tolist(), coming.times[0].tolist()) == ([1, 2], [2, 3])


@pytest.mark.parametrize(
    ("changes", "options", "error", "said"),
    [
        (
            {"y": None},
            {},
            ValueError,
            r"expected a column y of values, .* got the columns \['unique_id', 'ds', 'price'",
        ),
        ({"y": [1, 2, "much", 4, 5]}, {}, TypeError, r"y: expected numbers, got 'much' in row 2"),
        ({"y": [1, 2]}, {}, ValueError, r"table: expected columns \[rows\] of one length, got the shapes"),
        ({"ds": ["2024-01-01"] * 5}, {}, ValueError, r"one row for each time .* got two of 2024-01-01T00:00:00 in 'b'"),
        ({"unique_id": ["b", None, "b", "a", "a"]}, {}, ValueError, r"unique_id: expected a name .* got None in row 1"),
        (
            {"ds": ["2024-01-01", "soon", "2024-01-01", "", "x"]},
            {},
            TypeError,
            r"ds: expected dates .* got 'soon' in row 1",
        ),
        ({"ds": ["2024-01-01T00:00Z"] * 5}, {}, TypeError, r"ds: .* in row 0; convert to UTC"),
        ({"ds": [0.0, 1.5, 2, 3, 4]}, {}, TypeError, r"whole numbers, got '1.5' in row 1"),
        (
            {},
            {"freq": "W"},
            ValueError,
            r"ds: expected steps of 'W' from 2024-02-27T00:00:00 on in 'b', got 2024-03-01",
        ),
        ({}, {"freq": "s"}, ValueError, r"most steps of 's' to have a row, got 2 rows from 2024-02-27.* in 'b'; freq"),
        ({}, {"freq": "fortnight"}, ValueError, r'freq: expected "s", .*, got \'fortnight\''),
        ({}, {"freq": 1}, ValueError, r"freq: expected one of dates such as \"h\" or \"D\", for ds has dates, got 1"),
        ({}, {"bad": "zero"}, ValueError, r"bad: expected 'missing' or 'raise', got 'zero'"),
        ({"y": [1, 2, 3, math.inf, 4]}, {"bad": "raise"}, ValueError, r"got inf in row 3; bad='missing' makes NaN"),
    ],
)
def test_refused(changes, options, error, said):
    table = {name: column for name, column in (rows() | changes).items() if column is not None}
    with pytest.raises(error, match=said):
        forecast.panel(table, **({"freq": "D"} | options))


def test_refused_without_rows(tmp_path):
    with pytest.raises(ValueError, match="table: expected rows, got none"):
        forecast.panel({"y": []})
    with pytest.raises(ValueError, match=r'freq: expected "h", "D", .* for no series has two rows'):
        forecast.panel({"y": [1.0], "ds": ["2024-01-01"]})
    with pytest.raises(ValueError, match="freq: expected 'D', that of the panel, got 'h'"):
        forecast.panel(forecast.panel(rows(), "D"), "h")
    (tmp_path / "a.csv").write_text("y,ds\n1,2\n3\n")
    with pytest.raises(ValueError, match=r"expected 2 cells in each row, got 1 in row 1: \['3'\]"):
        forecast.read_csv(tmp_path / "a.csv")


def test_an_infinite_value_is_missing_and_said():
    with pytest.warns(
        UserWarning, match="y: inf in row 1 and 1 more, taken as missing; bad='raise' raises instead"
    ) as seen:
        panel = forecast.panel({"y": [1, math.inf, 3, -math.inf]})
    assert seen[0].filename == __file__
    np.testing.assert_array_equal(panel.values[0], [1, NAN, 3, NAN])
    assert panel.notes == ("2 infinite values are NaN",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forecast.panel(panel)
