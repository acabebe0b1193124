"""The probability integral transform F(y): uniform, if what comes is drawn from the forecasts F (Dawid 1984)."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrnn.forecast._averages import chances, like, number


def pit_samples(samples: Any, target: Any, rng: np.random.Generator | None = None) -> np.ndarray:
    """F(y) by the rank of the target among samples: samples [..., K, S], target [..., K] -> [..., K], NaN if missing.

        (samples below y + v (samples equal to y + 1)) / (S + 1)

    with v uniform by `rng`, so that it is uniform also for counts, where many are equal (Czado, Gneiting and Held
    2009), or 1/2 without `rng`.
    """
    target = number(target, "target")
    x = like(samples, "samples", target, np.shape(samples)[-1] if np.ndim(samples) else 0)
    y = target[..., None]
    v = 0.5 if rng is None else rng.random(target.shape)
    rank = (x < y).sum(-1) + v * ((x == y).sum(-1) + 1)
    return _known(rank / (x.shape[-1] + 1), target, x)


def pit_quantiles(
    quantiles: Any, probabilities: Any, target: Any, rng: np.random.Generator | None = None
) -> np.ndarray:
    """F(y) between quantiles [..., K, Q] at probabilities [Q], in a straight line; target [..., K] -> [..., K].

    Outside the outermost quantiles nothing but the probability of the tail is known: uniform within it by `rng`, or
    its middle without. So it is where the target equals several quantiles. Quantiles that cross are sorted.
    For a histogram give `pit_histogram` the probabilities as edges: within a bin that no quantile divides F is guessed.
    """
    p, target = chances(probabilities), number(target, "target")
    q = np.sort(like(quantiles, "quantiles", target, len(p)), -1)
    y, Q = target[..., None], len(p)
    below, upto = (q < y).sum(-1), (q <= y).sum(-1)
    ends = np.concatenate([[0], p, [1]])
    tied, inner = upto > below, (below > 0) & (below < Q)

    def take(a, i):
        return np.take_along_axis(a, np.clip(i, 0, Q - 1)[..., None], -1)[..., 0]

    left, right = take(q, below - 1), take(q, below)
    part = np.divide(target - left, right - left, out=np.zeros_like(target), where=inner & ~tied)
    first = np.where(tied, ends[np.minimum(below + 1, Q)], ends[below])
    last = np.where(tied, ends[upto], ends[below + 1])
    v = 0.5 if rng is None else rng.random(target.shape)
    part = np.where(inner & ~tied, part, v)
    return _known(first + part * (last - first), target, q)


def pit_histogram(values: Any, bins: Any = 10) -> tuple[np.ndarray, np.ndarray]:
    """(density [bins], edges [bins + 1]) of values of F(y), NaN left out: a density of 1 in each bin is calibrated.

    A hump says that the forecasts are too wide, a U too narrow, a slope that they are biased. bins: a number, or edges
    from 0 to 1. Where there is no value the density is NaN.
    """
    values = number(values, "values")
    edges = np.linspace(0, 1, bins + 1) if isinstance(bins, int) else number(bins, "bins")
    counts, edges = np.histogram(values[~np.isnan(values)], edges)
    total = counts.sum()
    return (counts / total if total else np.full(len(counts), np.nan)) / np.diff(edges), edges


def _known(u, target, forecast):
    return np.where(np.isnan(target) | np.isnan(forecast).any(-1), np.nan, u)
