"""A quantile function that is learnt at all levels at once, and rises by construction."""

from __future__ import annotations

import dataclasses
import math
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special, stats

from jaxrnn._core.numerics import aligned, row
from jaxrnn.models._forecaster.distribution import Distribution, Levels, positive

# The cells of z = Phi^-1(tau) on which the slope is constant; the outer ones go on to infinity.
EDGES = np.linspace(-3, 3, 17)
LOW, HIGH = np.append(-np.inf, EDGES[1:-1]), np.append(EDGES[1:-1], np.inf)
COSINES = 8
TAUS = 16  # levels at which a loss is taken
NORMAL = NormalDist()
# cos(pi i tau) [COSINES, cells] at each cell's middle, the embedding of tau.
EMBEDDING = np.cos(np.pi * np.outer(np.arange(COSINES), [NORMAL.cdf(z) for z in (EDGES[1:] + EDGES[:-1]) / 2]))


def _clipped_mean(low: float, high: float) -> float:
    """The mean of a standard normal number, clipped."""
    below = low * NORMAL.cdf(low) if math.isfinite(low) else 0.0
    above = high * (1 - NORMAL.cdf(high)) if math.isfinite(high) else 0.0
    density = [NORMAL.pdf(z) if math.isfinite(z) else 0.0 for z in (low, high)]
    return below + above + density[0] - density[1]


# What each cell's slope adds to the mean: of what lies between 0 and z, the mean share in the cell.
MEANS = np.array([_clipped_mean(a, b) for a, b in zip(LOW, HIGH, strict=True)]) - np.clip(0, LOW, HIGH)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ImplicitQuantile(Distribution):
    """A median `loc`, and `slopes` [..., 16]: those of the quantile function over the normal one, Phi^-1(tau).

        q(tau) = loc + integral from 0 to Phi^-1(tau) of slope(z) dz
        slope(z) = scale softplus(sum_i raw_{i+1} cos(pi i tau)),  i = 0 ... 7,  tau = Phi(z)

    A network of the state and tau, with tau embedded by cosines, as the implicit quantile networks of Dabney et al.
    2018 (arXiv 1806.06923) and, for forecasts, Gouttes et al. 2021 (arXiv 2107.03743); theirs gives q itself, whose
    values may cross. Here it gives the slope, which is positive: q rises, and one slope for all is a Gaussian. On 16
    cells of z from -3 to 3 the slope is that of the middle; beyond, that of the outer cell.
    """

    loc: Any
    slopes: Any

    @staticmethod
    def parameter_count(levels: Levels) -> int:
        """The median, and a number for each cosine."""
        return 1 + COSINES

    @staticmethod
    def of(raw: jax.Array, location: Any, scale: Any, levels: Levels) -> ImplicitQuantile:
        """loc = location + scale raw_0, and slopes from the other numbers."""
        slopes = positive(raw[..., 1:] @ jnp.asarray(EMBEDDING, raw.dtype))
        return ImplicitQuantile(
            location + scale * raw[..., 0], aligned(slopes, jnp.asarray(scale)[..., None])[1] * slopes
        )

    def loss(self, y: jax.Array, scale: Any, key: jax.Array | None = None) -> jax.Array:
        """The pinball loss, its mean over 16 levels, in sizes of the series: about half of the CRPS.

        The levels are drawn with the key, one from each sixteenth, alike for all values; without, they are its middles.
        """
        at = jnp.arange(TAUS, dtype=self.loc.dtype)
        # Not from the edges of the outer sixteenths, where Phi^-1 is infinite.
        part = 0.5 if key is None else jax.random.uniform(key, (TAUS,), self.loc.dtype, minval=0.01, maxval=0.99)
        taus = (at + part) / TAUS
        off = self.slopes @ _overlap(special.ndtri(taus))
        loc, scale, y = aligned(self.loc, scale, y)
        error = ((y - loc) / scale)[..., None] - off / scale[..., None]
        q = row(taus, error)
        return jnp.maximum(q * error, (q - 1) * error).mean(-1)

    def log_prob(self, y):
        """log p(y) = log phi(z) - log slope(z), at the z of y."""
        edges = self._edges()
        slopes, edges, off = aligned(self.slopes, edges, (aligned(self.loc, y)[1] - self.loc)[..., None])
        low, high = edges[..., :-1], edges[..., 1:]
        within = (off >= low) & (off < high)
        between = jnp.clip(off, low, high) - jnp.clip(0, low, high)
        z = (between / slopes).sum(-1)
        return stats.norm.logpdf(z) - jnp.log(jnp.where(within, slopes, 0).sum(-1))

    def _edges(self):
        """q - loc at the edges of the cells, with -inf and inf outside: [..., 17]."""
        steps = self.slopes * jnp.asarray(np.diff(EDGES), self.slopes.dtype)[0]
        sums = jnp.concatenate([jnp.zeros_like(steps[..., :1]), jnp.cumsum(steps, -1)], -1)
        inner = (sums - sums[..., len(EDGES) // 2, None])[..., 1:-1]
        outer = jnp.full_like(inner[..., :1], jnp.inf)
        return jnp.concatenate([-outer, inner, outer], -1)

    def mean(self):
        """The mean, with the tails."""
        return self.loc + self.slopes @ jnp.asarray(MEANS, self.slopes.dtype)

    def quantile(self, q):
        """The q-quantile: the y with P(Y <= y) = q."""
        return self._at(special.ndtri(aligned(self.loc, q)[1]))

    def _at(self, z):
        """The value at z = Phi^-1(tau), of any shape that goes with the distribution's."""
        slopes, z = aligned(self.slopes, z[..., None])
        loc = aligned(slopes, self.loc[..., None])[1][..., 0]
        low, high = (row(jnp.asarray(a, z.dtype), slopes) for a in (LOW, HIGH))
        return loc + (slopes * (jnp.clip(z, low, high) - jnp.clip(0, low, high))).sum(-1)

    def sample(self, key):
        """One sample for each element: q at a uniform tau, whose Phi^-1 is normal."""
        return self._at(jax.random.normal(key, self.loc.shape, self.loc.dtype))


def _overlap(z: jax.Array) -> jax.Array:
    """How much of the way from 0 to each z [J] lies in each cell, negative if below 0: [16, J]."""
    low, high = (jnp.asarray(a, z.dtype)[:, None] for a in (LOW, HIGH))
    return jnp.clip(z[None], low, high) - jnp.clip(jnp.zeros((), z.dtype), low, high)
