"""The negative binomial over all counts in float32, against numbers of 60 digits and SciPy's distribution function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from jaxrnn.models._forecaster.counts import poisson
from jaxrnn.models._forecaster.heads import HEADS

Q = np.float32([0.01, 0.1, 0.5, 0.9, 0.99])
NegativeBinomial = HEADS["negative_binomial"]

# log2 mu, log2 alpha, y, then log P(y), mu d/dmu of it and alpha d/dalpha of it, by mpmath with 60 digits from
# log Gamma(n + y) - log Gamma(n) - log Gamma(y + 1) - n log(1 + mu / n) + y log(mu / (n + mu)) and its psi functions.
# Powers of two and sums of two are what they are in float32.
EXACT = np.array([
    (0, 0, 0, -0.693147180559945, -0.5, 0.193147180559945),
    (0, 0, 3, -2.77258872223978, 1.0, -0.140186152773388),
    (2, -20, 5, -1.85602184452789, 0.999996185317286, -1.90734196320897e-6),
    (13, -20, 8282, -5.92255395246916, 89.3023255813953, -0.000115703891146439),
    (13, -17, 8000, -7.57754314819397, -180.705882352941, 0.0959199336129931),
    (24, -20, 16793600, -11.1245499274569, 963.764705882353, -0.0279799500375277),
    (24, -10, 16252928, -14.5677347208163, -31.998046994202, 0.0105541957589565),
    (24, 0, 16777216, -17.635532363241, 0.0, -0.577215635099212),
    (27, -5, 150994944, -18.2523744864766, 3.99999904632591, -0.271661053475914),
    (27, 0, 67108864, -19.2149738807065, -0.49999999627471, -0.384068480616297),
    (27, 10, 3, -8.05366520334692, -0.000976562478165022, -0.977394858071959),
    (30, -20, 1075838976, -16.7797727609866, 2046.00195121951, 1.49399348181037),
    (40, -20, 1101659111424, -23.7127034639656, 2047.99804687686, 1.49739623125839),
    (40, -20, 1098437885952, -22.2127027492666, -1023.99902343843, 0.000325202663104659),
    (40, 0, 549755813888, -28.2258872223985, -0.499999999999545, -0.384068484341133),
    (40, 20, 7, -15.8088910859526, -9.53674316400178e-7, -0.99996362797522),
    (-20, 20, 1, -14.5560914527955, 0.499999523162842, -0.499999815800495),
    (-40, 0, 0, -9.09494701772515e-13, -9.09494701772101e-13, 4.13590306276012e-25),
    (-40, -20, 1, -27.7258872223987, 0.999999999999091, -8.67361737988009e-19),
    (0, 20, 1099511627776, -1048617.08881738, 1048575.0, 1048573.99998623),
    (40, 20, 1099511627776, -41.5888444575293, 0.0, -0.999987329740987),
    (10, 20, 0, -1.98310999085709e-5, -9.53674315518072e-7, 1.88774255930529e-5),
])  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_log_probabilities_and_their_gradients_do_not_cancel(dtype):
    """From counts of 0 to 1e12, and alpha from 1e-6 to 1e6.

    Its largest terms are n times the logarithm of (n + mu) / (n + y) and y times another: where the distribution is
    2^10 deviations from 0, some 1e3 of them cancel to a few nats.
    """
    mu, alpha, y = (jnp.asarray(a, dtype) for a in (2.0 ** EXACT[:, 0], 2.0 ** EXACT[:, 1], EXACT[:, 2]))

    @jax.jit
    def ours(mu, alpha, y):
        def one(mu, alpha, y):
            return NegativeBinomial(mu, alpha).log_prob(y)

        value, grads = jax.vmap(jax.value_and_grad(one, (0, 1, 2)))(mu, alpha, y)
        return value, grads[0] * mu, grads[1] * alpha, grads[2]

    *found, by_y = (np.asarray(a, float) for a in ours(mu, alpha, y))
    eps = float(jnp.finfo(dtype).eps)
    for name, a, exact in zip(("log P", "by mu", "by alpha"), found, EXACT[:, 3:].T, strict=True):
        room = 2**11 * eps if name == "log P" else 16 * eps
        np.testing.assert_allclose(a, exact, rtol=16 * eps, atol=room, err_msg=name)
    assert np.isfinite(by_y).all()


def test_the_gradient_is_that_of_a_finite_difference():
    """By y too, which is read as a real number: what a log-likelihood is differentiated by through a series."""
    y, step = np.array([0.0, 1.0, 4.0, 9.0, 11.0, 300.0]), 1e-4
    head = NegativeBinomial(jnp.full(6, 7.0), jnp.full(6, 0.3))

    def smooth(y):
        return gammaln(y + 1 / 0.3) - gammaln(1 / 0.3) - gammaln(y + 1) - np.log(3.1) / 0.3 + y * np.log(2.1 / 3.1)

    by_y = jax.jit(jax.grad(lambda y: head.log_prob(y).sum()))(jnp.asarray(y))
    np.testing.assert_allclose(by_y, (smooth(y + step) - smooth(y - step)) / (2 * step), rtol=1e-6, atol=1e-6)


def test_gradients_go_through_vmap_on_any_axis():
    """Batched in some arguments only, on other axes, in jit; and the second derivative is a difference of firsts."""
    mu, alpha, y = jnp.arange(1.0, 7).reshape(2, 3), jnp.asarray([0.1, 0.2]), jnp.arange(6.0).reshape(3, 2)

    def one(mu, alpha, y):
        return NegativeBinomial(mu, alpha).log_prob(y)

    def total(mu):
        return (jax.jit(jax.vmap(jax.vmap(one, (1, None, 0)), (None, 0, None), 1))(mu, alpha, y) ** 2).sum()

    def by_hand(mu):
        return (one(mu.T[:, None], alpha[None, :, None], y[:, None]) ** 2).sum()

    found, expected = jax.jit(lambda mu: (jax.grad(total)(mu), jax.grad(by_hand)(mu)))(mu)
    np.testing.assert_allclose(found, expected, rtol=1e-12)

    @jax.jit
    def second(alpha):
        first = jax.grad(lambda alpha: one(jnp.asarray(3.0), alpha, jnp.asarray(2.0)))
        return jax.grad(first)(alpha), (first(alpha + 1e-5) - first(alpha - 1e-5)) / 2e-5

    np.testing.assert_allclose(*second(jnp.asarray(0.4)), rtol=1e-6)


def test_quantiles_have_their_probability():
    """In float32, from a mean of 1e-3 to 1e12: P(Y <= y) by SciPy in float64 is q, to what one count holds."""
    mu, alpha = (a.ravel() for a in np.meshgrid(10.0 ** np.arange(-3, 13, 1.5), 10.0 ** np.arange(-5, 7.0)))
    mu, alpha = mu.astype("float32"), alpha.astype("float32")
    head = NegativeBinomial(jnp.asarray(mu), jnp.asarray(alpha))
    n = 1 / alpha.astype(float)
    theirs = stats.nbinom(n, n / (n + mu))
    for q, found in zip(Q, jax.jit(jax.vmap(head.quantile))(Q), strict=True):
        y = np.asarray(found, float)
        assert ((y >= 0) & (y == np.round(y))).all()
        assert (theirs.cdf(y) > q - 1e-3).all()
        assert (theirs.cdf(y - np.maximum(1, 1e-6 * y)) < q + 1e-3).all()


@pytest.mark.parametrize("rate", [3.0, 2e6, 1e8, 1e12])
def test_draws_of_a_poisson_have_its_moments(rate, key):
    """In float32: mean, variance and skewness, each to 5 standard deviations."""
    N = 50_000
    drawn = np.asarray(jax.jit(poisson)(key, jnp.full(N, rate, "float32")), float)
    rate = float(np.float32(rate))
    z = (drawn - rate) / np.sqrt(rate)
    assert abs(z.mean()) < 5 / np.sqrt(N) + 0.05 * (rate > 1e9)  # a count is rounded to float32
    assert abs(z.var() - 1) < 5 * np.sqrt((2 + 1 / rate) / N) + (0.01 if rate > 1e9 else 0)
    assert abs((z**3).mean() - rate**-0.5) < 5 * np.sqrt(40 / N)
