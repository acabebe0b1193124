"""A blended forecaster against the closed form of the linear process of test_forecaster."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from support import assert_close, tolerance
from test_forecaster import A_, B_, SIGMA, STEPS, closed_form, linear, simulated

import jaxrnn
from jaxrnn.models import forecaster

OFF = np.array([0.0, 0.5, -1.0, 2.0, 0.25, -3.0])  # how wrong the direct forecasts are
SHARE = np.array([0.3, 0.0, 1.0, 0.25, 0.5, 0.9])


def made():
    """(model, params): its first step is the process's, so that it feeds back the truth; the other steps are off."""
    params = dict(linear("direct")[1])
    params["bias"] = params["bias"].at[::2].add(OFF)
    model = forecaster(jaxrnn.elman(1, activation="identity"), STEPS, strategy="blended", scaling=None)
    assert jax.tree.map(jnp.shape, model.init(jax.random.key(0))) == jax.tree.map(jnp.shape, params | {"blend": SHARE})
    return model, params | {"blend": jnp.asarray(SHARE)}


def states(ys):
    """The linear cell's state after each step [T, B]."""
    found = [np.zeros(ys.shape[1])]
    for y in ys[..., 0]:
        found.append(A_ * found[-1] + B_ * y)
    return np.array(found[1:])


def truth(h):
    """(means, deviations) of the K values after states h [B]: [K, B], [K, 1]."""
    both = [closed_form(h, k) for k in range(STEPS)]
    return np.array([m for m, _ in both]), np.sqrt([[v] for _, v in both])


@pytest.mark.full
def test_both_are_averaged(rng):
    model, params = made()
    ys, _ = simulated(rng, 3, 8)
    found = model.predict(params, ys, levels=(0.9,))
    mean, deviation = truth(states(ys)[-1])
    expected = mean + ((1 - SHARE) * OFF)[:, None]
    assert_close((found.mean[..., 0], found.median[..., 0]), (expected, expected), tolerance(float, 30))
    half = np.broadcast_to(stats.norm.ppf(0.95) * deviation, expected.shape)
    assert_close((found.upper[0] - found.median)[..., 0], half, tolerance(float, 60))


@pytest.mark.full
def test_quantiles_are_averaged_and_paths_are_those_of_the_process(rng, key):
    """To 5 standard errors of the median and the outer quantiles of 20,000 paths."""
    model, params = made()
    ys, _ = simulated(rng, 2, 8)
    n = 20_000
    found = model.predict(params, ys, key=key, paths=n)
    mean, deviation = truth(states(ys)[-1])
    room = 5 * np.sqrt(0.1 * 0.9 / n) / stats.norm.pdf(stats.norm.ppf(0.1)) * deviation
    for got, z in ((found.lower[0], -1), (found.median, 0), (found.upper[0], 1)):
        expected = mean + ((1 - SHARE) * OFF)[:, None] + z * stats.norm.ppf(0.9) * deviation
        assert (np.abs(got[..., 0] - expected) < room + 1e-9).all()
    paths = model.sample(params, ys, key, n)
    assert (np.abs(paths.mean(0)[..., 0] - mean) < 5 * deviation / np.sqrt(n)).all()


@pytest.mark.full
def test_shares_are_those_of_least_squares(rng):
    """In closed form, of ragged series, by a grid too; what cannot be told stays as it is."""
    model, params = made()
    T, rows = 20, 30
    ys, _ = simulated(rng, rows, T)
    lengths = rng.integers(STEPS, T + 1, rows)  # of some, nothing comes before the last K
    lengths[:3] = STEPS, STEPS + 1, T
    ys[T - 2, 2] = np.nan
    found = np.asarray(model.blend(params, ys, lengths=lengths)["blend"])
    h, errors = states(np.nan_to_num(ys)), [[] for _ in range(STEPS)]
    for b in range(rows):
        n = lengths[b] - STEPS
        for k in range(STEPS):
            if n > 0 and not np.isnan(ys[n + k, b, 0]):
                errors[k].append(ys[n + k, b, 0] - closed_form(h[n - 1, b], k)[0])
    grid = np.linspace(0, 1, 1001)
    for k in range(1, STEPS):
        by_grid = [np.mean((np.array(errors[k]) - (1 - w) * OFF[k]) ** 2) for w in grid]
        assert abs(found[k] - grid[np.argmin(by_grid)]) < 1e-3
    assert found[0] == SHARE[0]
    assert 0 < found[3] < 1 and SIGMA > 0
    with pytest.raises(TypeError, match="strategy: expected 'blended', which has two forecasts to blend, got 'direct'"):
        linear("direct")[0].blend(params, ys)


@pytest.mark.full
def test_inputs_known_ahead_are_read_both_ways(rng, key):
    """A blended forecaster with all of one share is the direct one, with all of the other the recursive one."""
    options = dict(scaling="rolling", lags=(1,), future_size=2, scale_window=4)
    ys, future = rng.standard_normal((9, 3, 1)), rng.standard_normal((9 + 4, 3, 2))
    blended, direct, recursive = (
        forecaster(jaxrnn.gru(3), 4, strategy=strategy, **options) for strategy in ("blended", "direct", "recursive")
    )
    params = jax.tree.map(lambda p: p.astype(float) + 0.2 * rng.standard_normal(p.shape), blended.init(key))
    params["future"] = 0 * params["future"]  # a recursive one adds no inputs to its first step's numbers
    one = {"cell": params["cell"], "readout": params["readout"][:, :2], "bias": params["bias"][:2]}
    for share, model, its in ((0.0, direct, {k: params[k] for k in params if k != "blend"}), (1.0, recursive, one)):
        params["blend"] = jnp.full(4, share)
        found = blended.predict(params, ys, future=future).mean
        assert_close(found, model.predict(its, ys, future=future).mean, tolerance(float, 30))
