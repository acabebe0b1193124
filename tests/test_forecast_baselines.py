"""Simple forecasters beside loops over their definitions, and on series that are strange."""

from __future__ import annotations

import math

import numpy as np
import pytest

from jaxrnn.forecast import baselines

ALL = {
    name: getattr(baselines, name) for name in ("naive", "seasonal_naive", "drift", "theta", "lagged_regression")
} | {"direct": lambda past, horizon, season: baselines.lagged_regression(past, horizon, season, recursive=False)}


def close(actual, expected, rtol=1e-10):
    np.testing.assert_allclose(actual, expected, rtol=rtol)


def root_mean(squares, lost=0):
    found = [s for s in squares if not math.isnan(s)]
    return math.sqrt(sum(found) / (len(found) - lost))


def seasonal(rng, T=60, m=6, noise=0.3):
    t = np.arange(T)
    return 20 + 0.1 * t + 3 * np.sin(2 * np.pi * t / m) + noise * rng.standard_normal(T)


def test_naive_and_drift(rng):
    """With one value missing within, and two at the end, after which step k is k + 2 steps away."""
    y = rng.standard_normal(12)
    y[4] = y[10:] = np.nan
    K = 3
    found = baselines.naive(y, K)
    sigma = root_mean([(y[t] - y[t - 1]) ** 2 for t in range(1, 12)])
    close(found.mean, [y[9]] * K)
    close(found.deviation, [sigma * math.sqrt(k + 2) for k in (1, 2, 3)])
    slope = (y[9] - y[0]) / 9
    sigma = root_mean([(y[t] - y[t - 1] - slope) ** 2 for t in range(1, 12)], 1)
    found = baselines.drift(y, K)
    close(found.mean, [y[9] + slope * (k + 2) for k in (1, 2, 3)])
    close(found.deviation, [sigma * math.sqrt((k + 2) * (1 + (k + 2) / 9)) for k in (1, 2, 3)])


def test_seasonal_naive(rng):
    """The last known value of the same point of the season; of one never known, the last of all."""
    m, K, y = 4, 9, seasonal(rng, 14, 4)
    y[11] = np.nan  # a season earlier there is one
    y[1::m] = np.nan  # and here there never is
    found = baselines.seasonal_naive(y, K, m)
    sigma = root_mean([(y[t] - y[t - m]) ** 2 for t in range(m, 14)])
    other = root_mean([(y[t] - y[t - 1]) ** 2 for t in range(1, 14)])
    for k in range(1, K + 1):
        earlier = [(t, j) for j in range(1, 8) if 0 <= (t := 13 + k - m * j) < 14 and not math.isnan(y[t])]
        if earlier:
            t, j = earlier[0]
            close([found.mean[k - 1], found.deviation[k - 1]], [y[t], sigma * math.sqrt(j)])
        else:
            last = max(t for t in range(14) if not math.isnan(y[t]))
            close([found.mean[k - 1], found.deviation[k - 1]], [y[last], other * math.sqrt(13 - last + k)])
    whole = seasonal(rng, 14, 4)
    close(baselines.seasonal_naive(whole, K, m).mean, np.resize(whole[-m:], K))


def test_theta_by_the_definition(rng):
    """A loop for the levels, all smoothing parameters in steps of 1/2000, the line by NumPy."""
    y = np.cumsum(rng.standard_normal(40)) + 0.3 * np.arange(40) + 50

    def run(alpha):
        level, errors = y[0], []
        for value in y[1:]:
            errors.append(value - level)
            level = alpha * value + (1 - alpha) * level
        return level, sum(e * e for e in errors)

    alpha = min(np.linspace(1e-4, 1 - 1e-4, 2001), key=lambda a: run(a)[1])
    level, squares = run(alpha)
    slope = np.polyfit(np.arange(40), y, 1)[0]
    found = baselines.theta(y, 5)
    steps = np.arange(5)
    close(found.mean, level + slope / 2 * (steps + (1 - (1 - alpha) ** 40) / alpha), 2e-3 / 50)
    close(found.deviation, np.sqrt(squares / 39 * (1 + steps * alpha**2)), 2e-3)


@pytest.mark.parametrize("products", [False, True])
def test_theta_takes_a_season_off_and_puts_it_back(rng, products):
    """A trend, and a season of sums or of products, exactly as the decomposition has them: nothing is left over."""
    m, t = 6, np.arange(60)
    index = np.array([1.3, 0.8, 1.1, 0.7, 0.9, 1.2])
    level = 10 + 0 * t
    y = level * index[t % m] if products else level - 20 + 30 * (index[t % m] - 1)
    after = np.arange(60, 69) % m
    expected = 10 * index[after] if products else -10 + 30 * (index[after] - 1)
    found = baselines.theta(y, 9, m)
    close(found.mean, expected, 1e-9)
    assert (found.deviation < 1e-9).all()
    noisy = baselines.theta(y + 0.5 * rng.standard_normal(60), 9, m)
    assert np.abs(noisy.mean - expected).max() < 1.5


def design(y, line, lags, m, t):
    """The inputs at step t, and the mean of the m values before it."""
    center = sum(line[t - m : t]) / m
    return [line[t - lag] - center for lag in lags], center


def test_regression_by_the_normal_equations(rng):
    """Each step by weights of its own; the ridge in units of the inputs' deviation, the constant free."""
    y, lags, m, K, ridge = seasonal(rng, 30), (1, 2, 6), 4, 4, 3.0
    found = baselines.lagged_regression(y, K, m, lags=lags, ridge=ridge, recursive=False)
    rows = range(6, 30 - K + 1)
    made = [design(y, y, lags, m, t) for t in rows]
    size = np.std([one for one, _ in made])
    x = np.array([[1.0, *(v / size for v in one)] for one, _ in made])
    cost = ridge * np.diag([0.0, 1, 1, 1])
    last, center = design(y, y, lags, m, 30)
    for k in range(K):
        target = np.array([(y[t + k] - c) / size for t, (_, c) in zip(rows, made, strict=True)])
        weights = np.linalg.solve(x.T @ x + cost, x.T @ target)
        ahead = center + size * (np.array([1.0, *(v / size for v in last)]) @ weights)
        hat = np.trace(x @ np.linalg.solve(x.T @ x + cost, x.T))
        deviation = math.sqrt(((target - x @ weights) ** 2).sum() / (len(target) - hat))
        close([found.mean[k], found.deviation[k]], [ahead, size * deviation])


def test_regression_leaves_out_what_is_missing(rng):
    """Targets that are missing do not count; inputs are straight lines over them; steps after a gap are longer."""
    y, lags, m = seasonal(rng, 40, noise=0.5), (1, 3), 2
    y[[9, 20, 21]] = np.nan
    line = np.interp(np.arange(40), np.flatnonzero(~np.isnan(y)), y[~np.isnan(y)])
    found = baselines.lagged_regression(y, 2, m, lags=lags, ridge=0.0, recursive=False)
    for k in range(2):
        rows = [t for t in range(3, 39) if not math.isnan(y[t + k])]
        made = [design(y, line, lags, m, t) for t in rows]
        x = np.array([[1.0, *one] for one, _ in made])
        target = np.array([y[t + k] - c for t, (_, c) in zip(rows, made, strict=True)])
        last, center = design(y, line, lags, m, 40)
        close(found.mean[k], center + np.array([1.0, *last]) @ np.linalg.lstsq(x, target, rcond=None)[0])
    late = baselines.lagged_regression(np.append(y, [np.nan] * 2), 1, m, lags=lags)
    early = baselines.lagged_regression(y, 3, m, lags=lags)
    close([late.mean[0], late.deviation[0]], [early.mean[2], early.deviation[2]])


def test_recursive_regression(rng):
    """A season on a trend goes on without noise. With noise the steps are those of a loop, and so are the deviations:

    that of step k is of what drawn errors of steps 1 to k make of it, one at a time.
    """
    t = np.arange(72)
    y = 5 + 0.3 * t + np.cos(np.pi * t / 6)
    found = baselines.lagged_regression(y[:60], 12, 12, ridge=0.0)
    close(found.mean, y[60:], 1e-6)
    y, lags, m, K, T = seasonal(rng, 200), (1, 2, 6, 7), 6, 5, 200
    found = baselines.lagged_regression(y, K, m, lags=lags, ridge=0.0)
    made = [design(y, y, lags, m, t) for t in range(7, T)]
    x = np.array([[1.0, *one] for one, _ in made])
    target = np.array([y[t] - c for t, (_, c) in zip(range(7, T), made, strict=True)])
    weights, squares = np.linalg.lstsq(x, target, rcond=None)[:2]

    def path(errors):
        line = list(y)
        for error in errors:
            last, center = design(line, line, lags, m, len(line))
            line.append(center + np.array([1.0, *last]) @ weights + error)
        return np.array(line[T:])

    close(found.mean, path(np.zeros(K)))
    moved = np.stack([path(one) - found.mean for one in np.eye(K)])
    close(found.deviation, np.sqrt(squares[0] / (len(x) - 5) * (moved**2).sum(0)), 1e-8)


STRANGE = {
    "nothing": [],
    "all missing": [np.nan] * 30,
    "one value": [3.0],
    "two values": [3.0, 4.0],
    "one value among missing": [np.nan] * 10 + [3.0] + [np.nan] * 10,
    "zeros": [0.0] * 40,
    "constant": [7e9] * 40,
    "nearly constant": [0.1] * 20 + [np.nextafter(0.1, 1)] * 20,
    "one spike": [0.0] * 20 + [1e6] + [0.0] * 20,
    "infinite": [1.0, 2.0, np.inf, 3.0, -np.inf, 2.0] * 6,
    "huge": [1e200, -1e200, 3e200] * 12,
    "tiny": [1e-200, -1e-200, 3e-200] * 12,
    "explosive": [2.0**i for i in range(60)],
    "mostly missing": [1.0 if i % 7 == 0 else np.nan for i in range(60)],
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_series(name):
    """Numbers or NaN, in the right shape, without an error or a warning."""
    for forecaster in ALL.values():
        for season in (1, 6, 50):
            found = forecaster(np.array(STRANGE[name]), 8, season)
            assert found.mean.shape == found.deviation.shape == (8,)
            assert not np.isinf([*found.mean, *found.deviation]).any()
            assert not (found.deviation < 0).any()
            if name in ("zeros", "constant", "one value"):
                assert (found.mean == STRANGE[name][0]).all()
            if name in ("zeros", "constant"):
                assert (found.deviation == 0).all()
            if name in ("nothing", "all missing"):
                assert np.isnan(found.mean).all()


def test_units(rng):
    """A series in another unit, or 1e12 higher, has the same forecasts there."""
    y = seasonal(rng)
    for forecaster in ALL.values():
        found, larger = forecaster(y, 7, 6), forecaster(2.0**40 * y, 7, 6)
        close(larger.mean, 2.0**40 * found.mean, 1e-9)
        close(larger.deviation, 2.0**40 * found.deviation, 1e-9)
    for name in ("naive", "seasonal_naive", "drift", "lagged_regression"):
        found, higher = ALL[name](y, 7, 6), ALL[name](y + 1e9, 7, 6)
        np.testing.assert_allclose(higher.mean - 1e9, found.mean, atol=1e-4)
        np.testing.assert_allclose(higher.deviation, found.deviation, atol=1e-4)


def test_quantiles_of_a_normal():
    """1.2815515655446004 deviations, the table's quantile of 0.9; without doubt one number, without knowledge none."""
    says = baselines.Normal(np.array([2.0, 5.0, 1.0]), np.array([3.0, 0.0, np.nan])).quantiles((0.1, 0.5, 0.9))
    z = 1.2815515655446004
    np.testing.assert_allclose(says.values, [[2 - 3 * z, 2, 2 + 3 * z], [5, 5, 5], [np.nan] * 3], rtol=1e-14)
    assert says.levels == (0.8,)
    np.testing.assert_array_equal(says.interval(0.8), says.values[:, [0, 2]].T)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: baselines.naive(np.ones((2, 3)), 2), r"past: expected one series \[T\], got \(2, 3\)"),
        (lambda: baselines.drift(np.ones(3), 0), "horizon: expected an int of at least 1, got 0"),
        (lambda: baselines.theta(np.ones(3), 2, 1.5), "season: expected an int of at least 1, got 1.5"),
        (lambda: baselines.lagged_regression(np.ones(9), 2, lags=(0,)), "lags: expected an int of at least 1, got 0"),
        (
            lambda: baselines.lagged_regression(np.ones(9), 2, ridge=-1),
            "ridge: expected a number of at least 0, got -1",
        ),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
