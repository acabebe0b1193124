"""The experiment that compares cells: its tasks against plain Python, its sizes, and a tiny run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxrnn

pytest.importorskip("tyro", reason='the extra "train" is not installed')
pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `experiments` is run from the root of the repository, not installed

from experiments import which_cell  # noqa: E402


def test_adding_and_tracking(key):
    """Targets by loops, and the scores of answers that know, and that say always the same."""
    task = which_cell.adding(10)
    xs, targets = map(np.asarray, task.draw(key, 500, False))
    for b in range(500):
        marked = [float(u) for u, mark in xs[:, b] if mark]
        assert len(marked) == 2
        assert abs(sum(marked) - targets[b]) < 1e-6
    right = np.zeros((10, 500, 1), "float32")
    right[-1, :, 0] = targets
    assert task.score(right, targets) < 1e-12
    assert abs(float(task.score(np.ones_like(right), targets)) - 1) < 0.2

    task = which_cell.tracking(4)
    xs, targets = map(np.asarray, task.draw(key, 500, True))
    assert xs.shape == (8, 500, 2)
    parity = np.zeros(500, int)
    for x, target in zip(xs[..., 1].astype(int), targets, strict=True):
        parity = parity ^ x
        np.testing.assert_array_equal(parity, target)
    answers = np.eye(2)[targets]
    assert task.score(answers, targets) == 0
    answers[4:] = 1 - answers[4:]
    assert task.score(answers, targets) == 2


def test_series_is_noise_around_what_is_asked(key):
    """What is learnt from stays 0.5 around what is asked of the same draw, which has a variance of 1."""
    task = which_cell.series(50)
    (xs, seen), (_, clean) = task.draw(key, 2000, False), task.draw(key, 2000, True)
    assert xs.shape == (50, 2000, 1)
    np.testing.assert_array_equal(xs[1:, :, 0], seen[:-1])
    assert abs(np.std(seen - clean) - 0.5) < 0.01
    assert abs(float(task.score(np.zeros((50, 2000, 1)), clean)) - 1) < 0.05


@pytest.mark.parametrize("name", ["elman", "lstm", "lem"])
def test_sizes(name):
    """The largest H whose parameters are within the budget, counted one by one."""
    cell, count = which_cell.sized(name, 3, 5000)
    H = cell.options["hidden_size"]
    gates = {"elman": 1, "lstm": 4, "lem": 4}[name]
    assert count == gates * H * (3 + H + 1) <= 5000 < gates * (H + 1) * (3 + H + 2)


def test_a_tiny_run(tmp_path, capsys):
    options = which_cell.Options(cells=("elman", "lstm"), tasks=("adding", "tracking"), fast=True, out=tmp_path / "run")
    line = which_cell.main(options)
    assert json.loads(capsys.readouterr().out)["results"] == line["results"]
    assert {cell: set(scores) for cell, scores in line["results"].items()} == {
        "elman": {"adding", "tracking"},
        "lstm": {"adding", "tracking"},
    }
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"result.json", "table.md", "cells.png"}


def test_ranks_are_by_the_median_and_a_run_that_diverged_is_last():
    results = {
        "a": {"x": {"scores": [0.5, 0.1, 0.9], "hidden": 4}},
        "b": {"x": {"scores": [0.2, np.nan, np.nan], "hidden": 4}},
        "c": {"x": {"scores": [0.3, 0.4, 9.0], "hidden": 4}},
    }
    assert which_cell.ranked(results, ("x",)) == ["c", "a", "b"]


def test_left_out_are_not_asked():
    assert not set(which_cell.LEFT_OUT) & set(which_cell.CELLS)
    assert set(which_cell.LEFT_OUT) | set(which_cell.CELLS) == set(jaxrnn.CELLS)
