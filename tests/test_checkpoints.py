"""Checkpoints in folders that were damaged, cut short, or written by somebody else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

import jaxrnn
from jaxrnn import train

pytest.importorskip("orbax.checkpoint", reason='the extra "train" is not installed')

SHAPES = {"a": jax.ShapeDtypeStruct((40,), np.float32), "b": {"c": jax.ShapeDtypeStruct((), np.int32)}}


def state(step):
    """Arrays that tell their step."""
    return {"a": np.arange(40, dtype=np.float32) + step, "b": {"c": np.int32(step)}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two steps, 10 and 20."""
    folder = tmp_path_factory.mktemp("saved")
    checkpoints = train.Checkpoints(folder)
    for step in (0, 10, 20):
        checkpoints.save(step, state(step), {"lines": [step]})
    checkpoints.close()
    return folder


@pytest.fixture
def run(saved, tmp_path):
    """A copy to damage."""
    return shutil.copytree(saved, tmp_path / "run")


def opened(folder):
    told = []
    return train.Checkpoints(folder, tell=told.append), told


def held(folder):
    """(what is restored, what stands beside, what was told)."""
    checkpoints, told = opened(folder)
    return jax.tree.map(np.asarray, checkpoints.restore(SHAPES)), checkpoints.beside(), told


def is_state(found, step):
    return jax.tree.all(jax.tree.map(np.array_equal, found, state(step)))


def files(folder, step):
    return sorted(path for path in (folder / "checkpoints" / str(step)).rglob("*") if path.is_file())


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_what_was_saved_comes_back(saved):
    found, beside, told = held(saved)
    assert is_state(found, 20) and beside == {"lines": [20]} and told == []
    assert sorted(os.listdir(saved / "checkpoints")) == ["10", "20"]


def test_digests_are_those_of_another_program(saved):
    """sha256sum, where there is one."""
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum here")
    folder = saved / "checkpoints" / "20"
    own, body = (folder / "sha256.json").read_text().splitlines()
    written = json.loads(body)["files"]
    names = [str(path.relative_to(folder)) for path in files(saved, 20) if path.name != "sha256.json"]
    assert sorted(written) == sorted(names)
    listed = subprocess.run(["sha256sum", *names], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert {name: digest for digest, name in (line.split() for line in listed.splitlines())} == written
    whole = subprocess.run(["sha256sum"], input=body.encode(), capture_output=True, check=True).stdout
    assert whole.split()[0].decode() == own


def test_one_bit_in_any_file_is_seen(saved, tmp_path):
    """The older step is taken, and the line names the file; arrays, metadata and the digests themselves."""
    count = 0
    for path in files(saved, 20):
        folder = shutil.copytree(saved, tmp_path / str(count))
        flipped(folder / path.relative_to(saved))
        found, beside, told = held(folder)
        assert is_state(found, 10) and beside == {"lines": [10]}, path
        assert len(told) == 1 and "\n" not in told[0]
        assert f"the checkpoint of step 20 is left out: {folder / path.relative_to(saved)} is damaged" in told[0]
        count += 1
    assert count >= 8


@pytest.mark.parametrize("how", ["cut", "emptied", "removed", "folder"])
def test_a_file_that_is_short_or_gone_is_seen(how, run):
    path = max(files(run, 20)[2:-1], key=lambda path: path.stat().st_size)  # of the arrays
    if how in ("cut", "emptied"):
        path.write_bytes(path.read_bytes()[: 5 if how == "cut" else 0])
    elif how == "removed":
        path.unlink()
    else:
        path.unlink()
        path.mkdir()
    found, _, told = held(run)
    assert is_state(found, 10) and len(told) == 1 and str(path) in told[0]


def test_a_save_that_was_cut_short_is_not_whole(run):
    """Killed between the arrays and their digests: the step before was finished by a program that writes digests."""
    (run / "checkpoints" / "20" / "sha256.json").unlink()
    found, _, told = held(run)
    assert is_state(found, 10) and "has no sha256.json: it was not finished" in told[0]


def test_the_damaged_step_is_saved_anew(run):
    """A run that went on from the older one comes by it again."""
    flipped(max(files(run, 20)[2:-1], key=lambda path: path.stat().st_size))
    checkpoints, _ = opened(run)
    assert checkpoints.latest() == 10
    checkpoints.save(20, state(20), {"lines": [20]})
    assert sorted(os.listdir(run / "checkpoints")) == ["10", "20"]
    assert is_state(held(run)[0], 20)
    checkpoints.save(30, state(30), {"lines": [30]})
    found, beside, told = held(run)
    assert is_state(found, 30) and beside == {"lines": [30]} and told == []
    assert is_state(jax.tree.map(np.asarray, checkpoints.restore(SHAPES, 20)), 20)
    checkpoints.close()


def test_an_earlier_step_is_not_written_over_a_later_one(run):
    """And the last one not again."""
    checkpoints, _ = opened(run)
    with pytest.raises(ValueError, match="step: expected one after the last that was saved, 20, got 15"):
        checkpoints.save(15, state(15))
    checkpoints.save(20, state(99))
    assert is_state(held(run)[0], 20)


def test_nothing_whole_names_a_file(run):
    """And is no reason to begin again, over what may be mended by hand."""
    for step in (10, 20):
        flipped(files(run, step)[-1])
    checkpoints, _ = opened(run)
    message = rf"no checkpoint in {re.escape(str(run))} is whole: {re.escape(str(files(run, 20)[-1]))} is damaged"
    for ask in (checkpoints.latest, lambda: checkpoints.restore(SHAPES), lambda: checkpoints.save(30, state(30))):
        with pytest.raises(train.Damaged, match=message):
            ask()
    assert sorted(os.listdir(run / "checkpoints")) == ["10", "20"]


def without_digests(folder):
    """As jaxrnn 0.1.0 left it."""
    for step in (10, 20):
        (folder / "checkpoints" / str(step) / "sha256.json").unlink()


def test_checkpoints_of_the_first_version_are_read_and_called_unchecked(run):
    without_digests(run)
    found, beside, told = held(run)
    assert is_state(found, 20) and beside is None
    assert told == [f"{run / 'checkpoints' / '20'} has no sha256.json, as those of jaxrnn 0.1.0: it is taken unchecked"]
    with pytest.warns(UserWarning, match="it is taken unchecked"):
        assert train.Checkpoints(run).latest() == 20


def test_of_the_first_version_what_cannot_be_read_is_left_out(run):
    without_digests(run)
    (run / "checkpoints" / "20" / "default" / "_METADATA").write_text("{")
    found, _, told = held(run)
    assert is_state(found, 10)
    assert any(f"{run / 'checkpoints' / '20'} cannot be read" in line for line in told)


def test_no_checkpoint_and_no_such_step(run, tmp_path):
    empty, _ = opened(tmp_path / "empty")
    assert empty.latest() is None and empty.beside() is None and not (tmp_path / "empty").exists()
    with pytest.raises(FileNotFoundError, match="resume: no checkpoint in"):
        empty.restore(SHAPES)
    with pytest.raises(FileNotFoundError, match=r"step: expected one of \[20, 10\], those in .*, got 15"):
        opened(run)[0].restore(SHAPES, 15)


def test_reading_changes_nothing(run):
    """A program that writes with a model may look while another trains it."""
    (run / "checkpoints" / "30.orbax-checkpoint-tmp").mkdir()
    before = sorted(str(path) for path in run.rglob("*"))
    held(run)
    assert sorted(str(path) for path in run.rglob("*")) == before


def test_a_step_that_went_while_it_was_read(run, monkeypatch):
    """Of a run at work, which has saved the next meanwhile: no word of damage."""
    checkpoints, told = opened(run)
    steps = iter([[10]])
    shutil.move(run / "checkpoints" / "10", run / "checkpoints" / "ten")
    monkeypatch.setattr(checkpoints, "_steps", lambda: next(steps, [20, 10]))
    assert checkpoints.latest() == 20 and told == []


def test_a_link_is_read_and_not_written_through(run, tmp_path):
    elsewhere = shutil.move(run / "checkpoints", tmp_path / "elsewhere")
    (run / "checkpoints").symlink_to(elsewhere)
    assert is_state(held(run)[0], 20)
    with pytest.raises(ValueError, match=r"folder: \S*checkpoints is a link, and a run writes in its own folder only"):
        opened(run)[0].save(30, state(30))
    assert sorted(os.listdir(elsewhere)) == ["10", "20"]


def test_params_of_another_model_are_refused(tmp_path, key):
    def model(size):
        return jaxrnn.models.language_model(jaxrnn.gru(size), 5, 4)

    checkpoints = train.Checkpoints(tmp_path)
    checkpoints.save(1, train.start(model(3), key, optax.sgd(0.1), (2,)))
    checkpoints.close()
    with pytest.raises(ValueError, match=r"model: expected params\['cell'\]\['\w+'\] float32\[.*\] in .*, got float32"):
        train.Checkpoints(tmp_path).restore_params(model(4))


FULL = """
import sys, numpy as np
from jaxrnn.train import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
for step in range(9):
    try:
        checkpoints.save(step, {"a": np.random.default_rng(step).integers(0, 255, 200_000, np.uint8)})
    except OSError as error:
        print(step, error.errno, error)
        break
checkpoints.close()
"""


@pytest.mark.full
def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path):
    """On a file system of 500 kB, where one may be mounted; the steps before are whole."""
    script = 'mount -t tmpfs -o size=500k none "$1" && exec "$0" -c "$2" "$1"/run; exit 77'
    command = ["unshare", "-rm", "sh", "-c", script, sys.executable, str(tmp_path), FULL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if done.returncode == 77:
        pytest.skip("no file system may be mounted here")
    assert done.returncode == 0, done.stderr
    step, number, message = done.stdout.strip().split(" ", 2)
    assert int(step) >= 1 and int(number) == 28
    assert re.fullmatch(
        rf"\[Errno 28\] step {step} could not be saved, no space left on device; .*'{tmp_path}/run'", message
    )
    assert "Traceback" not in done.stderr and "ERROR" not in done.stderr
