"""Several Gaussians as one distribution."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special, stats

from jaxrnn._core.numerics import aligned, row
from jaxrnn.models._forecaster.bisection import bisect
from jaxrnn.models._forecaster.distribution import Distribution, Levels, positive


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mixture(Distribution):
    """C Gaussians with means `loc` and standard deviations `scale`, of logarithms `log_weights` of shares; [..., C].

    As in a mixture density network (Bishop 1994).
    """

    log_weights: Any
    loc: Any
    scale: Any

    @staticmethod
    def parameter_count(levels: Levels) -> int:
        """Three numbers for each of three; a forecaster's `components` may be more or fewer."""
        return 9

    @staticmethod
    def of(raw: jax.Array, location: Any, scale: Any, levels: Levels) -> Mixture:
        """Of raw [..., 3 C]: weights = softmax(raw_0), scale = scale softplus(raw_2), and of c = 0 ... C - 1

        loc_c = location + scale (raw_{1,c} + Phi^-1((c + 1/2) / C)): alike at first, components would stay so.
        """
        logits, loc, size = jnp.split(raw, 3, -1)
        C = loc.shape[-1]
        loc = loc + row(special.ndtri((jnp.arange(C, dtype=raw.dtype) + 0.5) / C), loc)
        _, location, scale = aligned(raw, *(jnp.asarray(a)[..., None] for a in (location, scale)))
        return Mixture(jax.nn.log_softmax(logits, -1), location + scale * loc, scale * positive(size))

    def log_prob(self, y):
        """log p(y)."""
        z, scale, log_weights = self._standard(y)
        return special.logsumexp(log_weights + stats.norm.logpdf(z) - jnp.log(scale), -1)

    def _standard(self, y):
        """(y - loc) / scale, and scale and log_weights with as many axes."""
        loc, scale, log_weights, y = aligned(self.loc, self.scale, self.log_weights, jnp.asarray(y)[..., None])
        return (y - loc) / scale, scale, log_weights

    def mean(self):
        """The weighted mean of the means."""
        return (jnp.exp(self.log_weights) * self.loc).sum(-1)

    def quantile(self, q):
        """The y below which are q of it all, by bisection between the least and the largest of the components'."""
        loc, scale, q = aligned(self.loc, self.scale, jnp.asarray(q)[..., None])
        each = loc + scale * special.ndtri(q)

        def enough(y):
            z, _, log_weights = self._standard(y)
            return (jnp.exp(log_weights) * special.ndtr(z)).sum(-1) >= q[..., 0]

        return bisect(enough, each.min(-1), each.max(-1))

    def sample(self, key):
        """One sample for each element."""
        k1, k2 = jax.random.split(key)
        which = jax.random.categorical(k1, self.log_weights, -1)[..., None]
        loc, scale = (jnp.take_along_axis(a, which, -1)[..., 0] for a in (self.loc, self.scale))
        return loc + scale * jax.random.normal(k2, loc.shape, loc.dtype)
