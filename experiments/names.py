"""Which script is a letter's name from? And the other way round: new names for a script.

    python -m experiments.names                            about 45 seconds on two cores
    python -m experiments.names --path FOLDER              one file for each class, a name on each line: French.txt, ...

Every Python knows what Unicode calls its characters: Ethiopic has "qhwee" and "bwee", Yi "jjurx", Hangul "gaelb",
cuneiform "lugal", and what an emoji is called is plain English. Two models learn from the same words:

    classifier    letters -> which script                  p(script | word), a `models.classifier`
    generator     script -> letters, one after another     p(word | script), a `models.language_model` that reads the
                  script as the first of its symbols, and then what it has written itself

The generator is the classifier turned round, and can be turned back: by Bayes' rule the script of a word is that which
would most likely have written it. What it writes is judged by the classifier, and by how many names that were held out
it finds. Names that several scripts have ("ka") are left out. Baseline: naive Bayes on runs of 1, 2 and 3 letters,
which for words so short is a strong one: with runs of 2 it has 93.7% of the held-out names right, the classifier 94.9%,
and the generator turned back 92.1% (means of three seeds; one name is 0.17%).

With the surnames of 18 languages that PyTorch's tutorial has, `--path data/names` is its task.

Prints one line of JSON; writes to --out: that line with the words (result.json) and the figure (names.png).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from experiments import program, runs
from jaxrnn import decode
from jaxrnn._core.files import replace
from jaxrnn._core.optional import optional
from jaxrnn.data import read_text
from jaxrnn.models import classifier, language_model

# Ranges that Unicode filled years ago; names never change. The last word of a name is what the letter is called, and
# all words of an emoji's are English.
SCRIPTS = {
    "canadian": (0x1400, 0x1680),
    "cuneiform": (0x12000, 0x1239A),
    "emoji": (0x1F300, 0x1F64B),
    "ethiopic": (0x1200, 0x13A0),
    "hangul": (0xAC00, 0xD7A4),
    "vai": (0xA500, 0xA62C),
    "yi": (0xA000, 0xA48D),
}
END = 0  # the symbol after a word's last letter


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    path: Path | None = None
    """A folder with one .txt file for each class. None: names of Unicode's characters by script."""
    cell: Literal[tuple(jaxrnn.CELLS)] = "gru"  # type: ignore[valid-type]
    """The recurrent cell of both models."""
    hidden: int = 64
    """H, hidden units."""
    embedding: int = 16
    """E, the size of a letter's vector."""
    dropout: float = 0.5
    """Of what goes out of the cell."""
    most: int = 800
    """Names of a class; of more, a sample is drawn."""
    held_out: float = 0.2
    """The share of each class that is not learnt from."""
    steps: int = 3000
    """Updates of each model."""
    batch: int = 64
    """B, names in each."""
    rate: float = 5e-3
    """The learning rate of Adam at first; it falls to 0 along a cosine."""
    seeds: int = 3
    """Models of each kind, which differ in their parameters, batches and noise."""
    write: int = 100
    """Names to write for each class."""
    temperature: float = 0.8
    """Of those."""
    fast: bool = False
    """A run of seconds, that shows only that it runs."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def unicode_names() -> dict[str, set[str]]:
    """What characters are called, by script: only letters, at most 12, and only what one script has."""
    found: dict[str, set[str]] = {}
    for script, (first, last) in SCRIPTS.items():
        names = (unicodedata.name(chr(c), "").lower() for c in range(first, last))
        words = (re.split("[ -]", name)[0 if script == "emoji" else -1 :] for name in names)
        found[script] = {word for name in words for word in name if re.fullmatch("[a-z]{1,12}", word)}
    scripts = Counter(word for words in found.values() for word in words)
    return {script: {word for word in words if scripts[word] == 1} for script, words in found.items()}


def lists(folder: Path) -> dict[str, set[str]]:
    """The lines of each .txt file by its name, in lower case, without accents. Exits where there are no two."""
    found = {}
    for path in sorted(folder.glob("*.txt")):
        lines = unicodedata.normalize("NFKD", read_text(path)[0]).lower().splitlines()
        found[path.stem] = {re.sub(r"[^a-z' -]", "", line).strip() for line in lines} - {""}
        if not found[path.stem]:
            sys.exit(f"path: expected a name of letters a to z on each line, found none in {path}")
    if len(found) < 2:
        sys.exit(f"path: expected a folder with a .txt file for each class, found {len(found)} in {folder}")
    return found


def split(names: dict[str, set[str]], options: Options) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(to learn from, held out): pairs of a name and the number of its class."""
    rng, learnt, held_out = np.random.default_rng(0), [], []
    for number, words in enumerate(names.values()):
        drawn = rng.permutation(sorted(words))[: options.most].tolist()
        cut = round(len(drawn) * options.held_out)
        held_out += [(word, number) for word in drawn[:cut]]
        learnt += [(word, number) for word in drawn[cut:]]
    return learnt, held_out


def numbered(pairs: list[tuple[str, int]], letters: str, length: int) -> dict[str, np.ndarray]:
    """words [N, length] int with END past the end, lengths [N], labels [N]."""
    words = np.full((len(pairs), length), END, np.int32)
    for row, (word, _) in zip(words, pairs, strict=True):
        row[: len(word)] = [letters.index(letter) + 1 for letter in word]
    lengths = np.array([len(word) for word, _ in pairs], np.int32)
    return {"words": words, "lengths": lengths, "labels": np.array([label for _, label in pairs], np.int32)}


def naive_bayes(learnt: list[tuple[str, int]], held_out: list[tuple[str, int]], n: int, letters: int) -> float:
    """Accuracy of argmax over classes of log p(class) + sum of log p(letter | n - 1 before, class), add 0.1."""

    def runs_of(word: str) -> list[str]:
        padded = "<" * (n - 1) + word + ">"
        return [padded[i : i + n] for i in range(len(word) + 1)]

    classes = Counter(label for _, label in learnt)
    grams: dict[int, Counter] = {label: Counter() for label in classes}
    for word, label in learnt:
        grams[label].update(runs_of(word))
    contexts = {label: Counter() for label in classes}
    for label, found in grams.items():
        for gram, count in found.items():
            contexts[label][gram[:-1]] += count

    def score(word: str, label: int) -> float:
        each = (
            math.log((grams[label][g] + 0.1) / (contexts[label][g[:-1]] + 0.1 * (letters + 1))) for g in runs_of(word)
        )
        return math.log(classes[label]) + sum(each)

    right = sum(label == max(classes, key=lambda c: score(word, c)) for word, label in held_out)
    return right / len(held_out)


class Generator:
    """A language model over END, letters and classes; a word is the symbol of its class, its letters, END."""

    def __init__(self, cell: jaxrnn.Cell, letters: int, classes: int, embedding: int):
        self.letters, self.classes = letters, classes
        self.model = language_model(cell, 1 + letters + classes, embedding)

    def nats(self, params: Any, words: Any, lengths: Any, labels: Any, key: Any = None) -> jax.Array:
        """-log p(word, END | class) [N]."""
        targets = jnp.concatenate([words, jnp.full_like(words[:, :1], END)], 1).T
        tokens = jnp.concatenate([1 + self.letters + labels[None], words.T])
        _, logits = self.model.apply(params, None, tokens, lengths=lengths + 1, key=key)
        each = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        return jnp.where(jnp.arange(len(targets))[:, None] <= lengths, each, 0).sum(0)

    def write(self, params: Any, label: int, count: int, longest: int, temperature: float) -> list[list[int]]:
        """The letters of `count` words of a class."""
        prime = np.full((1, count), 1 + self.letters + label, np.int32)
        allowed = np.arange(self.model.vocabulary_size) <= self.letters
        carry, key = self.model.initial_carry(params, (count,)), jax.random.key(label)
        choose = decode.sampling(temperature)
        how = {"key": key, "choose": choose, "end": END, "pad": END, "allowed": allowed}
        _, tokens = decode.generate(self.model.step, params, carry, prime, longest, **how)
        return [[t for t in row if t != END] for row in np.asarray(tokens).T.tolist()]


def main(options: Options) -> dict:
    """Train both models and the baselines, write names, the figure and the line; returns the line."""
    if options.fast:
        options = dataclasses.replace(options, cell="elman", most=20, hidden=4, steps=3, seeds=1, write=5)
    began = time.perf_counter()
    names = unicode_names() if options.path is None else lists(options.path)
    learnt, held_out = split(names, options)
    for label, name in enumerate(names):
        left = sum(number == label for _, number in learnt)
        if not left or not held_out:
            sys.exit(
                f"held_out: expected a share that holds some names out and leaves some of {name}, got "
                f"{options.held_out}, which holds out {len(held_out)} and leaves {left}; longer lists may help"
            )
    out = runs.folder("names", options.out, new=True)
    letters = "".join(sorted({letter for word, _ in learnt + held_out for letter in word}))
    longest = max(len(word) for word, _ in learnt + held_out)
    train, test = (numbered(pairs, letters, longest) for pairs in (learnt, held_out))
    print(f"{len(names)} classes: {len(learnt):,} names learnt, {len(held_out):,} held out", file=sys.stderr)

    accuracy = {
        f"runs of {n} letter{'s' * (n > 1)}": [naive_bayes(learnt, held_out, n, len(letters))] for n in (1, 2, 3)
    }
    cell = jaxrnn.dropout(jaxrnn.CELLS[options.cell](options.hidden), output=options.dropout)
    reader = classifier(
        cell,
        len(names),
        vocabulary_size=1 + len(letters),
        embedding_size=options.embedding,
        embedding_dropout=options.dropout / 3,
    )
    writer = Generator(cell, len(letters), len(names), options.embedding)
    prior = np.log(np.bincount(train["labels"]) / len(learnt))

    def read_loss(params, batch, key):
        return reader.loss(params, None, batch["words"].T, batch["labels"], lengths=batch["lengths"], key=key)[0]

    def write_loss(params, batch, key):
        return writer.nats(params, **batch, key=key).sum() / (batch["lengths"] + 1).sum()

    def learn(model, loss, key):
        k1, k2 = jax.random.split(key)
        how: Any = {"steps": options.steps, "batch": options.batch, "rate": options.rate, "decay": 1e-3}
        return jaxrnn.train.learn(loss, model.init(k1), train, key=k2, **how, progress=False)

    @jax.jit
    def read(params, words, lengths):
        return reader.apply(params, None, words.T, lengths=lengths)[1].argmax(-1)

    @jax.jit
    def read_by_writing(params, words, lengths):
        def under(label):
            return writer.nats(params, words, lengths, jnp.full(len(words), label))

        return (prior[:, None] - jax.lax.map(under, jnp.arange(len(names)))).argmax(0)

    reading, turned, confusion = [], [], np.zeros((len(names), len(names)))
    for seed in range(options.seeds):
        k1, k2 = jax.random.split(jax.random.key(seed))
        learnt_to_read = learn(reader, read_loss, k1)
        params = learnt_to_read.params
        found = np.asarray(read(params, test["words"], test["lengths"]))
        reading.append(float((found == test["labels"]).mean()))
        np.add.at(confusion, (test["labels"], found), 1)
        if seed == 0:
            judge = params
        learnt_to_write = learn(writer.model, write_loss, k2)
        params = learnt_to_write.params
        found = np.asarray(read_by_writing(params, test["words"], test["lengths"]))
        turned.append(float((found == test["labels"]).mean()))
        if seed == 0:
            author = params
        print(
            f"seed {seed}: classifier {reading[-1]:.2%} (loss {learnt_to_read.history['loss'][-1]:.3f}), "
            f"generator turned round {turned[-1]:.2%} (loss {learnt_to_write.history['loss'][-1]:.3f})",
            file=sys.stderr,
        )
    accuracy |= {f"{options.cell} reads": reading, f"{options.cell} writes": turned}

    written = {}
    for number, name in enumerate(names):
        spelt = writer.write(author, number, options.write, longest, options.temperature)
        written[name] = ["".join(letters[t - 1] for t in word) for word in spelt]
    pairs = [(word, number) for number, words in enumerate(written.values()) for word in words if word]
    judged = numbered(pairs, letters, longest)
    known, unseen = set(learnt), set(held_out)
    line = {
        "accuracy": {name: [round(a, 4) for a in found] for name, found in accuracy.items()},
        "chance": round(max(Counter(label for _, label in held_out).values()) / len(held_out), 4),
        "written": {
            "taken_for_their_class": round(
                float((np.asarray(read(judge, judged["words"], judged["lengths"])) == judged["labels"]).mean()), 4
            ),
            "not_learnt": round(sum(pair not in known for pair in pairs) / max(1, len(pairs)), 4),
            "held_out_found": len(unseen & set(pairs)),
        },
        "names": {"classes": len(names), "learnt": len(learnt), "held_out": len(held_out)},
        "seconds": round(time.perf_counter() - began, 1),
        "options": runs.plain(options),
    }
    replace(out / "result.json", json.dumps({**line, "words": written, "confusion": confusion.tolist()}) + "\n")
    new = {
        name: list(dict.fromkeys(w for w in words if (w, i) not in known))
        for i, (name, words) in enumerate(written.items())
    }
    plot(accuracy, confusion, new, out / "names.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def plot(accuracy: dict, confusion: np.ndarray, new: dict[str, list[str]], path: Path) -> None:
    """How much is right, a dot for each seed; what is taken for what; and names that were not learnt."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    with plt.rc_context({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}):
        figure, (bars, matrix) = plt.subplots(1, 2, figsize=(14, 5), layout="constrained", width_ratios=(1, 2))
        for i, found in enumerate(accuracy.values()):
            mean = float(np.mean(found))
            bars.barh(-i, mean, 0.62, color="lightgray" if i < 3 else "tab:blue")
            bars.plot(found, [-i] * len(found), "o", color="black", markersize=4)
            bars.annotate(
                f"{mean:.1%}", (0.02, -i), va="center", color="black" if i < 3 else "white", fontweight="bold"
            )
        bars.set_yticks([-i for i in range(len(accuracy))], list(accuracy))
        bars.set(xlim=(0, 1), title="held-out names right")
        bars.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")

        share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
        matrix.imshow(share, cmap="Blues", vmin=0, vmax=1.3)
        for (i, j), value in np.ndenumerate(share):
            if value >= 0.01:
                matrix.annotate(f"{value:.0%}", (j, i), ha="center", va="center", fontsize=9)
        matrix.set_xticks(range(len(new)), list(new), rotation=45, ha="right")
        matrix.set_yticks(range(len(new)), list(new))
        matrix.spines[:].set_visible(False)
        matrix.set(ylabel="is", xlabel="taken for", title="by the classifier, all seeds")
        for row, words in enumerate(new.values()):
            shown = words[:12]
            while len("  ".join(shown)) > 48:
                shown.pop()
            place = (len(new) - 0.3, row)
            matrix.annotate("  ".join(shown), place, va="center", color="tab:orange", annotation_clip=False)
        style = {"color": "tab:orange", "fontsize": 14, "annotation_clip": False}
        matrix.annotate("and new names by the generator", (len(new) - 0.3, -0.75), **style)
        runs.save_figure(figure, path)
        plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "names", __doc__)
