"""The heads of a forecaster: distributions in the units of the data, made from the outputs of a network.

A distribution is a pytree of arrays [...] with `log_prob(y)`, `mean()`, `quantile(q)`, `sample(key)`, `loss(y, scale)`.
`HEADS` maps each name to a class: `parameter_count(levels)` is A, the numbers for each value, and `of(raw [..., A],
location, scale, levels)` makes the distribution, given the location and scale of the series: the network reads
(y - location) / scale. Positive parameters are softplus of a raw number. The distribution itself is shifted and scaled,
so its density is that of y, and needs no Jacobian.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special, stats

from jaxrnn._core.numerics import aligned, row
from jaxrnn.models._forecaster import counts
from jaxrnn.models._forecaster.bisection import bisect
from jaxrnn.models._forecaster.distribution import Distribution, Levels, positive
from jaxrnn.models._forecaster.implicit import ImplicitQuantile
from jaxrnn.models._forecaster.mixture import Mixture


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gaussian(Distribution):
    """Normal with mean `loc` and standard deviation `scale`."""

    loc: Any
    scale: Any

    @staticmethod
    def parameter_count(levels: Levels) -> int:
        """Two numbers."""
        return 2

    @staticmethod
    def of(raw: jax.Array, location: Any, scale: Any, levels: Levels) -> Gaussian:
        """loc = location + scale raw_0, scale = scale softplus(raw_1)."""
        return Gaussian(location + scale * raw[..., 0], scale * positive(raw[..., 1]))

    def log_prob(self, y):
        """log p(y)."""
        loc, scale, y = aligned(self.loc, self.scale, y)
        # Of a number without a unit: the square of a scale, which SciPy takes, float32 holds from 1e-19 to 1e19 only.
        return stats.norm.logpdf((y - loc) / scale) - jnp.log(scale)

    def mean(self):
        """loc."""
        return self.loc

    def quantile(self, q):
        """The y below which are q of it all."""
        loc, scale, q = aligned(self.loc, self.scale, q)
        return loc + scale * special.ndtri(q)

    def sample(self, key):
        """One sample for each element."""
        return self.loc + self.scale * jax.random.normal(key, self.loc.shape, self.loc.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class StudentT(Distribution):
    """Student's t with `df` > 2 degrees of freedom (so its variance is finite), around `loc`, times `scale`."""

    df: Any
    loc: Any
    scale: Any

    @staticmethod
    def parameter_count(levels: Levels) -> int:
        """Three numbers."""
        return 3

    @staticmethod
    def of(raw: jax.Array, location: Any, scale: Any, levels: Levels) -> StudentT:
        """loc = location + scale raw_0, scale = scale softplus(raw_1), df = 2 + softplus(raw_2)."""
        return StudentT(2 + positive(raw[..., 2]), location + scale * raw[..., 0], scale * positive(raw[..., 1]))

    def log_prob(self, y):
        """log p(y)."""
        df, loc, scale, y = aligned(self.df, self.loc, self.scale, y)
        return stats.t.logpdf((y - loc) / scale, df) - jnp.log(scale)

    def mean(self):
        """loc."""
        return self.loc

    def quantile(self, q):
        """The y below which are q of it all, by bisection: P(|t| < x) = I_v(1/2, df/2) with v = x² / (df + x²)."""
        loc, scale, df, q = aligned(self.loc, self.scale, self.df, q)
        q, df = jnp.broadcast_arrays(q, df)
        # In w = sqrt(v), of which x is a smooth function near the median too.
        w = bisect(lambda w: special.betainc(0.5, df / 2, w * w) >= jnp.abs(2 * q - 1), jnp.zeros_like(df), 1.0)
        return loc + scale * jnp.sign(q - 0.5) * w * jnp.sqrt(df / ((1 - w) * (1 + w)))

    def sample(self, key):
        """One sample for each element."""
        return self.loc + self.scale * jax.random.t(key, self.df, self.loc.shape, self.loc.dtype)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NegativeBinomial(Distribution):
    """Counts with mean `mu` and variance mu + alpha mu²: a Poisson with a gamma-distributed rate."""

    mu: Any
    alpha: Any

    @staticmethod
    def parameter_count(levels: Levels) -> int:
        """Two numbers."""
        return 2

    @staticmethod
    def of(raw: jax.Array, location: Any, scale: Any, levels: Levels) -> NegativeBinomial:
        """mu = scale softplus(raw_0), alpha = softplus(raw_1) / sqrt(scale) + 1e-5, as DeepAR scales them.

        The 1e-5 widens the distribution by less than 0.3% of mu; in float32 betainc fails long before alpha = 0.
        """
        return NegativeBinomial(scale * positive(raw[..., 0]), positive(raw[..., 1]) / jnp.sqrt(scale) + 1e-5)

    def log_prob(self, y):
        """log P(y), for whole numbers from 0 on; -inf below 0.

        P(y) = Gamma(y + n) / (Gamma(n) y!) (1 / (1 + a))^n (a / (1 + a))^y,  n = 1 / alpha,  a = alpha mu
        """
        mu, alpha, y = jnp.broadcast_arrays(*aligned(self.mu, self.alpha, y))
        return jnp.where(y < 0, -jnp.inf, counts.log_probability(mu, alpha, jnp.where(y < 0, 0, y)))

    def mean(self):
        """mu."""
        return self.mu

    def quantile(self, q):
        """The smallest count with P(Y <= y) >= q."""
        return counts.quantile(*jnp.broadcast_arrays(*aligned(self.mu, self.alpha, q)))

    def sample(self, key):
        """One sampled count for each element."""
        k1, k2 = jax.random.split(key)
        rate = jax.random.gamma(k1, 1 / self.alpha, self.mu.shape, self.mu.dtype) * self.alpha * self.mu
        return counts.poisson(k2, rate)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Quantiles(Distribution):
    """A distribution given by its quantiles `values` [..., A] at `levels`: linear between them, exponential tails.

    The density is constant between two values, and decays beyond the outer ones from its value next to them, as in
    Park et al. 2022 ("Learning quantile functions without quantile crossing", arXiv 2111.06581).
    """

    values: Any
    levels: Levels = dataclasses.field(metadata={"static": True})

    @staticmethod
    def parameter_count(levels: Levels) -> int:
        """One number for each level."""
        return len(levels)

    @staticmethod
    def of(raw: jax.Array, location: Any, scale: Any, levels: Levels) -> Quantiles:
        """The first raw number is the middle value; softplus of the others are the gaps, so values do not cross."""
        steps = jnp.cumsum(positive(raw[..., 1:]), -1)
        steps = jnp.concatenate([jnp.zeros_like(raw[..., :1]), steps], -1)
        middle = len(levels) // 2
        values = raw[..., :1] + steps - steps[..., middle : middle + 1]
        location, scale = (row(jnp.asarray(a)[..., None], values) for a in (location, scale))
        return Quantiles(location + scale * values, levels)

    def loss(self, y: jax.Array, scale: Any) -> jax.Array:
        """The pinball loss, its mean over levels, in sizes of the series (Koenker and Bassett 1978)."""
        values, y, scale, q = aligned(
            self.values, jnp.asarray(y)[..., None], jnp.asarray(scale)[..., None], self.levels
        )
        error = y - values
        return jnp.maximum(q * error, (q - 1) * error).mean(-1) / scale[..., 0]

    def _levels(self):
        return jnp.asarray(self.levels, self.values.dtype)

    def _slopes(self):
        """dy/dq between the levels [..., A - 1], and what the two tails fall off by [...]."""
        slopes = jnp.diff(self.values, axis=-1) / row(jnp.diff(self._levels()), self.values)
        return slopes, slopes[..., 0] * self.levels[0], slopes[..., -1] * (1 - self.levels[-1])

    def log_prob(self, y):
        """log p(y)."""
        slopes, low, high = self._slopes()
        y = row(jnp.asarray(y), low)
        at = jnp.clip((y[..., None] >= self.values).sum(-1) - 1, 0, len(self.levels) - 2)
        within = -jnp.log(jnp.take_along_axis(slopes, at[..., None], -1)[..., 0])
        below, above = jnp.minimum(y - self.values[..., 0], 0) / low, jnp.minimum(self.values[..., -1] - y, 0) / high
        return within + below + above

    def mean(self):
        """The mean, with the tails."""
        _, low, high = self._slopes()
        q, v = self.levels, self.values
        within = (row(jnp.diff(self._levels()), v) * (v[..., 1:] + v[..., :-1]) / 2).sum(-1)
        return q[0] * (v[..., 0] - low) + within + (1 - q[-1]) * (v[..., -1] + high)

    def quantile(self, q):
        """The q-quantile: the y with P(Y <= y) = q."""
        slopes, low, high = self._slopes()
        q, levels = row(jnp.asarray(q), low), self._levels()
        at = jnp.clip(jnp.searchsorted(levels, q, side="right") - 1, 0, len(self.levels) - 2)
        at = jnp.broadcast_to(at, self.values.shape[:-1])[..., None]
        start, slope = (jnp.take_along_axis(a, at, -1)[..., 0] for a in (self.values, slopes))
        within = start + slope * (jnp.clip(q, levels[0], levels[-1]) - levels[at[..., 0]])
        tail = low * jnp.log(jnp.minimum(q / levels[0], 1)) - high * jnp.log(jnp.minimum((1 - q) / (1 - levels[-1]), 1))
        return within + tail

    def sample(self, key):
        """One sample for each element."""
        tiny = jnp.finfo(self.values.dtype).eps / 2
        return self.quantile(jax.random.uniform(key, self.values.shape[:-1], self.values.dtype, tiny, 1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Point(Distribution):
    """One number, `loc`, without uncertainty."""

    loc: Any

    @staticmethod
    def parameter_count(levels: Levels) -> int:
        """One number."""
        return 1

    @staticmethod
    def of(raw: jax.Array, location: Any, scale: Any, levels: Levels) -> Point:
        """loc = location + scale raw_0."""
        return Point(location + scale * raw[..., 0])

    def loss(self, y: jax.Array, scale: Any) -> jax.Array:
        """The squared error, in sizes of the series."""
        loc, scale, y = aligned(self.loc, scale, y)
        return jnp.square((y - loc) / scale)

    def mean(self):
        """loc."""
        return self.loc


HEADS: dict[str, Any] = {
    "gaussian": Gaussian,
    "student_t": StudentT,
    "quantile": Quantiles,
    "negative_binomial": NegativeBinomial,
    "mixture": Mixture,
    "implicit_quantile": ImplicitQuantile,
    "point": Point,
}
