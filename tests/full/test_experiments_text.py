"""Texts and terminals of any encoding, and what users get wrong: one line, before the work."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("orbax.checkpoint", reason='the extra "train" is not installed')
pytest.importorskip("tyro", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from test_experiments import SMALL, options  # noqa: E402

from experiments import char_lm, sample  # noqa: E402
from jaxrnn.cli import program  # noqa: E402

TEXT = ("naïve → “Ölbild” 漢字 🎵 \x1b[2J\x1b]0;title\x07 \x9b31m \u202eabc\r.\n" * 60) + "the end\n" * 40


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a text with symbols that few terminals show, and some that steer them."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text").write_text(TEXT, encoding="utf-8", newline="")
    char_lm.main(options(folder / "text", folder / "run", steps=20))
    return folder / "run"


def run(module, *arguments, encoding="utf-8"):
    command = [sys.executable, "-m", f"experiments.{module}", *map(str, arguments)]
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "PYTHONIOENCODING": encoding}
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, env=environment)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_no_terminal_ends_a_run(encoding, tmp_path):
    """As this text is printed with its own symbols at the end; what the terminal lacks is printed as an escape."""
    (tmp_path / "漢→.txt").write_text(TEXT, encoding="utf-8", newline="")
    asked = {**SMALL, "text": tmp_path / "漢→.txt", "out": tmp_path / "run", "steps": 10, "temperature": 5.0}
    given = [part for key, value in asked.items() for part in (f"--{key.replace('_', '-')}", value)]
    done = run("char_lm", *given, "--sample", 400, encoding=encoding)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    printed = done.stdout.decode(encoding)
    assert "漢→.txt: 2,934 char" in printed or r"\u6f22\u2192.txt: 2,934 char" in printed
    assert ("漢" in printed.partition("---")[2]) == (encoding == "utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", printed.replace("\r\n", "\n"))


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_is_sampled_cannot_steer_a_terminal(encoding, trained):
    done = run(
        "sample", "--model", trained, "--prime", "\x1b[2J→", "--length", 400, "--temperature", 5, encoding=encoding
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.decode(encoding)
    assert printed.startswith("\\x1b[2J→" if encoding == "utf-8" else "\\x1b[2J\\u2192")
    assert "\\x1b" in printed[8:] and "\\x9b" in printed and "\\u202e" in printed and "\\r" in printed
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", printed)


def test_what_is_returned_is_raw(trained):
    """For programs; the folder has the symbols as they are, too."""
    assert "\x1b" in sample.main(sample.Options(model=trained, length=400, temperature=5.0))


def test_a_prime_of_any_bytes_is_text(trained):
    """What the command line could not decode."""
    done = run("sample", "--model", trained, "--prime", os.fsdecode(b"a\xff"), "--length", 5)
    assert done.returncode == 0 and b"Traceback" not in done.stderr


def test_a_closed_pipe_is_no_error(trained):
    command = (
        f"{sys.executable} -m experiments.sample --model {trained} --length 3000 | head -c 10; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=False)
    assert done.stderr == b""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_marked_text_is_learnt_as_any_other(encoding, tmp_path, capsys):
    (tmp_path / "text").write_text("abcabdabc" * 90, encoding=encoding)
    char_lm.main(options(tmp_path / "text", tmp_path / "run", steps=2))
    assert "729 characters to learn from, 81 held out, V=5\n" in capsys.readouterr().out


def refused(module, arguments, monkeypatch):
    """The line with which an experiment exits, run as a program."""
    experiment = importlib.import_module(f"experiments.{module}")
    monkeypatch.setattr(sys, "argv", [module, *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        program.run(experiment.Options, experiment.main, module, experiment.__doc__)
    assert isinstance(stop.value.code, str) and "\n" not in stop.value.code
    return stop.value.code


SHORT = "hello hello"
MISTAKES = [
    ("char_lm", ["--text", "short"], r"text: 9 characters .* are too few for --batch 32 \(the default\): .* below 9$"),
    ("char_lm", ["--text", "short", "--batch", 16], r"text: 9 characters .* are too few for --batch 16: expected more"),
    (
        "char_lm",
        ["--text", "short", "--batch", 2, "--held-out", 0.05],
        r"text: with --held-out 0.05, 1 of 11 characters are held out, and to judge by them takes 2; give a longer",
    ),
    ("char_lm", ["--text", "alphabet", "--batch", 2], "text: none of its 23 characters to learn from comes twice"),
    ("char_lm", ["--text", "latin"], r"text: latin is not in UTF-8: .* at byte 2; convert it"),
    ("char_lm", ["--text", "missing"], "text: expected a file or a folder, found nothing at missing"),
    ("char_lm", ["--text", "nul"], "text: found no text in nul: it holds NUL bytes, as binary files do"),
    ("char_lm", ["--text", "long", "--held-out", 1], "--held-out: expected a share between 0 and 1, got 1.0"),
    ("char_lm", ["--text", "long", "--steps", 0], "--steps: expected a whole number from 1 to 2,147,483,647, got 0"),
    ("char_lm", ["--text", "long", "--every", 0], "--every: expected a whole number from 1"),
    ("char_lm", ["--text", "long", "--hidden", 10**7], "--hidden: expected a whole number from 1 to 65,536, got"),
    ("char_lm", ["--text", "long", "--temperature", -1], "--temperature: expected a number of at least 0, got -1.0"),
    ("char_lm", ["--text", "long", "--rate", "nan"], "--rate: expected a number of at least 0, got nan"),
    ("char_lm", ["--text", "long", "--dropout", 1], "dropout: expected a probability, 0 <= dropout < 1, got 1.0"),
    ("char_lm", ["--text", "long", "--out", "long"], "out: expected a folder to write in, got long: File exists"),
    ("char_lm", ["--resume"], "no run of char_lm in .*runs: make train makes one"),
    ("char_lm", ["--resume", "--out", "missing"], "no trained model in missing: missing/model.json is missing"),
    ("sample", [], "no run of char_lm in .*runs: make train makes one"),
    ("sample", ["--model", "missing"], "no trained model in missing"),
    ("sample", ["--model", "trained", "--top-p", 2], "top_p: expected"),
    ("sample", ["--model", "trained", "--prime", ""], "prime: expected at least one symbol to go on from, got ''"),
    ("sample", ["--model", "trained", "--length", 0], "--length: expected a whole number from 1"),
    ("names", ["--path", "latins"], "text: latins/a.txt is not in UTF-8"),
    ("names", ["--path", "numbers"], "path: expected a name of letters a to z on each line, found none in numbers"),
    ("names", ["--path", "pairs"], "held_out: expected a share that holds some names out and leaves some of a, got"),
    ("names", ["--path", "missing"], r"path: expected a folder with a .txt file for each class, found 0 in missing"),
    ("names", ["--held-out", 0], "--held-out: expected a share between 0 and 1, got 0.0"),
    ("music", ["--data", "long"], "data: expected a .mat file of traindata"),
    ("music", ["--data", "missing"], "data: expected a .mat file of piano rolls, found none at missing"),
    ("forecast", ["--airline", "short"], r'airline: expected a file of lines such as "1949-01",112 under a line'),
    ("forecast", ["--airline", "months"], r"held_out: expected at least 37 values of airline to learn from and 12 to"),
    ("forecast", ["--airline", "missing"], "airline: expected a file of lines such as"),
    ("sequential_digits", ["--mnist", "long"], "mnist: expected MNIST's four idx files, or mnist.npz, in long"),
    ("sequential_digits", ["--mnist", "missing"], r"mnist: expected train-images-idx3-ubyte or .*\.gz in missing"),
    ("addition", ["--digits", 1, "--examples", 99], "examples: there are 55 questions of 1 digits, and not 99"),
    ("state_tracking", ["--moduli", 2, 0], "--moduli: expected a whole number from 1"),
    *[
        (name, ["--hidden", 0], "--hidden: expected a whole number from 1 to 65,536, got 0")
        for name in (
            "addition", "forecast", "gradient_flow", "long_memory", "music", "names", "order_matters",
            "recurrent_policy", "sequential_digits", "state_tracking", "text_to_vector", "translate_dates",
        )
    ],
]  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, trained):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "short").write_text(SHORT)
    (folder / "alphabet").write_text("abcdefghijklmnopqrstuvwxyz")
    (folder / "long").write_text(SHORT * 99)
    (folder / "latin").write_bytes("naïve".encode("latin-1") * 99)
    (folder / "nul").write_bytes(b"\0\1" * 99)
    (folder / "months").write_text('"Month","n"\n' + "".join(f'"1949-{k:02}",{k}\n' for k in range(1, 13)))
    contents = {"latins": b"\xe9t\xe9\n", "numbers": b"1\n2\n", "pairs": b"ab\n"}
    for name, content in contents.items():
        (folder / name).mkdir()
        for file in "ab":
            (folder / name / f"{file}.txt").write_bytes(content)
    (folder / "trained").symlink_to(trained)
    return folder


@pytest.mark.parametrize(("module", "arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line_before_the_work(module, arguments, message, inputs, monkeypatch, capsys):
    """And leaves no folder behind."""
    monkeypatch.chdir(inputs)
    assert re.match(message, refused(module, arguments, monkeypatch))
    assert "step" not in capsys.readouterr().out.replace("steps of", "")
    assert not (inputs / "runs").exists()


@pytest.mark.parametrize("fault", [lambda: {}["key"], lambda: int("x"), lambda: next(iter([]))])
def test_a_fault_of_ours_keeps_its_traceback(fault):
    """What no line of ours raised on purpose is no user's mistake."""
    with pytest.raises((KeyError, ValueError, StopIteration)) as stop:
        fault()
    assert not program.is_mistake(stop.value)
