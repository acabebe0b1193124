"""The experiment on forecasts: its baselines and figures against loops, what may be seen, and a run of seconds."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from support import assert_close, tolerance

pytest.importorskip("tyro", reason='the extra "train" is not installed')
pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
sys.path.insert(0, str(Path(__file__).parents[2]))  # `experiments` is run from the root of the repository

from experiments import baselines, forecast

L, K, PERIOD = 8, 6, 4


@pytest.fixture
def data(rng):
    """(contexts, targets with gaps) of a series."""
    contexts, targets = baselines.examples(rng.standard_normal(60), L, K)
    return contexts, np.where(rng.random(targets.shape) < 0.1, np.nan, targets)


def test_examples_are_runs_of_the_series():
    contexts, targets = baselines.examples(np.arange(17.0), L, K)
    assert len(contexts) == len(targets) == 17 - L - K + 1
    for i in range(len(contexts)):
        assert contexts[i].tolist() == list(range(i, i + L)) and targets[i].tolist() == list(range(i + L, i + L + K))


def test_gaps_are_filled_with_straight_lines():
    gap = np.nan
    assert baselines.filled(np.array([gap, 2.0, gap, gap, 5.0, gap])).tolist() == [2, 2, 3, 4, 5, 5]


def test_seasonal_naive_repeats_the_last_period(data):
    contexts, targets = data
    center, deviation = baselines.seasonal_naive(contexts, targets, PERIOD)(contexts)
    for i in range(len(contexts)):
        series = contexts[i].tolist()
        for _ in range(K):
            series.append(series[-PERIOD])
        assert center[i].tolist() == series[L:]
    expected = [np.sqrt(np.mean([e**2 for e in (targets - center)[:, k] if e == e])) for k in range(K)]
    assert_close(deviation, np.array(expected), tolerance(float, 60))


def test_regression_solves_the_normal_equations(data):
    """Of each step by itself: (X'X + ridge) w = X'y over the rows that were observed, the constant free."""
    contexts, targets = data
    center, _ = baselines.lagged_regression(contexts, targets, ridge=0.7)(contexts[:5])
    for k in range(K):
        there = ~np.isnan(targets[:, k])
        X = np.c_[contexts, np.ones(len(contexts))]
        held = 0.7 * np.diag([1.0] * L + [0.0])
        weights = np.linalg.solve(X[there].T @ X[there] + held, X[there].T @ targets[there, k])
        assert_close(center[:, k], X[:5] @ weights, tolerance(float, 1000))  # the equations square the condition


@pytest.mark.usefixtures("float32_only")
def test_the_network_learns_what_is_linear(rng):
    """And what the gaps leave of it; its deviation is that of the noise."""
    contexts = rng.standard_normal((400, L))
    targets = 0.3 * contexts @ rng.standard_normal((L, K)) + 0.1 * rng.standard_normal((400, K))
    targets[rng.random(targets.shape) < 0.1] = np.nan
    center, deviation = baselines.lagged_network(contexts, targets, 0, hidden=16, steps=1000)(contexts)
    assert np.isfinite(center).all()
    assert (deviation < 0.3 * np.nanstd(targets, 0)).all()


def test_nothing_held_out_is_learnt_from():
    """Examples end before the cut, and the first target of each origin is what comes after its context."""
    for log in (False, True):
        series = forecast.Series("steps", np.arange(1.0, 101.0), "", 0.0, 1, PERIOD, K, L, 1, 1, 1.0, log)
        task = forecast.task(series, 0.25)
        learnt, contexts = (np.exp(a) if log else a for a in (task.learnt, task.contexts))
        assert task.cut == 75 and round(learnt.max()) == 75 and len(learnt) == 75 - L - K + 1
        assert len(contexts) == len(task.targets) == 25 - K + 1
        assert np.round(contexts[:, -1] + 1).tolist() == task.targets[:, 0].tolist() == list(range(76, 96))
        assert task.targets[-1, -1] == 100 and task.seasonal_error == PERIOD


def test_scores_are_means_over_what_was_observed():
    targets = np.array([[1.0, np.nan], [3.0, 4.0]])
    task = forecast.Task(targets, targets, targets, 0, 2.0)
    center = np.array([[2.0, 9.0], [3.0, 1.0]])
    found = forecast.score(task, forecast.Forecasts(center, center - 1.5, center + 1.5))
    assert found == {"mase": 4 / 3 / 2, "rmse": np.sqrt(10 / 3), "coverage": 2 / 3}


def test_a_word_is_said_only_where_all_seeds_agree():
    def scores(*ours):
        flat = {"seasonal naive": [{"mase": 2.0}], "linear regression": [{"mase": 1.0}]}
        network = [{"mase": m} for m in (0.9, 1.1)]
        return {**flat, "feed-forward": [{"mase": 1.5}], "x": network, "gru": [{"mase": m} for m in ours]}

    assert forecast.verdict(scores(0.8, 0.9), "gru") == "better than linear regression"
    assert forecast.verdict(scores(0.8, 1.1), "gru") == "no clear difference from linear regression"
    assert forecast.verdict(scores(1.2, 1.1), "gru") == "worse than linear regression"


def test_passengers_are_read_from_a_file(tmp_path):
    path = tmp_path / "some.csv"
    path.write_text('"Month","Passengers"\n"1949-01",112\n"1949-02",118\n\n')
    series = forecast.passengers(path)
    assert series.values.tolist() == [112, 118] and series.start == 1949.0 and series.log


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
    assert list(scores) == ["seasonal naive", "linear regression", "feed-forward", "gru direct", "gru recursive"]
    assert all(np.isfinite(list(score.values())).all() for score in scores.values())
    assert (tmp_path / "forecasts.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "result.json").read_text())["series"] == line["series"]


def test_the_shipped_series():
    pytest.importorskip("statsmodels", reason='the extra "experiments" is not installed')
    sunspots, co2 = forecast.shipped()
    assert len(sunspots.values) == 309 and not np.isnan(sunspots.values).any()
    assert len(co2.values) == 526 and np.isnan(co2.values).sum() == 5
    assert 310 < np.nanmin(co2.values) < np.nanmax(co2.values) < 375
