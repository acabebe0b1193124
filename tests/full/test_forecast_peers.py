"""Forecasters and scores beside statsmodels, scoringrules and statsforecast, where they are installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from jaxrnn.forecast import baselines, scores


def seasonal(rng, T=120, m=12, products=False):
    t = np.arange(T)
    season = np.sin(2 * np.pi * t / m) + 0.5 * np.cos(4 * np.pi * t / m)
    level = 30 + 0.2 * t + np.cumsum(0.3 * rng.standard_normal(T))
    return level * (1 + 0.2 * season) if products else level - 60 + 3 * season


def installed(name):
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


@installed("statsmodels")
@pytest.mark.parametrize("products", [False, True])
@pytest.mark.parametrize("T", [119, 120])
def test_theta_is_that_of_statsmodels(rng, products, T):
    """Its smoothing parameter is found by an optimizer of its own, to about 1e-4."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    for m in (12, 7):
        y = seasonal(rng, T, m, products)
        fitted = ThetaModel(y, period=m, use_test=False).fit()
        found = baselines.theta(y, 18, m)
        np.testing.assert_allclose(found.mean, np.asarray(fitted.forecast(18)), atol=0.01)


@installed("statsmodels")
def test_ets_forecasts_a_season(rng):
    y = seasonal(rng, 132)
    found = baselines.ets(y[:120], 12, 12)
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    options = dict(error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=12)
    theirs = ETSModel(y[:120], initialization_method="heuristic", **options).fit(disp=False)
    np.testing.assert_allclose(found.mean, theirs.forecast(12), atol=0.5)
    held = np.abs(found.mean - y[120:]) < 3 * found.deviation
    assert held.all() and (found.deviation < 3).all() and (np.diff(found.deviation) > 0).all()
    late = baselines.ets(np.append(y[:118], [np.nan] * 2), 2, 12)
    early = baselines.ets(y[:118], 4, 12)
    np.testing.assert_array_equal(late.mean, early.mean[2:])


@installed("statsmodels")
@pytest.mark.parametrize(
    "past", [[], [np.nan] * 20, [0.0] * 40, [7e9] * 40, [1.0, 2.0], [0.0] * 20 + [1e6] + [0.0] * 20]
)
def test_ets_of_strange_series(past):
    for season in (1, 12):
        found = baselines.ets(np.array(past), 5, season)
        assert found.mean.shape == found.deviation.shape == (5,)
        assert not np.isinf([*found.mean, *found.deviation]).any()


@installed("statsforecast")
def test_statsforecast(rng):
    """The same as its own call; a series that it refuses is NaN."""
    from statsforecast.models import Theta

    y = seasonal(rng)
    theirs = Theta(season_length=12).forecast(y=y, h=6, level=[80])
    found = baselines.statsforecast("Theta")(y, 6, 12)
    np.testing.assert_allclose(found.mean, theirs["mean"])
    np.testing.assert_allclose(
        found.quantiles((0.1, 0.9)).values[:, 1] - found.mean, (theirs["hi-80"] - theirs["lo-80"]) / 2
    )
    assert np.isnan(baselines.statsforecast("Theta")([np.nan] * 9, 6, 12).mean).all()


@installed("scoringrules")
def test_scores_are_those_of_scoringrules(rng):
    import scoringrules as rules

    target = rng.standard_normal((4, 3))
    center, spread, df = rng.standard_normal((4, 3)), rng.random((4, 3)) + 0.5, 3 + rng.random((4, 3))
    samples = rng.standard_normal((4, 3, 7))
    low, high = np.sort(rng.standard_normal((2, 4, 3)), 0)
    pairs = [
        (scores.crps_gaussian(center, spread, target), rules.crps_normal(target, center, spread)),
        (scores.crps_student_t(df, center, spread, target), rules.crps_t(target, df, center, spread)),
        (scores.crps("laplace", target, center, spread), rules.crps_laplace(target, center, spread)),
        (scores.crps_samples(samples, target), rules.crps_ensemble(target, samples, estimator="nrg")),
        (scores.crps_samples(samples, target, fair=True), rules.crps_ensemble(target, samples, estimator="fair")),
        (scores.interval_score(low, high, target, 0.9), rules.interval_score(target, low, high, 0.1)),
        (
            2 * scores.quantile_loss(np.sort(samples, -1)[..., :3], (0.1, 0.5, 0.9), target).mean(-1),
            rules.crps_quantile(target, np.sort(samples, -1)[..., :3], np.array([0.1, 0.5, 0.9])),
        ),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, np.asarray(theirs).mean(-1), rtol=1e-6, atol=1e-9)
    target[0, 0] = np.nan
    np.testing.assert_allclose(
        scores.crps("laplace", target, center, spread)[0], np.mean(rules.crps_laplace(target, center, spread)[0, 1:])
    )
    with pytest.raises(ValueError, match=r"distribution: expected one of .*laplace.*, got 'lapace'"):
        scores.crps("lapace", target, center, spread)
