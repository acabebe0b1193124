"""How far back can each cell remember? The adding problem and copy memory, at several lengths T, against thresholds.

    python -m experiments.long_memory                   six and a half minutes on two busy cores
    python -m experiments.long_memory --adding --copy 50 --cells gated gru gru_chrono lstm_chrono \\
        --hidden 64 --rate 3e-3 --steps 20000           ten minutes
    python -m experiments.long_memory --fast            seconds, to see that it runs

Adding: T pairs (u in [0, 1], mark); two marks are 1, one in each half; the answer after the last step is the sum of
the two marked u. Who remembers nothing says 1, and is wrong by 1/6 = 0.167 in the mean square.
Copy: ten symbols of eight, T - 1 blanks, a delimiter, ten blanks; in those the ten symbols are to be said again. Who
remembers nothing says blanks, then guesses: 10 ln 8 / (T + 20) nats per step.
(Hochreiter and Schmidhuber 1997; the layout is that of Arjovsky, Shah and Bengio 2016, arXiv 1511.06464.)

A run is "solved" where its error on fresh sequences is below a tenth of the threshold, "begun" below nine tenths of
it, else "no". Prints one line of JSON; writes to --out: that line with the curves (result.json), and loss.png.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from experiments import program, runs
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.initializers import chrono, identity, normal

# name -> (a cell of H hidden units for dependencies of T steps, how the figure calls it)
CELLS: dict[str, tuple[Callable[[int, int], jaxrnn.Cell], str]] = {
    "elman": (lambda H, T: jaxrnn.elman(H), "Elman, tanh"),
    # As Le, Jaitly and Hinton (2015) start it: what was is kept as it is, and what comes in is small.
    "irnn": (
        lambda H, T: jaxrnn.elman(H, activation="relu", recurrent_init=identity(), kernel_init=normal(1e-3)),
        "IRNN, relu + identity",
    ),
    "gated": (lambda H, T: jaxrnn.gated(H), "gated"),
    "gated_chrono": (lambda H, T: jaxrnn.gated(H, update_bias=chrono(T)), "gated, chrono"),
    "gru": (lambda H, T: jaxrnn.gru(H), "GRU"),
    "gru_chrono": (lambda H, T: jaxrnn.gru(H, update_bias=chrono(T)), "GRU, chrono"),
    "lstm": (lambda H, T: jaxrnn.lstm(H), "LSTM"),
    "lstm_chrono": (lambda H, T: jaxrnn.lstm(H, forget_bias=chrono(T)), "LSTM, chrono"),
}
SYMBOLS, SPAN = 8, 10  # of copy memory: different symbols, and how many are to be remembered
BLANK, DELIMITER = 0, SYMBOLS + 1


@dataclasses.dataclass(frozen=True)
class Options:
    adding: tuple[int, ...] = (50, 200, 1000)
    """Lengths T of the adding problem."""
    copy: tuple[int, ...] = (50, 100)
    """Lengths T of copy memory, whose sequences have T + 20 steps."""
    cells: tuple[Literal[tuple(CELLS)], ...] = ("elman", "irnn", "gated", "gru", "lstm", "lstm_chrono")  # type: ignore[valid-type]
    """Cells; chrono starts the gates with memories of up to T steps."""
    hidden: int = 32
    """H, hidden units."""
    seeds: int = 3
    """Runs of each."""
    steps: int = 2000
    """Updates at most: a run ends when it has solved its task."""
    batch: int = 20
    """B, fresh sequences for each update."""
    rate: float = 1e-2
    """The learning rate of Adam."""
    plain_rate: float = 1e-3
    """That of the cells without a gate, which do worse with more."""
    clip: float = 1.0
    """The largest norm of a gradient."""
    fast: bool = False
    """A tiny run, which learns nothing, to see that all is well."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def adding(key: jax.Array, T: int, B: int) -> tuple[jax.Array, jax.Array]:
    """(xs [T, B, 2] of u and marks, answers [B])."""
    k1, k2, k3 = jax.random.split(key, 3)
    u = jax.random.uniform(k1, (T, B))
    first, second = jax.random.randint(k2, (B,), 0, T // 2), jax.random.randint(k3, (B,), T // 2, T)
    marks = jax.nn.one_hot(first, T, axis=0) + jax.nn.one_hot(second, T, axis=0)
    return jnp.stack([u, marks], -1), (u * marks).sum(0)


def copy(key: jax.Array, T: int, B: int) -> tuple[jax.Array, jax.Array]:
    """(xs, labels), both [T + 20, B] int: what comes in, and what is to be said."""
    symbols = jax.random.randint(key, (SPAN, B), 1, SYMBOLS + 1)
    blanks = jnp.full((T + SPAN, B), BLANK)
    return jnp.concatenate([symbols, blanks.at[T - 1].set(DELIMITER)]), jnp.concatenate([blanks, symbols])


def adding_problem(cell: jaxrnn.Cell, T: int) -> tuple[Callable, Callable, float]:
    """(init(key), loss(params, batch, key), the threshold): the last y, read out as a number."""
    model = jaxrnn.models.classifier(cell, 1)

    def loss(params, batch, key=None):
        xs, answers = batch
        return jnp.square(model.apply(params, None, xs)[1][..., 0] - answers).mean()

    return lambda key: model.init(key, 2), loss, 1 / 6


def copy_memory(cell: jaxrnn.Cell, T: int) -> tuple[Callable, Callable, float]:
    """As adding_problem: a tagger of every step, one-hot symbols in."""
    model = jaxrnn.models.tagger(cell, SYMBOLS + 1, vocabulary_size=SYMBOLS + 2)
    return model.init, lambda params, batch, key=None: model.loss(params, None, *batch)[0], 10 * math.log(8) / (T + 20)


TASKS: dict[str, tuple[Callable, Callable, str]] = {
    "adding": (adding, adding_problem, "adding problem: mean squared error"),
    "copy": (copy, copy_memory, "copy memory: cross entropy, nats per step"),
}


def train(options: Options, task: str, T: int, name: str) -> dict[str, Any]:
    """All seeds of one cell on one task, one after another: they share one compiled program.

    Under vmap they were no faster on a CPU: a seed keeps a core busy by itself.
    """
    draw, problem, _ = TASKS[task]
    init, loss, threshold = problem(CELLS[name][0](options.hidden, T), T)
    rate = options.plain_rate if name in ("elman", "irnn") else options.rate
    optimizer = optax.chain(optax.clip_by_global_norm(options.clip), optax.adam(rate))
    every = max(1, options.steps // 40)

    def batch(key):
        return draw(key, T, options.batch)

    test = jax.jit(lambda params: loss(params, draw(jax.random.key(12345), T, 500)))
    began, curves, errors = time.perf_counter(), [], []
    for seed in range(options.seeds):
        k1, k2 = jax.random.split(jax.random.key(seed))
        curve: list[float] = []

        def judge(row, state, curve=curve):
            curve.append(row["loss"])
            return curve[-1] < 0.05 * threshold  # well below what counts as solved, so that fresh sequences are too

        try:
            learnt = jaxrnn.train.learn(
                loss, jax.jit(init)(k1), batch, key=k2, steps=options.steps // every * every, every=every,
                optimizer=optimizer, on_report=judge, devices=1, progress=False,
            )  # fmt: skip
            errors.append(float(test(learnt.params)))
        except jaxrnn.train.NotFinite:
            errors.append(math.nan)
        curves.append(curve)
    verdicts = ["solved" if e < 0.1 * threshold else "begun" if e < 0.9 * threshold else "no" for e in errors]
    print(f"{task} T={T} {name}: {', '.join(verdicts)}", file=sys.stderr)
    return {
        "error": [round(e, 5) for e in errors],
        "threshold": round(threshold, 5),
        "verdict": verdicts,
        "updates": [len(curve) * every for curve in curves],
        "seconds": round(time.perf_counter() - began, 1),
        "every": every,
        "curves": curves,
    }


def main(options: Options) -> dict:
    """Train all of them, two at a time; write the figure, print the line, return it."""
    if options.fast:
        tiny = {"adding": (12,), "copy": (5,), "cells": options.cells[-2:], "hidden": 4, "seeds": 2, "steps": 4}
        options = dataclasses.replace(options, **tiny, batch=3)
    out = runs.folder("long_memory", options.out, new=True)
    asked = [(task, T, name) for task in TASKS for T in getattr(options, task) for name in options.cells]
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = dict(zip(asked, pool.map(lambda one: train(options, *one), asked), strict=True))
    seconds = round(time.perf_counter() - began, 1)
    curves = {one: (result.pop("every"), result.pop("curves")) for one, result in found.items()}
    results = {f"{task} T={T} {name}": result for (task, T, name), result in found.items()}
    line = {"results": results, "seconds": seconds, "options": runs.plain(options)}
    kept = {" ".join(map(str, one)): curve for one, curve in curves.items()}
    replace(out / "result.json", json.dumps({**line, "curves": kept}) + "\n")
    plot(curves, found, options, out / "loss.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(curves: dict, found: dict, options: Options, path: Path) -> None:
    """Error against updates: a row for each task, a column for each T, a line for each seed, its end marked."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    plt.rcParams["font.size"] = 12
    rows = [task for task in TASKS if getattr(options, task)]
    columns = max(len(getattr(options, task)) for task in rows)
    figure, grid = plt.subplots(
        len(rows), columns, figsize=(5.2 * columns + 2, 3.6 * len(rows)), layout="constrained", squeeze=False
    )
    colors = dict(zip(options.cells, plt.get_cmap("Dark2")(range(8)), strict=False))
    for task, places in zip(rows, grid, strict=True):
        for axes in places[len(getattr(options, task)) :]:
            axes.set_axis_off()
        for T, axes in zip(getattr(options, task), places, strict=False):
            for name in options.cells:
                every, seeds = curves[task, T, name]
                for curve, verdict in zip(seeds, found[task, T, name]["verdict"], strict=True):
                    steps = every * np.arange(1, len(curve) + 1)
                    axes.plot(steps, curve, color=colors[name], linewidth=1.6, alpha=0.8)
                    if verdict == "solved":
                        axes.plot(steps[-1], curve[-1], "o", color=colors[name], markersize=7, clip_on=False)
            threshold = found[task, T, options.cells[0]]["threshold"]
            axes.axhline(threshold, color="black", linestyle="--", linewidth=1.5)
            axes.annotate(
                f"no memory: {threshold:.3f}", (options.steps, threshold), xytext=(0, 4), ha="right", fontsize=11,
                textcoords="offset points",
            )  # fmt: skip
            axes.set(yscale="log", xlim=(0, options.steps), ylim=(threshold / 60, threshold * 6))
            axes.set_title(f"T = {T}")
            axes.spines[["top", "right"]].set_visible(False)
        places[0].set_ylabel(TASKS[task][2].replace(": ", "\n"))
    for axes in grid[-1]:
        axes.set_xlabel("updates")
    lines = [Line2D([], [], color=colors[name], linewidth=3, label=CELLS[name][1]) for name in options.cells]
    solved = Line2D([], [], color="gray", marker="o", linestyle="", label="solved")
    figure.legend(handles=[*lines, solved], loc="outside right center", frameon=False)
    runs.save_figure(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "long_memory", __doc__)
