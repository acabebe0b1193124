"""What sounds next in polyphonic music: 88 keys, each down or not in the next frame, by recurrent networks.

    python -m experiments.music                             made up music: half to one and a half minutes on two cores
    python -m experiments.music --data JSB_Chorales.mat     two to four minutes on two cores, idle or shared

A piece is a piano roll [T, 88] of 0 and 1; after each of its frames but the last the network gives the probability of
each key in the next. The figure is the negative log-likelihood of a frame in nats, summed over the 88 keys, in the mean
over all frames after the first of their pieces: as locuslab/TCN's poly_music counts (every frame alike, however long
its piece). Pieces are packed end to end in rows, and the carry begins again at the first frame of each. Adam, dropout;
the epoch with the best likelihood of the validation pieces is kept, and only that one is asked about the test pieces.

--data: a .mat file of locuslab/TCN's poly_music, of traindata, validdata and testdata. Published for JSB_Chorales.mat
(229, 76 and 77 chorales of Bach) with networks of about 300,000 parameters: LSTM 8.45, GRU 8.43, RNN 8.91 (Bai, Kolter
and Koltun 2018, arXiv 1803.01271, table 1). Here they have 493,288, 377,488 and 143,188, and dropout.

Without --data: four parts that move by rules on a major scale. What is found there compares with nothing published.

Baselines, learnt from the same pieces: "marginal", how often a key is down; a Markov chain of first order for each
key; and a feed-forward network of the same H on the last frame alone, trained as the others are: what is better than
it was remembered from before the last frame. Sizes, rates and noise were chosen by the validation pieces.

Prints one line of JSON; writes to --out: that line (result.json) and the figure (music.png).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import operator
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.io import loadmat

import jaxrnn
from experiments import program, runs
from jaxrnn import ragged
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.initializers import lecun_normal
from jaxrnn.models import tagger

KEYS, LOWEST = 88, 21  # of a piano, and the MIDI number of the first
SPLITS = "train", "valid", "test"
LAST_FRAME = "feed forward"
# By the numbers of frames in the three splits, which tell the chorales from all others.
PUBLISHED: dict[tuple[int, ...], dict[str, float]] = {(13578, 4526, 4648): {"elman": 8.91, "gru": 8.43, "lstm": 8.45}}
MAJOR = np.array([0, 2, 4, 5, 7, 9, 11])
FOLLOWS = {0: (3, 4, 5, 1), 1: (4, 6), 3: (4, 0, 1), 4: (0, 0, 5), 5: (1, 3), 6: (0,)}  # triads, by degree
RANGES = (40, 55), (48, 64), (55, 69), (60, 76)  # MIDI numbers of bass, tenor, alto and soprano


@dataclasses.dataclass(frozen=True)
class Options:
    data: Path | None = None
    """A .mat file of piano rolls. None: music that is made up here."""
    cells: tuple[Literal[tuple(jaxrnn.CELLS)], ...] = ("elman", "gru", "lstm")  # type: ignore[valid-type]
    """Names of cells."""
    hidden: int = 300
    """H, hidden units."""
    dropout: float = 0.5
    """Of what the cell gives."""
    input_dropout: float = 0.1
    """Of the keys it is given."""
    epochs: int = 60
    """Passes over the pieces, at most."""
    patience: int = 8
    """Passes without a better likelihood of the validation pieces after which it ends."""
    rows: int = 4
    """B, rows of pieces end to end in each update."""
    rate: float = 2e-2
    """The learning rate of Adam at first; it falls to 0 along a cosine."""
    plain_rate: float = 5e-3
    """That of Elman's cell and of the network without a memory, which fail with more."""
    clip: float = 1.0
    """The largest norm of a gradient."""
    decay: float = 0.1
    """Weight decay."""
    seeds: int = 3
    """Networks of each kind, which differ in their parameters, batches and noise."""
    fast: bool = False
    """A run of seconds, that shows only that it runs."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def load(path: Path) -> dict[str, list[np.ndarray]]:
    """The pieces [T, 88] uint8 of each split. Raises FileNotFoundError, or ValueError for what is not as expected."""
    if not path.is_file():
        raise FileNotFoundError(f"data: expected a .mat file of piano rolls, found none at {path}")
    try:
        file = loadmat(path)
        pieces = {name: list(file[f"{name}data"].ravel()) for name in SPLITS}
        for name, split in pieces.items():
            if all(len(piece) < 2 for piece in split):
                raise ValueError(f"{name}data without a piece of two frames")
            for i, piece in enumerate(split):
                if piece.ndim != 2 or piece.shape[1] != KEYS or not np.isin(piece, (0, 1)).all():
                    raise ValueError(f"{name}data[{i}] {piece.shape} {piece.dtype}")
    except Exception as error:  # of many kinds, where scipy finds the file to be no .mat
        raise ValueError(
            "data: expected a .mat file of traindata, validdata and testdata, cells of piano rolls [T, 88] of 0 and 1, "
            f"in {path}, got {type(error).__name__}: {error}"
        ) from error
    return {name: [piece.astype(np.uint8) for piece in split] for name, split in pieces.items()}


def made_up(sizes: tuple[int, ...] = (60, 20, 20)) -> dict[str, list[np.ndarray]]:
    """Four parts in any major key: triads that follow one another, held for 2 or 4 frames, each part moving to a near
    tone of the next; the key is to be heard only over several chords."""
    rng = np.random.default_rng(0)
    return {name: [_made_up(rng) for _ in range(size)] for name, size in zip(SPLITS, sizes, strict=True)}


def _made_up(rng) -> np.ndarray:
    tonic, degree, frames = rng.integers(12), 0, []
    parts = [int(np.mean(reach)) for reach in RANGES]
    for _ in range(rng.integers(8, 20)):
        tones = (tonic + MAJOR[(degree + np.array([0, 2, 4])) % 7]) % 12
        for i, (low, high) in enumerate(RANGES):
            # The bass takes the root, the others what is near: they begin to differ by chance, not by rule.
            near = [n for n in range(low, high + 1) if n % 12 in (tones[:1] if i == 0 else tones)]
            parts[i] = min(near, key=lambda n, at=parts[i]: abs(n - at) + rng.random())
        frames += [list(parts)] * int(rng.choice([2, 2, 4]))
        degree = int(rng.choice(FOLLOWS[degree]))
    made = np.zeros((len(frames), KEYS), np.uint8)
    made[np.arange(len(frames))[:, None], np.array(frames) - LOWEST] = 1
    return made


def packed(pieces: list[np.ndarray], length: int | None = None, rows: int | None = None) -> ragged.Packed:
    """Pieces end to end in rows: of each the frames but the last, and the frames that follow these."""
    return ragged.pack([(piece[:-1], piece[1:]) for piece in pieces], length=length, rows=rows)


def epoch_of(pieces: list[np.ndarray], rows: int, seed: int) -> ragged.Packed:
    """All pieces once, in batches of one shape: leaves [updates, ...]."""
    steps = [max(len(piece) - 1, 0) for piece in pieces]
    dealt = ragged.bins(steps, max(steps), rows, seed=seed)
    batches = [packed([pieces[i] for i in some], max(steps), rows) for some in dealt]
    # The last three fields count pieces, of which every batch has another number.
    return jax.tree.map(lambda *a: np.stack(a), *(batch._replace(row=0, first=0, steps=0) for batch in batches))


class Epochs:
    """All pieces in batches, again and in other ones each time that it is iterated."""

    def __init__(self, pieces: list[np.ndarray], rows: int, seed: int):
        self.pieces, self.rows, self.seed = pieces, rows, seed

    def __iter__(self) -> Iterator[ragged.Packed]:
        self.seed += 1
        epoch = epoch_of(self.pieces, self.rows, self.seed)
        return (jax.tree.map(operator.itemgetter(i), epoch) for i in range(len(epoch.xs[0])))


def each(model: Any, params: Any, batch: ragged.Packed, key: Any = None) -> jax.Array:
    """The negative log-likelihood of each frame [T, B], the sum over its keys; 0 where there is none."""
    # What is past the end of a row is taken away first, so that it has no gradient either.
    xs, following = (jnp.where(batch.mask[..., None], a, 0).astype(jnp.float32) for a in batch.xs)
    _, logits = model.apply(params, None, xs, lengths=batch.lengths, reset=batch.reset, key=key)
    return jnp.where(batch.mask, optax.sigmoid_binary_cross_entropy(logits, following).sum(-1), 0)


def nats(model: Any, params: Any, batch: ragged.Packed, key: Any = None) -> jax.Array:
    """The mean of `each` over all frames."""
    return each(model, params, batch, key).sum() / batch.mask.sum()


def fit(model: Any, pieces: dict[str, list[np.ndarray]], options: Options) -> list[tuple[Any, dict]]:
    """For each seed (the parameters of the epoch with the best validation, what is found with them): the mean over
    all frames of "train" (with noise), "valid" and "test", and of "by_piece", the means of the test pieces."""
    train, updates = pieces["train"], len(epoch_of(pieces["train"], options.rows, 0).xs[0])
    asked, loss = jax.jit(functools.partial(each, model)), functools.partial(nats, model)
    valid, test = packed(pieces["valid"]), packed(pieces["test"])
    how: Any = {"steps": options.epochs * updates, "every": updates, "patience": options.patience, "devices": 1}
    how |= {"rate": options.rate, "clip": options.clip, "decay": options.decay, "progress": False}
    found = []
    for seed in range(options.seeds):
        k1, k2 = jax.random.split(jax.random.key(seed))
        learnt = jaxrnn.train.learn(
            loss, model.init(k1, KEYS), Epochs(train, options.rows, 1000 * seed), key=k2, **how,
            validation=lambda params: asked(params, valid).sum() / valid.mask.sum(),
        )  # fmt: skip
        kept, (value, step) = learnt.params, learnt.state.record["best"]
        at = step // updates
        best = {"epoch": at, "train": learnt.history["loss"][at - 1], "valid": value}
        by_piece = [frames for frames in ragged.unpack(test, asked(kept, test)) if len(frames)]
        best["test"] = float(np.concatenate(by_piece).mean(dtype=float))
        best["by_piece"] = float(np.mean([frames.mean(dtype=float) for frames in by_piece]))
        found.append((kept, {name: round(value, 4) for name, value in best.items()}))
    return found


def bernoulli(train: list[np.ndarray], unseen: list[np.ndarray], *, last: bool) -> float:
    """The negative log-likelihood of a frame when a key is down with a probability counted in `train`, one for each
    key, or with `last` one for each key and state in the frame before; half a frame is added to each count."""
    down, times = np.full((2, KEYS), 0.5), np.ones((2, KEYS))
    before, after = (np.concatenate(parts) for parts in zip(*((a[:-1], a[1:]) for a in train), strict=True))
    for state in (0, 1):
        there = (before == state) if last else np.ones_like(before, bool)
        down[state] += (after * there).sum(0)
        times[state] += there.sum(0)
    before, after = (np.concatenate(parts) for parts in zip(*((a[:-1], a[1:]) for a in unseen), strict=True))
    p = (down / times)[before, np.arange(KEYS)]
    return float(-np.log(np.where(after == 1, p, 1 - p)).sum(1).mean())


def model_of(name: str, options: Options) -> Any:
    """The network with that cell, or the one without a carry."""
    layer = lambda kernel, x: jnp.tanh(x @ kernel), lambda key, size: lecun_normal()(key, (size, options.hidden))
    cell = jaxrnn.time_distributed(*layer) if name == LAST_FRAME else jaxrnn.CELLS[name](options.hidden)
    return tagger(jaxrnn.dropout(cell, input=options.input_dropout, output=options.dropout), KEYS)


def main(options: Options) -> dict:
    """Train the networks and the baselines, write the figure, print the line; returns it."""
    if options.fast:
        options = dataclasses.replace(options, cells=options.cells[:1], hidden=4, epochs=2, seeds=1)
    began = time.perf_counter()
    pieces = made_up((8, 3, 3) if options.fast else (60, 20, 20)) if options.data is None else load(options.data)
    out = runs.folder("music", options.out, new=True)
    frames = {name: sum(max(len(piece) - 1, 0) for piece in split) for name, split in pieces.items()}
    published = PUBLISHED.get(tuple(frames.values()), {})
    print("frames to learn from, to choose by and to test:", *frames.values(), file=sys.stderr)
    if options.data is None:
        print("made up music: what is found compares with nothing published", file=sys.stderr)

    train, test = pieces["train"], pieces["test"]
    nll = {"marginal": [bernoulli(train, test, last=False)], "Markov chain": [bernoulli(train, test, last=True)]}
    chosen: dict[str, list[dict]] = {}
    best: Any = None
    for name in (LAST_FRAME, *options.cells):
        model = model_of(name, options)
        rate = options.plain_rate if name in (LAST_FRAME, "elman") else options.rate
        for params, found in fit(model, pieces, dataclasses.replace(options, rate=rate)):
            chosen.setdefault(name, []).append(found)
            print(f"{name}: {found}", file=sys.stderr)
            if name != LAST_FRAME and (best is None or found["valid"] < best[0]):
                best = found["valid"], name, model, params
        nll[name] = [found["test"] for found in chosen[name]]

    line = {
        "nll": {name: [round(value, 4) for value in found] for name, found in nll.items()},
        "by_piece": {name: [found["by_piece"] for found in some] for name, some in chosen.items()},
        "published": published,
        "frames": frames,
    }
    line |= {"seconds": round(time.perf_counter() - began, 1), "options": runs.plain(options)}
    replace(out / "result.json", json.dumps({**line, "chosen": chosen}) + "\n")
    plot(line["nll"], published, test, best, out / "music.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(nll: dict, published: dict, test: list[np.ndarray], best: tuple, path: Path) -> None:
    """Likelihoods, a dot for each seed; beside them what the best network says of a piece of the test."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    _, name, model, params = best
    piece = max(test, key=len)[:64]
    _, logits = jax.jit(model.apply)(params, None, jnp.asarray(piece[:-1], jnp.float32))
    heard = np.flatnonzero(piece.max(0))
    low, high = max(heard.min() - 2, 0), min(heard.max() + 3, KEYS)

    with plt.rc_context({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}):
        figure, (dots, roll) = plt.subplots(1, 2, figsize=(14, 5.4), layout="constrained", width_ratios=(4, 5))
        for i, (model_name, found) in enumerate(nll.items()):
            color = "tab:blue" if i > 2 else "gray"
            dots.plot([i] * len(found), found, "o", color=color, markersize=9, alpha=0.7, markeredgewidth=0)
            dots.text(i - 0.15, np.mean(found), f"{np.mean(found):.2f}", color=color, ha="right", va="center")
            if (stated := published.get(model_name)) is not None:
                dots.plot([i, i + 0.4], [stated] * 2, color="tab:red", linewidth=2, zorder=0)
                dots.text(i + 0.1, stated + 0.05, f"{stated:.2f}", color="tab:red")
        if published:
            dots.text(1, 0.9, "published: Bai et al. 2018", color="tab:red", ha="right", transform=dots.transAxes)
        dots.set_xticks(range(len(nll)), [n.replace(" ", "\n", 1) for n in nll])
        dots.set(xlim=(-0.9, len(nll) - 0.4), ylabel="nats per frame of the test, the fewer the better")
        dots.set_title("grey without a memory, blue with one", loc="left", fontweight="bold")
        dots.margins(y=0.15)

        edges = np.arange(len(piece)) + 0.5, np.arange(low, high + 1) + 0.5
        image = roll.pcolormesh(*edges, jax.nn.sigmoid(logits)[:, low:high].T, cmap="Blues", vmin=0, vmax=1)
        roll.plot(*(np.argwhere(piece[1:]) + 1).T, ".", color="tab:red", markersize=4)
        roll.set_title(f"what {name} expects next (blue), and what came (dots)", loc="left", fontweight="bold")
        figure.colorbar(image, ax=roll, pad=0.01, label="p(key), one frame before")
        roll.set(xlabel="frame", ylabel="key, of 88")
        runs.save_figure(figure, path)
        plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "music", __doc__)
