"""The autoregression beside a network, beside one that is fitted anew by least squares."""

from __future__ import annotations

import numpy as np
import pytest
from reference.autoregression import autoregression as by_hand

from jaxrnn.forecast.autoregression import Autoregression, candidates, chosen

LAGS, SPAN, K, EVERY, RIDGE = (1, 2, 5, 8), 4, 3, 5, 0.3


@pytest.fixture
def model():
    return Autoregression(LAGS, SPAN, K, EVERY, RIDGE)


def series(rng, T=61, missing=0.1):
    y = 40 + np.cumsum(rng.standard_normal(T)) + 3 * np.sin(np.arange(T))
    y[rng.random(T) < missing] = np.nan
    return y


def test_equals_least_squares(model, rng):
    """Series of unequal lengths, one of which begins with nothing, one with too few values for weights."""
    ys = np.stack([series(rng) for _ in range(4)])
    ys[1, :9], lengths = np.nan, np.array([61, 61, 37, 11])
    found, state = model.run(ys, lengths, model.begin(4), 61)
    deviation = model.deviation(state)
    for y, T, mine, own in zip(ys, lengths, found, deviation, strict=True):
        expected, spread = by_hand(y[:T], LAGS, SPAN, K, EVERY, RIDGE)
        np.testing.assert_allclose(mine[61 - T :], expected, rtol=1e-9)
        np.testing.assert_allclose(own, spread, rtol=1e-7)
    assert np.isfinite(found[:3, -1]).all() and np.isnan(found[3]).all()


def test_goes_on(model, rng):
    """Cut anywhere, it is as read at once; series of which nothing new came stay as they were."""
    ys, lengths = np.stack([series(rng) for _ in range(3)]), np.array([61, 44, 50])
    whole, end = model.run(ys, lengths, model.begin(3), 4)
    state, at = model.begin(3), np.zeros(3, int)
    for step in ([23, 1, 0], [0, 40, 13], [38, 3, 37]):
        parts = np.full((3, max(step)), np.nan)
        for n, count in enumerate(step):
            parts[n, :count] = ys[n, at[n] : at[n] + count]
        found, state = model.run(parts, np.array(step), state, 4)
        at += step
    np.testing.assert_array_equal(state.steps, end.steps)
    np.testing.assert_allclose(state.line, end.line, rtol=1e-9)
    np.testing.assert_allclose(found[[0, 2]], whole[[0, 2]], rtol=1e-8)
    np.testing.assert_allclose(model.forecast(state.line, state.weights), whole[:, -1], rtol=1e-8)


def test_does_not_explode(model):
    """What doubles with each step is forecast no farther outside the last values than these are wide."""
    y = 2.0 ** np.arange(40)
    found, _ = model.run(y[None], np.array([40]), model.begin(1), 1)
    assert (found <= 2 * y[-1]).all() and (found > y[-1]).all()


def test_chosen_forecasts_best(rng):
    """Of series with a memory of two seasons; of noise, where all are as good, the fewest lags."""
    T, season = 400, 12
    y = rng.standard_normal((2, T))
    for t in range(2 * season, T):
        y[:, t] += 0.9 * y[:, t - 2 * season]
    tried = candidates(season, None, 6, T)
    assert [len(one.lags) for one in tried] == [13, 25, 37]
    assert chosen(tried, y, np.array([T, T - 30])) == tried[1]
    assert chosen(tried, rng.standard_normal((3, T)), np.full(3, T)) == tried[0]
    assert chosen(tried, np.full((1, 5), np.nan), np.array([5])) == tried[0]
    far = candidates(24, 168, 48, 900)
    assert far[0].lags == (*range(1, 26), 166, 167, 168, 169, 170)
