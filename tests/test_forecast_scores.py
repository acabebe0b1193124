"""Scores of forecasts, beside loops over their definitions, integrals of distribution functions, and closed forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import special, stats

from jaxrnn.forecast import scores

EPS = float(np.finfo(np.float64).eps)
P = (0.025, 0.1, 0.5, 0.8, 0.9)


def problem(rng, N=3, K=5, T=11):
    """(forecast [N, K], target [N, K] with two missing, past [N, T] with one missing)."""
    forecast, target = 3 + rng.standard_normal((2, N, K))
    past = 3 + rng.standard_normal((N, T))
    target[0, 1] = target[2, 4] = past[1, 3] = np.nan
    return forecast, target, past


def quantiles(rng, shape, p=P):
    """Rising quantiles [*shape, Q] at uneven distances."""
    return 2 + np.cumsum(rng.random((*shape, len(p))), -1)


def by_rows(loss, target, *more):
    """The mean of loss(y, ...) over each row's observed targets, in a loop."""
    rows = []
    for n, row in enumerate(target):
        found = [loss(y, *(a[n, k] for a in more)) for k, y in enumerate(row) if not math.isnan(y)]
        rows.append(sum(found) / len(found))
    return np.array(rows)


def changes(row, season):
    """|y_t - y_{t-m}| where both are known."""
    found = [abs(row[t] - row[t - season]) for t in range(season, len(row))]
    return [one for one in found if not math.isnan(one)]


def close(actual, expected, factor=20):
    np.testing.assert_allclose(actual, expected, rtol=factor * EPS, atol=factor * EPS)


def test_errors_of_points(rng):
    forecast, target, past = problem(rng)
    close(scores.mae(forecast, target), by_rows(lambda y, f: abs(y - f), target, forecast))
    close(scores.rmse(forecast, target), np.sqrt(by_rows(lambda y, f: (y - f) ** 2, target, forecast)))
    expected = by_rows(lambda y, f: 200 * abs(y - f) / (abs(y) + abs(f)), target, forecast)
    close(scores.smape(forecast, target), expected, 100)
    for season in (1, 4):
        scale = np.array([np.mean(changes(row, season)) for row in past])
        root = np.array([np.sqrt(np.mean(np.square(changes(row, season)))) for row in past])
        close(scores.mase(forecast, target, past, season), scores.mae(forecast, target) / scale)
        close(scores.rmsse(forecast, target, past, season), scores.rmse(forecast, target) / root)
    assert scores.mae([1.0, 2], [4.0, 2]) == 1.5


def test_published_values():
    """M4's percentage error of 1 beside 3, and of 0 beside 0; the CRPS of a standard normal at its mean."""
    assert scores.smape([1.0], [3.0]) == 100
    assert scores.smape([0.0, 0.0], [0.0, 5.0]) == 100
    close(scores.crps_gaussian([0.0], [1.0], [0.0]), (math.sqrt(2) - 1) / math.sqrt(math.pi))
    close(scores.crps_gaussian([0.1], [0.4], [0.0]), 0.10339992515976162)  # the example in scoringrules' documentation
    # The interval [1, 3] of 90%: held, and missed by 2, which costs 2 / 0.1 times as much.
    close(scores.interval_score([1.0, 1.0], [3.0, 3.0], [2.0, 5.0], 0.9, axis=()), [2.0, 42.0])


def test_pasts_of_unequal_lengths(rng):
    forecast, target, past = problem(rng)
    rows = [past[0, 4:], past[1], past[2, 7:]]
    padded = past.copy()
    padded[0, :4] = padded[2, :7] = np.nan
    for season in (1, 2):
        expected = scores.mase(forecast, target, padded, season)
        np.testing.assert_array_equal(scores.mase(forecast, target, rows, season), expected)
        close(expected[0], scores.mae(forecast[0], target[0]) / np.mean(changes(rows[0], season)))
    assert np.isnan(scores.mase(forecast, target, rows, 4)).tolist() == [False, False, True]  # shorter than a season


def test_what_is_missing(rng):
    """A target is left out, a forecast is not; a past without change has no scale."""
    forecast, target, past = problem(rng)
    silent = np.where(np.isnan(target), np.nan, forecast)
    np.testing.assert_array_equal(scores.mae(silent, target), scores.mae(forecast, target))
    silent[1, 2] = np.nan
    assert np.isnan(scores.mae(silent, target)).tolist() == [False, True, False]
    assert np.isnan(scores.mae(silent, target, axis=None))
    assert np.isnan(scores.mae(forecast, np.nan * target)).all()
    past[2] = 7
    assert np.isnan(scores.mase(forecast, target, past)).tolist() == [False, False, True]


def test_axes(rng):
    forecast, target, _ = problem(rng)
    error = np.abs(forecast - target)
    np.testing.assert_array_equal(scores.mae(forecast, target, axis=()), error)
    close(scores.mae(forecast, target, axis=None), error[~np.isnan(error)].mean())
    close(scores.mae(forecast, target, axis=0), np.nanmean(error, 0))
    assert scores.quantile_loss(quantiles(rng, (3, 5)), P, target, axis=0).shape == (5, len(P))


def test_quantile_losses(rng):
    _, target, _ = problem(rng)
    q = quantiles(rng, target.shape)
    for i, p in enumerate(P):
        expected = by_rows(lambda y, f, p=p: p * (y - f) if y > f else (1 - p) * (f - y), target, q[..., i])
        close(scores.quantile_loss(q, P, target)[:, i], expected)
    # As GluonTS: for each probability twice the sum of losses over the sum of |y|, and the mean of those.
    seen = ~np.isnan(target)
    ratios = []
    for i, p in enumerate(P):
        y, f = target[seen], q[..., i][seen]
        ratios.append(2 * np.abs((f - y) * ((y <= f) - p)).sum() / np.abs(y).sum())
    close(scores.weighted_quantile_loss(q, P, target), np.mean(ratios))


def test_intervals(rng):
    _, target, past = problem(rng)
    lower, upper = np.sort(3 + 0.5 * rng.standard_normal((2, *target.shape)), 0)
    seen = ~np.isnan(target)
    held = [low <= y <= high for low, y, high in zip(lower[seen], target[seen], upper[seen], strict=True)]
    close(scores.coverage(lower, upper, target), np.mean(held))
    assert 0 < np.mean(held) < 1
    close(scores.width(lower, upper, target), by_rows(lambda y, low, high: high - low, target, lower, upper))
    close(scores.width(lower, upper), (upper - lower).mean(-1))

    def winkler(y, low, high):
        return high - low + 2 / 0.05 * ((low - y) * (y < low) + (y - high) * (y > high))

    expected = by_rows(winkler, target, lower, upper)
    close(scores.interval_score(lower, upper, target, 0.95), expected, 100)
    scale = [np.mean(changes(row, 4)) for row in past]
    close(scores.msis(lower, upper, target, past, 4), expected / scale, 100)


def squared_distance(steps, y):
    """The integral of (F(x) - 1{y <= x})², F as (x, F before x, F from x on), straight between, by Gauss."""
    nodes, weights = np.polynomial.legendre.leggauss(3)
    x, before, after = (np.array(a) for a in zip(*steps, strict=True))
    cuts = np.unique([*x, y])
    total = 0.0
    for a, b in itertools.pairwise(cuts):
        at = (a + b) / 2 + (b - a) / 2 * nodes
        i = np.searchsorted(x, at) - 1
        inside = (i >= 0) & (i < len(x) - 1)
        j = np.clip(i, 0, len(x) - 2)
        straight = after[j] + (before[j + 1] - after[j]) * (at - x[j]) / (x[j + 1] - x[j])
        F = np.where(inside, straight, np.where(i < 0, 0.0, 1.0))
        total += (b - a) / 2 * weights @ (F - (at >= y)) ** 2
    return total


def test_crps_of_quantiles_is_the_integral(rng):
    """A distribution function with points at both ends; targets below, within and above all quantiles."""
    target = np.array([[0.5, 3.1], [3.9, 9.0], [np.nan, 2.2]])
    q = quantiles(rng, target.shape)
    found = scores.crps_quantiles(q, P, target, axis=())
    for n, k in np.ndindex(target.shape):
        before, after = [0.0, *P[1:]], [*P[:-1], 1.0]
        if not np.isnan(target[n, k]):
            close(found[n, k], squared_distance(list(zip(q[n, k], before, after, strict=True)), target[n, k]), 100)
    assert np.isnan(found[2, 0])
    close(scores.crps_quantiles(q, P, target), [found[0].mean(), found[1].mean(), found[2, 1]])
    # Where all quantiles are one number, that number's error.
    point = np.repeat(target[..., None] + 0.7, len(P), -1)
    close(scores.crps_quantiles(point, P, target, axis=None), 0.7, 100)
    close(scores.crps_quantiles(point[..., 2:3], [0.5], target, axis=None), 0.7, 100)


def test_crps_of_many_quantiles_is_that_of_their_distribution():
    """Normal: the quantiles of 1000 probabilities leave out tails of 0.0005, and are straight between."""
    p = (np.arange(1000) + 0.5) / 1000
    target = np.array([-1.7, 0.2, 3.0])
    q = np.broadcast_to(1 + 2 * special.ndtri(p), (3, 1000))
    exact = scores.crps_gaussian(np.ones(3), np.full(3, 2.0), target, axis=())
    np.testing.assert_allclose(scores.crps_quantiles(q, p, target, axis=()), exact, rtol=1e-4)


@pytest.mark.parametrize(("p", "customary"), [((0.1, 0.5, 0.9), 0.89), (tuple(np.arange(1, 10) / 10), 1.09)])
def test_few_quantiles_as_documented(p, customary):
    """The mean over targets of a standard normal distribution: 1 / sqrt(π) is exact."""
    y = special.ndtri((np.arange(20000) + 0.5) / 20000)
    q = np.broadcast_to(special.ndtri(p), (len(y), len(p)))
    assert scores.crps_quantiles(q, p, y) * math.sqrt(math.pi) == pytest.approx(1.01, abs=0.005)
    assert 2 * scores.quantile_loss(q, p, y).mean() * math.sqrt(math.pi) == pytest.approx(customary, abs=0.005)


def test_crps_of_samples_is_the_integral(rng):
    target = np.array([[0.5, 3.1], [3.9, np.nan]])
    x = 3 + rng.standard_normal((2, 2, 6))
    x[0, 0, 1] = x[0, 0, 4]  # equal ones
    found = scores.crps_samples(x, target, axis=())
    for n, k in ((0, 0), (0, 1), (1, 0)):
        values, counts = np.unique(x[n, k], return_counts=True)
        F = np.cumsum(counts) / 6
        close(found[n, k], squared_distance(list(zip(values, [0, *F[:-1]], F, strict=True)), target[n, k]), 100)
    pairs = np.abs(x[..., None] - x[..., None, :]).sum((-1, -2))
    expected = np.abs(x - target[..., None]).mean(-1) - pairs / (2 * 6 * 5)
    close(scores.crps_samples(x, target, fair=True, axis=()), expected, 100)
    close(scores.crps_samples(x[..., :1], target), scores.mae(x[..., 0], target))


@pytest.mark.parametrize("df", [1.3, 2.5, 30.0])
def test_crps_in_closed_form_is_the_integral(df):
    """By the substitution x = sinh(t), which the tails of Student's t need."""
    y, center, scale = 0.8, 0.3, 1.7
    t = np.linspace(-90, 90, 400_001)
    with np.errstate(over="ignore"):
        for law, found in (
            (stats.t(df, center, scale), scores.crps_student_t(df, [center], [scale], [y])),
            (stats.norm(center, scale), scores.crps_gaussian([center], [scale], [y])),
        ):
            up = np.trapezoid(law.sf(y + np.sinh(t[t >= 0])) ** 2 * np.cosh(t[t >= 0]), t[t >= 0])
            down = np.trapezoid(law.cdf(y - np.sinh(t[t >= 0])) ** 2 * np.cosh(t[t >= 0]), t[t >= 0])
            assert found == pytest.approx(up + down, rel=1e-6)
    assert scores.crps_student_t(1.0, [center], [scale], [y]) == math.inf
    for one in (scores.crps_gaussian([0.3], [0.0], [y]), scores.crps_student_t(df, [0.3], [0.0], [y])):
        assert one == pytest.approx(0.5)  # the absolute error


def test_pit_of_quantiles():
    q = np.broadcast_to([1.0, 2.0, 4.0], (6, 3))
    target = np.array([0.0, 1.0, 1.25, 3.0, 5.0, np.nan])
    found = scores.pit_quantiles(q, [0.1, 0.5, 0.9], target)
    close(found, [0.05, 0.1, 0.2, 0.7, 0.95, np.nan])
    tied = scores.pit_quantiles([[2.0, 2.0, 4.0]], [0.1, 0.5, 0.9], [2.0])
    close(tied, [0.3])  # in the middle of what is at 2


def test_pit_is_uniform_where_targets_are_drawn_from_the_forecast(rng):
    """Also of counts, with a random rank among equals, and in the tails. The distance of Kolmogorov, at 1 in 10^6."""
    n = 4000
    far = math.sqrt(math.log(2e6) / (2 * n))
    samples, target = rng.poisson(2, (n, 9)), rng.poisson(2, n)
    q = np.broadcast_to(special.ndtri([0.2, 0.5, 0.7]), (n, 3))
    for values, allowed in (
        (scores.pit_samples(samples, target, rng), 0.0),
        (scores.pit_quantiles(q, [0.2, 0.5, 0.7], rng.standard_normal(n), rng), 0.02),  # not straight between
    ):
        rank = np.sort(values)
        assert np.abs(rank - (np.arange(n) + 0.5) / n).max() < far + allowed
        density, edges = scores.pit_histogram(values, 5)
        close(edges, np.linspace(0, 1, 6))
        close(density, np.histogram(values, edges)[0] / n * 5)
    assert np.ptp(scores.pit_samples(samples, target)) > 0.5


def test_reliability(rng):
    _, target, _ = problem(rng)
    q = quantiles(rng, target.shape)
    q[0, 0, 2] = target[0, 0]
    seen = ~np.isnan(target)
    expected = [np.mean((target[seen] < q[seen][:, i]) + 0.5 * (target[seen] == q[seen][:, i])) for i in range(len(P))]
    close(scores.reliability(q, P, target), expected)


def test_the_table_is_of_the_single_scores(rng):
    """Of two models; the mean over series of means over steps, without the series that has no scale."""
    p = (0.1, 0.25, 0.5, 0.75, 0.9)
    _, target, past = problem(rng)
    past[1] = 2
    says = {name: scores.Quantiles(q.mean(-1), q, p) for name in ("a", "b") for q in [quantiles(rng, target.shape, p)]}
    found = scores.table(says, target, past, 2)
    assert found["model"].tolist() == ["a", "b"]
    assert found["targets"].tolist() == [13, 13]
    scale, varies = scores.seasonal_error(past, 2), [0, 2]
    for m, one in enumerate(says.values()):
        q = np.asarray(one.values)
        median, (low, high) = q[..., 2], (q[..., 1], q[..., 3])

        def scaled(values):
            return np.mean([values[n] / scale[n] for n in varies])

        expected = {
            "mae": scores.mae(median, target).mean(),
            "rmse": scores.rmse(one.mean, target).mean(),
            "mase": scores.mase(median, target, past, 2)[varies].mean(),
            "rmsse": scores.rmsse(one.mean, target, past, 2)[varies].mean(),
            "smape": scores.smape(median, target).mean(),
            "wql": scores.weighted_quantile_loss(q, p, target),
            "crps": scaled(scores.crps_quantiles(q, p, target)),
            "coverage-50": scores.coverage(low, high, target),
            "width-50": scaled(scores.width(low, high, target)),
            "msis-50": scores.msis(low, high, target, past, 2, level=0.5)[varies].mean(),
        }
        for name, value in expected.items():
            close(found[name][m], value, 200)
    assert {"coverage-80", "width-80", "msis-80"} < set(found)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: scores.mae(np.ones((2, 3)), np.ones((2, 4))), r"forecast: expected \[..., K\] = \(2, 4\)"),
        (lambda: scores.mae("no", np.ones(2)), "forecast: expected numbers"),
        (lambda: scores.mase(np.ones((2, 3)), np.ones((2, 3)), np.ones((4, 9))), "past: expected"),
        (lambda: scores.mase(np.ones(3), np.ones(3), np.ones(9), 0), "season: expected an int of at least 1"),
        (lambda: scores.mae(np.ones(3), np.ones(3), axis=1), "axis: expected axes of a target with 1"),
        (lambda: scores.quantile_loss(np.ones((3, 2)), [0.9, 0.1], np.ones(3)), "probabilities: expected"),
        (lambda: scores.crps_quantiles(np.ones((3, 3)), [0.1, 0.9], np.ones(3)), "quantiles: expected"),
        (lambda: scores.crps_samples(np.ones((3, 1)), np.ones(3), fair=True), "samples: expected"),
        (lambda: scores.interval_score(np.ones(3), np.ones(3), np.ones(3), 95), "level: expected the share"),
        (lambda: scores.Quantiles(0, np.ones((3, 1)), (0.5,)).interval(0.8), r"probability: expected one of \(0.5,\)"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
