"""The experiments on gradient flow and sentence vectors: their parts against slow programs, and a run of seconds."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from support import assert_close, tolerance

pytest.importorskip("tyro", reason='the extra "train" is not installed')
pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `experiments` is run from the root of the repository, not installed

from experiments import gradient_flow, text_to_vector  # noqa: E402


def test_the_slope_of_a_straight_line():
    """Norms that shrink by a factor a step have its logarithm for a slope, and are all of a line."""
    norms = np.exp(-0.3 * np.arange(20))[:, None] * np.ones((1, 4))
    slope, straight = gradient_flow.slope(norms)
    assert_close((slope, straight), (-0.3, 1.0), 1e-9)


def test_adding_has_two_marks_and_their_sum(key):
    xs, answers = map(np.asarray, gradient_flow.adding(key, 10, 30))
    for row, answer in zip(xs, answers, strict=True):
        marked = np.flatnonzero(row[:, 1])
        assert len(marked) == 2 and row[marked, 1].tolist() == [1, 1]
        assert_close(answer, row[marked, 0].sum(), tolerance("float32", 2))


def test_words():
    assert text_to_vector.words_of("Return an HTTPServer, or a_name of 12.") == [
        "return", "an", "http", "server", "or", "a", "name", "of", "12",
    ]  # fmt: skip


def test_tf_idf():
    """By the formula of Salton and Buckley as scikit-learn smooths it: counts times ln((1 + N) / (1 + n)) + 1."""
    learnt = [["a", "b", "a"], ["b", "c"], ["b"]]
    found = text_to_vector.tf_idf([["a", "a", "new", "b"], ["c"]], learnt)
    heavy, light = math.log(4 / 2) + 1, math.log(4 / 4) + 1
    assert_close(found, np.array([[2 * heavy, light, 0], [0, 0, heavy]]), 1e-12)


def test_nearest(rng):
    """The largest cosines, by a slow loop."""
    queries, vectors = rng.standard_normal((4, 5)), rng.standard_normal((9, 5))
    for query, found in zip(queries, text_to_vector.nearest(queries, vectors, 3), strict=True):
        cosines = [float(query @ v) / math.sqrt(float(v @ v)) for v in vectors]
        assert found.tolist() == sorted(range(9), key=lambda i: -cosines[i])[:3]


@pytest.mark.parametrize(("experiment", "figure"), [(gradient_flow, "flow.png"), (text_to_vector, None)])
def test_a_fast_run(experiment, figure, tmp_path, capsys):
    line = experiment.main(experiment.Options(fast=True, out=tmp_path / "run"))
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed.keys() >= {"seconds", "options"} and printed.keys() - {"out"} <= line.keys()
    figures = list((tmp_path / "run").glob("*.png"))
    assert len(figures) == 1 and figures[0].stat().st_size > 10_000
    assert figure in (None, figures[0].name)
