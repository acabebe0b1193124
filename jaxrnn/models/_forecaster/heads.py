"""The heads of a forecaster: distributions in the units of the data, made from the outputs of a network.

A distribution is a pytree of arrays [...] with `log_prob(y)`, `mean()`, `quantile(q)`, `sample(key)`, `loss(y, scale)`.
`HEADS` maps each name to a class: `parameter_count(levels)` is A, the numbers for each value, and `of(raw [..., A],
location, scale, levels)` makes the distribution, given the location and scale of the series: the network reads
(y - location) / scale. Positive parameters are softplus of a raw number. The distribution itself is shifted and scaled,
so its density is that of y, and needs no Jacobian.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special, stats

Levels = tuple[float, ...]
NOT_A_DISTRIBUTION = "head: expected one that is a distribution, such as 'gaussian', got 'point', which is one number"


def positive(raw: jax.Array) -> jax.Array:
    """softplus(raw) + eps: without the eps it is 0, with an infinite logarithm, below about raw = -90 (float32)."""
    return jax.nn.softplus(raw) + jnp.finfo(raw.dtype).eps


class Distribution:
    """The base class of the distributions."""

    def loss(self, y: jax.Array, scale: Any) -> jax.Array:
        """-log_prob(y), in nats. `scale` is for heads whose loss is in the units of y."""
        return -self.log_prob(y)

    def log_prob(self, y: jax.Array) -> jax.Array:
        """log p(y). This, `quantile` and `sample` raise TypeError for the head "point"."""
        raise TypeError(NOT_A_DISTRIBUTION)

    def quantile(self, q: Any) -> jax.Array:
        """The q-quantile: the y with P(Y <= y) = q."""
        raise TypeError(NOT_A_DISTRIBUTION)

    def sample(self, key: jax.Array) -> jax.Array:
        """One sample for each element."""
        raise TypeError(NOT_A_DISTRIBUTION)


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
        return stats.norm.logpdf(y, self.loc, self.scale)

    def mean(self):
        """loc."""
        return self.loc

    def quantile(self, q):
        """The q-quantile: the y with P(Y <= y) = q."""
        return self.loc + self.scale * special.ndtri(jnp.asarray(q, self.loc.dtype))

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
        return stats.t.logpdf(y, self.df, self.loc, self.scale)

    def mean(self):
        """loc."""
        return self.loc

    def quantile(self, q):
        """The q-quantile, by bisection: P(|t| < x) = I_v(1/2, df/2) with v = x² / (df + x²)."""
        q, df = jnp.broadcast_arrays(jnp.asarray(q, self.loc.dtype), self.df)
        # In w = sqrt(v), because x is a smooth function of w near the median too.
        w = bisect(lambda w: special.betainc(0.5, df / 2, w * w) >= jnp.abs(2 * q - 1), jnp.zeros_like(df), 1.0)
        return self.loc + self.scale * jnp.sign(q - 0.5) * w * jnp.sqrt(df / ((1 - w) * (1 + w)))

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
        n, a = 1 / self.alpha, self.alpha * self.mu
        there = jnp.maximum(y, 0)
        # Not jax.scipy.stats.nbinom: it takes 1 / (1 + a), which rounds to 1 for a small a, and its three log Gammas
        # cancel in float32 (off by 0.1 for n = 1e6). betaln does not, but has no more than 7 digits in float64 either.
        if a.dtype == jnp.float64:
            ways = special.gammaln(n + there) - special.gammaln(n) - special.gammaln(there + 1)
        else:
            ways = -special.betaln(n, there + 1) - jnp.log(n + there)
        return jnp.where(y < 0, -jnp.inf, ways - n * jnp.log1p(a) + there * (jnp.log(a) - jnp.log1p(a)))

    def mean(self):
        """mu."""
        return self.mu

    def quantile(self, q):
        """The smallest count with P(Y <= y) >= q, by bisection below the bound of Cantelli's inequality."""
        q, mu, alpha = jnp.broadcast_arrays(jnp.asarray(q, self.mu.dtype), self.mu, self.alpha)
        a, n = alpha * mu, 1 / alpha
        above = jnp.ceil(mu + jnp.sqrt((mu + a * mu) * q / (1 - q)))

        def enough(y):
            return (y >= 0) & (special.betainc(n, y + 1, 1 / (1 + a)) >= q)

        return bisect(enough, jnp.full_like(mu, -1), above, whole=True)

    def sample(self, key):
        """One sampled count for each element."""
        k1, k2 = jax.random.split(key)
        rate = jax.random.gamma(k1, 1 / self.alpha, self.mu.shape, self.mu.dtype) * self.alpha * self.mu
        return jax.random.poisson(k2, rate).astype(self.mu.dtype)


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
        return Quantiles(jnp.asarray(location)[..., None] + jnp.asarray(scale)[..., None] * values, levels)

    def loss(self, y: jax.Array, scale: Any) -> jax.Array:
        """The pinball loss, averaged over levels, relative to the scale of the series (Koenker and Bassett 1978)."""
        q, error = self._levels(), jnp.asarray(y)[..., None] - self.values
        return jnp.maximum(q * error, (q - 1) * error).mean(-1) / scale

    def _levels(self):
        return jnp.asarray(self.levels, self.values.dtype)

    def _slopes(self):
        """dy/dq between the levels [..., A - 1], and the decay lengths of the two tails [...]."""
        slopes = jnp.diff(self.values, axis=-1) / jnp.diff(self._levels())
        return slopes, slopes[..., 0] * self.levels[0], slopes[..., -1] * (1 - self.levels[-1])

    def log_prob(self, y):
        """log p(y)."""
        slopes, low, high = self._slopes()
        y = jnp.asarray(y)
        at = jnp.clip((y[..., None] >= self.values).sum(-1) - 1, 0, len(self.levels) - 2)
        within = -jnp.log(jnp.take_along_axis(slopes, at[..., None], -1)[..., 0])
        below, above = jnp.minimum(y - self.values[..., 0], 0) / low, jnp.minimum(self.values[..., -1] - y, 0) / high
        return within + below + above

    def mean(self):
        """The mean, with the tails."""
        _, low, high = self._slopes()
        q, v = self.levels, self.values
        within = (jnp.diff(self._levels()) * (v[..., 1:] + v[..., :-1]) / 2).sum(-1)
        return q[0] * (v[..., 0] - low) + within + (1 - q[-1]) * (v[..., -1] + high)

    def quantile(self, q):
        """The q-quantile: the y with P(Y <= y) = q."""
        slopes, low, high = self._slopes()
        q, levels = jnp.asarray(q, self.values.dtype), self._levels()
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
        """The squared error, relative to the scale of the series."""
        return jnp.square((y - self.loc) / scale)

    def mean(self):
        """loc."""
        return self.loc


def bisect(enough: Callable, low: jax.Array, high: Any, *, whole: bool = False) -> jax.Array:
    """The smallest x in (low, high] with `enough(x)`, which is monotone; among whole numbers, if `whole`."""
    turns = 2 * jnp.finfo(low.dtype).nmant  # more than enough to determine every bit

    def halve(_, ends):
        low, high = ends
        middle = (low + high) / 2
        middle = jnp.floor(middle) if whole else middle
        yes = enough(middle)
        return jnp.where(yes, low, middle), jnp.where(yes, middle, high)

    high = jnp.broadcast_to(jnp.asarray(high, low.dtype), low.shape)
    return jax.lax.fori_loop(0, turns, halve, (low, high))[1]


HEADS: dict[str, Any] = {
    "gaussian": Gaussian,
    "student_t": StudentT,
    "quantile": Quantiles,
    "negative_binomial": NegativeBinomial,
    "point": Point,
}
