"""Learn to add from examples: "535+61" in, "596" out, symbol by symbol.

    python -m experiments.addition                          about two minutes on two cores
    python -m experiments.addition --no-reverse             questions from left to right: slower to learn
    python -m experiments.addition --cell gru --digits 4 --examples 200000

The task, and all of its settings, are those of the example addition_rnn of Keras: 50,000 different questions of two
numbers of up to 3 digits (of which 10% are held out), read backwards, by an LSTM of 128 units; a second one writes the
answer, padded with spaces to 4 symbols. There its symbols of held-out answers were 98.8% right after 29 epochs of
updates by 32 questions, with Adam.

Two things differ. Keras's decoder is given the encoder's last h at each step, and not what it has written; here the
encoder's final carry starts the decoder, which reads its own symbols: in training the right ones (teacher forcing), in
the figures below those it wrote. And the learning rate falls to 0 along a cosine.

Prints one line of JSON; writes to --out: that line with the curves (result.json) and the figure (addition.png).
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from experiments import program, runs
from jaxrnn import data
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.models import encoder_decoder

PUBLISHED = 0.988  # of held-out symbols, after 29 epochs: the log in the text of Keras's example
PUBLISHED_EPOCH = 29


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    cell: Literal[tuple(jaxrnn.CELLS)] = "lstm"  # type: ignore[valid-type]
    """Of the encoder and of the decoder."""
    hidden: int = 128
    """H, hidden units of each."""
    digits: int = 3
    """The most that a number has."""
    examples: int = 50_000
    """Different questions; the last tenth of them is held out."""
    reverse: bool = True
    """Read questions from right to left."""
    epochs: int = 29
    """Passes over the questions to learn from."""
    batch: int = 32
    """B, questions in an update."""
    rate: float = 1e-3
    """The learning rate of Adam at first, which falls to 0 along a cosine."""
    seed: int = 0
    """Of the questions, the parameters and the order."""
    fast: bool = False
    """A run of seconds, which learns next to nothing: 50 questions of 1 digit, 16 units, 3 epochs."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def questions(digits: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Different pairs of numbers [count, 2] of 1 to `digits` digits, any length as likely as another.

    As in Keras's example a question is new if no other has the same two numbers, in either order.
    """
    pairs = 10**digits * (10**digits + 1) // 2
    if count > pairs:
        sys.exit(f"examples: there are {pairs:,} questions of {digits} digits, and not {count:,}")
    found: dict[tuple[int, int], tuple[int, int]] = {}
    while len(found) < count:
        lengths = rng.integers(1, digits + 1, (count, 2))
        for pair in (rng.random((count, 2)) * 10**lengths).astype(int).tolist():
            found.setdefault((min(pair), max(pair)), tuple(pair))
    return np.array(list(found.values())[:count])


def carries(pairs: np.ndarray) -> np.ndarray:
    """How many columns of each sum carry a one to the next."""
    count, carry, rest = 0, 0, pairs
    while rest.any():
        carry = (rest % 10).sum(1) + carry > 9
        count, rest = count + carry, rest // 10
    return np.broadcast_to(count, len(pairs))


def texts(pairs: np.ndarray, digits: int) -> tuple[list[str], list[str]]:
    """Questions such as "535+61 " and answers such as "596 ", of one length each."""
    asked = [f"{a}+{b}".ljust(2 * digits + 1) for a, b in pairs.tolist()]
    return asked, [str(a + b).ljust(digits + 1) for a, b in pairs.tolist()]


def main(options: Options) -> dict:
    """Train, evaluate after every epoch, write; returns the line."""
    if options.fast:
        options = dataclasses.replace(options, digits=1, examples=50, hidden=16, epochs=3, batch=8)
    pairs = questions(options.digits, options.examples, np.random.default_rng(options.seed))
    asked, answers = texts(pairs, options.digits)
    out = runs.folder("addition", options.out, new=True)
    vocabulary = data.Vocabulary.of("0123456789+ ")  # 0, its unknown symbol, is what the decoder is given first
    encoded = [jnp.asarray(np.stack([vocabulary.encode(t) for t in side], 1)) for side in (asked, answers)]
    train = len(pairs) - len(pairs) // 10
    learnt, held_out = [a[:, :train] for a in encoded], [a[:, train:] for a in encoded]

    cell = jaxrnn.CELLS[options.cell](options.hidden)
    model = encoder_decoder(cell, cell, len(vocabulary), len(vocabulary))

    def loss(params, batch, key):
        return model.loss(params, *batch, reverse=options.reverse)

    @jax.jit
    def write(params):
        return model.translate(params, held_out[0], options.digits + 1, reverse=options.reverse)[0]

    carried = carries(pairs[train:])
    most = carried.max()
    k1, k2 = jax.random.split(jax.random.key(options.seed))
    curve: list[dict] = []

    def judge(row, state):
        right = np.asarray(write(state.params)) == np.asarray(held_out[1])
        answers = right.all(0)
        point = {"epoch": len(curve) + 1, "loss": row["loss"]}
        point |= {"symbols": right.mean().item(), "answers": answers.mean().item()}
        curve.append({**point, "by_carries": [answers[carried == n].mean().item() for n in range(most + 1)]})
        print(
            "epoch {epoch:3d}   loss {loss:.4f}   held out: symbols {symbols:.2%}, answers {answers:.2%}".format(
                **point
            ),
            file=sys.stderr,
        )

    began = time.perf_counter()
    jaxrnn.train.learn(
        loss, model.init(k1), tuple(learnt), axis=1, key=k2, epochs=options.epochs, batch=options.batch,
        rate=options.rate, clip=None, decay=0.0, on_report=judge, progress=False,
    )  # fmt: skip
    seconds = time.perf_counter() - began

    line = {
        "symbols": round(curve[-1]["symbols"], 4),
        "answers": round(curve[-1]["answers"], 4),
        "published_symbols": PUBLISHED,
        "epochs_to_published": next((c["epoch"] for c in curve if c["symbols"] >= PUBLISHED), None),
        "seconds": round(seconds, 1),
        "options": runs.plain(options),
    }
    replace(out / "result.json", json.dumps({**line, "curve": curve}) + "\n")
    plot(curve, options, out / "addition.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(curve: list[dict], options: Options, path: Path) -> None:
    """How much of what is held out is right after each epoch: beside the published figure; and by carries."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 12
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
    epochs = [point["epoch"] for point in curve]
    for name, color in ("symbols", "tab:blue"), ("answers", "tab:orange"):
        left.plot(epochs, [point[name] for point in curve], color=color, linewidth=2.5, label=name)
    left.plot(PUBLISHED_EPOCH, PUBLISHED, "*", color="black", markersize=13, label="symbols in Keras's example")
    left.set(ylabel="right, of what is held out", ylim=(0, 1.03))
    left.set_title(f"{options.examples:,} sums of up to {options.digits} digits, {options.cell}({options.hidden})")
    groups = np.array([point["by_carries"] for point in curve]).T
    for n, shares in enumerate(groups):
        color = plt.get_cmap("Oranges")(0.35 + 0.6 * n / len(groups))
        right.plot(epochs, shares, color=color, linewidth=2.5, label=f"from {n} columns" if n else "from none")
    right.set_title("answers, by the columns that carry a one")
    for axes in left, right:
        axes.set(xlabel="epochs", xlim=(0, None))
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
    runs.save_figure(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "addition", __doc__)
