"""The command line in process: what it prints for people and for programs, and how it ends."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import jaxrnn
from jaxrnn.cli import COMMANDS, main, program, telling, texts

pytest.importorskip("tyro", reason='the extra "train" is not installed')


def said(capsys, *arguments):
    """(status, stdout, stderr) of a command."""
    status = main(arguments)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_cells_are_all_there(capsys):
    status, out, _ = said(capsys, "cells")
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("  ")}
    assert status == 0
    assert listed == set(jaxrnn.CELLS)
    status, out, _ = said(capsys, "cells", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["classic cells and simpler gates"]["gru"] == "GRU, reset after the product"
    assert {name for family in found.values() for name in family} == set(jaxrnn.CELLS)


def test_a_cell_is_its_page(capsys):
    status, out, _ = said(capsys, "cells", "lem")
    assert status == 0 and out == f"{jaxrnn.describe('lem')}\n"
    status, out, _ = said(capsys, "cells", "lem", "--json", "--input-size", "3")
    found = json.loads(out)
    assert status == 0 and found["year"] == 2022 and found["params"]["kernel"] == "[3, 512]"


def test_explain_is_what_explain_says(capsys):
    asked = ("explain", "gru", "--hidden", "4", "--input", "3", "--shape", "7", "2")
    cell = jaxrnn.gru(4)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), 3))
    expected = jaxrnn.explain(cell, params, None, jax.ShapeDtypeStruct((7, 2, 3), jnp.float32))
    status, out, err = said(capsys, *asked, "--json")
    found = json.loads(out)
    assert status == 0 and out.count("\n") == 1 and err == ""
    assert found["forward_flops"] == expected.forward_flops == 2 * 7 * 2 * 3 * 4 * (3 + 4)
    assert found["layers"][0]["engine"] == expected.layers[0].engine


MISTAKES = [
    (["cells", "lstn"], 2, r"name: expected a cell that `jaxrnn cells` lists, got 'lstn'; near it: lstm"),
    (["explain", "lstm", "--hidden", "0"], 2, "--hidden: expected a whole number from 1 to 65,536, got 0"),
    (["explain", "lstm", "--hidden", "many"], 2, "many"),
    (["explain", "conv_lstm"], 1, "xs: expected [T, ..., 16, 16, 128], got (100, 32, 128)"),
    (["cells", "lstm", "--colour"], 2, "--colour"),
    (["sing"], 2, "sing"),
    (["export", "--out", "model.txt"], 2, "--out: expected a file that ends in .onnx, .stablehlo, .safetensors, got"),
    (["export", "--out", "a.safetensors", "--step"], 2, "--step: expected a .onnx or a .stablehlo, for a .safetensors"),
    (["export", "--out", "a.onnx"], 1, "no run of char_lm in "),
    (["forecast", "missing.csv", "--horizon", "3"], 1, "table: expected a file of comma-separated values, found none"),
    (["forecast", "table.csv"], 2, "--horizon: expected a number of steps, got None; or give a --model"),
    (["evaluate", "--model", "missing"], 1, "no trained model in missing"),
    (["evaluate", "--model", "cell.safetensors"], 1, "model: expected a language model and its vocabulary, got elman"),
    (["sample", "--model", "table.csv"], 1, "table.csv"),
]


@pytest.mark.parametrize(("arguments", "status", "message"), MISTAKES)
def test_a_mistake_says_what_and_how(arguments, status, message, tmp_path, monkeypatch, capsys):
    """On stderr, and what a program reads is left empty."""
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text("y\n1\n2\n")
    cell = jaxrnn.elman(2)
    jaxrnn.save("cell.safetensors", cell, cell.init(jax.random.key(0), 3))
    ended, out, err = said(capsys, *arguments)
    assert (ended, out) == (status, "") and message in err and "Traceback" not in err
    if status == 1 or "expected" in message:
        assert err.count("\n") == 1


def test_help_has_examples_and_how_long_it_takes(capsys):
    status, out, _ = said(capsys, "--help")
    assert status == 0 and "--tyro-write-completion" in out
    for name in COMMANDS:
        assert f"jaxrnn {name}" in out
        status, own, _ = said(capsys, name, "--help")
        assert status == 0 and ("--json" in own or name == "train")
        assert any(word in own for word in ("econds", "minute"))
        assert f"jaxrnn {name} " in own


def test_version_and_completion(capsys):
    assert said(capsys, "--version")[1].split()[0] == "jaxrnn"
    status, out, _ = said(capsys, "--tyro-print-completion", "bash")
    assert status == 0 and "forecast" in out and "--horizon" in out


def test_without_tyro_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tyro", None)
    for arguments in (["--help"], ["cells"]):
        status, out, err = said(capsys, *arguments)
        assert (status, out) == (1, "") and 'needs tyro: pip install "jaxrnn[train]"' in err and err.count("\n") == 1


ROOT = Path(__file__).parents[1]
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted((ROOT / "experiments").glob("*.py"))}
EXPERIMENTS = [path for path, source in SOURCES.items() if "program.run(" in source]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_help_of_an_experiment_has_the_time_it_takes(path):
    """Its text is its help: beside the command without options stands how long that takes, on which machine."""
    text = ast.get_docstring(ast.parse(SOURCES[path]))
    line = next(line for line in text.splitlines() if f"python -m experiments.{path.stem}" in line)
    assert re.search(r"\b(seconds?|minutes?|hours?|s)\b.*(cores|processor)", line), line


@pytest.mark.full
def test_python_m_jaxrnn():
    done = subprocess.run([sys.executable, "-m", "jaxrnn", "sing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "" and "sing" in done.stderr


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch):
    """As in experiments: only what was raised on purpose, or by the world outside, is a line."""
    from jaxrnn.cli import _cells

    monkeypatch.setattr(_cells, "describe", lambda *of: {}["key"])
    with pytest.raises(KeyError):
        main(["cells", "lem"])


def copies(text, other, run):
    """The share of runs of `other` that are in the text, one by one."""
    runs = [other[k : k + run] for k in range(len(other) - run + 1)]
    return sum(one in text for one in runs) / len(runs) if runs else 0.0


def test_copies_are_counted_as_by_hand(rng):
    text = "".join(rng.choice(list("ab é🎵"), 3000))
    others = [text[100:220], text[:70] + "".join(rng.choice(list("ab"), 100)) + text[900:980], "b" * 80, "short"]
    ours = texts.copied(text, others)
    assert ours == pytest.approx([copies(text, other, texts.RUN) for other in others])
    assert ours[0] == 1 and 0 < ours[1] < 1 and ours[2] == 0
    assert texts.copied("short", others) == [0.0] * 4
    near = "x" * (texts.RUN - 2)
    assert texts.copied(near + "ac", [near + "ba", "y" + near + "a", near + "ac"]) == [0.0, 0.0, 1.0]


def test_copied_files_are_left_out(rng):
    text, own = ("".join(rng.choice(list("abcdef"), 500)) for _ in range(2))
    kept, line = texts.without_copies(text, [text[:200], own], 0.1)
    assert kept == own and "0.0% is a copy" in line and "1 of 2 files, more than 10% copied, were left out" in line
    assert texts.without_copies(text, [text[:200], own], 1.0)[0] == text[:200] + own
    assert texts.without_copies(text, [text[:200]], 0.1)[0] == text[:200], "the only one stays"
    half = texts.without_copies(text, [text[:200] + own[:200]], 0.1)[1]
    assert f"{151 / 351:.1%} is a copy" in half


def test_the_held_out_texts_are_the_last():
    files = ["one", "two", "three", "four"]
    assert texts.last_of(files, 9) == ["three", "four"] and texts.last_of(["abcdef"], 2) == ["ef"]


def test_the_time_is_said_once_and_before_the_clock_does_something_else(monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(telling.time, "perf_counter", lambda: float(next(now)))
    for every, expected in ((100, [(1 / 20, 71)]), (20, [(1 / 10, 81)]), (5, [])):
        heard = []
        windows = telling.Paced(range(100), 100, every, lambda *told, heard=heard: heard.append(told))
        assert [windows[k] for k in range(60)] == list(range(60))
        assert heard == expected


def test_the_table_is_in_order():
    lines = telling.table({"a": 1.0, "bb": 4.0, "c": 2.0}, ("c",)).splitlines()
    assert [line.split()[0] for line in lines] == ["4.000", "2.000", "1.000"]
    assert [line.count("#") for line in lines] == [30, 15, 8] and ["->" in line for line in lines] == [0, 1, 0]
    assert "4.0 of them were equally likely" in telling.meaning(2.0, "characters", 3.0)
    assert "has 8 to choose" in telling.meaning(2.0, "characters", 3.0).replace("\n", " ")
    assert telling.first_line("x\n\n  def f(a):\n  b\nc\x1b d") == "def f(a):"
    assert "\x1b" not in telling.first_line("a\x1b")


def test_what_is_no_dictionary_is_one_for_programs(capsys):
    program.run(program.Readable, lambda options: "written", "x", None, ["--json"], "x")
    assert json.loads(capsys.readouterr().out) == {"text": "written"}
