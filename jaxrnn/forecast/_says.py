"""What a forecast says of the steps after a series: quantiles, or a mean and the deviation of a normal distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from jaxrnn.forecast._averages import chances, share


def probabilities_of(levels: Sequence[float]) -> tuple[float, ...]:
    """The probabilities of the median and of both ends of the central interval of each level, increasing."""
    ends = [share(level) / 2 for level in levels]
    return tuple(sorted({0.5, *(round(0.5 + e, 12) for e in ends), *(round(0.5 - e, 12) for e in ends)}))


class Quantiles(NamedTuple):
    """The quantiles of forecasts, and their mean."""

    mean: Any  # [..., K]
    values: Any  # [..., K, Q]
    probabilities: tuple[float, ...]  # Q of them, increasing

    def quantile(self, probability: float) -> Any:
        """One of the quantiles [..., K]; ValueError if it is not among them."""
        at = np.flatnonzero(np.isclose(self.probabilities, probability, rtol=0, atol=1e-9))
        if not len(at):
            raise ValueError(f"probability: expected one of {self.probabilities}, got {probability}")
        return np.asarray(self.values)[..., at[0]]

    def interval(self, level: float) -> tuple[Any, Any]:
        """The ends [..., K] of the central interval that is to hold the share `level`."""
        half = share(level) / 2
        return self.quantile(0.5 - half), self.quantile(0.5 + half)

    @property
    def median(self) -> Any:
        """The quantile of 0.5, [..., K]."""
        return self.quantile(0.5)

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of the central intervals that the quantiles make."""
        p = np.asarray(self.probabilities)
        return tuple(round(float(2 * b - 1), 9) for b in p if b > 0.5 and np.isclose(p, 1 - b, rtol=0, atol=1e-9).any())


class Normal(NamedTuple):
    """Normal distributions of K steps. A deviation of 0 is a number without doubt, NaN one of which none is known."""

    mean: Any  # [..., K]
    deviation: Any  # [..., K]

    def quantiles(self, probabilities: Sequence[float]) -> Quantiles:
        """Its quantiles at probabilities [Q]."""
        z = special.ndtri(chances(probabilities))
        mean, deviation = (np.asarray(a, np.float64)[..., None] for a in self)
        return Quantiles(self.mean, mean + deviation * z, tuple(map(float, probabilities)))
