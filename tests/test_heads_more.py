"""A mixture of Gaussians against SciPy, and a quantile function that is learnt at all levels against its definition."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special, stats
from support import adam, assert_close, generator
from test_heads import LOCATION, SIZE, TOL, Q, made, softplus

import jaxrnn
from jaxrnn.models import forecaster
from jaxrnn.models._forecaster.heads import HEADS


def test_a_mixture_is_scipys(key):
    ours, raw = made("mixture", key, (4,))
    shares = special.softmax(raw[:, :3], -1)
    parts = [
        stats.norm(LOCATION + SIZE * (raw[:, 3 + c] + stats.norm.ppf((c + 0.5) / 3)), SIZE * softplus(raw[:, 6 + c]))
        for c in range(3)
    ]
    ys = LOCATION + 4 * SIZE * generator(key).standard_normal((5, 4))
    density = special.logsumexp([np.log(shares[:, c]) + parts[c].logpdf(ys) for c in range(3)], axis=0)
    assert_close(jax.vmap(ours.log_prob)(ys), density, TOL)
    assert_close(ours.loss(ys[0], SIZE), -density[0], TOL)
    assert_close(ours.mean(), sum(shares[:, c] * parts[c].mean() for c in range(3)), TOL)
    found = np.asarray(jax.jit(jax.vmap(ours.quantile))(Q))
    assert_close(sum(shares[:, c] * parts[c].cdf(found) for c in range(3)), np.broadcast_to(Q[:, None], (7, 4)), TOL)


@pytest.mark.full
def test_as_many_components_as_one_says():
    """One is a Gaussian; and its quantile, between the least and the largest of one, is that one's."""
    model = forecaster(jaxrnn.gru(3), 2, head="mixture", components=5)
    assert model.init(jax.random.key(0))["bias"].shape == (2 * 15,)
    raw = np.array([[0.3, 1.2, -0.4]])
    one = HEADS["mixture"].of(jnp.asarray(raw), LOCATION, SIZE, ())
    theirs = stats.norm(LOCATION + SIZE * 1.2, SIZE * softplus(-0.4))
    assert_close(jax.vmap(one.quantile)(Q)[:, 0], theirs.ppf(Q), TOL)
    assert_close(one.log_prob(30.0), theirs.logpdf([30.0]), TOL)


def slope(raw, z):
    """The slope of the quantile function over the normal one, in sizes, from the docstring: that of the cell of z."""
    cell = np.clip(np.floor((z + 3) / 0.375), 0, 15)
    tau = stats.norm.cdf(-3 + 0.375 * (cell + 0.5))
    return softplus(sum(raw[1 + i] * np.cos(np.pi * i * tau) for i in range(8)))


def value(raw, tau):
    """q(tau), by adding up whole cells from 0 to z and the part of the last."""
    z = stats.norm.ppf(tau)
    edges = [e for e in -3 + 0.375 * np.arange(1, 16) if min(0, z) < e < max(0, z)]
    points = np.sort([0, *edges, z])
    way = sum((b - a) * slope(raw, (a + b) / 2) for a, b in itertools.pairwise(points))
    return LOCATION + SIZE * (raw[0] + np.sign(z) * way)


def pinball(raw, y, tau):
    error = (y - value(raw, tau)) / SIZE
    return max(tau * error, (tau - 1) * error)


def test_an_implicit_quantile_function_is_its_definition(key):
    """Values, density, mean and loss; it rises everywhere."""
    ours, raw = made("implicit_quantile", key, (3,))
    levels = np.array([0.001, 0.05, 0.3, 0.499, 0.501, 0.8, 0.999])  # none at the edge of a cell
    found = np.asarray(jax.jit(jax.vmap(ours.quantile))(levels))
    assert_close(found, np.array([[value(r, q) for r in raw] for q in levels]), TOL)
    assert (np.diff(found, axis=0) > 0).all()
    density = [[stats.norm.logpdf(z) - np.log(SIZE * slope(r, z)) for r in raw] for z in stats.norm.ppf(levels)]
    assert_close(jax.jit(jax.vmap(ours.log_prob))(found), np.array(density), 1e4 * TOL)  # slopes are as small as 1e-3
    # Gauss-Legendre between the edges, where q is linear in z.
    x, w = np.polynomial.legendre.leggauss(40)
    cuts = np.array([-12, *(-3 + 0.375 * np.arange(1, 16)), 12])
    nodes = ((cuts[1:] + cuts[:-1]) / 2)[:, None] + np.diff(cuts)[:, None] / 2 * x
    weights = (np.diff(cuts)[:, None] / 2 * w * stats.norm.pdf(nodes)).ravel()
    nodes = stats.norm.cdf(nodes.ravel())
    inner = (nodes > 1e-12) & (nodes < 1 - 1e-12)
    mean = [sum(b * value(r, a) for a, b in zip(nodes[inner], weights[inner], strict=True)) for r in raw]
    assert_close(ours.mean(), np.array(mean), 1e-8)
    y = LOCATION + 3 * SIZE * generator(key).standard_normal(3)
    fixed = [np.mean([pinball(r, a, (j + 0.5) / 16) for j in range(16)]) for r, a in zip(raw, y, strict=True)]
    assert_close(ours.loss(y, SIZE), np.array(fixed), TOL)


@pytest.mark.full
def test_its_loss_at_random_levels_is_half_the_crps(key):
    """The mean over keys, to 5 standard errors, but for the 1e-3 of the levels that are never drawn."""
    ours, raw = made("implicit_quantile", key, (2,))
    y = LOCATION + 2 * SIZE * generator(key).standard_normal(2)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: ours.loss(y, SIZE, key)))(jax.random.split(key, 4000)))
    tau = (np.arange(4000) + 0.5) / 4000
    half = np.array([np.mean([pinball(r, a, t) for t in tau]) for r, a in zip(raw, y, strict=True)])
    assert (drawn.std(0) > 0).all()
    assert (np.abs(drawn.mean(0) - half) < 5 * drawn.std(0) / np.sqrt(4000) + 2e-3 * half).all()


@pytest.mark.full
@pytest.mark.parametrize("head", ["mixture", "implicit_quantile"])
def test_it_learns_a_distribution_that_is_not_normal(head, key):
    """Of values that are an exponential of noise: quantiles within 15% of the deviation, by 400 updates of Adam."""
    ys = np.exp(0.8 * generator(key).standard_normal((30, 128, 1))) + 3
    model = forecaster(jaxrnn.gru(3), 1, head=head, scaling=None)
    optimizer = adam(0.03)

    @jax.jit
    def trained(params):
        def update(state, key):
            params, moments = state
            grads = jax.grad(model.loss, has_aux=True)(params, None, ys, key=key)[0]
            change, moments = optimizer.update(grads, moments)
            return (jax.tree.map(jnp.add, params, change), moments), None

        return jax.lax.scan(update, (params, optimizer.init(params)), jax.random.split(key, 400))[0][0]

    params = trained(jax.tree.map(lambda a: a.astype(float), model.init(key)))
    last = jax.tree.map(lambda a: a[-1, :1], model.apply(params, None, ys)[1])
    for q in (0.1, 0.5, 0.9):
        assert abs(float(last.quantile(q)[0, 0, 0]) - (3 + np.exp(0.8 * stats.norm.ppf(q)))) < 0.15 * ys.std()


@pytest.mark.full
def test_mixture_medians_are_found_where_a_search_finds_them(key):
    """Two hills far apart, between which the distribution function is flat."""
    raw = jnp.asarray([[0.1, -0.1, -40.0, 40.0, -1.0, 0.5]])
    ours = HEADS["mixture"].of(raw, 0.0, 1.0, ())
    share = special.softmax([0.1, -0.1])
    size, at = softplus(np.array([-1.0, 0.5])), np.array([-40.0, 40.0]) + stats.norm.ppf([0.25, 0.75])

    def below(y, q):
        return share @ stats.norm.cdf((y - at) / size) - q

    for q in (0.1, 0.5, 0.6):
        assert_close(ours.quantile(q), np.array([optimize.brentq(below, -60, 60, args=(q,), xtol=1e-12)]), 1e-10)
