"""What gates and linear recurrences can and cannot keep: parity and counting, learnt up to length 40, asked up to 500.

    python -m experiments.state_tracking                                                85 seconds on two cores
    python -m experiments.state_tracking --moduli 5 --symbols 5 --cells gru complex     sums of symbols modulo 5
    python -m experiments.state_tracking --fast                                         seconds, to see that it runs

Symbols 0 to S - 1; the label after each step is their sum so far modulo m: with two symbols, how many ones there were.
All cells only look back, so that the accuracy at position t is that on sequences of length t.

A linear recurrence multiplies its state by eigenvalues, and here a symbol can choose them. Parity wants a -1 and
counting modulo 3 a complex one of modulus 1 (Sarrof, Veitsman and Hahn 2024, arXiv 2405.17394; Grazzi et al. 2024,
arXiv 2411.12537); with the same for every symbol parity cannot be had (Khavari et al. 2025, arXiv 2508.07395).
One set by hand shows that it can be, whether or not training finds it; a table of the last k symbols, learnt by
counting, shows what can be said without a state.

Delétang et al. 2022 (arXiv 2207.02098) find that LSTMs solve regular tasks beyond the lengths learnt; their score is
"beyond" here, but they label the last step only, which is harder to learn from. Three seeds: Elman, gated, GRU and
LSTM are right here to 500 (99.9% or more), and so is parity by real eigenvalues cut at -1, exactly; those of tanh hold
99% only to 84 to 141, and complex ones to 55 to 83, modulo 3 to 64 to 369: nothing in the loop puts a drift right.

Prints one line of JSON; writes to --out: that line with the accuracy at each position (result.json), and accuracy.png.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from experiments import program, runs
from jaxrnn._core.cell import features
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.initializers import glorot_uniform


class LinearCarry(NamedTuple):
    """The state of a linear recurrence."""

    h: jax.Array  # [..., H]


def linear(hidden_size: int, eigenvalues: str) -> jaxrnn.Cell:
    """A linear recurrence, H / 2 planes, and what is nonlinear only after it: x [..., D], h [..., H] -> h', y [..., H].

        h' = r(x) rotate(h, angle(x)) + x W + b,    y = relu(h' V + c)

    So the state in each plane, as a complex number, is multiplied by r exp(i angle), and there is nothing else in the
    loop. With the readout after it, y is a network with a hidden layer. r and angle are affine in x, and
    "positive": angle = 0, r is cut to [0, 1]; "real": angle = 0, r is cut to [-1, 1]; "soft": as real, but r = tanh;
    "complex": r is cut to [0, 1], and the angle is free; "fixed": as complex, and the same for every x.
    """
    H = hidden_size
    low = -1.0 if eigenvalues in ("real", "soft") else 0.0
    heard, turns = float(eigenvalues != "fixed"), float(eigenvalues in ("complex", "fixed"))

    def init(key, input_size):
        k1, k2, k3, k4, k5, k6 = jax.random.split(key, 6)
        return {
            "kernel": glorot_uniform()(k1, (input_size, H), "float32"),
            "bias": jnp.zeros(H),
            "radius": heard * jax.random.uniform(k2, (input_size, H // 2), minval=low, maxval=1.0),
            "radius_bias": (1 - heard) * jax.random.uniform(k3, (H // 2,)),
            "angle": heard * turns * jax.random.uniform(k4, (input_size, H // 2), minval=-jnp.pi, maxval=jnp.pi),
            "angle_bias": (1 - heard) * jax.random.uniform(k5, (H // 2,), minval=-jnp.pi, maxval=jnp.pi),
            "out": glorot_uniform()(k6, (H, H), "float32"),
            "out_bias": jnp.zeros(H),
        }

    def drive(params, x):
        r = heard * (x @ params["radius"]) + params["radius_bias"]
        r = jnp.tanh(r) if eigenvalues == "soft" else jnp.clip(r, low, 1.0)
        angle = turns * (heard * (x @ params["angle"]) + params["angle_bias"])
        same, turned = r * jnp.cos(angle), r * jnp.sin(angle)
        return jnp.concatenate([same, same, turned, turned, x @ params["kernel"] + params["bias"]], -1)

    def update(params, s, u, v):
        same, turned, new = jnp.split(u, 3, -1)
        first, second = jnp.split(s.h, 2, -1)  # the two axes of the planes
        return LinearCarry(same * s.h + turned * jnp.concatenate([-second, first], -1) + new)

    def start(params):
        return LinearCarry(jnp.zeros(H, params["bias"].dtype))

    def output(params, carry):
        return jax.nn.relu(carry.h @ params["out"] + params["out_bias"])

    return jaxrnn.Cell(init, start, features, drive, (jaxrnn.Stage(None, update),), output)


# name -> (a cell of H hidden units, how the figure calls it, its colour, learning rate)
CELLS: dict[str, tuple[Callable[[int], jaxrnn.Cell], str, str, float]] = {
    "elman": (jaxrnn.elman, "Elman, tanh", "#D55E00", 3e-3),
    "gated": (jaxrnn.gated, "gated", "#009E73", 1e-2),
    "gru": (jaxrnn.gru, "GRU", "#E69F00", 1e-2),
    "lstm": (jaxrnn.lstm, "LSTM", "#0072B2", 1e-2),
    "positive": (lambda H: linear(H, "positive"), "in [0, 1]", "#D55E00", 1e-2),
    "fixed": (lambda H: linear(H, "fixed"), "complex, the same\nfor every symbol", "#999999", 1e-2),
    "soft": (lambda H: linear(H, "soft"), "in (-1, 1), by tanh", "#CC79A7", 1e-2),
    "real": (lambda H: linear(H, "real"), "in [-1, 1]", "#009E73", 1e-2),
    "complex": (lambda H: linear(H, "complex"), "complex, modulus\nin [0, 1]", "#0072B2", 1e-2),
}
NONLINEAR = ("elman", "gated", "gru", "lstm")


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    moduli: tuple[int, ...] = (2, 3)
    """m, of each task: 2 is parity."""
    symbols: int = 2
    """S, different symbols."""
    cells: tuple[Literal[tuple(CELLS)], ...] = tuple(CELLS)  # type: ignore[valid-type]
    """Cells: four with a nonlinearity in the loop, and linear recurrences by their eigenvalues."""
    length: int = 40
    """The longest sequence learnt from; lengths are drawn uniformly from 1 on."""
    test_length: int = 500
    """Steps of those that are asked."""
    last: int = 100
    """Positions at their end, whose accuracy is told apart."""
    window: int = 10
    """k, symbols that the table sees."""
    hidden: int = 32
    """H, hidden units."""
    seeds: int = 3
    """Runs of each."""
    steps: int = 1000
    """Updates."""
    batch: int = 64
    """B, sequences in each update."""
    sequences: int = 20_000
    """To learn from."""
    unseen: int = 1000
    """Fresh sequences, which are asked."""
    fast: bool = False
    """A tiny run, which learns nothing, to see that all is well."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def draw(rng: np.random.Generator, B: int, T: int, symbols: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """(xs, labels), both [B, T] int: random symbols, and their sums so far modulo m."""
    xs = rng.integers(0, symbols, (B, T), dtype=np.int32)
    return xs, xs.cumsum(1, dtype=np.int32) % m


def accuracy(model: Any, params: Any, xs: Any, labels: Any) -> jax.Array:
    """The share of rows that are right at each position: xs, labels [B, T] -> [T]."""
    _, logits = model.apply(params, None, jnp.asarray(xs).T)
    return (logits.argmax(-1) == jnp.asarray(labels).T).mean(1)


def by_hand(symbols: int, m: int) -> tuple[Any, Any]:
    """(model, params) of a linear recurrence that is right at every length: each symbol turns the state by its share.

    Symbol s multiplies by exp(2 pi i s / m) about the point -1, so that the state 0, where it starts, goes round; the
    class is the root of 1 that is nearest.
    """
    H = m + m % 2
    model = jaxrnn.models.tagger(linear(H, "complex"), m, vocabulary_size=symbols)
    params = jax.tree.map(lambda a: np.zeros(a.shape, np.float32), jax.eval_shape(model.init, jax.random.key(0)))
    cell, roots = params["cell"], 2 * np.pi * np.arange(max(m, symbols)) / m
    cell["radius_bias"][:] = 1
    cell["angle"][:, 0] = roots[:symbols]
    cell["kernel"][:, 0], cell["kernel"][:, H // 2] = np.cos(roots[:symbols]) - 1, np.sin(roots[:symbols])
    cell["out"][0, :m], cell["out"][H // 2, :m] = np.cos(roots[:m]), np.sin(roots[:m])
    cell["out_bias"][:m] = np.cos(roots[:m]) + 1  # 1: so that relu cuts nothing off
    params["readout"][:m] = np.eye(m)
    return model, params


def windowed(train: tuple, xs: np.ndarray, symbols: int, m: int, k: int) -> np.ndarray:
    """The label seen most often in `train` (xs, labels) after the same last k symbols, or the same start: [B, T]."""

    def codes(xs):
        padded = np.pad(xs.astype(np.int64), ((0, 0), (k - 1, 0)), constant_values=symbols)
        return sum(padded[:, j : j + xs.shape[1]] * (symbols + 1) ** j for j in range(k))

    seen = np.bincount((codes(train[0]) * m + train[1]).ravel(), minlength=(symbols + 1) ** k * m)
    return seen.reshape(-1, m).argmax(1)[codes(xs)]


def summary(options: Options, at: np.ndarray) -> dict[str, float]:
    """Of accuracies by position [T]: in the range learnt, beyond it, in the last positions; how far it is above 99%."""
    low = at < 0.99
    means = {"learnt": at[: options.length], "beyond": at[options.length :], "last": at[-options.last :]}
    return {name: round(float(a.mean()), 4) for name, a in means.items()} | {
        "holds": int(low.argmax() if low.any() else len(at))
    }


def examine(options: Options, m: int, name: str) -> np.ndarray:
    """All seeds of one cell on one task: accuracy [seeds, T]."""
    make, _, _, rate = CELLS[name]
    model = jaxrnn.models.tagger(make(options.hidden), m, vocabulary_size=options.symbols)
    rng = np.random.default_rng(m)
    xs, labels = draw(rng, options.sequences, options.length, options.symbols, m)
    train = tuple(map(jnp.asarray, (xs, labels, rng.integers(1, options.length + 1, options.sequences))))
    unseen = draw(np.random.default_rng(1000 + m), options.unseen, options.test_length, options.symbols, m)

    def loss(params, batch, key):
        xs, labels, lengths = batch
        return model.loss(params, None, xs.T, labels.T, lengths=lengths)[0]

    def learn(seed):
        k1, k2 = jax.random.split(jax.random.key(seed))
        how: Any = {"steps": options.steps, "batch": options.batch, "rate": rate, "decay": 0.0}
        # Two cells are learnt at a time, on a device.
        return jaxrnn.train.learn(loss, model.init(k1), train, key=k2, **how, devices=1, progress=False).params

    ask = jax.jit(lambda params, *unseen: accuracy(model, params, *unseen))
    found = np.stack([ask(learn(seed), *unseen) for seed in range(options.seeds)])
    print(f"modulo {m} {name}: {[summary(options, at) for at in found]}", file=sys.stderr)
    return found


def main(options: Options) -> dict:
    """Train all of them, two at a time; write the figure, print the line, return it."""
    if options.fast:
        tiny = {"length": 6, "test_length": 30, "last": 5, "window": 3, "hidden": 4, "seeds": 2, "steps": 4}
        options = dataclasses.replace(options, **tiny, batch=3, sequences=50, unseen=20)
    out = runs.folder("state_tracking", options.out, new=True)
    asked = [(m, name) for m in options.moduli for name in options.cells]
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = dict(zip(asked, pool.map(lambda one: examine(options, *one), asked), strict=True))
    for m in options.moduli:
        xs, labels = draw(np.random.default_rng(1000 + m), options.unseen, options.test_length, options.symbols, m)
        train = draw(np.random.default_rng(m), options.sequences, options.length, options.symbols, m)
        table = windowed(train, xs, options.symbols, m, options.window)
        found[m, "window"] = (table == labels).mean(0)[None]
        found[m, "by hand"] = np.asarray(accuracy(*by_hand(options.symbols, m), xs, labels))[None]
    results: dict[str, dict] = {}
    for (m, name), runs_ in found.items():
        rows = [summary(options, at) for at in runs_]
        results.setdefault(f"modulo {m}", {})[name] = {what: [row[what] for row in rows] for what in rows[0]}
    line = {"results": results, "seconds": round(time.perf_counter() - began, 1), "options": runs.plain(options)}
    kept = {f"modulo {m} {name}": np.round(at, 4).tolist() for (m, name), at in found.items()}
    replace(out / "result.json", json.dumps({**line, "accuracy": kept}) + "\n")
    plot(found, options, out / "accuracy.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(found: dict, options: Options, path: Path) -> None:
    """Accuracy against position: a row for each task, nonlinear and linear apart, the seeds' median in their range."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 12
    groups = [[c for c in options.cells if (c in NONLINEAR) is nonlinear] for nonlinear in (True, False)]
    titles = ["a nonlinearity in the loop", "a linear loop, its eigenvalues"]
    columns = [(group, title) for group, title in zip(groups, titles, strict=True) if group]
    figure, grid = plt.subplots(
        len(options.moduli), len(columns), figsize=(6.2 * len(columns), 3.7 * len(options.moduli) + 1),
        layout="constrained", squeeze=False, sharex=True,
    )  # fmt: skip
    T = np.arange(1, options.test_length + 1)
    for m, row, at in zip(options.moduli, grid, range(len(grid)), strict=True):
        for axes, (group, title) in zip(row, columns, strict=True):
            axes.axvspan(1, options.length, color="0.93")
            axes.axhline(1 / m, color="black", linestyle="--", linewidth=1)
            axes.plot(T, found[m, "window"][0], color="black", linestyle=":", label=f"last {options.window} symbols")
            if group[0] not in NONLINEAR:
                axes.plot(T, found[m, "by hand"][0], color="black", linewidth=1, label="complex, set by hand")
            for place, name in enumerate(group):
                _, label, color, _ = CELLS[name]
                low, middle, high = np.quantile(found[m, name], (0, 0.5, 1), axis=0)
                # Those drawn first are wider, so that one can be seen beneath another.
                axes.plot(T, middle, color=color, linewidth=1.4 + 0.9 * (len(group) - 1 - place), label=label)
                axes.fill_between(T, low, high, color=color, alpha=0.25, linewidth=0)
            axes.set(xscale="log", xlim=(1, options.test_length), ylim=(0, 1.03))
            axes.set_xticks([1, 10, options.length, options.test_length], minor=False)
            axes.set_xticklabels(map(str, axes.get_xticks().astype(int)))
            axes.spines[["top", "right"]].set_visible(False)
            axes.text(1.05, 1 / m - 0.02, "chance", va="top", fontsize=11)
            if at == 0:
                axes.set_title(title)
                axes.text(options.length * 0.95, 0.03, "trained", ha="right", fontsize=11)
            if at == len(grid) - 1:
                axes.set_xlabel("position")
                axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize=11)
        row[0].set_ylabel(f"{'parity' if (m, options.symbols) == (2, 2) else f'sum modulo {m}'}: accuracy")
    runs.save_figure(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "state_tracking", __doc__)
