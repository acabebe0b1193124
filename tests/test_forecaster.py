"""The forecaster against NumPy and SciPy: losses, forecasts, gaps, ragged rows, scales, drawn paths and coverage."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
from scipy import stats
from support import adam, assert_close, generator, table, tolerance

import jaxrnn
from jaxrnn.models import forecaster
from jaxrnn.models._forecaster.heads import HEADS
from jaxrnn.models._forecaster.series import Scale, scale_of

T, B, K, N, P, F, H = 7, 3, 2, 2, 2, 1, 4
QUANTILES = (0.1, 0.4, 0.5, 0.9)
CASES = {
    "gaussian": dict(head="gaussian", scaling="standard", past_size=P, future_size=F),
    "student_t": dict(head="student_t", strategy="recursive", future_size=F),
    "quantile": dict(head="quantile", quantiles=QUANTILES, past_size=P),
    "quantile_path": dict(head="quantile", quantiles=QUANTILES, strategy="recursive", scaling="standard"),
    "negative_binomial": dict(head="negative_binomial", future_size=F),
    "unscaled_counts": dict(head="negative_binomial", strategy="recursive", scaling=None),
    "point": dict(head="point", scaling="standard", future_size=F),
    "point_path": dict(head="point", strategy="recursive", scaling=None, future_size=F),
}
LEVELS = dict.fromkeys(HEADS, (0.2, 0.8)) | {"point": ()}
TOL = tolerance(float, 100)  # as in test_heads: sums of some hundred terms


def made(case, key):
    """(model, params without a zero, series with gaps, options): counts, for every head can have them."""
    model = forecaster(jaxrnn.gru(H), K, targets=N, **CASES[case])
    rng = generator(key)
    params = jax.tree.map(lambda p: p.astype(float) + 0.3 * rng.standard_normal(p.shape), model.init(key))
    ys = rng.poisson(20, (T, B, N)).astype(float)
    ys[rng.random(ys.shape) < 0.2] = np.nan
    options = {"lengths": np.array([T, 4, 6]), "context": 3, "observed": ~np.isnan(ys)}
    if model.past_size:
        options["past"] = rng.standard_normal((T, B, P))
    if model.future_size:
        options["future"] = rng.standard_normal((T + K, B, F))
    return model, params, ys, options


@functools.lru_cache
def compiled(model):
    """(value and gradients of the loss by params and ys, predict), compiled once for all tests of a case."""

    def loss(params, ys, options):
        return model.loss(params, None, ys, **options)[0]

    def predict(params, ys, options):
        return model.predict(
            params, ys, levels=None if model.strategy == "recursive" else LEVELS[model.head], **options
        )

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))), jax.jit(predict)


def softplus(x):
    return np.log1p(np.exp(x))


def scale(model, ys):
    """(location, size) of one target of one row."""
    seen = ys[~np.isnan(ys)]
    if model.scaling is None or not len(seen):
        return 0.0, 1.0
    if model.scaling == "standard" and (seen != seen[0]).any():
        return seen.mean(), seen.std()
    return seen.mean() if model.scaling == "standard" else 0.0, np.abs(seen).mean()


def said(model, params, ys, past, future, context, start=None):
    """For one row [T, N], from each of its steps: (raw numbers [ahead, N, A], location [N], size [N], the last h)."""
    params = jax.tree.map(np.asarray, params)
    location, size = np.array([scale(model, y) for y in ys[:context].T]).T
    carry, found = (np.zeros(H) if start is None else start,), []
    for t, y in enumerate(ys):
        gaps = np.isnan(y)
        x = [np.where(gaps, 0, (y - location) / size), 1.0 - gaps]
        x += [past[t]] if model.past_size else []
        x += [future[t + 1]] if model.future_size else []
        carry, h = reference.gru(params["cell"], carry, np.concatenate(x))
        raw = (h @ params["readout"] + params["bias"]).reshape(model.ahead, N, -1)
        if "future" in params:
            for k in range(K):
                raw[k] += (future[t + 1 + k] @ params["future"]).reshape(N, -1)
        found.append(raw)
    return np.array(found), location, size, carry[0]


def law(model, raw, location, size):
    """SciPy's distribution for the numbers [..., A], or the values [..., A] of quantiles and points."""
    if model.head == "gaussian":
        return stats.norm(location + size * raw[..., 0], size * softplus(raw[..., 1]))
    if model.head == "student_t":
        return stats.t(2 + softplus(raw[..., 2]), location + size * raw[..., 0], size * softplus(raw[..., 1]))
    if model.head == "negative_binomial":
        mu, n = size * softplus(raw[..., 0]), 1 / (softplus(raw[..., 1]) / np.sqrt(size) + 1e-5)
        return stats.nbinom(n, n / (n + mu))
    if model.head == "quantile":
        gaps = np.cumsum(softplus(raw[..., 1:]), -1)
        values = np.concatenate([0 * raw[..., :1], gaps], -1)
        raw = raw[..., :1] + values - values[..., 2:3]
    return np.asarray(location)[..., None] + np.asarray(size)[..., None] * raw


def one_loss(model, raw, location, size, y):
    """The loss of one value."""
    found = law(model, raw, location, size)
    if model.head == "quantile":
        return np.mean([max(q * (y - v), (q - 1) * (y - v)) for q, v in zip(QUANTILES, found, strict=True)]) / size
    if model.head == "point":
        return ((y - found[0]) / size) ** 2
    return -(found.logpmf(y) if model.head == "negative_binomial" else found.logpdf(y))


def row(options, b, length):
    """`past` and `future` of one row, and the context."""
    past, future = (None if name not in options else options[name][:, b] for name in ("past", "future"))
    return past, future, options.get("context")


@pytest.mark.parametrize("case", table(CASES, {"student_t", "quantile_path"}))
def test_loss_is_the_mean_over_observed_values(case, key):
    """From the context's last step on, in ragged rows: the next steps that are in the row and were observed."""
    model, params, ys, options = made(case, key)
    losses = []
    for b, length in enumerate(options["lengths"]):
        raw, location, size, _ = said(model, params, ys[:length, b], *row(options, b, length))
        for t, k, n in np.ndindex(length, model.ahead, N):
            if t + 1 >= options["context"] and t + 1 + k < length and not np.isnan(ys[t + 1 + k, b, n]):
                losses.append(one_loss(model, raw[t, k, n], location[n], size[n], ys[t + 1 + k, b, n]))
    assert len(losses) >= 8
    assert_close(compiled(model)[0](params, ys, options)[0], np.mean(losses), TOL)


DIRECT = [case for case in CASES if "strategy" not in CASES[case]]


@pytest.mark.parametrize("case", table(DIRECT, {"gaussian", "quantile"}))
def test_direct_forecasts_are_read_off_the_last_state(case, key):
    model, params, ys, options = made(case, key)
    levels, found = LEVELS[model.head], compiled(model)[1](params, ys, options)
    assert found.lower.shape == found.upper.shape == (len(levels), K, B, N)
    for b, length in enumerate(options["lengths"]):
        raw, location, size, _ = said(model, params, ys[:length, b], *row(options, b, length))
        there = law(model, raw[-1], location, size)  # [K, N]
        if model.head == "quantile":  # 0.4 to 0.6, of which 0.6 is a quarter of the way from 0.5 to 0.9; 0.1 to 0.9
            quantile = {0.4: there[..., 1], 0.5: there[..., 2], 0.1: there[..., 0], 0.9: there[..., 3]}
            quantile[0.6] = 0.75 * there[..., 2] + 0.25 * there[..., 3]
        elif model.head == "point":
            quantile = {0.5: there[..., 0]}
        else:
            quantile = {q: there.ppf(q) for q in (0.1, 0.4, 0.5, 0.6, 0.9)}
            assert_close(found.mean[:, b], there.mean(), TOL)
        assert_close(found.median[:, b], quantile[0.5], TOL)
        for i, (low, high) in enumerate([(0.4, 0.6), (0.1, 0.9)][: len(levels)]):
            # A t quantile is found to the precision of its probability, over a density of some 0.1.
            assert_close((found.lower[i, :, b], found.upper[i, :, b]), (quantile[low], quantile[high]), 10 * TOL)


@pytest.mark.parametrize("case", [case for case in CASES if "strategy" in CASES[case]])
def test_recursive_forecasts_without_a_key_are_fed_with_means(case, key):
    model, params, ys, options = made(case, key)
    found = compiled(model)[1](params, ys, options)
    assert found.lower.shape == (0, K, B, N) and np.array_equal(found.mean, found.median)
    for b, length in enumerate(options["lengths"]):
        past, future, context = row(options, b, length)
        series = ys[:length, b]
        for k in range(K):
            raw, location, size, _ = said(model, params, series, past, future, context)
            if k == 0:
                location_of, size_of = location, size
            there = law(model, raw[-1, 0], location_of, size_of)
            if model.head == "quantile":
                edges = np.array([there[:, 0] - 0.1 * (there[:, 1] - there[:, 0]) / 0.3])
                edges = np.concatenate([edges, there.T, [there[:, 3] + 0.1 * (there[:, 3] - there[:, 2]) / 0.4]])
                mass = np.diff([0, *QUANTILES, 1])[:, None]
                middles = np.concatenate([edges[:1], (edges[1:-2] + edges[2:-1]) / 2, edges[-1:]])
                mean = (mass * middles).sum(0)
            else:
                mean = there[..., 0] if model.head == "point" else there.mean()
            assert_close(found.mean[k, b], mean, TOL)
            series = np.concatenate([series, mean[None]])
            assert context <= length  # the scale is that of the series, not of its forecast


@pytest.mark.parametrize("case", table(CASES, {"gaussian", "negative_binomial"}))
def test_what_is_missing_is_not_looked_at(case, key):
    """Values that are not observed, and all past a row's end, by value or gradient; NaN is as not observed."""
    model, params, ys, options = made(case, key)
    gaps, ends = np.isnan(ys), np.arange(T)[:, None] >= options["lengths"]
    run, predict = compiled(model)
    loss, (grads, of_ys) = run(params, ys, options)
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads)) and (of_ys[gaps | ends[..., None]] == 0).all()

    # Either way to say it alone: marked as not observed, whatever stands there; and NaN, though not marked.
    for wrong, observed in ((np.where(gaps, -1e9, ys), ~gaps), (ys, np.ones_like(gaps))):
        assert run(params, wrong, {**options, "observed": observed})[0] == loss
    broken = {**options, **{k: options[k].copy() for k in ("past", "future") if k in options}}
    wrong = np.where(ends[..., None], np.nan, ys)
    if "past" in options:
        broken["past"][ends] = np.nan
    if "future" in options:
        broken["future"][np.arange(T + K)[:, None] >= options["lengths"]] = np.nan
    ours = run(params, wrong, broken)
    assert_close((ours[0], ours[1][0]), (loss, grads), TOL)
    assert jnp.isfinite(ours[1][1]).all()

    if "future" in options:  # a forecast wants the next K
        broken["future"] = options["future"].copy()
        broken["future"][np.arange(T + K)[:, None] >= options["lengths"] + K] = np.nan
    assert_close(predict(params, wrong, broken), predict(params, ys, options), TOL)


@pytest.mark.parametrize(
    "case", table(["gaussian", "student_t", "quantile", "quantile_path", "point"], {"student_t", "quantile_path"})
)
def test_a_hundred_times_the_series_is_a_hundred_times_the_forecast(case, key):
    """A density is divided by 100: log 100 nats more per value. Losses in sizes of the series stay."""
    model, params, ys, options = made(case, key)
    loss, predict = compiled(model)
    once, larger = loss(params, ys, options)[0], loss(params, 100 * ys, options)[0]
    assert_close(larger, np.asarray(once + (np.log(100) if model.head in ("gaussian", "student_t") else 0)), TOL)
    if model.strategy == "recursive":
        options["key"] = key
    once, larger = predict(params, ys, options), predict(params, 100 * ys, options)
    assert_close(larger, jax.tree.map(lambda a: 100 * a, once), TOL)
    assert once.lower.size or model.head == "point"


def test_series_without_a_scale_have_one():
    """None observed, all 0, and constants, whose variance is nothing but rounding."""
    ys = np.tile([np.nan, 0.0, 0.1, -3e8], (T, 1))[..., None].astype("float32")
    for scaling, size in (("mean", [1, 1, 0.1, 3e8]), ("standard", [1, 1, 0.1, 3e8]), (None, [1, 1, 1, 1])):
        found = scale_of(scaling, jnp.asarray(ys), ~np.isnan(ys))
        assert_close(found.scale[:, 0], np.array(size), 8 * float(jnp.finfo("float32").eps))
        there = [0, 0, 0.1, -3e8] if scaling == "standard" else np.zeros(4)
        assert_close(found.location[:, 0], np.array(there), 8 * float(jnp.finfo("float32").eps))
    model = forecaster(jaxrnn.elman(H), K, scaling="standard")
    run = jax.jit(jax.value_and_grad(functools.partial(model.loss, context=T), argnums=(0, 2), has_aux=True))
    (loss, _), grads = run(model.init(jax.random.key(0)), None, ys)
    assert jnp.isfinite(loss) and all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("case", ["gaussian", "student_t"])
def test_steps_say_the_same_as_apply(case, key):
    model, params, ys, options = made(case, key)
    options = {name: options[name] for name in options if name in ("past", "future")}
    end, whole = model.apply(params, None, ys, context=T, **options)
    size, location = np.nanstd(ys, axis=0), np.nanmean(ys, axis=0)
    if model.scaling == "mean":
        size, location = location, 0 * location
    carry = model.initial_carry(params, (B,))
    step = jax.jit(model.step)
    for t in range(T):
        more = {} if "past" not in options else {"past": options["past"][t]}
        following = np.moveaxis(options["future"][t + 1 : t + 1 + model.ahead], 0, -2)
        scale = Scale(location, size)
        carry, one = step(params, carry, ys[t], scale, future=following, **more)
        assert_close(one, jax.tree.map(lambda a, t=t: a[t], whole), tolerance(float, T))
    assert_close(carry, end, tolerance(float, T))


@pytest.mark.parametrize("case", table(CASES, {"gaussian", "quantile_path"}))
def test_a_carry_continues_the_series(case, key):
    """It says what loops say that begin with the carry, and scales by this window alone; so does the loss."""
    model, params, ys, options = made(case, key)
    params = jax.tree.map(lambda p: p / 2, params)  # as drawn, deviations of exp(-5): their squares lose digits
    carry = type(model.initial_carry(params, (B,)))(0.5 * jax.random.normal(key, (B, H), float))

    @jax.jit
    def ours(params, ys, options):
        return model.apply(params, carry, ys, **options), model.loss(params, carry, ys, **options)

    (end, said_), (loss, after) = ours(params, ys, options)
    losses = []
    for b, length in enumerate(options["lengths"]):
        start = np.asarray(carry.h[b])
        raw, location, size, last = said(model, params, ys[:length, b], *row(options, b, length), start)
        assert_close((end.h[b], after.h[b]), (last, last), TOL)
        there = jax.tree.map(lambda a, b=b, n=length: a[:n, b], said_)
        assert_close(there, HEADS[model.head].of(raw, location[None, None], size[None, None], model.quantiles), TOL)
        for t, k, n in np.ndindex(length, model.ahead, N):
            if t + 1 >= options["context"] and t + 1 + k < length and not np.isnan(ys[t + 1 + k, b, n]):
                losses.append(one_loss(model, raw[t, k, n], location[n], size[n], ys[t + 1 + k, b, n]))
    assert_close(loss, np.mean(losses), TOL)


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_has_a_gradient(case, key):
    model, params, ys, options = made(case, key)
    grads = compiled(model)[0](params, ys, options)[1][0]
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert (g != 0).all(), jax.tree_util.keystr(path)


# A linear cell: h' = a h + b y, and the next y = r h' + c + sigma e. With rho = a + b r and m = r h, the k-th value to
# come has mean m_k = rho m_{k-1} + r b c ... and its variance adds up likewise: see `closed_form`.
A_, B_, R, C, SIGMA, STEPS = 0.5, 0.4, 0.8, 1.5, 0.7, 6


def linear(strategy):
    """(model, params) of that cell; the direct one reads out each step's exact mean and deviation."""
    ahead = STEPS if strategy == "direct" else 1
    model = forecaster(jaxrnn.elman(1, activation="identity"), STEPS, strategy=strategy, scaling=None)
    params = jax.tree.map(lambda p: np.zeros(p.shape), model.init(jax.random.key(0)))
    params["cell"]["kernel"][0, 0], params["cell"]["recurrent_kernel"][0, 0] = B_, A_
    for k in range(ahead):
        one, zero = closed_form(1.0, k), closed_form(0.0, k)
        params["readout"][0, 2 * k] = one[0] - zero[0]
        params["bias"][2 * k], params["bias"][2 * k + 1] = zero[0], np.log(np.expm1(np.sqrt(zero[1])))
    return model, jax.tree.map(jnp.asarray, params)


def closed_form(h, k):
    """Mean and variance of the value k + 1 steps after a state h."""
    rho = A_ + B_ * R
    mean = rho**k * h + B_ * C * (1 - rho**k) / (1 - rho)
    variance = sum((rho**j * B_ * SIGMA) ** 2 for j in range(k))
    return R * mean + C, R * R * variance + SIGMA**2


def simulated(rng, rows, steps):
    """Series of the linear cell, and the states they end in."""
    h, ys = np.zeros(rows), []
    for _ in range(steps):
        ys.append(R * h + C + SIGMA * rng.standard_normal(rows))
        h = A_ * h + B_ * ys[-1]
    return np.array(ys)[..., None], h


def test_drawn_paths_have_the_mean_and_variance_of_the_closed_form(key, rng):
    model, params = linear("recursive")
    ys, _ = simulated(rng, 2, 9)
    h = np.zeros(2)
    for y in ys[..., 0]:
        h = A_ * h + B_ * y
    n = 20_000
    paths = np.asarray(model.sample(params, ys, key, n))
    assert paths.shape == (n, STEPS, 2, 1)
    means = model.predict(params, ys).mean
    for k in range(STEPS):
        mean, variance = closed_form(h, k)
        assert_close(means[k, :, 0], mean, tolerance(float, 20))  # what is linear may be fed with means
        assert (np.abs(paths[:, k, :, 0].mean(0) - mean) < 5 * np.sqrt(variance / n)).all()
        assert np.abs(paths[:, k].var(0) / variance - 1).max() < 5 * np.sqrt(2 / n)
    # Steps of one path belong together: the covariance of the first two is rho-like, not 0.
    together = np.mean((paths[:, 0] - paths[:, 0].mean(0)) * (paths[:, 1] - paths[:, 1].mean(0)), 0)[:, 0]
    assert np.abs(together / (R * B_ * SIGMA**2) - 1).max() < 5 * np.sqrt(2 / n) * closed_form(0, 1)[1] / (
        R * B_ * SIGMA**2
    )


@pytest.mark.parametrize("strategy", table(["direct", "recursive"], ["direct"]))
def test_intervals_cover_what_they_say(strategy, key, rng):
    """Of 1500 simulated series, each by the model that made it, to 5 standard deviations."""
    model, params = linear(strategy)
    rows = 1500
    ys, _ = simulated(rng, rows, 20 + STEPS)
    options = {"key": key, "paths": 200} if strategy == "recursive" else {}
    found = model.predict(params, ys[:20], levels=(0.5, 0.9), **options)
    inside = (ys[None, 20:] > found.lower) & (ys[None, 20:] < found.upper)
    for covered, level in zip(np.asarray(inside.mean((2, 3))), (0.5, 0.9), strict=True):
        # The quantiles of n draws are off by about 1/n in what they cover, on either side.
        room = 5 * np.sqrt(level * (1 - level) / rows) + (2 / 200 if options else 0)
        assert np.abs(covered - level).max() < room


@pytest.mark.full
def test_training_finds_the_process(key, rng):
    """A GRU on the linear process: what it forecasts is near to the best that there is, and so is its width."""
    ys, _ = simulated(rng, 512, 32)
    model = forecaster(jaxrnn.gru(8), 3)
    optimizer = adam(optax.cosine_decay_schedule(0.05, 300))

    @jax.jit
    def train(params):
        def update(state, _):
            params, moments = state
            grads = jax.grad(model.loss, has_aux=True)(params, None, ys[:-3], context=8)[0]
            change, moments = optimizer.update(grads, moments)
            return (optax.apply_updates(params, change), moments), None

        return jax.lax.scan(update, (params, optimizer.init(params)), length=300)[0][0]

    found = model.predict(train(model.init(key)), ys[:-3], context=8)
    error = np.sqrt(np.mean((ys[-3:] - np.asarray(found.mean)) ** 2, (1, 2)))
    best = np.sqrt([closed_form(0.0, k)[1] for k in range(3)])
    assert (error < 1.1 * best).all()  # 512 series: to some 3%
    width = np.asarray((found.upper - found.lower)[0].mean((1, 2))) / (2 * stats.norm.ppf(0.9))
    assert np.abs(width / best - 1).max() < 0.1


@pytest.mark.usefixtures("float32_only")
def test_half_cells_forecast_in_float32():
    model = forecaster(jaxrnn.gru(H, dtype="bfloat16"), K, strategy="recursive")
    params = model.init(jax.random.key(0))
    ys = np.arange(T * B, dtype="float32").reshape(T, B, 1)
    found = model.predict(params, ys, key=jax.random.key(1), paths=5)
    assert {a.dtype.name for a in found} == {"float32"} and all(jnp.isfinite(a).all() for a in found)
    whole = model.predict(params, ys.astype(int), key=jax.random.key(1), paths=5)  # counts may be integers
    assert_close(whole, found, 0.0)


def test_it_is_a_value_that_can_be_saved():
    model = forecaster(jaxrnn.gru(H), K, head="quantile", quantiles=[0.2, 0.8], scaling=None)
    assert repr(model) == "forecaster(gru(4), 2, head='quantile', quantiles=(0.2, 0.8), scaling=None)"
    assert jaxrnn.from_config(jaxrnn.to_config(model)) == model


def run(method="loss", ys=None, options=None, **model):
    model = forecaster(jaxrnn.gru(H), K, **model)
    ys = np.zeros((T, B, 1)) if ys is None else ys
    carry = [None] if method == "loss" else []  # predict and sample begin by themselves
    return getattr(model, method)(model.init(jax.random.key(0)), *carry, ys, **(options or {}))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: forecaster("gru", K), TypeError, "cell: expected a cell such as jaxrnn.lstm(256), got 'gru'"),
        (lambda: run(horizon=3), TypeError, "forecaster: multiple values for argument 'horizon'"),
        (
            lambda: run(head="normal"),
            ValueError,
            "head: expected one of gaussian, student_t, quantile, negative_binomial, mixture, implicit_quantile, "
            "point, got 'normal'",
        ),
        (lambda: run(strategy="both"), ValueError, "strategy: expected one of direct, recursive, blended, got 'both'"),
        (
            lambda: run(scaling="max"),
            ValueError,
            "scaling: expected one of mean, standard, rolling, rolling_mean, seasonal_naive, None, got 'max'",
        ),
        (lambda: run(future_size=-1), ValueError, "future_size: expected an int of at least 0, got -1"),
        (
            lambda: run(strategy="recursive", past_size=1),
            ValueError,
            "past_size: expected 0 with strategy='recursive', which would need them after the end, got 1",
        ),
        (
            lambda: run(head="negative_binomial", scaling="standard"),
            ValueError,
            "scaling: expected 'mean' or None with head='negative_binomial', got 'standard'",
        ),
        (
            lambda: run(quantiles=(0.5, 0.1)),
            ValueError,
            "quantiles: expected at least two rising numbers between 0 and 1, got (0.5, 0.1)",
        ),
        (lambda: run(ys=np.zeros((T, B))), ValueError, "ys: expected [T, ..., N] with N=1 targets, got (7, 3)"),
        (
            lambda: run(options={"observed": np.ones((T, B), bool)}),
            ValueError,
            "observed: expected [T, ..., N] = (7, 3, 1) of bool, got bool(7, 3)",
        ),
        (lambda: run(past_size=2), ValueError, "past: expected [T, ..., P] = (7, 3, 2), got None"),
        (
            lambda: run(future_size=1, options={"future": np.zeros((T + 1, B, 1))}),
            ValueError,
            "future: expected [T, ..., F] = (7, 3, 1) or (9, 3, 1), got (8, 3, 1)",
        ),
        (
            lambda: run("predict", future_size=1, options={"future": np.zeros((T, B, 1))}),
            ValueError,
            "future: expected [T, ..., F] = (9, 3, 1), got (7, 3, 1)",
        ),
        (
            lambda: run(options={"future": np.zeros((T, B, 1))}),
            ValueError,
            "future: expected None with future_size=0, got float64(7, 3, 1)",
        ),
        (
            lambda: run("predict", options={"levels": (80,)}),
            ValueError,
            "levels: expected shares between 0 and 1, got (80,)",
        ),
        (
            lambda: run("predict", strategy="recursive", options={"levels": (0.5,)}),
            ValueError,
            "levels: expected () where there is no distribution, got (0.5,); give a key, and paths are drawn",
        ),
        (
            lambda: run("predict", head="point", options={"levels": (0.5,)}),
            ValueError,
            "levels: expected () where there is no distribution, got (0.5,); another head",
        ),
        (
            lambda: run("sample", options={"key": jax.random.key(0), "n": 3}),
            TypeError,
            "strategy: expected 'recursive', for paths are drawn step after step, got 'direct', which knows each step "
            "by itself; predict has its intervals",
        ),
        (
            lambda: run("sample", strategy="recursive", head="point", options={"key": jax.random.key(0), "n": 3}),
            TypeError,
            "head: expected one that is a distribution, such as 'gaussian', got 'point', which is one number",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value).startswith(message)
