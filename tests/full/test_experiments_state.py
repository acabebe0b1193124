"""The experiment on state tracking: its labels, scores, table and linear recurrence against plain Python."""

from __future__ import annotations

import cmath
import collections
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from support import assert_close, generator, normal_like, tolerance

import jaxrnn

pytest.importorskip("tyro", reason='the extra "train" is not installed')
pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `experiments` is run from the root of the repository, not installed

from experiments import state_tracking  # noqa: E402


@pytest.mark.parametrize(("symbols", "m"), [(2, 2), (2, 3), (4, 3)])
def test_labels(rng, symbols, m):
    """The sum so far modulo m, by a loop over plain numbers."""
    xs, labels = state_tracking.draw(rng, 30, 17, symbols, m)
    assert xs.shape == labels.shape == (30, 17) and set(xs.flat) == set(range(symbols))
    for row, expected in zip(xs.tolist(), labels.tolist(), strict=True):
        total = 0
        for x, label in zip(row, expected, strict=True):
            total += x
            assert label == total % m


@pytest.mark.parametrize(("symbols", "m"), [(2, 2), (2, 3), (3, 5), (5, 3)])
def test_the_tracker_set_by_hand(rng, symbols, m):
    """It is right at all of 500 positions; of labels that say it a step later, only where the new symbol is a 0."""
    xs, labels = state_tracking.draw(rng, 100, 500, symbols, m)
    model, params = state_tracking.by_hand(symbols, m)
    ask = jax.jit(lambda labels: state_tracking.accuracy(model, params, xs, labels))
    at = np.asarray(ask(labels))
    assert at.shape == (500,) and (at == 1).all()
    late = np.roll(labels, 1, axis=1)
    late[:, 0] = 0
    at = np.asarray(ask(late))
    assert_close(at, (xs % m == 0).mean(0), tolerance("float32", 1))
    assert at.max() < 0.9


@pytest.mark.parametrize("eigenvalues", ["positive", "real", "soft", "complex", "fixed"])
def test_the_linear_recurrence(key, eigenvalues):
    """Each plane by complex numbers of Python, step by step; eigenvalues stay where the name says."""
    H, D, T = 16, 3, 5
    cell = state_tracking.linear(H, eigenvalues)
    params = normal_like(key, cell.init(key, D))
    xs = generator(key).standard_normal((T, D)).astype("float32")
    _, ys = jax.jit(lambda params, xs: jaxrnn.unroll(cell, params, None, xs))(params, xs)
    p = jax.tree.map(lambda a: np.asarray(a, float), params)
    h = [0j] * (H // 2)
    seen = [set() for _ in h]
    for x, y in zip(xs.astype(float), ys, strict=True):
        new = x @ p["kernel"] + p["bias"]
        for k in range(H // 2):
            chosen = eigenvalues != "fixed"
            r, angle = (chosen * float(x @ p[n][:, k]) + p[n + "_bias"][k] for n in ("radius", "angle"))
            if eigenvalues in ("positive", "complex", "fixed"):
                eigenvalue = min(max(r, 0), 1)
            else:
                eigenvalue = min(max(r, -1), 1) if eigenvalues == "real" else np.tanh(r)
            if eigenvalues in ("complex", "fixed"):
                eigenvalue *= cmath.exp(1j * angle)
            seen[k].add(complex(eigenvalue))
            h[k] = eigenvalue * h[k] + complex(new[k], new[k + H // 2])
        flat = np.array([z.real for z in h] + [z.imag for z in h])
        assert_close(y, np.maximum(flat @ p["out"] + p["out_bias"], 0), tolerance("float32", 10 * T))
    values = set.union(*seen)
    assert any(abs(v.imag) > 0.1 for v in values) is (eigenvalues in ("complex", "fixed"))
    if eigenvalues in ("positive", "real", "soft"):
        assert (min(v.real for v in values) < 0) is (eigenvalues != "positive")
    assert all(len(one) == 1 for one in seen) is (eigenvalues == "fixed")


def test_the_table(rng):
    """The label most often seen after the last k symbols, by dictionaries; it is right up to k, then at chance."""
    k, m = 3, 2
    train, (xs, labels) = (state_tracking.draw(rng, B, T, 2, m) for B, T in ((400, 9), (300, 40)))
    seen = collections.defaultdict(collections.Counter)
    for row, expected in zip(*train, strict=True):
        for t, label in enumerate(expected):
            seen[tuple(row[max(0, t - k + 1) : t + 1]), t < k - 1][int(label)] += 1
    said = state_tracking.windowed(train, xs, 2, m, k)
    for row, answers in zip(xs, said, strict=True):
        for t, answer in enumerate(answers):
            counts = seen[tuple(row[max(0, t - k + 1) : t + 1]), t < k - 1]
            assert answer == max(range(m), key=lambda label: (counts[label], -label))
    assert (said[:, : k - 1] == labels[:, : k - 1]).all()
    assert abs((said[:, k:] == labels[:, k:]).mean() - 0.5) < 0.05


def test_summary():
    options = state_tracking.Options(length=2, last=2)
    at = np.array([1.0, 0.995, 0.5, 1.0, 0.7])
    assert state_tracking.summary(options, at) == {"learnt": 0.9975, "beyond": 0.7333, "last": 0.85, "holds": 2}
    assert state_tracking.summary(options, np.ones(4))["holds"] == 4


def test_a_cell_learns_parity():
    """In 300 updates a GRU is 90% right beyond the lengths that it has seen; one of positive values is at chance."""
    options = state_tracking.Options(
        length=8, test_length=40, hidden=16, seeds=1, steps=300, batch=32, sequences=1000, unseen=200
    )
    assert state_tracking.examine(options, 2, "gru")[0, 8:].mean() > 0.9
    assert state_tracking.examine(options, 2, "positive")[0, 20:].mean() < 0.6


def test_a_fast_run(tmp_path, capsys):
    options = state_tracking.Options(fast=True, moduli=(3,), cells=("gru", "complex"), out=tmp_path / "run")
    line = state_tracking.main(options)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["results"] == line["results"] and printed["out"] == str(tmp_path / "run")
    results = line["results"]["modulo 3"]
    assert results.keys() == {"gru", "complex", "window", "by hand"} and results["by hand"]["last"] == [1.0]
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert kept["results"] == line["results"]
    for name in "gru", "complex":
        at = np.array(kept["accuracy"][f"modulo 3 {name}"])
        assert at.shape == (2, 30) and set((at * 20).round(6).flat) <= set(range(21))
        assert_close(np.array(results[name]["last"]), at[:, -5:].mean(1), 1e-4)
    assert (tmp_path / "run" / "accuracy.png").stat().st_size > 10_000
