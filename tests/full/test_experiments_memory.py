"""The experiment on long memory: its tasks against plain Python, its thresholds against who remembers nothing."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, tolerance

import jaxrnn

pytest.importorskip("tyro", reason='the extra "train" is not installed')
pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `experiments` is run from the root of the repository, not installed

from experiments import long_memory  # noqa: E402


def test_adding(key):
    """Two marks, one in each half; the answer is the sum of the two marked numbers."""
    T, B = 10, 200
    xs, answers = map(np.asarray, long_memory.adding(key, T, B))
    assert xs.shape == (T, B, 2) and (xs[..., 0] >= 0).all() and (xs[..., 0] < 1).all()
    first, second = set(), set()
    for b in range(B):
        marked = [t for t in range(T) if xs[t, b, 1] == 1]
        assert len(marked) == 2 and marked[0] < T // 2 <= marked[1] and xs[:, b, 1].sum() == 2
        first.add(marked[0])
        second.add(marked[1])
        assert_close(answers[b], sum(xs[t, b, 0] for t in marked), tolerance("float32", 2))
    assert (first, second) == (set(range(5)), set(range(5, 10)))


def test_copy(key):
    """Ten symbols, T - 1 blanks, a delimiter, ten blanks; the labels are blanks, and then the ten."""
    T, B = 7, 50
    xs, labels = map(np.asarray, long_memory.copy(key, T, B))
    for b in range(B):
        symbols = xs[:10, b].tolist()
        assert set(symbols) <= set(range(1, 9))
        assert xs[:, b].tolist() == [*symbols, *[0] * (T - 1), 9, *[0] * 10]
        assert labels[:, b].tolist() == [*[0] * (T + 10), *symbols]
    assert set(xs[:10].flat) == set(range(1, 9))


def test_thresholds_are_those_of_who_remembers_nothing(key):
    """Saying 1 is wrong by 1/6 in the mean square; blanks, and then a guess among eight, cost 10 ln 8 / (T + 20)."""
    count = 200_000
    _, answers = long_memory.adding(key, 4, count)
    wrong = np.asarray(answers, float) - 1
    *_, adding = long_memory.adding_problem(jaxrnn.gru(2), 4)
    assert abs((wrong**2).mean() - adding) < 5 * (wrong**2).std() / math.sqrt(count)
    *_, threshold = long_memory.copy_memory(jaxrnn.gru(2), 30)
    _, labels = long_memory.copy(key, 30, 3)
    sure = np.zeros((50, 3, 9))
    sure[:40, :, 0] = sure[40:, :, 1:] = 50.0
    sure -= np.log(np.exp(sure).sum(-1, keepdims=True))
    assert_close(-np.take_along_axis(sure, np.asarray(labels)[..., None], -1).mean(), threshold, 1e-9)


@pytest.mark.parametrize("task", long_memory.TASKS)
def test_the_loss_is_the_one_named(task, key):
    """Of params that say nothing but their bias: the squared error of the last y, the cross entropy of every step."""
    draw, problem, _ = long_memory.TASKS[task]
    init, loss, _ = problem(jaxrnn.gru(3), 6)
    params = jax.tree.map(jnp.zeros_like, init(key))
    params["bias"] = jnp.arange(1.0, 1 + len(params["bias"]))
    batch = draw(key, 6, 20)
    answers, said = np.asarray(batch[1], float), np.asarray(params["bias"], float)
    if task == "adding":
        expected = ((said[0] - answers) ** 2).mean()
    else:
        expected = (np.log(np.exp(said).sum()) - said[answers.astype(int)]).mean()
    assert_close(loss(params, batch), expected, tolerance("float32", 20))


def test_a_fast_run(tmp_path, capsys):
    options = long_memory.Options(fast=True, adding=(8,), copy=(), out=tmp_path / "run", cells=("gru", "lstm_chrono"))
    line = long_memory.main(options)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["results"].keys() == line["results"].keys() and len(line["results"]) == 4
    for result in line["results"].values():
        assert len(result["error"]) == 2 and all(math.isfinite(e) for e in result["error"])
    assert (tmp_path / "run" / "loss.png").stat().st_size > 10_000
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert kept["results"] == line["results"] and all(len(curves) == 2 for _, curves in kept["curves"].values())
