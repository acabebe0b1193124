"""The experiment on polyphonic music: its figure and baselines against slow programs, files it refuses, a fast run."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.io import savemat
from support import assert_close, noisy_params, tolerance

import jaxrnn
from jaxrnn.models import tagger

pytest.importorskip("tyro", reason='the extra "train" is not installed')
pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # `experiments` is run from the root of the repository, not installed

from experiments import music  # noqa: E402

STEPS = 1, 7, 2, 5, 4  # frames of the pieces; of one frame nothing follows


@pytest.fixture
def pieces(rng):
    return [(rng.random((steps, music.KEYS)) < 0.2).astype(np.uint8) for steps in STEPS]


@pytest.fixture
def model():
    return tagger(jaxrnn.elman(3), music.KEYS)


@pytest.fixture
def params(model, key):
    return noisy_params(model, key, music.KEYS)


def slow(params, piece: np.ndarray) -> list[float]:
    """-log p of each frame after the first, by Elman's network from its zero state: sums over keys, in float64."""
    p = jax.tree.map(lambda a: np.asarray(a, float), params)
    h, found = np.zeros(len(p["cell"]["recurrent_kernel"])), []
    for t in range(len(piece) - 1):
        h = np.tanh(piece[t] @ p["cell"]["kernel"] + p["cell"]["bias"] + h @ p["cell"]["recurrent_kernel"])
        on = 1 / (1 + np.exp(-(h @ p["readout"] + p["bias"])))
        found.append(-sum(math.log(q if down else 1 - q) for q, down in zip(on, piece[t + 1], strict=True)))
    return found


# A frame sums 88 keys, each from a product of 88 and of 3 numbers.
TOLERANCE = tolerance("float32", max(STEPS)) + tolerance("float32", music.KEYS) / 4


@pytest.mark.parametrize("shape", [{}, {"length": 9, "rows": 4}])
def test_the_figure(shape, model, params, pieces):
    """Every frame that follows one counts once, however its piece is packed; each piece begins with the zero state."""
    expected = [slow(params, piece) for piece in pieces]
    batch = music.packed(pieces, **shape)
    found = music.ragged.unpack(batch, music.each(model, params, batch))
    for a, b in zip(found, expected, strict=True):
        assert_close(a, np.array(b), TOLERANCE)
    every = [nats for piece in expected for nats in piece]
    assert len(every) == sum(STEPS) - len(STEPS)
    assert_close(music.nats(model, params, batch), np.mean(every), TOLERANCE)


def test_what_fit_says_of_the_test(model, pieces):
    """Of the parameters that it gives: the mean over all frames, and that over pieces of the means of theirs."""
    split = {"train": pieces[1:3], "valid": pieces[3:], "test": pieces}
    options = music.Options(epochs=2, rows=1, seeds=2)
    fitted = music.fit(model, split, options)
    assert len(fitted) == 2 and fitted[0][1] != fitted[1][1]
    for params, found in fitted:
        means = {}
        for name in ("valid", "test"):
            by_piece = [nats for piece in split[name] if (nats := slow(params, piece))]
            means[name] = np.mean(np.concatenate(by_piece)), np.mean([np.mean(nats) for nats in by_piece])
        rounded = 100 * TOLERANCE + 1e-4
        assert abs(found["valid"] - means["valid"][0]) < rounded
        assert abs(found["test"] - means["test"][0]) < rounded
        assert abs(found["by_piece"] - means["test"][1]) < rounded
        assert abs(means["test"][0] - means["test"][1]) > 10 * rounded


def test_the_best_epoch_is_kept(model, pieces, monkeypatch):
    """With a rate that spoils everything the first epoch stays the best, and patience ends it there."""
    seen = []
    epoch_of = music.epoch_of
    monkeypatch.setattr(music, "epoch_of", lambda *args: (seen.append(args[-1]), epoch_of(*args))[1])
    split = {"train": pieces[1:2], "valid": [1 - pieces[1]], "test": pieces[1:2]}
    ((_, found),) = music.fit(model, split, music.Options(epochs=9, rate=1.0, patience=2, rows=1, seeds=1))
    assert found["epoch"] == 1 and seen == [0, 1, 2, 3]


@pytest.mark.parametrize("garbage", [np.nan, 7.0])
def test_padding_does_not_count(garbage, model, params, pieces):
    """Neither in the figure nor in its gradient."""
    batch = music.packed(pieces, length=9, rows=4)
    there = batch.mask[..., None]
    spoilt = batch._replace(xs=tuple(np.where(there, a, garbage).astype(np.float32) for a in batch.xs))
    assert not there.all()
    value = jax.jit(jax.value_and_grad(lambda params, batch: music.nats(model, params, batch)))
    plain, other = value(params, batch), value(params, spoilt)
    assert all(bool((a == b).all()) for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(other), strict=True))
    assert all(float(jnp.abs(a).max()) > 0 for a in jax.tree.leaves(plain))


def test_an_epoch_has_every_piece_once(pieces):
    """And batches of one shape, others with another seed."""
    epochs = [music.epoch_of(pieces, 1, seed) for seed in range(5)]
    expected = sorted(a.tobytes() + b.tobytes() for piece in pieces for a, b in itertools.pairwise(piece))
    for epoch in epochs:
        assert epoch.mask.shape[1:] == (max(STEPS) - 1, 1)
        frames = zip(*(a[epoch.mask] for a in epoch.xs), strict=True)
        assert sorted(a.tobytes() + b.tobytes() for a, b in frames) == expected
        assert epoch.reset.sum() == sum(steps > 1 for steps in STEPS)
    assert any((epoch.xs[0] != epochs[0].xs[0]).any() for epoch in epochs[1:])


@pytest.mark.parametrize("last", [False, True])
def test_the_baselines(last, pieces, rng):
    """By counting frame after frame, key by key; half a frame down and half a frame up are seen beforehand."""
    unseen = [(rng.random((steps, music.KEYS)) < 0.3).astype(np.uint8) for steps in (3, 6)]
    nats = []
    for piece in unseen:
        for t in range(1, len(piece)):
            frame = 0.0
            for key in range(music.KEYS):
                after = [
                    int(known[i][key])
                    for known in pieces
                    for i in range(1, len(known))
                    if not last or known[i - 1][key] == piece[t - 1][key]
                ]
                p = (sum(after) + 0.5) / (len(after) + 1)
                frame -= math.log(p if piece[t][key] else 1 - p)
            nats.append(frame)
    assert_close(np.array(music.bernoulli(pieces, unseen, last=last)), np.mean(nats), 1e-12)


def test_the_feed_forward_network_knows_the_last_frame_only(key):
    options = music.Options(hidden=4)
    model = music.model_of(music.LAST_FRAME, options)
    params = noisy_params(model, key, music.KEYS)
    xs = jnp.asarray(np.random.default_rng(0).random((2, 5, music.KEYS)) < 0.2, jnp.float32)
    xs = xs.at[1, 3].set(xs[0, 3])
    one, two = (model.apply(params, None, x)[1] for x in xs)
    assert (one[3] == two[3]).all() and (one[4] != two[4]).all()


def test_made_up_music():
    """Four parts, no more than four keys a frame, the same in every run, no key alike in all pieces."""
    made = music.made_up((5, 2, 2))
    assert [len(made[name]) for name in music.SPLITS] == [5, 2, 2]
    for piece in made["train"]:
        assert piece.dtype == np.uint8 and piece.shape[1] == music.KEYS and set(np.unique(piece)) == {0, 1}
        assert piece.sum(1).min() >= 2 and piece.sum(1).max() <= 4
    assert len({piece.tobytes() for piece in made["train"]}) == 5
    again = music.made_up((5, 2, 2))
    assert all((a == b).all() for name in music.SPLITS for a, b in zip(made[name], again[name], strict=True))


def save(path: Path, **splits) -> Path:
    """A .mat file of cells, as MATLAB writes them."""
    arrays = {}
    for name, pieces in splits.items():
        arrays[name] = np.empty((1, len(pieces)), object)
        arrays[name][0] = [*pieces, None][: len(pieces)]
    savemat(path, arrays)
    return path


def test_a_file_is_read(pieces, tmp_path):
    split = {"train": pieces, "valid": pieces[:2], "test": pieces[1:]}
    path = save(tmp_path / "a.mat", **{f"{name}data": some for name, some in split.items()})
    found = music.load(path)
    for name, some in split.items():
        assert all(a.dtype == np.uint8 and (a == b).all() for a, b in zip(found[name], some, strict=True))


BAD = {
    "no file": None,
    "not a .mat": b"x" * 300,
    "a split missing": lambda a: {"traindata": a, "validdata": a},
    "another number of keys": lambda a: {"traindata": a, "validdata": a, "testdata": [p[:, :87] for p in a]},
    "velocities": lambda a: {"traindata": a, "validdata": [a[1] * 64], "testdata": a},
    "not a number": lambda a: {"traindata": [a[1] * np.nan], "validdata": a, "testdata": a},
    "words": lambda a: {"traindata": ["Bach"], "validdata": a, "testdata": a},
    "nothing to foretell": lambda a: {"traindata": a[:1], "validdata": a, "testdata": a},
    "no piece": lambda a: {"traindata": a, "validdata": a, "testdata": []},
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name(case, pieces, tmp_path):
    path, bad = tmp_path / "bad.mat", BAD[case]
    if isinstance(bad, bytes):
        path.write_bytes(bad)
    elif bad is not None:
        save(path, **bad(pieces))
    with pytest.raises((ValueError, FileNotFoundError), match=r"data: expected a \.mat file .*bad\.mat") as raised:
        music.load(path)
    assert isinstance(raised.value, FileNotFoundError) == (bad is None)


def test_a_fast_run(tmp_path, capsys):
    line = music.main(music.Options(fast=True, out=tmp_path / "run"))
    told = capsys.readouterr()
    printed = json.loads(told.out.splitlines()[-1])
    assert {**line, "out": str(tmp_path / "run")} == printed
    assert "compares with nothing published" in told.err and line["published"] == {}
    assert list(line["nll"]) == ["marginal", "Markov chain", music.LAST_FRAME, "elman"]
    assert all(math.isfinite(value) for found in line["nll"].values() for value in found)
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert {name: kept[name] for name in line} == line
    assert (tmp_path / "run" / "music.png").stat().st_size > 10_000


def test_the_figure_of_a_piece_that_uses_the_outermost_keys(tmp_path, model, params):
    piece = np.zeros((4, music.KEYS), np.uint8)
    piece[:, [0, -1]] = 1
    music.plot({"marginal": [1.0]}, {}, [piece], (0.0, "elman", model, params), tmp_path / "music.png")
    assert (tmp_path / "music.png").stat().st_size > 10_000
