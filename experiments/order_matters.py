"""The same words in another order say the opposite: a bag of words is at chance, a recurrent network is not.

    python -m experiments.order_matters                  about 15 seconds on two cores
    python -m experiments.order_matters --cell gru --hidden 64

Sentences come in pairs of the same words with opposite labels, good news or bad:

    not bad at all , really good            not good at all , really bad
    the lions beat the bears                the bears beat the lions          (the lions are ours)
    at first the soup was so bad indeed , in the end ...    ... so good indeed , in the end ... so bad indeed

so whatever a bag of words says of one it says of the other, and it is right once in each pair: exactly at chance, by
construction. A quarter of the pairs of opposites (good and bad, lions and bears) is held out: no sentence with these
two is learnt from, though each of the two is, with others. Baselines, both logistic regression: counts of words, and
counts of pairs of neighbours, which see "not good" but not which of two came first.

Prints one line of JSON; writes to --out: that line (result.json) and the figure (order.png): accuracies, and what the
network holds after each word of two sentences.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import sys
import time
from collections import Counter
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

GOOD = ["good", "great", "lovely", "superb", "brilliant", "charming", "delightful", "splendid"]
BAD = ["bad", "awful", "dull", "poor", "terrible", "boring", "horrid", "dreadful"]
OURS = ["lions", "tigers", "eagles", "foxes", "hawks", "otters", "panthers", "wolves"]
THEIRS = ["bears", "sharks", "cobras", "rams", "bulls", "ravens", "pirates", "giants"]
THINGS = ["soup", "film", "book", "music", "play", "hotel", "trip", "service"]
HOW = ["really", "so", "quite", "rather"]

# Each with its twin: {a} and {b} change places, and good news becomes bad. Of opposites a is the good one.
OPINIONS = (
    "not {b} at all , {how} {a}",
    "{how} {a} , not {b} at all",
    "the {thing} was {a} , not {b}",
    "the {thing} was not {b} but {how} {a}",
    "i did not find the {thing} {b} , i found it {a}",
    "{a} it was , {b} it was not",
    # Here both opposites stand between the same two words: twins have the same pairs of neighbours, too.
    "{how} {a} indeed it was , {how} {b} indeed it was not",
    "at first the {thing} was {how} {b} indeed , in the end it was {how} {a} indeed",
    "in the end the {thing} was {how} {a} indeed , at first it was {how} {b} indeed",
    "they said the {thing} would be {how} {b} to us , but we found it {how} {a} to us",
    "we found the {thing} {how} {a} to us , but they said it would be {how} {b} to us",
)
MATCHES = (
    "the {a} beat the {b}",
    "the {b} were beaten by the {a}",
    "it was the {a} who beat the {b}",
    "the {b} , whom the {a} did not fear , lost",
    "the {a} won and the {b} did not",
    "the {b} lost , but the {a} did not",
)
SHOWN = ("not bad at all , really good", "not good at all , really bad")


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    cell: Literal[tuple(jaxrnn.CELLS)] = "lstm"  # type: ignore[valid-type]
    """The recurrent cell."""
    hidden: int = 32
    """H, hidden units."""
    embedding: int = 16
    """E, the size of a word's vector."""
    steps: int = 800
    """Updates."""
    batch: int = 64
    """B, sentences in each."""
    rate: float = 5e-3
    """The learning rate of Adam at first; it falls to 0 along a cosine."""
    seeds: int = 3
    """Networks, which differ in their parameters and batches."""
    fast: bool = False
    """A run of seconds, that shows only that it runs."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def sentences() -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(to learn from, held out): all sentences with their labels, 1 for good news, twins one after the other."""
    learnt, held_out = [], []
    for templates, goods, bads in (OPINIONS, GOOD, BAD), (MATCHES, OURS, THEIRS):
        for (i, a), (j, b), template in itertools.product(enumerate(goods), enumerate(bads), templates):
            # A quarter of the pairs, each word in two of them. Fillers turn with the pair: they say nothing.
            fill = {"thing": THINGS[(3 * i + 5 * j + len(template)) % 8], "how": HOW[(i + j) % 4]}
            twins = [(template.format(a=a, b=b, **fill), 1), (template.format(a=b, b=a, **fill), 0)]
            (held_out if (i - j) % 8 in (0, 3) else learnt).extend(twins)
    return learnt, held_out


def numbered(pairs: list[tuple[str, int]], words: list[str], length: int) -> tuple[np.ndarray, ...]:
    """(tokens [N, T], 0 past the end, lengths [N], labels [N])."""
    tokens = np.zeros((len(pairs), length), np.int32)
    for row, (sentence, _) in zip(tokens, pairs, strict=True):
        found = [words.index(word) for word in sentence.split()]
        row[: len(found)] = found
    lengths = np.array([len(sentence.split()) for sentence, _ in pairs], np.int32)
    return tokens, lengths, np.array([label for _, label in pairs], np.int32)


def counts(pairs: list[tuple[str, int]], n: int, known: list[tuple[str, ...]]) -> np.ndarray:
    """How often each of the `known` runs of n words is in each sentence [N, F]; an end counts as a word."""
    column = {gram: i for i, gram in enumerate(known)}
    found = np.zeros((len(pairs), len(known)), np.float32)
    for row, (sentence, _) in zip(found, pairs, strict=True):
        for gram, times in Counter(grams(sentence, n)).items():
            if gram in column:
                row[column[gram]] = times
    return found


def grams(sentence: str, n: int) -> list[tuple[str, ...]]:
    """All runs of n words."""
    words = ["<"] * (n - 1) + sentence.split() + [">"] * (n - 1)
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def main(options: Options) -> dict:
    """Train the networks and the baselines, write the figure, print the line; returns it."""
    if options.fast:
        options = dataclasses.replace(options, cell="elman", hidden=8, steps=10, seeds=1)
    out, began = runs.folder("order_matters", options.out, new=True), time.perf_counter()
    learnt, held_out = sentences()
    words = sorted({word for sentence, _ in learnt for word in sentence.split()})
    length = max(len(sentence.split()) for sentence, _ in learnt)
    train, test = (numbered(pairs, words, length) for pairs in (learnt, held_out))
    print(f"{len(learnt):,} sentences to learn from, {len(held_out):,} held out, V={len(words)}", file=sys.stderr)

    accuracy: dict[str, list[float]] = {}
    for n, name in (1, "bag of words"), (2, "pairs of neighbours"):
        known = sorted({gram for sentence, _ in learnt for gram in grams(sentence, n)})
        seen, unseen = counts(learnt, n, known), counts(held_out, n, known)
        accuracy[name] = [linear((seen, train[2]), (unseen, test[2]), 2)]

    cell = jaxrnn.CELLS[options.cell](options.hidden)
    model = classifier(cell, 2, vocabulary_size=len(words), embedding_size=options.embedding)

    def loss(params, batch, key):
        tokens, lengths, labels = batch
        return model.loss(params, None, tokens.T, labels, lengths=lengths)[0]

    how: Any = {"steps": options.steps, "batch": options.batch, "rate": options.rate, "decay": 0.0, "progress": False}
    apply, right, traces = jax.jit(model.apply), [], []

    @jax.jit
    def after_each_word(params, tokens):
        """log p(good news) - log p(bad news) after each word, from `step`: what the state holds so far."""
        _, logits = jax.lax.scan(functools.partial(model.step, params), model.initial_carry(params), tokens)
        return logits[:, 1] - logits[:, 0]

    shown = [np.array([words.index(word) for word in sentence.split()], np.int32) for sentence in SHOWN]
    for seed in range(options.seeds):
        k1, k2 = jax.random.split(jax.random.key(seed))
        params, history, *_ = jaxrnn.train.learn(loss, model.init(k1), train, key=k2, **how)
        _, logits = apply(params, None, test[0].T, lengths=test[1])
        right.append(float((np.asarray(logits).argmax(-1) == test[2]).mean()))
        traces.append([np.asarray(after_each_word(params, tokens)).tolist() for tokens in shown])
        print(
            f"{cell}, seed {seed}: loss {history['loss'][-1]:.4f}, {right[-1]:.2%} of held out right", file=sys.stderr
        )
    accuracy[options.cell] = right

    line = {
        "accuracy": {name: [round(a, 4) for a in found] for name, found in accuracy.items()},
        "chance": 0.5,
        "sentences": {"learnt": len(learnt), "held_out": len(held_out)},
        "seconds": round(time.perf_counter() - began, 1),
        "options": runs.plain(options),
    }
    replace(out / "result.json", json.dumps({**line, "shown": dict(zip(SHOWN, traces[0], strict=True))}) + "\n")
    plot(accuracy, traces[0], out / "order.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(accuracy: dict, traces: list[list[float]], path: Path) -> None:
    """Accuracies as bars, a dot for each seed; beside them the evidence after each word of two sentences."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}):
        figure, (bars, lines) = plt.subplots(1, 2, figsize=(12, 4.6), layout="constrained", width_ratios=(2, 3))
        for i, found in enumerate(accuracy.values()):
            mean = float(np.mean(found))
            bars.bar(i, mean, 0.6, color="tab:blue" if i == 2 else "lightgray")
            bars.plot([i] * len(found), found, "o", color="black", markersize=4)
            bars.annotate(f"{mean:.1%}", (i, mean), (0, 6), textcoords="offset points", ha="center")
        bars.axhline(0.5, color="black", linestyle="--", linewidth=1)
        bars.annotate("chance", (0.5, 0.5), (0, 4), textcoords="offset points", ha="center", fontsize=10)
        bars.set_xticks(range(len(accuracy)), [name.replace(" ", "\n", 1) for name in accuracy])
        bars.set(ylim=(0, 1.1), title="held-out sentences right")
        bars.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")

        reach = 1.35 * max(abs(v) for trace in traces for v in trace)
        for trace, sentence, color, up in zip(traces, SHOWN, ("tab:green", "tab:red"), (1, -1), strict=True):
            steps = range(len(trace))
            lines.plot(steps, trace, "o-", color=color, linewidth=2.5)
            for t, word in enumerate(sentence.split()):
                place = (t, trace[t]), (0, up * 12)
                style = {"textcoords": "offset points", "ha": "center", "va": "center", "color": color}
                lines.annotate(word.strip(","), *place, fontsize=14, fontweight="bold", **style)
        lines.axhline(0, color="black", linewidth=1)
        lines.set(ylim=(-reach, reach), xlim=(-0.5, len(traces[0]) - 0.5), xticks=[], xlabel="words, as they are read")
        lines.set(ylabel="log odds: bad news   …   good news", title="two held-out sentences of the same words")
        runs.save_figure(figure, path)
        plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "order_matters", __doc__)
