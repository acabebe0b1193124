"""The experiments as a user runs them: killed, interrupted, resumed, sampled from; rulers against slow programs."""

from __future__ import annotations

import collections
import dataclasses
import json
import lzma
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("orbax.checkpoint", reason='the extra "train" is not installed')
pytest.importorskip("tyro", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `experiments` is run from the root of the repository, not installed

import optax  # noqa: E402
import orbax.checkpoint  # noqa: E402

import jaxrnn  # noqa: E402
from experiments import char_lm, sample  # noqa: E402
from jaxrnn import train  # noqa: E402
from jaxrnn.cli import program, rulers, runs  # noqa: E402
from jaxrnn.train import Checkpoints  # noqa: E402


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A text to learn: the words of this file, and an accented letter that is seen once."""
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(Path(__file__).read_text()[:6000] + "é", encoding="utf-8")
    return path


SMALL = {"hidden": 12, "embedding": 6, "batch": 4, "window": 8, "steps": 60, "every": 10, "sample": 50, "adapt": 0.0}


def options(text, out, **more):
    return char_lm.Options(**{**SMALL, "text": text, "out": out, **more})


def parameters(folder, step):
    """What is on disk, read without jaxrnn."""
    saved = orbax.checkpoint.StandardCheckpointer().restore(folder.absolute() / "checkpoints" / str(step) / "default")
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(saved)}


def command(module, **more):
    arguments = [part for key, value in more.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", f"experiments.{module}", *arguments]


def start(text, out, steps):
    asked = {**SMALL, "text": text, "out": out, "steps": steps}
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}  # as these tests run
    return subprocess.Popen(command("char_lm", **asked), cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(path, lines):
    """Until a run has logged so many lines."""
    for _ in range(3600):
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            return
        time.sleep(0.05)
    pytest.fail(f"{path} did not get {lines} lines in three minutes")


@pytest.fixture(scope="module")
def whole(text, tmp_path_factory):
    """A run that nothing disturbed, and what it returned."""
    out = tmp_path_factory.mktemp("whole")
    return out, char_lm.main(options(text, out))


def test_a_run_leaves_what_it_says(whole, capsys, text, tmp_path):
    out, last = whole
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60]
    assert lines[-1]["held_out"] == last["held_out"] < lines[0]["held_out"]
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert set(last["rulers"]) >= {"uniform", "unigram", "6-gram"}


def test_a_killed_run_resumes_to_the_same_bits(text, whole, tmp_path):
    """SIGKILL at some moment after the second checkpoint; the rest of the run is the rest of the undisturbed one."""
    process = start(text, tmp_path, 60)
    try:
        wait_for(tmp_path / "metrics.jsonl", 2)
    finally:
        process.kill()
        process.communicate()
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"step": 999}\n')  # logged, but never saved
    char_lm.main(runs.saved(char_lm.Options, tmp_path))
    ours, theirs = parameters(tmp_path, 60), parameters(whole[0], 60)
    assert ours.keys() == theirs.keys() and len(ours) > 10
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name
    lines = [
        [
            {k: v for k, v in json.loads(line).items() if k != "steps_per_second"}
            for line in (out / "metrics.jsonl").read_text().splitlines()
        ]
        for out in (tmp_path, whole[0])
    ]
    assert lines[0] == lines[1]


def test_an_interrupted_run_saves_and_says_how_to_go_on(text, tmp_path):
    process = start(text, tmp_path, 1_000_000)
    try:
        wait_for(tmp_path / "metrics.jsonl", 1)
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=180)
    finally:
        process.kill()
    assert process.returncode == 0
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert f"interrupted, and saved at step {last} in {tmp_path}; --resume goes on" in printed
    assert (tmp_path / "checkpoints" / str(last)).is_dir()


def test_a_second_run_does_not_overwrite_the_first(text, whole):
    with pytest.raises(SystemExit, match="holds a run; --resume goes on with it, another --out keeps it"):
        char_lm.main(options(text, whole[0]))


def test_runs_are_numbered_and_the_last_is_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"no run of char_lm in .*runs: make train makes one"):
        runs.folder("char_lm", None, new=False)
    for expected in ("char_lm-1", "char_lm-2"):
        folder = runs.folder("char_lm", None, new=True)
        assert folder.name == expected
        (folder / "model.json").touch()
    for name in ("other-7", "char_lm-3"):  # the latter was killed before it wrote anything
        (tmp_path / "runs" / name).mkdir()
    assert runs.folder("char_lm", None, new=False).name == "char_lm-2"
    assert runs.folder("char_lm", None, new=True).name == "char_lm-4"


def test_a_run_goes_on_with_its_own_options(whole, text, monkeypatch):
    """What was asked for at the start need not be said again; more steps may be, another model may not."""
    saved = runs.saved(char_lm.Options, whole[0])
    assert saved == options(text, whole[0], resume=True)
    runs.check_resumable(dataclasses.replace(saved, steps=2400), may_change=("steps",))  # the default counts as said
    with pytest.raises(SystemExit, match=r"hidden: the run in .* has 12, and cannot go on with 384; new may be steps"):
        runs.check_resumable(dataclasses.replace(saved, hidden=384), may_change=("steps",))
    monkeypatch.setattr(sys, "argv", ["char_lm", "--resume", "--out", str(whole[0]), "--steps", "2400"])
    assert program.parse(char_lm.Options, "char_lm", None) == dataclasses.replace(saved, steps=2400)


def test_a_run_does_not_go_on_with_another_text(whole, text, tmp_path):
    """Though it has the same symbols."""
    (tmp_path / "other.txt").write_text(text.read_text(encoding="utf-8") + "and", encoding="utf-8")
    copy = tmp_path / "run"
    shutil.copytree(whole[0], copy)
    asked = dataclasses.replace(runs.saved(char_lm.Options, copy), text=tmp_path / "other.txt")
    with pytest.raises(SystemExit, match="resume: the text is not the one that the run in"):
        char_lm.main(asked)
    shutil.copy(text, tmp_path / "other.txt")  # the same text in another place will do
    assert char_lm.main(asked)["step"] == 60


def test_sampling_goes_on_from_the_prime(whole, capsys):
    written = sample.main(sample.Options(model=whole[0], prime="def ", length=70, top_k=5))
    assert capsys.readouterr().out == f"def {written}\n"
    assert len(written) == 70
    again = sample.main(sample.Options(model=whole[0], prime="def ", length=70, top_k=5))
    assert again == written
    other = sample.main(sample.Options(model=whole[0], prime="def ", length=70, top_k=5, seed=1))
    assert other != written


def test_sampling_from_nothing_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="no trained model in"):
        sample.main(sample.Options(model=tmp_path))


def test_params_come_back_in_their_own_types(tmp_path, key):
    """NamedTuples among the params too; and an older step is not written over a newer one unseen."""
    cell = jaxrnn.stack(jaxrnn.learned_carry(jaxrnn.lstm(3)), jaxrnn.gru(2))
    model = jaxrnn.models.language_model(cell, 5, 4)
    state = train.start(model, key, optax.sgd(0.1), (2,))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(7, state)
    params = checkpoints.restore_params(model)
    assert jax.tree.structure(params) == jax.tree.structure(state.params)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, state.params))
    with pytest.raises(ValueError, match="step: expected one after the last that was saved, 7, got 5"):
        checkpoints.save(5, state)


def test_a_wrong_option_names_the_valid_ones():
    wrong = subprocess.run(command("char_lm", cell="grus"), check=False, cwd=ROOT, capture_output=True, text=True)
    assert wrong.returncode != 0
    assert all(name in wrong.stdout + wrong.stderr for name in ("grus", "elman", "gated", "lstm", "gru"))


def slow_kneser_ney(train, held_out, V, order):
    """The same model with dictionaries, one symbol at a time."""
    counts = {order: collections.Counter(tuple(train[i : i + order]) for i in range(len(train) - order + 1))}
    for n in range(order - 1, 0, -1):
        counts[n] = collections.Counter(gram[1:] for gram in counts[n + 1])

    def probability(context, symbol):
        n = len(context) + 1
        lower = 1 / V if n == 1 else probability(context[1:], symbol)
        after = {gram[-1]: c for gram, c in counts[n].items() if gram[:-1] == context}
        if not after:
            return lower
        once, twice = (sum(c == k for c in counts[n].values()) for k in (1, 2))
        discount = once / (once + 2 * twice) if once else 0.5
        total = sum(after.values())
        return max(after.get(symbol, 0) - discount, 0) / total + discount * len(after) / total * lower

    def context(i):
        return tuple(held_out[max(0, i - order + 1) : i])

    for i in range(1, 6):  # a distribution: it adds up to 1
        assert abs(sum(probability(context(i), s) for s in range(V)) - 1) < 1e-12
    return -sum(math.log2(probability(context(i), held_out[i])) for i in range(1, len(held_out))) / (len(held_out) - 1)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_ngram_is_kneser_ney(order, rng):
    """On a text with structure, and with symbols and contexts that were never seen."""
    train = np.abs(np.cumsum(rng.integers(-1, 2, 400))) % 5
    held_out = np.abs(np.cumsum(rng.integers(-1, 2, 60))) % 7
    ours = rulers.ngram(train.astype(np.int32), held_out.astype(np.int32), 7, order)
    assert abs(ours - slow_kneser_ney(train.tolist(), held_out.tolist(), 7, order)) < 1e-9


def test_the_easy_rulers(rng):
    train, held_out = "abracadabra" * 30, "abracadabrac"
    numbers = {c: i for i, c in enumerate("abcdr", start=1)}
    a, b = (np.array([numbers[c] for c in text], np.int32) for text in (train, held_out))
    found = rulers.rulers(a, b, 6, train, held_out)
    assert found["uniform"] == math.log2(6)
    packed = len(lzma.compress((train + held_out).encode(), preset=6)) - len(lzma.compress(train.encode(), preset=6))
    assert found["xz"] == packed * 8 / len(b)
    assert found["unigram"] > found["6-gram"]
