"""Every cell with as many parameters as every other, on four small tasks: which one is worth trying first?

    python -m experiments.which_cell                              every cell, three seeds: hours on two cores
    python -m experiments.which_cell --cells gru lem --seeds 1    some of them: 86 s of processor time
    python -m experiments.which_cell --fast                       seconds, to see that it runs

adding    two marked numbers among 200 are to be added (Hochreiter and Schmidhuber 1997): mean squared error, over 1/6,
          that of always answering 1
tracking  the parity of a row of bits so far, learnt up to 40 of them: share of wrong answers at 41 to 80, over 1/2
text      the next character of Python's own library, in pieces of 64: bits on held-out text, over 5
series    the next value of a sum of two sines of unknown periods, seen under noise: squared error, over 1, which is
          that of always answering 0

So 1 is what is had without a memory, or close to it, and 0 is perfect: out of reach in text and series. All cells have
the same number of parameters, within a few per cent, readout and embedding aside; the same batches, updates, optimizer
and learning rate, and nothing was chosen for any of them: a cell that wants another rate, a longer training or an
initialization of its own for a task is told short here. The table ranks cells on these four tasks, under this budget,
and says nothing beyond them. Cells over images, and those that learn nothing by gradients, are left out.

Prints one line of JSON; writes to --out: that line (result.json), a table (table.md), and cells.png.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import inspect
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from experiments import program, runs
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.cli.texts import standard_library

LEFT_OUT = {
    name: "its inputs are images" if "shape" in inspect.signature(make).parameters else "it is not trained"
    for name, make in jaxrnn.CELLS.items()
    if "shape" in inspect.signature(make).parameters or name == "echo_state"
}
CELLS = tuple(name for name in jaxrnn.CELLS if name not in LEFT_OUT)


@dataclasses.dataclass(frozen=True)
class Options:
    cells: tuple[Literal[CELLS], ...] = CELLS  # type: ignore[valid-type]
    """Those that are compared."""
    tasks: tuple[Literal["adding", "tracking", "text", "series"], ...] = ("adding", "tracking", "text", "series")
    """Those that they are put to."""
    parameters: int = 10_000
    """Of each cell: H is the largest that needs no more."""
    seeds: int = 3
    """Runs of each."""
    steps: int = 400
    """Updates."""
    batch: int = 32
    """B, rows of an update."""
    rate: float = 5e-3
    """Of Adam, at first; it falls to 0 along a cosine."""
    fast: bool = False
    """A tiny run, which learns nothing, to see that all is well."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


class Task(NamedTuple):
    """A task: `draw(key, B, unseen) -> (xs [T, B, D], targets)`, and what an answer costs, learning and asked."""

    inputs: int  # D, features of x
    outputs: int
    draw: Callable[[jax.Array, int, bool], tuple[Any, Any]]
    loss: Callable[[Any, Any], jax.Array]  # (answers [T, B, outputs], targets) -> []
    score: Callable[[Any, Any], jax.Array]  # the same, 1 for none


def adding(T: int) -> Task:
    def draw(key, B, unseen):
        k1, k2, k3 = jax.random.split(key, 3)
        first, second = jax.random.randint(k2, (B,), 0, T // 2), jax.random.randint(k3, (B,), T // 2, T)
        marks = jax.nn.one_hot(first, T, axis=0) + jax.nn.one_hot(second, T, axis=0)
        u = jax.random.uniform(k1, (T, B))
        return jnp.stack([u, marks], -1), (u * marks).sum(0)

    def error(answers, targets):
        return jnp.square(answers[-1, :, 0] - targets).mean()

    return Task(2, 1, draw, error, lambda *a: 6 * error(*a))


def tracking(T: int) -> Task:
    def draw(key, B, unseen):
        bits = jax.random.bernoulli(key, 0.5, (2 * T if unseen else T, B))
        return jax.nn.one_hot(bits.astype(int), 2), bits.cumsum(0) % 2

    def loss(answers, targets):
        return optax.softmax_cross_entropy_with_integer_labels(answers, targets).mean()

    return Task(2, 2, draw, loss, lambda answers, targets: 2 * (answers.argmax(-1) != targets)[T:].mean())


def text(T: int, size: int = 300_000, features: int = 24) -> Task:
    """Characters as fixed random vectors, so that nothing but the cell is learnt below the readout."""
    written = "".join(standard_library())[:size]
    known = sorted(set(written))
    codes = np.searchsorted(known, list(written)).astype(np.int32)
    learnt, held_out = (jnp.asarray(part) for part in np.split(codes, [len(codes) * 9 // 10]))
    vectors = jnp.asarray(np.random.default_rng(0).standard_normal((len(known), features)), jnp.float32)

    def draw(key, B, unseen):
        part = held_out if unseen else learnt
        at = jax.random.randint(key, (B,), 0, len(part) - T) + jnp.arange(T + 1)[:, None]
        return vectors[part[at[:-1]]], part[at[1:]]

    def loss(answers, targets):
        return optax.softmax_cross_entropy_with_integer_labels(answers, targets).mean()

    return Task(features, len(known), draw, loss, lambda *a: loss(*a) / np.log(2) / 5)


def series(T: int, noise: float = 0.5) -> Task:
    def draw(key, B, unseen):
        k1, k2, k3 = jax.random.split(key, 3)
        periods = jnp.exp(jax.random.uniform(k1, (2, B), minval=np.log(4), maxval=np.log(40)))
        turns = jnp.arange(T + 1)[:, None, None] / periods + jax.random.uniform(k2, (2, B))
        clean = jnp.sin(2 * jnp.pi * turns).sum(1)
        seen = clean + noise * jax.random.normal(k3, clean.shape)
        return seen[:-1, :, None], clean[1:] if unseen else seen[1:]

    def error(answers, targets):
        return jnp.square(answers[..., 0] - targets).mean()

    return Task(1, 1, draw, error, error)


TASKS: dict[str, Callable[[bool], Task]] = {
    "adding": lambda fast: adding(10 if fast else 200),
    "tracking": lambda fast: tracking(5 if fast else 40),
    "text": lambda fast: text(8 if fast else 64, 3000 if fast else 300_000),
    "series": lambda fast: series(8 if fast else 100),
}


def sized(name: str, inputs: int, parameters: int) -> tuple[jaxrnn.Cell, int]:
    """The largest cell of that name with at most so many parameters, or the smallest there is, and how many it has."""

    def count(H):
        try:
            cell = jaxrnn.CELLS[name](H)
            shapes = jax.eval_shape(lambda key: cell.init(key, inputs), jax.random.key(0))
        except ValueError:  # a size that its heads, or its groups, do not divide
            return None
        return sum(a.size for a in jax.tree.leaves(shapes))

    low, high = 0, 4096 // 8  # in eights, which all cells take
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (count(8 * middle) or 0) <= parameters else (low, middle)
    sizes = {H: found for H in range(max(1, 8 * low), 8 * low + 9) if (found := count(H))}
    H = max((H for H in sizes if sizes[H] <= parameters), default=min(sizes))
    return jaxrnn.CELLS[name](H), sizes[H]


def examine(options: Options, name: str, task_name: str, task: Task) -> dict[str, Any]:
    """All seeds of one cell on one task: its size, and scores [seeds]."""
    cell, count = sized(name, task.inputs, options.parameters)

    @jax.jit
    def init(key):
        k1, k2 = jax.random.split(key)
        params = cell.init(k1, task.inputs)
        like = jax.ShapeDtypeStruct((task.inputs,), jnp.float32)
        width = jax.eval_shape(lambda p, x: cell.step(p, cell.initial_carry(p), x)[1], params, like).shape[-1]
        kernel = jaxrnn.initializers.glorot_uniform()(k2, (width, task.outputs), jnp.float32)
        return {"cell": params, "kernel": kernel, "bias": jnp.zeros(task.outputs)}

    def answer(params, xs):
        return jaxrnn.unroll(cell, params["cell"], None, xs)[1] @ params["kernel"] + params["bias"]

    def batch(key):
        return task.draw(key, options.batch, False)

    def loss(params, batch, key):
        return task.loss(answer(params, batch[0]), batch[1])

    @jax.jit
    def score(params):
        xs, targets = task.draw(jax.random.key(12345), 16 * options.batch, True)
        return task.score(answer(params, xs), targets)

    def learn(key):
        k1, k2 = jax.random.split(key)
        how: Any = {"rate": options.rate, "decay": 0.0, "devices": 1, "progress": False}
        try:
            return score(jaxrnn.train.learn(loss, init(k1), batch, key=k2, steps=options.steps, **how).params)
        except jaxrnn.train.NotFinite:
            return np.nan

    began = time.perf_counter()
    scores = [float(learn(jax.random.key(seed))) for seed in range(options.seeds)]
    took = time.perf_counter() - began
    print(f"{name} {task_name}: {', '.join(f'{s:.3f}' for s in scores)} ({took:.0f} s)", file=sys.stderr)
    return {
        "hidden": cell.options["hidden_size"],
        "parameters": count,
        "scores": [round(s, 4) for s in scores],
        "seconds": round(took, 1),
    }


def main(options: Options) -> dict:
    """Train all of them, two at a time; write the table and the figure, print the line, return it."""
    if options.fast:
        options = dataclasses.replace(options, parameters=300, seeds=2, steps=3, batch=2, cells=options.cells[:3])
    out = runs.folder("which_cell", options.out, new=True)
    tasks = {name: TASKS[name](options.fast) for name in options.tasks}
    asked = [(cell, task) for cell in options.cells for task in options.tasks]
    began = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda one: examine(options, one[0], one[1], tasks[one[1]]), asked))
    results: dict[str, dict] = {}
    for (cell, task), one in zip(asked, found, strict=True):
        results.setdefault(cell, {})[task] = one
    line = {
        "results": {cell: {task: one["scores"] for task, one in each.items()} for cell, each in results.items()},
        "seconds": round(time.perf_counter() - began, 1),
        "options": runs.plain(options),
    }
    replace(out / "result.json", json.dumps({**line, "detail": results, "left_out": LEFT_OUT}) + "\n")
    replace(out / "table.md", table(results, options.tasks))
    plot(results, options.tasks, out / "cells.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def median(one: dict[str, Any]) -> float:
    """Of the seeds; a run that diverged counts as worse than any other."""
    return float(np.median(np.nan_to_num(one["scores"], nan=np.inf)))


def ranked(results: dict[str, dict], tasks: tuple[str, ...]) -> list[str]:
    """Cells by their mean rank over the tasks, the best first."""
    places = np.mean([np.argsort(np.argsort([median(one[t]) for one in results.values()])) for t in tasks], axis=0)
    return [name for _, name in sorted(zip(places, results, strict=True))]


def table(results: dict[str, dict], tasks: tuple[str, ...]) -> str:
    """Markdown: a row for each cell, the median of its seeds and their range."""
    lines = [f"| cell | H | {' | '.join(tasks)} |", f"|---|---|{'---|' * len(tasks)}"]
    for name in ranked(results, tasks):
        ones = [results[name][task] for task in tasks]
        cells = [f"{median(one):.3f} ({min(one['scores']):.3f} to {max(one['scores']):.3f})" for one in ones]
        sizes = sorted({one["hidden"] for one in ones})
        lines.append(f"| `{name}` | {' to '.join(map(str, sizes[:: max(1, len(sizes) - 1)]))} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, dict], tasks: tuple[str, ...], path: Path) -> None:
    """A row for each cell, the best on top; a panel for each task, the seeds as dots."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    names = ranked(results, tasks)[::-1]
    figure, axes = plt.subplots(
        1, len(tasks), figsize=(2 + 2.6 * len(tasks), 1.2 + 0.17 * len(names)), sharey=True, layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for panel, task in zip(axes[0], tasks, strict=True):
        for row, name in enumerate(names):
            scores = np.clip(np.nan_to_num(results[name][task]["scores"], nan=2.0), 0, 1.5)
            panel.plot(scores, [row] * len(scores), "o", color="#0072B2", markersize=3, alpha=0.7)
        panel.axvline(1, color="black", linestyle="--", linewidth=0.8)
        panel.set(title=task, xlim=(-0.03, 1.53), ylim=(-1, len(names)))
        panel.grid(axis="y", color="0.9", linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel("0: perfect, 1: no memory")
    axes[0, 0].set_yticks(range(len(names)), names, fontsize=8)
    runs.save_figure(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "which_cell", __doc__)
