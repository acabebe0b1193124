"""How well simple models predict the same held-out text, in bits per symbol: rulers beside a language model's figure.

All of them see what the model sees: they learn from the training symbols and predict every held-out symbol but the
first.
"""

from __future__ import annotations

import importlib.util
import math

import numpy as np


def rulers(train: np.ndarray, held_out: np.ndarray, vocabulary_size: int, train_text: str, held_out_text: str) -> dict:
    """Every ruler by name, in bits per symbol of the held-out text, the easy ones first."""
    order = min(6, int(62 / math.log2(vocabulary_size)))  # a gram must fit in 63 bits: 6 up to 1,290 symbols
    order = min(order, len(train), len(held_out))  # and in the texts
    found = {
        "uniform": math.log2(vocabulary_size),
        "unigram": ngram(train, held_out, vocabulary_size, 1),
        f"{order}-gram": ngram(train, held_out, vocabulary_size, order),
    }
    if importlib.util.find_spec("_lzma") is not None:  # some builds of Python lack it
        found["xz"] = xz(train_text, held_out_text) / len(held_out)
    return found


def xz(train: str, held_out: str) -> float:
    """The bits that xz needs for the held-out text once it has packed the training text before it."""
    import lzma

    def packed(text):
        return len(lzma.compress(text.encode("utf-8"), preset=6))

    return (packed(train + held_out) - packed(train)) * 8


def ngram(train: np.ndarray, held_out: np.ndarray, vocabulary_size: int, order: int) -> float:
    """An interpolated Kneser-Ney n-gram of `order` symbols, the last predicted from the order - 1 before it.

        p_n(c | context) = max(count(context c) - D_n, 0) / count(context) + D_n T / count(context) p_{n-1}(c | shorter)

    T is the number of different symbols seen after the context, D_n = n1 / (n1 + 2 n2) from the numbers of grams seen
    once and twice; below the highest order a gram counts once for each different symbol seen before it; p_0 is 1/V.
    Kneser and Ney 1995, interpolated as in Chen and Goodman 1999. Nothing is tuned on the held-out text.
    """
    V = np.int64(vocabulary_size)
    probability = np.full(len(held_out) - 1, 1.0 / vocabulary_size)
    tables = []  # (grams in order, counts), a gram being a number in base V
    grams, counts = np.unique(_grams(train, order, V), return_counts=True)
    for n in range(order, 0, -1):
        tables.append((n, grams, counts))
        grams, counts = np.unique(grams % V ** (n - 1), return_counts=True)
    for n, grams, counts in reversed(tables):
        starts = np.flatnonzero(np.diff(grams // V, prepend=-1))  # grams of one context stand together
        contexts, kinds = grams[starts] // V, np.diff(starts, append=len(grams))
        seen = np.add.reduceat(counts, starts)
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        discount = once / (once + 2 * twice) if once else 0.5
        # Of the held-out symbols but the first, those with n - 1 symbols before them.
        first = max(n - 1, 1)
        wanted = _grams(held_out, n, V)[first - (n - 1) :]
        at, known = _find(contexts, wanted // V)
        gram, here = _find(grams, wanted)
        lower = probability[first - 1 :]
        kept = np.maximum(counts[gram] * here - discount, 0) + discount * kinds[at] * lower
        probability[first - 1 :] = np.where(known, kept / seen[at], lower)
    return float(-np.log2(probability).mean())


def _grams(symbols: np.ndarray, n: int, V: np.int64) -> np.ndarray:
    """Each run of n symbols as one number in base V."""
    runs = np.zeros(len(symbols) - n + 1, np.int64)
    for k in range(n):
        runs = runs * V + symbols[k : len(symbols) - n + 1 + k]
    return runs


def _find(ordered: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place of each in an ordered array, and whether it is there."""
    at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    return at, ordered[at] == wanted
