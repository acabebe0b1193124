"""Counts of any size in float32: log P of a negative binomial, its derivatives and quantiles; draws of a Poisson."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy import special

from jaxrnn._core.jax_internals import with_derivatives
from jaxrnn.models._forecaster.bisection import bisect

# From here on Binet's function and its derivative are their asymptotic series; eight terms leave less than 1e-16.
FAR = 10.0
# B_2k / (2k (2k - 1)), and B_2k / 2k, for k = 1, 2, ...
BINET = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
SLOPE = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160)


def _log_probability(mu: jax.Array, alpha: jax.Array, y: jax.Array) -> jax.Array:
    """log P(y) for a whole number y >= 0 with mean mu and variance mu + alpha mu²; all of one shape and type.

    With n = 1 / alpha and N = n + y, and Binet's s(x) = log Gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2,

        log P(0) = -n log(1 + mu / n)
        log P(y) = -n log((n + mu) / N) - y log(y (n + mu) / (mu N)) + log(n / (2 pi y N)) / 2 + s(N) - s(n) - s(y)

    whose logarithms are of numbers near 1 where y is near mu: the saddlepoint form of Loader 2000, "Fast and accurate
    computation of binomial probabilities". Its three log Gammas, which are 1e8 for a count of 1e7, have cancelled.
    """
    n, some = 1 / alpha, jnp.maximum(y, 1)
    N = n + some
    near = _log1p((mu - some) / N, lambda: jnp.log((n + mu) / N))
    # y (n + mu) / (mu N) - 1, which is n / N times how far y is from mu.
    off = _log1p((some - mu) / mu * (n / N), lambda: jnp.log(some / mu) + near)
    width = (jnp.log(n / N) - jnp.log(some) - jnp.log(2 * jnp.pi).astype(mu.dtype)) / 2
    there = width - n * near - some * off + binet(N) - binet(n) - binet(some)
    return jnp.where(y == 0, -n * jnp.log1p(alpha * mu), there)


def _derivatives(mu: jax.Array, alpha: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """By mu: (y - mu) / (mu (1 + alpha mu)). By n: psi(N) - psi(n) - log(1 + mu / n) + (mu - y) / (n + mu).

    With psi(x) = log x - 1 / 2x - b(x) and w = (mu - y) / (n + mu) the latter is

        w + log(1 - w) + y / (2 n N) + b(n) - b(N)
    """
    n = 1 / alpha
    N = n + y
    by_mu = (y - mu) / mu / (1 + alpha * mu)
    by_n = log1p_less((y - mu) / (n + mu), N / (n + mu)) + y / N / n / 2 + slope(n) - slope(N)
    by_y = special.digamma(N) - special.digamma(y + 1) - jnp.log1p(n / mu)
    return by_mu, -by_n * n * n, by_y


log_probability = with_derivatives(_log_probability, _derivatives)


def _log1p(x: jax.Array, far: Any) -> jax.Array:
    """log(1 + x), where 1 + x is known better, far from 1, by another way."""
    close = jnp.abs(x) < 0.5
    return jnp.where(close, jnp.log1p(jnp.where(close, x, 0)), far())


def log1p_less(x: jax.Array, ratio: jax.Array) -> jax.Array:
    """log(1 + x) - x, given 1 + x too, to full precision near 0.

    With r = x / (2 + x): log(1 + x) = 2 (r + r³ / 3 + r⁵ / 5 + ...), and 2 r - x = -r x.
    """
    close = jnp.abs(x) < 0.5
    r = jnp.where(close, x, 0) / (2 + jnp.where(close, x, 0))
    series = jnp.zeros_like(r)
    for k in range(35, 1, -2):  # r² < 1/9: the terms after these are below 1e-16 of the first
        series = series * r * r + 1 / k
    return jnp.where(close, 2 * r * r * r * series - r * x, jnp.log(jnp.where(close, 1, ratio)) - x)


def binet(x: jax.Array) -> jax.Array:
    """s(x) = log Gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2, for x > 0."""
    far, near = jnp.maximum(x, FAR), jnp.minimum(x, FAR)
    direct = special.gammaln(near) - (near - 0.5) * jnp.log(near) + near - jnp.log(2 * jnp.pi).astype(x.dtype) / 2
    return jnp.where(x < FAR, direct, _series(BINET, far) / far)


def slope(x: jax.Array) -> jax.Array:
    """b(x) = log x - 1 / 2x - psi(x), for x > 0: minus the derivative of s."""
    far, near = jnp.maximum(x, FAR), jnp.minimum(x, FAR)
    direct = jnp.log(near) - 0.5 / near - special.digamma(near)
    return jnp.where(x < FAR, direct, _series(SLOPE, far) / far / far)


def _series(terms: tuple[float, ...], x: jax.Array) -> jax.Array:
    """terms[0] + terms[1] / x² + terms[2] / x⁴ + ..."""
    inverse, total = 1 / x / x, jnp.zeros_like(x)
    for term in reversed(terms):
        total = total * inverse + term
    return total


def cumulative(mu: jax.Array, alpha: jax.Array, y: jax.Array) -> jax.Array:
    """P(Y <= y) for a whole number y >= 0: the incomplete beta function I_x(n, y + 1), x = 1 / (1 + alpha mu).

    P(y) over a continued fraction (Didonato and Morris 1992, "Algorithm 708", as Boost has it) of some hundred terms at
    most, the fewer the less normal the distribution is. It reads a (1 - x) - b x, here (mu - y - 1) x, which must not
    be a difference of rounded products. JAX's own takes log Gammas, and is wrong from 1e5 on in float32.
    """
    n, more = 1 / alpha, 1 + alpha * mu
    below = y + 1 < mu
    a, b = jnp.where(below, n, y + 1), jnp.where(below, y + 1, n)
    x, off = jnp.where(below, 1 / more, alpha * mu / more), jnp.abs(mu - y - 1) / more
    mass = jnp.exp(log_probability(mu, alpha, y)) * (alpha * mu / more) * (n + y) / _fraction(a, b, x, off)
    return jnp.where(below, mass, 1 - mass)


def _fraction(a: jax.Array, b: jax.Array, x: jax.Array, off: jax.Array) -> jax.Array:
    """beta_0 + alpha_1 / (beta_1 + alpha_2 / (beta_2 + ...)), by Lentz's method. off: a (1 - x) - b x."""
    tiny, eps = jnp.finfo(x.dtype).tiny / jnp.finfo(x.dtype).eps, jnp.finfo(x.dtype).eps

    def bounded(v):
        return jnp.where(jnp.abs(v) < tiny, tiny, v)

    def beta(m):
        return m + m * x * ((b - m) / (a + 2 * m - 1)) + (off + 1 + m * (2 - x)) * ((a + m) / (a + 2 * m + 1))

    def body(loop):
        m, c, d, product, _ = loop
        alpha = m * x * x * ((a + m - 1) / (a + 2 * m - 1)) * (b - m) * ((a + b + m - 1) / (a + 2 * m - 1))
        d, c = 1 / bounded(beta(m) + alpha * d), bounded(beta(m) + alpha / c)
        return m + 1, c, d, product * (c * d), c * d - 1

    def goes_on(loop):
        return (loop[0] < 1000) & (jnp.abs(loop[-1]) > 2 * eps).any()

    zero = (off + 1) * (a / (a + 1))  # beta_0, whose first terms are 0 even for a = 1
    start = jnp.ones((), x.dtype), bounded(zero), jnp.zeros_like(x), bounded(zero), jnp.ones_like(x)
    return jax.lax.while_loop(goes_on, body, start)[3]


SKEW = 4e-3  # the square of the skewness below which two terms of Cornish and Fisher are right to 1e-4 deviations


def quantile(mu: jax.Array, alpha: jax.Array, q: jax.Array) -> jax.Array:
    """The smallest count with P(Y <= y) >= q, by bisection below the bound of Cantelli's inequality.

    Where the distribution is nearly normal, by the expansion of Cornish and Fisher, from its skewness and its excess.
    """
    a = alpha * mu
    deviation = jnp.sqrt(mu) * jnp.sqrt(1 + a)
    skew, excess = (1 + 2 * a) / deviation, 6 * alpha + 1 / mu / (1 + a)
    normal = jnp.square(skew) < SKEW
    z = special.ndtri(q)
    bend = skew * (z * z - 1) / 6 + excess * z * (z * z - 3) / 24 - skew * skew * z * (2 * z * z - 5) / 36
    expanded = jnp.ceil(mu + deviation * (z + bend) - 0.5)
    above = jnp.ceil(mu + deviation * jnp.sqrt(q / (1 - q)))
    some, wide, top = jnp.where(normal, 1, mu), jnp.where(normal, 1, alpha), jnp.where(normal, 1, above)

    def enough(y):
        return (y >= 0) & (cumulative(some, wide, jnp.maximum(y, 0)) >= q)

    return jnp.where(normal, expanded, bisect(enough, jnp.full_like(mu, -1), top, whole=True))


def poisson(key: jax.Array, rate: jax.Array) -> jax.Array:
    """Draws of a Poisson in the type of its rate.

    From a rate of 1e6 on it is a normal distribution to 1e-4 in probability: jax.random.poisson makes int32, and in
    float32 its deviation is 20% too large at a rate of 1e8.
    """
    k1, k2 = jax.random.split(key)
    few = rate < 1e6
    drawn = jax.random.poisson(k1, jnp.where(few, rate, 1)).astype(rate.dtype)
    z = jax.random.normal(k2, rate.shape, rate.dtype)
    return jnp.where(few, drawn, jnp.round(rate + jnp.sqrt(rate) * z))
