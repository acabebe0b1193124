"""The distributions of a forecaster against SciPy, and against their own draws."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from support import assert_close, generator, table, tolerance

from jaxrnn.models._forecaster.heads import HEADS

LEVELS = (0.1, 0.4, 0.5, 0.9)
LOCATION, SIZE = 30.0, 7.0
Q = np.array([0.001, 0.05, 0.3, 0.5, 0.501, 0.8, 0.999])


def made(name, key, shape=(4, 3)):
    """A head's distribution from raw numbers, and those numbers."""
    raw = 2 * generator(key).standard_normal((*shape, HEADS[name].parameter_count(LEVELS)))
    return HEADS[name].of(jnp.asarray(raw), LOCATION, SIZE, LEVELS), raw


def softplus(x):
    return np.log1p(np.exp(x))


def with_scipy(name, raw):
    """The same distribution of SciPy's, from the raw numbers, as the docstrings of `of` say it."""
    if name == "gaussian":
        return stats.norm(LOCATION + SIZE * raw[..., 0], SIZE * softplus(raw[..., 1]))
    if name == "student_t":
        return stats.t(2 + softplus(raw[..., 2]), LOCATION + SIZE * raw[..., 0], SIZE * softplus(raw[..., 1]))
    mu, n = SIZE * softplus(raw[..., 0]), 1 / (softplus(raw[..., 1]) / np.sqrt(SIZE) + 1e-5)
    return stats.nbinom(n, n / (n + mu))


SMOOTH = ("gaussian", "student_t")
# betainc and log Gamma are series of some hundred terms at most, each rounded.
TOL = tolerance(float, 100)


@pytest.mark.parametrize("name", table([*SMOOTH, "negative_binomial"], {"student_t"}))
def test_densities_quantiles_and_means_are_scipys(name, key):
    ours, raw = made(name, key)
    theirs = with_scipy(name, raw)
    ys = theirs.rvs((6, 4, 3), generator(key))
    density = theirs.logpdf(ys) if name in SMOOTH else theirs.logpmf(ys)
    assert_close(jax.vmap(ours.log_prob)(ys), density, TOL)
    assert_close(ours.loss(ys[0], SIZE), -density[0], TOL)
    assert_close(ours.mean(), theirs.mean(), TOL)
    found = jax.jit(jax.vmap(ours.quantile))(Q)
    if name in SMOOTH:
        # By probability: where the density is low, a quantile is not known as well as its probability is.
        assert_close(theirs.cdf(found), np.broadcast_to(Q[:, None, None], found.shape), TOL)
    else:
        assert np.array_equal(found, [theirs.ppf(q) for q in Q])


def test_quantiles_far_out_are_finite_in_float32():
    """Of a heavy tail, of large counts and of counts that are nearly all 0."""
    raw = jnp.asarray([[-60, -90, -90], [9, -90, 0], [-90, 9, 0], [4, 4, 4]], "float32")
    q = jnp.asarray([[1e-4], [0.5], [1 - 1e-4]], "float32")
    for name in ("student_t", "negative_binomial"):
        head = HEADS[name].of(raw, 0.0, 1e4, ())

        @jax.jit
        def both(q, head=head):
            return head.quantile(q), head.log_prob(head.quantile(q))

        quantiles, density = both(q)
        assert (jnp.diff(quantiles, axis=0) > 0).any() and (jnp.diff(quantiles, axis=0) >= 0).all()
        for values in (quantiles, density):
            assert values.dtype == jnp.float32 and values.shape == (3, 4) and jnp.isfinite(values).all()


@pytest.mark.full
def test_counts_that_are_nearly_poisson_in_float32(rng):
    """n = 1 / alpha of up to a million, where the log Gammas of the formula are 1e7 and their difference about 10."""
    mu, n = np.float32([3.0, 200.0, 5000.0]), np.float32([1e6, 1e5, 300.0])
    head = HEADS["negative_binomial"](mu, jnp.asarray(1 / n))
    ys = rng.negative_binomial(n, n / (n + mu), (20, 3)).astype("float32")
    exact = stats.nbinom(n.astype(float), n / (n.astype(float) + mu)).logpmf(ys)
    # n log(1 + a) and y log(a / (1 + a)), of up to 5000 · 3, are each rounded, and alpha is.
    assert_close(jax.vmap(head.log_prob)(ys), exact, 4 * 15_000 * float(jnp.finfo("float32").eps) / np.abs(exact).max())


def test_a_count_has_no_mass_below_0():
    head = HEADS["negative_binomial"].of(jnp.asarray([0.3, 0.2]), 0.0, 2.0, ())
    assert head.log_prob(jnp.asarray(-1.0)) == -jnp.inf
    assert abs(np.exp(jax.vmap(head.log_prob)(jnp.arange(400.0))).sum() - 1) < TOL


@pytest.mark.parametrize("name", table([*HEADS][:-1], {"negative_binomial"}))
def test_draws_are_of_the_distribution(name, key):
    """Of 40,000 draws the right share is below each quantile, to 5 standard deviations."""
    head, _ = made(name, key, (2,))
    N = 40_000
    draws = jax.jit(lambda key: jax.tree.map(lambda a: jnp.broadcast_to(a, (N, *a.shape)), head).sample(key))(key)
    assert draws.shape == (N, 2)
    quantile = jax.jit(head.quantile)
    for q in (0.02, 0.25, 0.5, 0.75, 0.98):
        bound = np.asarray(quantile(q))
        # The share below a whole number is not q but what SciPy has for it.
        p = q
        if name == "negative_binomial":
            mu, n = np.asarray(head.mu), 1 / np.asarray(head.alpha)
            p = stats.nbinom(n, n / (n + mu)).cdf(bound)
        share = (np.asarray(draws) <= bound).mean(0)
        assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / N)).all()
    error = 5 * draws.std(0) / np.sqrt(N)
    assert (np.abs(draws.mean(0) - head.mean()) < error).all()


@pytest.mark.full
def test_the_quantile_head_is_one_distribution(key):
    """Its values stand at their levels, do not cross, and its density integrates to them and to its mean."""
    head, raw = made("quantile", key, (3,))
    gaps = softplus(raw[:, 1:])
    values = raw[:, :1] + np.cumsum(np.c_[np.zeros(3), gaps], 1)
    values = LOCATION + SIZE * (values - (values[:, 2:3] - raw[:, :1]))
    assert_close(head.values, values, TOL)
    assert_close(jnp.stack([head.quantile(q) for q in LEVELS], -1), values, TOL)
    # Gauss-Legendre on each piece is exact to rounding but for the ends of the tails, at 1e-12 of their mass.
    x, w = np.polynomial.legendre.leggauss(100)
    steep = values[:, 1] - values[:, 0], values[:, 3] - values[:, 2]
    tails = np.log(1e12) * 0.1 * np.array(steep) / [[0.3], [0.4]]
    cuts = np.concatenate([values[:, :1] - tails[0][:, None], values, values[:, -1:] + tails[1][:, None]], 1)
    half, middle = np.diff(cuts, axis=1) / 2, (cuts[:, 1:] + cuts[:, :-1]) / 2
    nodes = middle[..., None] + half[..., None] * x  # [3, pieces, 100]
    density = np.exp(jax.vmap(jax.vmap(head.log_prob, 1, 1), 2, 2)(nodes))
    mass = (half[..., None] * w * density).sum(-1)
    assert_close(mass, np.tile(np.diff([0, *LEVELS, 1]), (3, 1)), 1e-10)
    assert_close(head.mean(), (half[..., None] * w * density * nodes).sum((1, 2)), 1e-10)
    # In the tails: the mass below the quantile of q.
    for q, levels in ((0.001, (0.1, 0.4)), (0.999, (0.9, 0.5))):
        edge, inner = (values[:, LEVELS.index(level)] for level in levels)
        outside = levels[0] if q < 0.5 else 1 - levels[0]
        decay = outside * abs((inner - edge) / (levels[1] - levels[0]))
        beyond = outside * np.exp(-np.abs(np.asarray(head.quantile(q)) - edge) / decay)
        assert_close(beyond, np.full(3, 0.001), TOL)


def test_pinball(key, rng):
    """The mean over levels of q (y - v) above a value and (1 - q) (v - y) below it, in sizes."""
    head, _ = made("quantile", key, (5,))
    ys = 30 + 20 * rng.standard_normal(5)
    expected = np.zeros(5)
    for i, y in enumerate(ys):
        for q, v in zip(LEVELS, np.asarray(head.values)[i], strict=True):
            expected[i] += (q * (y - v) if y > v else (1 - q) * (v - y)) / len(LEVELS) / SIZE
    assert_close(head.loss(ys, SIZE), expected, TOL)


def test_a_point_is_only_a_point():
    point = HEADS["point"].of(jnp.asarray([[0.5]]), LOCATION, SIZE, ())
    assert point.mean() == LOCATION + SIZE * 0.5
    assert_close(point.loss(jnp.asarray([40.0]), SIZE), np.array([(6.5 / 7) ** 2]), TOL)
    for call in (lambda: point.log_prob(0.0), lambda: point.quantile(0.5), lambda: point.sample(jax.random.key(0))):
        with pytest.raises(TypeError, match=r"head: expected one that is a distribution, .* got 'point'"):
            call()


@pytest.mark.parametrize("name", HEADS)
def test_losses_have_finite_gradients_far_out(name):
    """In float32, from raw numbers no training should reach, and at a value far from them."""
    A = HEADS[name].parameter_count(LEVELS)

    raw, y = np.meshgrid([-200.0, 0.0, 200.0], [0.0, 5.0, 1000.0])
    raw = jnp.asarray(np.broadcast_to(raw[..., None], (*raw.shape, A)), "float32")

    def loss(raw):
        return HEADS[name].of(raw, 0.0, 1.0, LEVELS).loss(jnp.asarray(y, "float32"), 1.0)

    assert jnp.isfinite(loss(raw)).all()
    assert jnp.isfinite(jax.jit(jax.grad(lambda raw: loss(raw).sum()))(raw)).all()


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("name", ["gaussian", "student_t", "quantile", "point", "mixture", "implicit_quantile"])
def test_a_loss_knows_no_unit(name, unit, rng):
    """In float32, from 1e-12 to 1e12: the gradients for what the network puts out are those of unit 1, in float64.

    The Gaussian's is z and z² - 1 times the slope of softplus, by hand.
    """
    raw = rng.standard_normal((40, HEADS[name].parameter_count(LEVELS)))
    y, location, scale = 5 * rng.standard_normal(40), rng.standard_normal(40), np.exp(rng.standard_normal(40))

    def gradient(unit, dtype):
        def loss(raw):
            its, where, size = (jnp.asarray(unit * a, dtype) for a in (y, location, scale))
            return HEADS[name].of(raw, where, size, LEVELS).loss(its, size).sum()

        return np.asarray(jax.jit(jax.grad(loss))(jnp.asarray(raw, dtype)), float)

    found, expected = gradient(unit, "float32"), gradient(1.0, "float64")
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max())
    if name == "gaussian":
        soft = np.logaddexp(raw[:, 1], 0) + float(jnp.finfo("float64").eps)
        z = (y - location - scale * raw[:, 0]) / (scale * soft)
        by_hand = np.stack([-z / soft, (1 - z**2) / soft / (1 + np.exp(-raw[:, 1]))], -1)
        np.testing.assert_allclose(expected, by_hand, rtol=1e-9)
