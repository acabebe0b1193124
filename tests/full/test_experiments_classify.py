"""The experiments on classification: what they claim of their data, baselines against slow programs, fast runs."""

from __future__ import annotations

import collections
import gzip
import importlib
import inspect
import json
import math
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason='the extra "train" is not installed')
sys.path.insert(0, str(Path(__file__).parents[2]))  # `experiments` is run from the root of the repository

import jax

import jaxrnn
from experiments import learning, names, order_matters, sequential_digits

FAST = {
    "order_matters": (order_matters, {"accuracy", "chance", "sentences"}, "order.png"),
    "names": (names, {"accuracy", "chance", "written", "names"}, "names.png"),
    "sequential_digits": (sequential_digits, {"accuracy", "linear", "chance"}, "digits.png"),
}


@pytest.mark.usefixtures("float32_only")
@pytest.mark.parametrize("name", FAST)
def test_a_fast_run_prints_a_line_and_draws_a_figure(name, tmp_path, capsys):
    if name == "sequential_digits":
        pytest.importorskip("sklearn", reason='the extra "experiments" is not installed')
    module, keys, figure = FAST[name]
    line = module.main(module.Options(fast=True, out=tmp_path))
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed) == {**line, "out": str(tmp_path)}
    assert line.keys() == keys | {"seconds", "options"}
    result = json.loads((tmp_path / "result.json").read_text())
    assert {name: result[name] for name in line} == line
    assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")
    if name == "order_matters":
        assert line["accuracy"]["bag of words"] == [0.5]


def test_twins_have_the_same_words_and_opposite_labels():
    """So no bag of words can tell them apart; the held-out ones have opposites that no learnt sentence has together."""
    learnt, held_out = order_matters.sentences()
    for pairs in learnt, held_out:
        assert len(pairs) % 2 == 0
        for (good, yes), (bad, no) in zip(pairs[::2], pairs[1::2], strict=True):
            assert (yes, no) == (1, 0) and good != bad
            assert sorted(good.split()) == sorted(bad.split())
    assert len({sentence for sentence, _ in learnt + held_out}) == len(learnt + held_out)

    sides = {*order_matters.GOOD, *order_matters.OURS, *order_matters.BAD, *order_matters.THEIRS}
    together, unseen = ({frozenset(sides & set(s.split())) for s, _ in pairs} for pairs in (learnt, held_out))
    assert {len(pair) for pair in together | unseen} == {2}
    assert len(together) == 96 and len(unseen) == 32 and not together & unseen
    assert set().union(*unseen) == set().union(*together) == sides
    vocabulary = {word for sentence, _ in learnt for word in sentence.split()}
    assert all(word in vocabulary for sentence, _ in held_out for word in sentence.split())
    assert all(sentence in dict(held_out) for sentence in order_matters.SHOWN)


def test_pairs_of_neighbours_are_the_same_in_some_twins():
    """What the docstring says: half of these are the most that counts of neighbours can have right."""
    _, held_out = order_matters.sentences()
    same = [
        sorted(order_matters.grams(good, 2)) == sorted(order_matters.grams(bad, 2))
        for (good, _), (bad, _) in zip(held_out[::2], held_out[1::2], strict=True)
    ]
    assert sum(same) == 5 * 16
    assert order_matters.grams("a b", 2) == [("<", "a"), ("a", "b"), ("b", ">")]
    assert order_matters.grams("a b", 1) == [("a",), ("b",)]


def test_linear_is_scikit_learns_logistic_regression(rng):
    """Their C is 1 / (N penalty); the bias is not penalised in either."""
    linear_model = pytest.importorskip("sklearn.linear_model", reason='the extra "experiments" is not installed')
    xs, noise = rng.random((300, 5)), 0.4 * rng.standard_normal((300, 3))
    labels = (xs @ rng.standard_normal((5, 3)) + noise).argmax(1)
    xs *= np.array([1, 20, 3, 0.1, 5])
    train, test = (xs[:200], labels[:200]), (xs[200:], labels[200:])
    theirs = linear_model.LogisticRegression(C=1 / (200 * 1e-3), max_iter=1000, tol=1e-8)
    theirs.fit(train[0] / train[0].max(0), train[1])
    expected = theirs.score(test[0] / train[0].max(0), test[1])
    assert 0.5 < expected < 1  # neither chance nor too easy to tell
    assert learning.linear(train, test, 3) == pytest.approx(expected, abs=0.011)  # one row on the border


def write_idx(path, array, compress):
    content = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if compress else content)


@pytest.mark.parametrize("form", ["idx", "idx.gz", "npz"])
def test_mnist_by_path(form, tmp_path, rng):
    images = {split: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for split, n in (("train", 5), ("t10k", 3))}
    labels = {split: rng.integers(0, 10, len(a), dtype=np.uint8) for split, a in images.items()}
    if form == "npz":
        path = tmp_path / "mnist.npz"
        parts = zip(("train", "test"), ("train", "t10k"), strict=True)
        np.savez(path, **{f"{k}_{a}": v[b] for a, b in parts for k, v in (("x", images), ("y", labels))})
    else:
        path, end = tmp_path, ".gz" * (form == "idx.gz")
        for split in images:
            write_idx(path / f"{split}-images-idx3-ubyte{end}", images[split], bool(end))
            write_idx(path / f"{split}-labels-idx1-ubyte{end}", labels[split], bool(end))
    xs, ys, unseen, expected = sequential_digits.mnist(path)
    assert xs.shape == (5, 784) and xs.dtype == np.float32
    assert np.array_equal(np.round(xs * 255).astype(int).reshape(5, 28, 28), images["train"])
    assert np.array_equal(np.round(unseen * 255).astype(int).reshape(3, 28, 28), images["t10k"])
    assert np.array_equal(ys, labels["train"]) and np.array_equal(expected, labels["t10k"])
    with pytest.raises(FileNotFoundError, match=r"mnist: expected train-images-idx3-ubyte or .*\.gz in"):
        sequential_digits.mnist(Path(inspect.getfile(sequential_digits)).parent)


def test_names_are_split_by_class_without_a_word_in_two(tmp_path):
    found = names.unicode_names()
    counts = collections.Counter(word for words in found.values() for word in words)
    assert set(counts.values()) == {1} and min(map(len, found.values())) >= 80
    learnt, held_out = names.split(found, names.Options(most=80))
    assert not set(learnt) & set(held_out)
    assert collections.Counter(label for _, label in learnt) == dict.fromkeys(range(len(found)), 64)
    assert all(word in list(found.values())[label] for word, label in learnt + held_out)


def test_names_from_a_folder(tmp_path):
    (tmp_path / "French.txt").write_text("Béringer\nde la Fontaine\n\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"path: expected a folder with a \.txt file for each class, found 1 in"):
        names.lists(tmp_path)
    (tmp_path / "Irish.txt").write_text("O'Neal\nO'Neal\n", encoding="utf-8")
    assert names.lists(tmp_path) == {"French": {"beringer", "de la fontaine"}, "Irish": {"o'neal"}}


@pytest.mark.parametrize("n", [1, 2, 3])
def test_naive_bayes_is_that_of_the_formula(n, rng):
    """Probabilities counted anew for every letter, as products."""
    words = ["".join(rng.choice(list("abc"), rng.integers(1, 6), p=p)) for p in ([0.6, 0.2, 0.2], [0.2, 0.3, 0.5]) * 30]
    pairs = [(word, i % 2) for i, word in enumerate(words)]
    learnt, held_out = pairs[:40], pairs[40:]
    right = 0
    for word, label in held_out:
        score = []
        for c in 0, 1:
            texts = ["<" * (n - 1) + w + ">" for w, k in learnt if k == c]
            p, padded = len(texts) / 40, "<" * (n - 1) + word + ">"
            for i in range(n - 1, len(padded)):
                context, letter = padded[i - n + 1 : i], padded[i]
                seen = [t[j] for t in texts for j in range(n - 1, len(t)) if t[j - n + 1 : j] == context]
                p *= (seen.count(letter) + 0.1) / (len(seen) + 0.1 * 4)
            score.append(p)
        right += score[label] == max(score)
    assert names.naive_bayes(learnt, held_out, n, 3) == right / 20


@pytest.mark.usefixtures("float32_only")
def test_the_generator_gives_the_probability_of_what_it_writes(key):
    """Step by step, from `language_model.step`; and what is drawn has that frequency."""
    writer = names.Generator(jaxrnn.gru(4), 2, 2, 3)
    params = jax.tree.map(lambda a: 3 * a, writer.model.init(key))
    words = [(), (1,), (2,), (1, 1), (1, 2), (2, 1), (2, 2)]
    padded, lengths = (
        np.array([w + (0,) * (2 - len(w)) for w in words], np.int32),
        np.array(list(map(len, words)), np.int32),
    )
    # Only letters and END may be written: what the model gives to the symbols of classes is not a word's.
    nats = np.asarray(writer.nats(params, padded, lengths, np.full(len(words), 1, np.int32)))
    carry, logits = writer.model.step(params, writer.model.initial_carry(params), np.int32(1 + 2 + 1))
    p = np.exp(logits - jax.nn.logsumexp(logits))
    assert math.isclose(np.exp(-nats[0]), p[0], rel_tol=1e-5)
    _, after = writer.model.step(params, carry, np.int32(2))
    q = np.exp(after - jax.nn.logsumexp(after))
    assert math.isclose(np.exp(-nats[2]), p[2] * q[0], rel_tol=1e-5)
    drawn = writer.write(params, 1, 2000, 3, 1.0)
    share = sum(word == [2] for word in drawn) / 2000
    expected = p[2] / p[:3].sum() * q[0] / q[:3].sum()
    assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 2000)
    assert all(t in (1, 2) for word in drawn for t in word)


@pytest.mark.parametrize("module", FAST)
def test_commands_in_the_docstring_are_options(module):
    """Every --option that the text names exists."""
    module = importlib.import_module(f"experiments.{module}")
    named = {part[2:].strip("`,.:;") for part in module.__doc__.replace("\n", " ").split() if part.startswith("--")}
    assert {name.replace("-", "_") for name in named} <= set(inspect.signature(module.Options).parameters)
