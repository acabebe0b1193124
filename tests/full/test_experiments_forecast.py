"""The experiment on forecasts: what it reads, its methods against loops, and a run of seconds."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from support import assert_close, tolerance

pytest.importorskip("tyro", reason='the extra "train" is not installed')
pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
sys.path.insert(0, str(Path(__file__).parents[2]))  # `experiments` is run from the root of the repository

from experiments import forecast

K, LEVEL = 3, 0.8


@pytest.fixture
def hours(tmp_path, rng):
    """(a folder with the files of M4 hourly for two series of unequal length, their values)."""
    values = [np.round(50 + 9 * np.sin(np.arange(T) / 4) + rng.standard_normal(T), 2) for T in (250, 230)]
    heads = {"train": [v[:-48] for v in values], "test": [v[-48:] for v in values]}
    for part, rows in heads.items():
        width = max(map(len, rows))
        lines = [",".join(["V1", *[f"V{k + 2}" for k in range(width)]])]
        lines += [",".join([f"H{n}", *map(str, row), *[""] * (width - len(row))]) for n, row in enumerate(rows)]
        text = "\n".join(lines).encode()
        (tmp_path / f"Hourly-{part}.csv.gz").write_bytes(gzip.compress(text))
    return tmp_path, values


def test_m4_is_read_from_its_files(hours):
    folder, values = hours
    series = forecast.m4_hourly(folder)
    assert [list(map(float, v)) for v in values] == [v.tolist() for v in series.values] and series.horizon == 48
    table = forecast.table_of(series, lambda T: T - 48)
    assert len(table["y"]) == 250 + 230 - 2 * 48 and table["y"][-1] == values[1][-49]
    (folder / "Hourly-test.csv.gz").unlink()
    with pytest.raises(ValueError, match=r"m4: expected Hourly-test.csv or Hourly-test.csv.gz in"):
        forecast.m4_hourly(folder)


def test_simple_methods_of_logarithms(rng):
    past = np.exp(1 + 0.1 * rng.standard_normal(40))
    said = forecast.simple(True, True)["seasonal naive"](past, K, 4)
    assert_close(said.mean, past[-4 : -4 + K], tolerance(float, 10))
    size = np.sqrt(np.mean((np.log(past[4:]) - np.log(past[:-4])) ** 2))
    assert_close(
        said.quantile(0.9), past[-4 : -4 + K] * np.exp(size * NormalDist().inv_cdf(0.9)), tolerance(float, 100)
    )


def test_a_word_is_said_only_where_all_seeds_agree():
    def scores(*ours):
        return {"naive": {"mase": [2.0]}, "regression": {"mase": [1.0]}, "gru": {"mase": list(ours)}}

    assert forecast.verdict(scores(0.8, 0.9), "gru") == "better than regression"
    assert forecast.verdict(scores(0.8, 1.1), "gru") == "no clear difference from regression"
    assert forecast.verdict(scores(1.2, 1.1), "gru") == "worse than regression"


def test_passengers_are_read_from_a_file(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text('"Month","Passengers"\n"1949-01",112\n"1949-02",118\n\n')
    series = forecast.passengers(path)
    assert series.values[0].tolist() == [112, 118] and series.start == 1949.0 and series.log


@pytest.mark.usefixtures("float32_only")
def test_a_run_of_seconds(tmp_path, capsys, monkeypatch):
    """Without statsmodels too: one line, its figures for each model, and a picture."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "statsmodels" else real(name))
    line = forecast.main(forecast.Options(fast=True, out=tmp_path))
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[-1])["series"] == line["series"]
    assert "without statsmodels" in printed.err
    scores = line["series"]["made up"]["scores"]
    assert list(scores) == ["seasonal naive", "lagged regression", "theta", "lstm"]
    assert all(np.isfinite(list(score.values())).all() for score in scores.values())
    y = forecast.shipped()[0].values[0]
    assert line["series"]["made up"]["origins"] == 50 - 12 + 1
    naive = [
        np.abs(y[o : o + 12] - y[o - 12 : o]).mean() / np.abs(y[12:o] - y[: o - 12]).mean() for o in range(150, 189)
    ]
    assert scores["seasonal naive"]["mase"] == [round(np.mean(naive), 4)]
    assert (tmp_path / "forecasts.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "result.json").read_text())["series"] == line["series"]


def test_the_shipped_series():
    pytest.importorskip("statsmodels", reason='the extra "experiments" is not installed')
    sunspots, co2 = forecast.shipped()
    assert len(sunspots.values[0]) == 309 and not np.isnan(sunspots.values[0]).any()
    assert len(co2.values[0]) == 526 and np.isnan(co2.values[0]).sum() == 5
    assert 310 < np.nanmin(co2.values[0]) < np.nanmax(co2.values[0]) < 375


@pytest.mark.usefixtures("float32_only")
def test_a_run_on_m4(hours, tmp_path):
    """Of both series at once, from the end of what was learnt from."""
    folder, values = hours
    line = forecast.main(forecast.Options(m4=folder, fast=True, out=tmp_path / "out"))
    found = line["series"]["M4 hourly"]
    errors = [np.abs(v[-48:] - np.tile(v[-72:-48], 2)).mean() / np.abs(v[24:-48] - v[:-72]).mean() for v in values]
    assert found["origins"] == 1 and found["scores"]["seasonal naive"]["mase"] == [round(np.mean(errors), 4)]
    assert np.isfinite(found["scores"]["lstm"]["mase"]).all()
