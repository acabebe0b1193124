"""A run's folder under a kill, a full disk, damage, another run, and links: one line, and no work lost."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("orbax.checkpoint", reason='the extra "train" is not installed')
pytest.importorskip("tyro", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from test_experiments import SMALL, options, parameters, wait_for  # noqa: E402

from experiments import char_lm, sample  # noqa: E402
from jaxrnn.cli import runs  # noqa: E402
from jaxrnn.cli.description import load_description  # noqa: E402


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(Path(__file__).read_text(encoding="utf-8")[:6000], encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(text, tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    char_lm.main(options(text, out))
    return out


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def program(module, *arguments, cwd=ROOT, **more):
    """An experiment as a user starts it, to be waited for."""
    given = [part for key, value in more.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", f"experiments.{module}", *arguments, *given]
    environment = {**os.environ, "JAX_ENABLE_X64": "1", "PYTHONPATH": str(ROOT)}  # as these tests run
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, stdout=pipe, stderr=pipe, text=True, env=environment)


def ended(process, timeout=240):
    """(status, stdout, stderr)."""
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, out, err


def one_line(err):
    lines = err.strip().splitlines()
    assert len(lines) == 1 and "Traceback" not in err, err
    return lines[0]


def logged(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "steps_per_second"} for line in lines]


def same_as(out, whole):
    ours, theirs = parameters(out, 60), parameters(whole, 60)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []
    assert logged(out) == logged(whole)


def resumed(out, **more):
    return char_lm.main(dataclasses.replace(runs.saved(char_lm.Options, out), **more))


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_it_comes_to_the_same_bits(seed, text, tmp_path):
    """At random moments from the first file on, again and again; and no line of metrics is lost."""
    rng, out, whole = random.Random(seed), tmp_path / "run", tmp_path / "whole"
    status, _, err = ended(program("char_lm", **{**SMALL, "text": text, "out": whole}))
    assert status == 0, err
    process = program("char_lm", **{**SMALL, "text": text, "out": out})
    wait_for(out / "model.json", 1)
    for _ in range(2):
        time.sleep(rng.uniform(0, 4))
        process.kill()
        process.communicate()
        process = program("char_lm", "--resume", out=out)
        time.sleep(2)
    status, _, err = ended(process)
    assert status == 0, err
    same_as(out, whole)


def test_a_kill_between_a_checkpoint_and_its_line_keeps_the_line(copy, whole):
    lines = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    shutil.rmtree(copy / "checkpoints" / "60")
    for left in ("".join(lines[:-2]), "", lines[0] + '{"step": 2'):
        (copy / "metrics.jsonl").write_text(left)
        again = shutil.copytree(copy, copy.with_name(f"left-{len(left)}"))
        assert resumed(again)["held_out"] == logged(whole)[-1]["held_out"]
        same_as(again, whole)


def test_a_finished_run_without_its_log_shows_its_own_figure(copy, whole, capsys):
    """Not an older one, and no IndexError; with and without the line in the checkpoint."""
    expected = logged(whole)[-1]["held_out"]
    (copy / "metrics.jsonl").unlink()
    assert resumed(copy)["held_out"] == expected
    for path in (copy / "checkpoints").glob("*/sha256.json"):
        path.unlink()  # as jaxrnn 0.1.0 left it
    lines = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(lines[:-1]))
    assert abs(resumed(copy)["held_out"] - expected) < 1e-6
    printed = capsys.readouterr()
    assert "no line of metrics for step 60 was found: evaluated anew" in printed.out
    assert "it is taken unchecked" in printed.err


def test_a_kill_before_the_first_checkpoint_is_gone_on_with_from_the_start(copy, whole, capsys):
    shutil.rmtree(copy / "checkpoints")
    (copy / "metrics.jsonl").unlink()
    resumed(copy)
    assert f"no checkpoint in {copy} yet: going on with it at step 0\n" in capsys.readouterr().out
    same_as(copy, whole)


def test_a_folder_without_anything_says_so(tmp_path):
    status, _, err = ended(program("char_lm", "--resume", out=tmp_path))
    assert status == 1 and "no trained model in" in one_line(err)


@pytest.mark.parametrize("moment", ["importing", "compiling", "after"])
def test_ctrl_c_is_a_line_at_any_moment(moment, text, tmp_path):
    """The loop takes it to save; before and after the loop nothing is to be saved."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("Ctrl-C is ignored here, as in what a shell starts in the background")
    out = tmp_path / "run"
    asked = {**SMALL, "text": text, "out": out, "steps": 10} | ({"sample": 200_000} if moment == "after" else {})
    process = program("char_lm", **asked)
    if moment == "importing":
        time.sleep(1.2)
    else:
        wait_for(out / ("model.json" if moment == "compiling" else "metrics.jsonl"), 1)
        while moment == "after" and not (out / "loss.png").exists():
            time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    status, printed, err = ended(process)
    assert "Traceback" not in err
    if moment == "compiling" and status == 0:  # it had come to the loop
        assert "interrupted, and saved at step" in printed or "written to" in printed
    else:
        assert status == -signal.SIGINT and one_line(err) == "interrupted"


def test_a_full_disk_is_one_line_and_what_was_saved_goes_on(text, tmp_path, whole):
    """On a file system of some checkpoints' size, where one may be mounted; the rest in a roomier one."""
    if not shutil.which("unshare"):
        pytest.skip("no unshare here")
    given = " ".join(f"--{k} {v}" for k, v in {**SMALL, "text": text, "out": "$1/run"}.items())
    one = sum(-(-path.stat().st_size // 4096) for path in (whole / "checkpoints" / "60").rglob("*") if path.is_file())
    script = (
        f'mount -t tmpfs -o size={4096 * (one * 5 // 2 + 8)} none "$1" || exit 77; '
        f'"$0" -m experiments.char_lm {given}; status=$?; cp -r "$1"/run "$2"; exit $status'
    )
    command = ["unshare", "-rm", "sh", "-c", script, sys.executable, str(tmp_path / "small"), str(tmp_path / "left")]
    (tmp_path / "small").mkdir()
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    if done.returncode == 77:
        pytest.skip("no file system may be mounted here")
    assert done.returncode == 1
    # Threads of orbax may complain of their own beside our line, in the middle of what is being written.
    assert re.search(r"no space left on device.*small/run", done.stderr, re.IGNORECASE)
    assert "step    10" in done.stdout, "it was to be full in the middle of the run"
    resumed(tmp_path / "left")
    same_as(tmp_path / "left", whole)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("module", ["char_lm", "sample"])
def test_the_newest_whole_checkpoint_is_taken(module, copy, whole, capsys):
    flip(max((copy / "checkpoints" / "60" / "default").rglob("d/*"), key=lambda path: path.stat().st_size))
    if module == "sample":
        written = sample.main(sample.Options(model=copy, length=5))
        shutil.rmtree(copy / "checkpoints" / "60")
        assert written == sample.main(sample.Options(model=copy, length=5))
    else:
        resumed(copy)
        same_as(copy, whole)
        assert f"going on with {copy} at step 50" in (printed := capsys.readouterr()).out
        assert re.search(r"^the checkpoint of step 60 is left out: \S+ is damaged: .*\n$", printed.err)


def damage(folder, kind):
    """Returns what the line must name."""
    model, at = folder / "model.json", folder / "checkpoints"
    if kind == "no model":
        model.unlink()
    elif kind == "half a model":
        model.write_bytes(model.read_bytes()[:100])
    elif kind == "a bit of the model":
        model.write_text(model.read_text().replace('"hidden": 12', '"hidden": 13'))
    elif kind == "not utf-8":
        model.write_bytes(b"\xff" + model.read_bytes())
    elif kind == "deep":
        model.write_text("[" * 100_000)
    elif kind == "no object":
        model.write_text("[1]")
    elif kind == "no arrays":
        for path in at.glob("*"):
            shutil.rmtree(path / "default")
        return at / "60"
    elif kind == "all arrays":
        for path in at.glob("*/default/d/*"):
            flip(path)
        return at / "60"
    elif kind == "order of symbols":
        description = json.loads(model.read_text())
        symbols = description["vocabulary"]["symbols"]
        symbols[3], symbols[4] = symbols[4], symbols[3]
        del description["sha256"]  # whoever edits it may well drop that
        model.write_text(json.dumps(description))
        return folder
    return model


KINDS = [
    "no model",
    "half a model",
    "a bit of the model",
    "not utf-8",
    "deep",
    "no object",
    "no arrays",
    "all arrays",
    "order of symbols",
]


@pytest.mark.parametrize("module", ["char_lm", "sample"])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_line_that_names_the_file(kind, module, copy):
    named = damage(copy, kind)
    process = (
        program("sample", model=copy, length=5) if module == "sample" else program("char_lm", "--resume", out=copy)
    )
    status, out, err = ended(process)
    assert status == 1 and "Traceback" not in err
    assert str(named) in err.strip().splitlines()[-1]
    assert all(line.startswith("the checkpoint of step") for line in err.strip().splitlines()[:-1])
    assert "--- " not in out


@pytest.mark.parametrize("module", ["char_lm", "sample"])
def test_the_model_of_another_run_is_refused(module, copy, text, tmp_path):
    """Of the same text, model and options but the seed: its own digest is right, and all shapes fit."""
    char_lm.main(options(text, tmp_path / "other", seed=1, steps=10))
    shutil.copy(tmp_path / "other" / "model.json", copy)
    before = (copy / "model.json").read_bytes()
    process = (
        program("sample", model=copy, length=5) if module == "sample" else program("char_lm", "--resume", out=copy)
    )
    status, _, err = ended(process)
    assert status == 1 and "is not the one that the checkpoints beside it were trained with" in one_line(err)
    assert (copy / "model.json").read_bytes() == before


def test_a_folder_of_the_first_version_is_read(copy, capsys):
    """It had no digests, no name of the run, and no lines of metrics in its checkpoints."""
    before = sample.main(sample.Options(model=copy, length=20))
    description = json.loads((copy / "model.json").read_text())
    del description["sha256"], description["run"]
    (copy / "model.json").write_text(json.dumps(description))
    for path in (copy / "checkpoints").glob("*/sha256.json"):
        path.unlink()
    capsys.readouterr()
    assert sample.main(sample.Options(model=copy, length=20)) == before
    assert capsys.readouterr().err.endswith("it is taken unchecked\n")
    assert resumed(copy, steps=70)["step"] == 70
    assert [line["step"] for line in logged(copy)] == [10, 20, 30, 40, 50, 60, 70]
    load_description(copy)


def test_two_that_begin_together_take_two_folders(text, tmp_path):
    together = [program("char_lm", cwd=tmp_path, **{**SMALL, "text": text, "steps": 10}) for _ in range(3)]
    found = [ended(process) for process in together]
    assert [status for status, _, _ in found] == [0, 0, 0], found
    assert sorted(os.listdir(tmp_path / "runs")) == ["char_lm-1", "char_lm-2", "char_lm-3"]
    for path in (tmp_path / "runs").glob("*"):
        assert [line["step"] for line in logged(path)] == [10]


def test_a_second_run_in_a_folder_is_refused_while_the_first_is_at_work(text, tmp_path):
    """And can go on there when that was killed: the lock dies with it."""
    out = tmp_path / "run"
    first = program("char_lm", **{**SMALL, "text": text, "out": out, "steps": 1_000_000})
    try:
        wait_for(out / "metrics.jsonl", 1)
        status, _, err = ended(program("char_lm", "--resume", out=out))
        assert status == 1
        assert one_line(err) == f"out: another run is at work in {out}; wait until it ends, or give another --out"
        status, _, err = ended(program("sample", model=out, length=3))
        assert status == 0, "reading is no second run"
    finally:
        first.kill()
        first.communicate()
    step = logged(out)[-1]["step"]
    status, _, err = ended(program("char_lm", "--resume", out=out, steps=step))
    said = err.strip().splitlines()  # the kill may have come while a checkpoint was written
    assert status == 0 and all(
        re.search(r"^the checkpoint of step \d+ is left out: .* not finished$", line) for line in said
    ), err


def test_links_in_the_folder_are_replaced(copy, tmp_path):
    """And what they led to is as it was."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("model.json", "metrics.jsonl", "loss.png"):
        shutil.move(copy / name, outside / name)
        (copy / name).symlink_to(outside / name)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    resumed(copy, steps=70)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    assert not any((copy / name).is_symlink() for name in before)
    assert [line["step"] for line in logged(copy)][-1] == 70
