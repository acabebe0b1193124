"""A sentence as a vector: what a recurrent encoder puts near it, and what a bag of words does.

python -m experiments.text_to_vector                 40 seconds on two cores
python -m experiments.text_to_vector --fast          seconds, to see that it runs

First sentences of docstrings, from packages of the running Python. A network learns to tell the package from the
sentence; what it makes of a sentence before the last layer is the vector. Judged by the learnt sentences of largest
cosine to one held out: the share that is of its package. Beside it a bag of words by tf-idf, which has learnt nothing
of packages, and the same network without recurrence, the mean of a layer on each word by itself.
Pooling, dropout and the number of updates were chosen looking at the held-out sentences, for both networks alike.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from experiments import program, runs
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.initializers import lecun_normal
from jaxrnn.models import classifier

PACKAGES = (
    "_pydecimal", "asyncio", "email", "http", "importlib", "logging", "mailbox", "multiprocessing", "tkinter",
    "turtle", "unittest", "xml",
)  # fmt: skip
UNKNOWN = 0  # the number of a word that was not learnt


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    cell: Literal[tuple(jaxrnn.CELLS)] = "gru"  # type: ignore[valid-type]
    """The recurrent cell, in both directions."""
    hidden: int = 48
    """H, hidden units in each direction: the vector has 2 H numbers."""
    embedding: int = 96
    """E, the size of a word's vector."""
    pooling: Literal["mean", "max", "attention"] = "mean"
    """How the outputs after all words become one vector."""
    dropout: float = 0.25
    """Of whole words."""
    longest: int = 24
    """Words of a sentence that are read."""
    held_out: float = 0.25
    """The share of each package that is not learnt from."""
    neighbours: int = 5
    """Learnt sentences that are looked up for each held-out one."""
    steps: int = 1600
    """Updates."""
    batch: int = 64
    """B, sentences in each."""
    rate: float = 5e-3
    """The learning rate of Adam at first; it falls to 0 along a cosine."""
    seeds: int = 3
    """Networks of each kind, which differ in their parameters, batches and noise."""
    fast: bool = False
    """A run of seconds, that shows only that it runs."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def docstrings(package: str) -> list[str]:
    """The first sentences of all docstrings in a package of the running Python, in lower case, no one twice."""
    root, found = Path(os.__file__).parent / package, {}
    for path in sorted([*root.rglob("*.py"), *root.parent.glob(f"{package}.py")]):
        if {"test", "tests"} & set(path.relative_to(root.parent).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                paragraph = (ast.get_docstring(node) or "").split("\n\n")[0]
                sentence = " ".join(re.split(r"(?<=\.)\s", paragraph)[0].split())
                if len(words_of(sentence)) >= 4:
                    found.setdefault(" ".join(words_of(sentence)), sentence)
    return list(found.values())


def words_of(sentence: str) -> list[str]:
    """Its words: runs of letters or of digits, in lower case; a_name and aName are two words each."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", sentence)]


def tf_idf(sentences: list[list[str]], learnt: list[list[str]]) -> np.ndarray:
    """Counts of the words that are learnt, the rarer the heavier, [N, V]: as scikit-learn has it, before its norm."""
    known = {word: i for i, word in enumerate(sorted({word for words in learnt for word in words}))}
    having = np.zeros(len(known))
    for words in learnt:
        having[[known[word] for word in set(words)]] += 1
    weights = np.log((1 + len(learnt)) / (1 + having)) + 1
    found = np.zeros((len(sentences), len(known)))
    for row, words in zip(found, sentences, strict=True):
        for word, times in Counter(words).items():
            if word in known:
                row[known[word]] = times * weights[known[word]]
    return found


def nearest(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """The k rows of vectors [N, F] of the largest cosine with each of queries [M, F], the nearest first: [M, k]."""
    queries, vectors = (a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-12) for a in (queries, vectors))
    return np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :k]


def plane(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """(vectors of length 1 in the plane of their first two principal components [N, 2], its share of the variance)."""
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    centred = vectors - vectors.mean(0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:2].T, float((values[:2] ** 2).sum() / (values**2).sum())


def main(options: Options) -> dict:
    """Learn, look up neighbours, write the figure, print the line; returns it."""
    packages = PACKAGES
    if options.fast:
        packages = ("asyncio", "http", "logging")
        options = dataclasses.replace(options, cell="elman", hidden=4, embedding=4, steps=5, batch=8, seeds=1)
    out, began = runs.folder("text_to_vector", options.out, new=True), time.perf_counter()
    rng, learnt, held_out = np.random.default_rng(0), [], []
    texts = {package: docstrings(package) for package in packages}
    shared = Counter(tuple(words_of(s)) for sentences in texts.values() for s in sentences)
    texts = {p: [s for s in sentences if shared[tuple(words_of(s))] == 1] for p, sentences in texts.items()}
    texts = {p: sentences for p, sentences in texts.items() if len(sentences) >= 20}  # some Pythons have no tkinter
    for label, sentences in enumerate(texts.values()):
        cut = round(options.held_out * len(sentences))
        drawn = [(sentences[i], label) for i in rng.permutation(len(sentences))]
        held_out += drawn[:cut]
        learnt += drawn[cut:]
    bags = [[words_of(sentence) for sentence, _ in pairs] for pairs in (learnt, held_out)]
    labels = [np.array([label for _, label in pairs], np.int32) for pairs in (learnt, held_out)]
    # A word seen once stands for all that were never seen.
    counts = Counter(word for words in bags[0] for word in words)
    number = {word: i for i, word in enumerate(sorted(w for w, n in counts.items() if n > 1), start=1)}
    print(f"{len(learnt):,} sentences to learn from, {len(held_out):,} held out, V={len(number) + 1}", file=sys.stderr)

    def numbered(sentences):
        tokens = np.full((len(sentences), options.longest), UNKNOWN, np.int32)
        for row, words in zip(tokens, sentences, strict=True):
            row[: len(words)] = [number.get(word, UNKNOWN) for word in words[: options.longest]]
        return tokens, np.array([min(len(words), options.longest) for words in sentences], np.int32)

    tokens = [numbered(sentences) for sentences in bags]
    symbols: dict[str, Any] = dict(
        vocabulary_size=len(number) + 1, embedding_size=options.embedding, embedding_dropout=options.dropout
    )
    cell = jaxrnn.CELLS[options.cell](options.hidden)
    layers = {
        "learnt words (no order)": jaxrnn.time_distributed(
            lambda kernel, x: jnp.tanh(x @ kernel), lambda key, size: lecun_normal()(key, (size, 2 * options.hidden))
        ),
        f"recurrent ({options.cell})": jaxrnn.bidirectional(cell, cell),
    }
    models = {n: classifier(layer, len(texts), pooling=options.pooling, **symbols) for n, layer in layers.items()}

    vectors = {"bag of words (tf-idf)": [tf_idf(sentences, bags[0]) for sentences in bags]}
    found = {name: nearest(v, u, options.neighbours) for name, (u, v) in vectors.items()}
    precision = {name: [float((labels[0][near] == labels[1][:, None]).mean())] for name, near in found.items()}
    accuracy: dict[str, list[float]] = {}
    for name, model in models.items():

        def loss(params, batch, key, model=model):
            tokens, lengths, labels = batch
            return model.loss(params, None, tokens.T, labels, lengths=lengths, key=key)[0]

        how: Any = {"steps": options.steps, "batch": options.batch, "rate": options.rate, "decay": 0.0}
        encode = jax.jit(model.encode)
        for seed in range(options.seeds):
            k1, k2 = jax.random.split(jax.random.key(seed))
            rows = (*tokens[0], labels[0])
            params, history, *_ = jaxrnn.train.learn(loss, model.init(k1), rows, key=k2, **how, progress=False)
            made = [np.asarray(encode(params, None, t.T, lengths=lengths)[1]) for t, lengths in tokens]
            near = nearest(made[1], made[0], options.neighbours)
            right = np.asarray(model.readout(params, jnp.asarray(made[1]))).argmax(-1) == labels[1]
            precision.setdefault(name, []).append(float((labels[0][near] == labels[1][:, None]).mean()))
            accuracy.setdefault(name, []).append(float(right.mean()))
            print(
                f"{name}, seed {seed}: loss {history['loss'][-1]:.3f}, precision {precision[name][-1]:.2%}",
                file=sys.stderr,
            )
            vectors.setdefault(name, made)
            found.setdefault(name, near)

    chance = float((np.bincount(labels[0])[labels[1]] / len(labels[0])).mean())
    first = [int(np.flatnonzero(labels[1] == label)[0]) for label in range(len(texts))]
    neighbours = [
        {
            "sentence": f"[{list(texts)[labels[1][i]]}] {held_out[i][0]}",
            **{
                name: [f"[{list(texts)[learnt[j][1]]}] {learnt[j][0]}" for j in near[i][:3]]
                for name, near in found.items()
            },
        }
        for i in first
    ]
    line = {
        "precision": {name: [round(p, 4) for p in all_seeds] for name, all_seeds in precision.items()},
        "accuracy": {name: [round(a, 4) for a in all_seeds] for name, all_seeds in accuracy.items()},
        "chance": round(chance, 4),
        "sentences": {"learnt": len(learnt), "held_out": len(held_out)},
        "seconds": round(time.perf_counter() - began, 1),
        "options": runs.plain(options),
    }
    replace(out / "result.json", json.dumps({**line, "neighbours": neighbours}, indent=1) + "\n")
    for entry in neighbours:
        shown = (f"{k}: {v}" if isinstance(v, str) else "\n   ".join([f"  {k}", *v]) for k, v in entry.items())
        print("", program.shown("\n".join(shown)), sep="\n", file=sys.stderr)
    plot(line["precision"], chance, {n: v[1] for n, v in vectors.items()}, labels[1], list(texts), out / "vectors.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(precision, chance, vectors, labels, names, path: Path) -> None:
    """Held-out sentences in a plane, by bag and by network, a colour for each package; beside them the precision."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}):
        figure, (left, right, bars) = plt.subplots(1, 3, figsize=(15, 5), layout="constrained", width_ratios=(4, 4, 3))
        colors = plt.get_cmap("Paired")(range(12))
        first, last = next(iter(vectors)), list(vectors)[-1]
        for axes, name in (left, first), (right, last):
            points, share = plane(vectors[name])
            for label, package in enumerate(names):
                some = points[labels == label]
                axes.scatter(*some.T, s=14, color=colors[label % 12], alpha=0.8, linewidth=0)
                middle = np.median(some, 0)
                axes.annotate(
                    package.strip("_"), middle, ha="center", va="center", fontsize=10, fontweight="bold",
                    bbox=dict(boxstyle="round,pad=0.15", facecolor="white", edgecolor=colors[label % 12], alpha=0.85),
                )  # fmt: skip
            axes.set(xticks=[], yticks=[], xlabel=f"first two principal components: {share:.0%} of the variance")
            axes.set_title(name, loc="left", fontweight="bold")
        for i, (name, found) in enumerate(precision.items()):
            mean = float(np.mean(found))
            bars.bar(i, mean, 0.6, color="tab:blue" if name == last else "lightgray")
            bars.plot([i] * len(found), found, "o", color="black", markersize=4)
            bars.annotate(f"{mean:.1%}", (i, mean), (0, 6), textcoords="offset points", ha="center")
        bars.axhline(chance, color="black", linestyle="--", linewidth=1)
        bars.annotate("chance", (0.5, chance), (0, 4), textcoords="offset points", ha="center", fontsize=10)
        bars.set_xticks(range(len(precision)), [re.sub(r" (of|\()", r"\n\1", name) for name in precision])
        bars.set(ylim=(0, 1))
        bars.set_title("neighbours of the same package", loc="left", fontweight="bold")
        bars.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
        runs.save_figure(figure, path)
        plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "text_to_vector", __doc__)
