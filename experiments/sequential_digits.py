"""Digits read pixel by pixel: what is left of the first rows at the end of the last, by cell.

    python -m experiments.sequential_digits                        about a minute and a half on two cores
    python -m experiments.sequential_digits --mnist FOLDER_OR_NPZ --hidden 128 --steps 20000 --batch 128 --rate 1e-3

By default the 1,797 digits of 8x8 pixels that come with scikit-learn, a sequence of 64 steps of one pixel each: first
in reading order, then in one random order, the same for all (permuted: what is near on paper is far in time). The
first half is learnt from, the second is the test, as in scikit-learn's example "Recognizing hand-written digits",
whose support vector machine has 97% of it right with all pixels at once. Baseline: logistic regression on the pixels,
for which the order is nothing: 93%. No cell gets there from 898 digits (three seeds, mean, in order and permuted:
elman 91% and 87%, lstm 86% and 73%, gru 86% and 72%, lem 92% and 78%). With one learning rate for all, the Elman
network, whose recurrent kernel starts orthogonal, loses least when pixels are permuted.

--mnist: MNIST, 784 steps, as a folder of its four idx files (gzipped or not) or Keras's mnist.npz. That wants hours on
a CPU, or a GPU. Published test accuracies in order and permuted: LEM(128) 99.5% and 96.6% (Rusch et al. 2022, arXiv
2110.04744); IRNN(100) 97% and 82% (Le, Jaitly and Hinton 2015, arXiv 1504.00941).

Prints one line of JSON; writes to --out: that line (result.json) and the figure (digits.png). Needs scikit-learn
(pip install "jaxrnn[experiments]"), but for --mnist.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

import jaxrnn
from experiments import program, runs
from experiments.learning import linear
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.models import classifier

ORDERS = ("in order", "permuted")
WITH_ALL_PIXELS = 0.97  # the SVM of scikit-learn's example, on the same halves


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    cells: tuple[Literal[tuple(jaxrnn.CELLS)], ...] = ("elman", "lstm", "gru", "lem")  # type: ignore[valid-type]
    """Names of cells."""
    hidden: int = 64
    """H, hidden units."""
    steps: int = 1200
    """Updates."""
    batch: int = 32
    """B, digits in each."""
    rate: float = 5e-3
    """The learning rate of Adam at first; it falls to 0 along a cosine."""
    seeds: int = 3
    """Networks of each kind, which differ in their parameters and batches."""
    mnist: Path | None = None
    """A folder of MNIST's idx files, or mnist.npz, in place of scikit-learn's digits."""
    fast: bool = False
    """A run of seconds, that shows only that it runs."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def small_digits() -> tuple[np.ndarray, ...]:
    """(pixels [N, 64] from 0 to 1, labels [N]) of the first half, and of the second."""
    found = optional("sklearn.datasets", "experiments", "the digits of 8x8 pixels").load_digits()
    half = len(found.target) // 2
    xs, labels = (found.data / 16).astype(np.float32), found.target.astype(np.int32)
    return xs[:half], labels[:half], xs[half:], labels[half:]


def mnist(path: Path) -> tuple[np.ndarray, ...]:
    """The same of MNIST: pixels [N, 784]. Raises FileNotFoundError for a folder without one of the four files, and
    ValueError for what is not as expected."""
    try:
        if path.is_file():
            with np.load(path) as file:
                arrays = [file[name] for name in ("x_train", "y_train", "x_test", "y_test")]
        else:
            parts = [f"{split}-{kind}" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
            arrays = [idx(path, f"{part}-ubyte") for part in parts]
        for images, labels in (arrays[:2], arrays[2:]):
            if images.ndim != 3 or not len(images) or labels.shape != images.shape[:1] or labels.max() > 9:
                raise ValueError(f"images {images.shape} and labels {labels.shape}")
    except FileNotFoundError:
        raise
    except Exception as error:  # of many kinds, where numpy or gzip find the file to be another
        raise ValueError(
            f"mnist: expected MNIST's four idx files, or mnist.npz, in {path}, got {type(error).__name__}: {error}"
        ) from None
    return tuple((a.reshape(len(a), -1) / np.float32(255)) if a.ndim > 1 else a.astype(np.int32) for a in arrays)


def idx(folder: Path, name: str) -> np.ndarray:
    """An array of bytes in the format idx: two zeros, the type, the number of axes, their sizes, the entries."""
    for path, read in (
        (folder / name, Path.read_bytes),
        (folder / f"{name}.gz", lambda p: gzip.decompress(p.read_bytes())),
    ):
        if path.exists():
            content = read(path)
            axes = content[3]
            shape = np.frombuffer(content, ">i4", axes, 4)
            return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    raise FileNotFoundError(f"mnist: expected {name} or {name}.gz in {folder}")


def main(options: Options) -> dict:
    """Train every cell on both orders, write the figure, print the line; returns it."""
    if options.fast:
        options = dataclasses.replace(options, cells=options.cells[:2], hidden=4, steps=3, seeds=1)
    began = time.perf_counter()
    xs, labels, unseen, expected = small_digits() if options.mnist is None else mnist(options.mnist)
    out = runs.folder("sequential_digits", options.out, new=True)
    time_steps = xs.shape[1]
    orders = np.arange(time_steps), np.random.default_rng(0).permutation(time_steps)
    baseline = linear((xs, labels), (unseen, expected), 10)
    print(
        f"{len(xs):,} digits of {time_steps} steps, {len(unseen):,} held out; linear: {baseline:.2%}", file=sys.stderr
    )

    accuracy: dict[str, dict[str, list[float]]] = {order: {} for order in ORDERS}
    for name in options.cells:
        model = classifier(jaxrnn.CELLS[name](options.hidden), 10)

        def loss(params, batch, key, model=model):
            return model.loss(params, None, batch[0].T[..., None], batch[1])[0]

        how: Any = {"steps": options.steps, "batch": options.batch, "rate": options.rate, "decay": 0.0}
        predict = jax.jit(lambda params, x, m=model: m.apply(params, None, x.T[..., None])[1].argmax(-1))
        for order, places in zip(ORDERS, orders, strict=True):
            right = []
            for seed in range(options.seeds):
                k1, k2 = jax.random.split(jax.random.key(seed))
                rows, start = (xs[:, places], labels), model.init(k1, 1)
                params, history, *_ = jaxrnn.train.learn(loss, start, rows, key=k2, **how, progress=False)
                pieces = np.array_split(unseen[:, places], max(1, len(unseen) // 1000))
                found = np.concatenate([predict(params, piece) for piece in pieces])
                right.append(round(float((found == expected).mean()), 4))
            accuracy[order][name] = right
            print(f"{name}, {order}: {right}; last loss {history['loss'][-1]:.4f}", file=sys.stderr)

    line = {
        "accuracy": accuracy,
        "linear": round(baseline, 4),
        "chance": round(float(np.bincount(expected).max() / len(expected)), 4),
        "seconds": round(time.perf_counter() - began, 1),
        "options": runs.plain(options),
    }
    replace(out / "result.json", json.dumps(line) + "\n")
    plot(accuracy, baseline, unseen, orders, options, out / "digits.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(accuracy: dict, baseline: float, images: np.ndarray, orders: tuple, options: Options, path: Path) -> None:
    """A digit, the sequences that it makes, and how much is right by cell and order: a dot for each seed."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    side, colors = round(images.shape[1] ** 0.5), ("tab:blue", "tab:orange")
    with plt.rc_context({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}):
        places_of_axes: Any = [["digit", "bars"], ["in order", "bars"], ["permuted", "bars"]]
        ratios: Any = {"width_ratios": (2, 3), "height_ratios": (2, 1, 1)}
        figure, axes_by_name = plt.subplot_mosaic(places_of_axes, figsize=(12, 4.6), layout="constrained", **ratios)
        digit, bars, *sequences = (axes_by_name[name] for name in ("digit", "bars", *ORDERS))
        digit.imshow(images[3].reshape(side, side), cmap="gray_r")
        digit.set_axis_off()
        for axes, places, order, color in zip(sequences, orders, ORDERS, colors, strict=True):
            axes.fill_between(range(len(places)), images[3][places], step="mid", color=color)
            axes.set(yticks=[], xlim=(0, len(places) - 1), title=f"{order}: {len(places)} steps")
            axes.spines["left"].set_visible(False)
        sequences[0].set_xticks([])
        sequences[1].set_xlabel("step")

        width = 0.38
        for i, (order, color) in enumerate(zip(ORDERS, colors, strict=True)):
            for at, found in enumerate(accuracy[order].values()):
                place, mean = at + (i - 0.5) * width, float(np.mean(found))
                bars.bar(place, mean, width * 0.94, color=color, label=None if at else order)
                bars.plot([place] * len(found), found, "o", color="black", markersize=3.5)
                bars.annotate(f"{mean:.0%}", (place, 0.02), ha="center", color="white", fontweight="bold")
        bars.axhline(baseline, color="black", linestyle="--", linewidth=1.2, label="all pixels at once: linear")
        if options.mnist is None:
            bars.axhline(WITH_ALL_PIXELS, color="gray", linestyle=":", linewidth=1.5, label="scikit-learn's SVM")
        bars.set_xticks(range(len(options.cells)), [f"{name}({options.hidden})" for name in options.cells])
        bars.set(ylim=(0, 1.28), title="held-out digits right", yticks=np.arange(0, 1.01, 0.2))
        bars.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
        bars.legend(frameon=False, ncols=2, loc="upper center")
        runs.save_figure(figure, path)
        plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "sequential_digits", __doc__)
