"""The commands that train and write, beside the library called directly."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

pytest.importorskip("orbax.checkpoint", reason='the extra "train" is not installed')
pytest.importorskip("tyro", reason='the extra "train" is not installed')

import jaxrnn
from jaxrnn import data, train
from jaxrnn.cli import char_lm, main, runs, texts
from jaxrnn.cli.trained import trained

SMALL = ["--hidden=12", "--embedding=6", "--batch=4", "--window=8", "--steps=40", "--every=20", "--sample=30"]


def said(capsys, *arguments):
    """(status, stdout, stderr) of a command."""
    status = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A folder of files, of which one of the last two is in the others already."""
    folder = tmp_path_factory.mktemp("text")
    source = Path(__file__).read_text(encoding="utf-8")
    for n in range(8):
        (folder / f"{n}.txt").write_text(source[500 * n : 500 * n + 500], encoding="utf-8")
    first, *_, last = data.read_text(folder)
    name = next(path for path in folder.iterdir() if path.read_text(encoding="utf-8") == last)
    name.write_text(first[:480] + "and more", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(text, tmp_path_factory):
    """(the folder of a run, what was printed for a program, and for people)."""
    out = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        kept = {"stdout": [], "stderr": []}
        for name, lines in kept.items():
            patch.setattr(getattr(sys, name), "write", lambda part, lines=lines: lines.append(part) or len(part))
        status = main(["train", *SMALL, "--text", str(text), "--held-out", "0.2", "--out", str(out), "--json"])
    assert status == 0
    return out, "".join(kept["stdout"]), "".join(kept["stderr"])


def options_of(folder):
    return runs.saved(char_lm.Options, folder)


def test_what_train_prints(run, text):
    """One line for a program, all else for people: what it will do, lines of its own, the table."""
    out, printed, people = run
    found = json.loads(printed)
    assert printed.count("\n") == 1 and found["step"] == 40
    assert found["rulers"]["uniform"] > found["held_out"] and {"6-gram", "unigram"} <= set(found["rulers"])
    assert people.startswith(f"lstm of 12 units: learns to write like {text}")
    assert "1 of 2 files, more than 10% copied, were left out of it" in people
    assert "ms here: about" in people and people.count("writes: ") == 2
    assert "the same, learning as it reads" in people and "Bits per character: how many yes-or-no" in people
    read = texts.read_in(options_of(out))
    assert len(read.held_out) == 500 and f"{len(read.numbers):,} characters to learn from, 500 held out" in people


def test_its_figures_are_those_of_the_library(run, capsys):
    """Static and dynamic, of train and of evaluate."""
    out, printed, _ = run
    model, params, _, _ = trained(out)
    read, losses = texts.read_in(options_of(out)), train.next_symbol(model)
    static = train.make_evaluate(losses)(params, model.initial_carry(params, (4,)), data.Streams(read.held_out, 4, 8))
    learnt, held_out = (data.Streams(numbers, 16, 32) for numbers in (read.numbers, read.held_out))
    carry = model.initial_carry(params, (16,))
    seen = train.mean_square(losses, params, carry, itertools.islice(learnt, 100))
    dynamic = train.dynamic_evaluate(losses, params, carry, held_out, seen, rate=2e-3, decay=1e-3).loss
    status, evaluated, _ = said(capsys, "evaluate", "--model", out, "--json")
    assert status == 0
    for found, names in ((json.loads(printed), ("held_out", "dynamic")), (json.loads(evaluated), ("bits", "dynamic"))):
        for name, nats in zip(names, (static, dynamic), strict=True):
            assert abs(found[name] - nats / math.log(2)) < 1e-5
    assert json.loads(evaluated)["symbols"] == 499


def test_a_file_is_as_good_as_its_run(run, text, capsys, tmp_path):
    """Exported, evaluated on a text with and without what was learnt, sampled from."""
    out, file = run[0], tmp_path / "model.safetensors"
    assert said(capsys, "export", "--model", out, "--out", file)[0] == 0
    model, params, vocabulary, folder = trained(out)
    again = jaxrnn.load(file)
    assert again.record == model and again.vocabulary == vocabulary and folder == out
    assert jax.tree.all(jax.tree.map(np.array_equal, again.params, params))
    one = next(text.iterdir())
    found = [
        json.loads(said(capsys, "evaluate", "--model", place, "--text", one, "--learnt", text, "--json")[1])
        for place in (out, file)
    ]
    assert found[0]["symbols"] == found[1]["symbols"] and found[0]["dynamic"] != found[0]["bits"]
    assert abs(found[0]["bits"] - found[1]["bits"]) < 0.05  # cut into other windows
    status, printed, _ = said(capsys, "evaluate", "--model", file, "--text", one)
    assert status == 0 and "--learnt wants the text" in printed and "learning as it reads" not in printed
    status, _, error = said(capsys, "evaluate", "--model", file)
    assert status == 2 and error.startswith("--text: expected a file or a folder, got None")
    asked = ("sample", "--model", file, "--prime", "def ", "--length", 20, "--temperature", 0)
    status, printed, people = said(capsys, *asked, "--json")
    carry, written = model.initial_carry(params), ""
    for token in vocabulary.encode("def "):
        carry, logits = model.step(params, carry, token)
    while len(written) < 20:
        token = np.argmax(logits)
        written += vocabulary.decode([token])
        carry, logits = model.step(params, carry, token)
    assert json.loads(printed) == {"text": written} and status == 0
    assert said(capsys, *asked)[1] == people == f"def {written}\n"


def test_exports_run_elsewhere(run, capsys, tmp_path):
    pytest.importorskip("onnx", reason='the extra "onnx" is not installed')
    onnxruntime = pytest.importorskip("onnxruntime", reason='the extra "peers" is not installed')
    model, params, _, _ = trained(run[0])
    tokens = np.arange(10, dtype=np.int32).reshape(5, 2)
    expected = model.apply(params, model.initial_carry(params, (2,)), tokens)[1]
    status, printed, _ = said(capsys, "export", "--model", run[0], "--out", tmp_path / "m.onnx", "--json")
    assert status == 0 and json.loads(printed)["bytes"] == (tmp_path / "m.onnx").stat().st_size
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    feeds = {"tokens": tokens, "sequence_lens": np.array([5, 5], np.int32)}
    feeds |= {i.name: np.zeros((2, 12), np.float32) for i in session.get_inputs() if i.name.startswith("carry")}
    np.testing.assert_allclose(session.run(None, feeds)[0], expected, rtol=1e-4, atol=1e-5)
    assert said(capsys, "export", "--model", run[0], "--out", tmp_path / "s.stablehlo", "--step")[0] == 0
    step = jax.export.deserialize(bytearray((tmp_path / "s.stablehlo").read_bytes())).call
    zeros = {name: np.zeros((2, 12), np.float32) for name in ("layer_0/h", "layer_0/c")}
    np.testing.assert_allclose(step(zeros, tokens[0])[1], expected[0], rtol=1e-4, atol=1e-5)


def test_a_run_of_before_the_option_keeps_its_copies(run, tmp_path, capsys):
    """And goes on by the command line."""
    folder = shutil.copytree(run[0], tmp_path / "old")
    description = json.loads((folder / "model.json").read_text())
    for name in ("copied", "adapt", "json"):
        del description["options"][name]
    del description["sha256"]
    (folder / "model.json").write_text(json.dumps(description))
    assert options_of(folder).copied == 1.0 and len(texts.read_in(options_of(folder)).held_out) == 988
    status, printed, people = said(capsys, "train", "--resume", "--out", folder, "--steps", 45, "--adapt", 0, "--json")
    assert status == 0, people
    assert json.loads(printed)["step"] == 45 and "dynamic" not in json.loads(printed)
    status, _, error = said(capsys, "train", "--resume", "--out", folder, "--hidden", 13)
    assert status == 1 and error.startswith("hidden: the run in") and error.count("\n") == 1


def test_forecast_is_that_of_the_library(tmp_path, capsys, rng):
    """What it saved says the same there, in the file and on stdout."""
    from jaxrnn import forecast

    table, file = tmp_path / "sales.csv", tmp_path / "m.safetensors"
    y = 10 + np.sin(np.arange(30) / 3) + 0.1 * rng.standard_normal(30)
    table.write_text("\n".join(["unique_id,ds,y", *(f"{name},{k},{v}" for name in "ab" for k, v in enumerate(y))]))
    asked = ("forecast", table, "--horizon", 2, "--freq", 1, "--steps", 4, "--levels", 0.5)
    status, printed, people = said(capsys, *asked, "--save", file, "--out", tmp_path / "out.csv", "--json")
    assert status == 0, people
    names = ["unique_id", "ds", "mean", "median", "lo-50", "hi-50"]
    assert json.loads(printed) == {"out": str(tmp_path / "out.csv"), "rows": 4, "columns": names}
    model = forecast.load(file)
    expected, ours = model.predict(levels=(0.5,)), forecast.read_csv(tmp_path / "out.csv")
    assert (model.horizon, model.freq, model.history["step"].max()) == (2, "1", 4)
    for name in names[2:]:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-5)
    status, printed, _ = said(capsys, "forecast", table, "--model", file, "--levels", 0.5, "--json")
    again = json.loads(printed)
    assert status == 0 and again["ds"] == [30, 31, 30, 31] and again["unique_id"] == list("aabb")
    np.testing.assert_allclose(again["mean"], expected["mean"], rtol=1e-5)
    status, _, error = said(capsys, "forecast", table, "--model", file, "--horizon", 5)
    assert status == 2 and error.startswith("--horizon: expected 2, that of --model, got 5")
    status, _, error = said(capsys, "forecast", table, "--model", file, "--past", "price")
    assert status == 2 and error.startswith("--past: expected none with --model, which is trained already")
