"""Why gradients vanish, and what helps: how much of a loss's gradient is left k steps before it, for several cells.

python -m experiments.gradient_flow                  40 seconds on two cores
python -m experiments.gradient_flow --steps-long 200 --cells orthogonal lstm
python -m experiments.gradient_flow --fast           seconds, to see that it runs
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from experiments import program, runs
from jaxrnn import diagnostics, train
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.initializers import identity, normal, uniform_hidden

# name -> (a cell of H hidden units, how the figure calls it, its colour and line, learning rate)
CELLS: dict[str, tuple[Callable[[int], jaxrnn.Cell], str, tuple[str, str], float]] = {
    "elman": (
        lambda H: jaxrnn.elman(H, recurrent_init=uniform_hidden()),
        "tanh, uniform",
        ("#D55E00", "-"),
        1e-3,
    ),
    "orthogonal": (jaxrnn.elman, "tanh, orthogonal", ("#E69F00", "-"), 1e-3),
    "irnn": (
        lambda H: jaxrnn.elman(H, activation="relu", recurrent_init=identity(), kernel_init=normal(1e-3)),
        "relu, identity",
        ("#CC79A7", "-"),
        1e-3,
    ),
    "gated": (lambda H: jaxrnn.gated(H, update_bias=1.0), "gated", ("#009E73", "-"), 1e-2),
    "lstm_0": (lambda H: jaxrnn.lstm(H, forget_bias=0.0), "LSTM, forget bias 0", ("#0072B2", ":"), 1e-2),
    "lstm": (jaxrnn.lstm, "LSTM, forget bias 1", ("#0072B2", "-"), 1e-2),
}
MEMORYLESS = 1 / 6  # the mean squared error of who always says 1
FLOOR = 1e-30  # below it float32 soon has no numbers


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    T: int = 100
    """Steps of a sequence."""
    cells: tuple[Literal[tuple(CELLS)], ...] = tuple(CELLS)  # type: ignore[valid-type]
    """Cells."""
    hidden: int = 32
    """H, hidden units."""
    seeds: int = 3
    """Networks of each, which differ in their parameters and batches."""
    updates: int = 2000
    """Of each network's training."""
    batch: int = 32
    """B, sequences in each update."""
    sequences: int = 20_000
    """To learn from."""
    rows: int = 64
    """Fresh sequences, on which gradients are looked at."""
    fast: bool = False
    """A run of seconds, that shows only that it runs."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def adding(key: jax.Array, T: int, B: int) -> tuple[jax.Array, jax.Array]:
    """(xs [B, T, 2]: u in [0, 1] and marks, answers [B]): the sum of the two marked u, one in each half."""
    k1, k2, k3 = jax.random.split(key, 3)
    u = jax.random.uniform(k1, (B, T))
    first, second = jax.random.randint(k2, (B,), 0, T // 2), jax.random.randint(k3, (B,), T // 2, T)
    marks = jax.nn.one_hot(first, T) + jax.nn.one_hot(second, T)
    return jnp.stack([u, marks], -1), (u * marks).sum(1)


def slope(norms: np.ndarray) -> tuple[float, float]:
    """norms [k, rows] against k: (the slope of the mean log norm in nats a step, R² of the straight line).

    Only up to the first k at which some row is below what float32 can hold.
    """
    low = (norms <= FLOOR).any(1)
    logs = np.log(norms[: low.argmax() if low.any() else len(norms)]).mean(1)
    k = np.arange(len(logs))
    found = np.polyfit(k, logs, 1)
    return float(found[0]), float(1 - (logs - np.polyval(found, k)).var() / logs.var())


def examine(options: Options, name: str) -> dict[str, dict[str, list]]:
    """{"start": {"slope": [seeds], ..., "norms": [seeds, k, rows]}, "trained": ...} of one cell."""
    make, _, _, rate = CELLS[name]
    cell, T = make(options.hidden), options.T
    model = jaxrnn.models.classifier(cell, 1)

    def error(params, batch, key=None):
        xs, answers = batch
        return jnp.square(model.apply(params, None, jnp.moveaxis(xs, 0, 1))[1][:, 0] - answers).mean()

    @jax.jit
    def look(params, batch):
        """Norms by distance [k, rows], 1 at the last step; the largest Lyapunov exponent of each row."""
        xs, answers = batch
        xs = jnp.moveaxis(xs, 0, 1)

        def loss(carry, ys):  # a sum, so that each row has its own gradient
            return jnp.square(model.readout(params, ys[-1])[:, 0] - answers).sum()

        norms = diagnostics.gradient_norms(cell, params["cell"], None, xs, loss)["carry"][::-1]
        few = xs[:, :8]
        return norms / norms[0], diagnostics.lyapunov_exponents(cell, params["cell"], None, few).exponents[:, 0]

    data = adding(jax.random.key(99), T, options.sequences)
    unseen, shown = adding(jax.random.key(100), T, 500), adding(jax.random.key(101), T, options.rows)
    how: Any = {"steps": options.updates, "batch": options.batch, "rate": rate, "decay": 0.0}
    how |= {"devices": 1, "progress": False}  # two cells are learnt at a time
    found: dict[str, dict[str, list]] = {when: {} for when in ("start", "trained")}
    test, init = jax.jit(error), jax.jit(lambda key: model.init(key, 2))
    for seed in range(options.seeds):
        k1, k2 = jax.random.split(jax.random.key(seed))
        start = init(k1)
        for when, params in ("start", start), ("trained", train.learn(error, start, data, key=k2, **how).params):
            norms, exponents = (np.asarray(a, np.float64) for a in look(params, shown))
            straight = slope(norms)
            values = {
                "slope": round(straight[0], 4),
                "straight": round(straight[1], 3),
                "left": float(f"{np.median(norms[-1]):.2e}"),
                "lyapunov": round(float(exponents.mean()), 4),
                "error": round(float(test(params, unseen)), 5),
                "norms": norms,
            }
            for what, value in values.items():
                found[when].setdefault(what, []).append(value)
    print(
        f"{name}: slope {found['start']['slope']}, then {found['trained']['slope']}; error {found['trained']['error']}",
        file=sys.stderr,
    )
    return found


def main(options: Options) -> dict:
    """Look, train, look again, two cells at a time; write the figure, print the line, return it."""
    if options.fast:
        tiny = {"T": 12, "hidden": 4, "seeds": 2, "updates": 5, "batch": 4, "sequences": 50, "rows": 3}
        options = dataclasses.replace(options, cells=("orthogonal", "lstm"), **tiny)
    out, began = runs.folder("gradient_flow", options.out, new=True), time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = dict(zip(options.cells, pool.map(lambda name: examine(options, name), options.cells), strict=True))
    norms = {name: {when: np.stack(of.pop("norms")) for when, of in both.items()} for name, both in found.items()}
    line = {
        "cells": found,
        "memoryless": round(MEMORYLESS, 5),
        "seconds": round(time.perf_counter() - began, 1),
        "options": runs.plain(options),
    }
    kept = {
        name: {when: [float(f"{v:.3e}") for v in np.median(a, (0, 2))] for when, a in both.items()}
        for name, both in norms.items()
    }
    replace(out / "result.json", json.dumps({**line, "median_norms": kept}) + "\n")
    plot(found, norms, out / "flow.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(found: dict[str, Any], norms: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Norm against distance, at the start and trained: the median over seeds and rows, a band of 10 to 90%."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}):
        figure, panels = plt.subplots(1, 2, figsize=(12.5, 5), layout="constrained", sharey=True)
        titles = {"start": "at the start", "trained": "after training on the adding problem"}
        for axes, (when, title) in zip(panels, titles.items(), strict=True):
            for name, both in norms.items():
                a = np.concatenate(list(both[when]), -1)
                low, middle, high = np.quantile(np.maximum(a, FLOOR), (0.1, 0.5, 0.9), axis=1)
                _, label, (color, style), _ = CELLS[name]
                axes.plot(middle, color=color, linestyle=style, linewidth=2.4, label=f"{label}")
                axes.fill_between(range(len(middle)), low, high, color=color, alpha=0.12, linewidth=0)
            axes.axhline(1, color="black", linewidth=1, linestyle="--")
            axes.set(yscale="log", ylim=(1e-15, 1e3), xlim=(0, None), xlabel="k, steps before the loss")
            axes.set_title(title, loc="left", fontweight="bold")
            axes.grid(alpha=0.25, linewidth=0.6)
        panels[0].set_ylabel("gradient that is left: |∂L/∂carry at T-k|\nrelative to that at T")
        panels[1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        runs.save_figure(figure, path)
        plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "gradient_flow", __doc__)
