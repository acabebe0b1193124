"""What a forecaster remembers: lags, seasons and causal scales against loops in NumPy, and series cut anywhere."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import assert_close, generator, table, tolerance

import jaxrnn
from jaxrnn.models import Remembered, forecaster
from jaxrnn.models._forecaster.heads import HEADS

T, B, H, P, F, S = 19, 3, 4, 2, 1, 2
CASES = {
    "all": dict(
        horizon=5, targets=2, head="quantile", scaling="rolling", lags=(1, 3), seasons=(4, 2, 7), differencing=True,
        readout_size=3, static_size=S, identities=6, embedding_size=3, past_size=P, future_size=F, scale_window=6,
        bases=1,
    ),
    "path": dict(
        horizon=3, head="gaussian", scaling="rolling", strategy="recursive", lags=(2,), seasons=(5,), differencing=True,
        future_size=F, static_size=S, identities=6, scale_window=4,
    ),
    "counts": dict(horizon=2, head="negative_binomial", scaling="rolling_mean", lags=(4,), scale_window=5),
    "seasonal": dict(horizon=4, head="student_t", scaling="seasonal_naive", seasons=(3,), targets=2),
    "context": dict(horizon=4, head="gaussian", scaling="standard", lags=(2, 9), seasons=(3,), readout_size=4),
    "point": dict(horizon=3, head="point", scaling="mean", seasons=(2,), differencing=True, identities=6),
}  # fmt: skip
TOL = tolerance(float, 200)  # sums of some hundred terms, as in test_forecaster, and quotients by small deviations


@functools.lru_cache
def model_of(case):
    return forecaster(jaxrnn.gru(H), **CASES[case])


def made(case, key):
    """(model, params without a zero, series with gaps, zeros and a new level, options)."""
    model, rng = model_of(case), generator(key)
    params = jax.tree.map(lambda p: p.astype(float) + 0.3 * rng.standard_normal(p.shape), model.init(key))
    ys = rng.poisson(20, (T, B, model.targets)).astype(float)
    ys[rng.random(ys.shape) < 0.2] = np.nan
    ys[:2, 0] = np.nan  # nothing is known at first
    ys[:3, 1] = 0.0  # nothing of a size
    ys[5:14, 1] = np.nan  # longer than the memory of a scale
    ys[9:, 2] += 500
    options = {"past": rng.standard_normal((T, B, P))} if model.past_size else {}
    options |= {"future": rng.standard_normal((T + model.horizon, B, F))} if model.future_size else {}
    options |= {"static": rng.standard_normal((B, S))} if model.static_size else {}
    options |= {"static_ids": np.array([4, -1, 2])} if model.identities else {}
    if model.bases:  # of another method, which is silent at times
        options["bases"] = 20 + 9 * rng.standard_normal((T, B, model.horizon, model.targets))
        options["bases"][rng.random(options["bases"].shape) < 0.2] = np.nan
    return model, params, ys, options


@functools.lru_cache
def compiled(model, context=None):
    """(apply, loss), jitted once for all tests of a case."""
    more = {} if model.causal else {"context": context}
    return (
        jax.jit(lambda params, carry, ys, options: model.apply(params, carry, ys, **more, **options)),
        jax.jit(lambda params, carry, ys, options: model.loss(params, carry, ys, **more, **options)),
    )


def scale(model, y, t, context):
    """(location, size) of one series [T] at step t, from the definitions."""
    if not model.causal:
        seen = y[:context][~np.isnan(y[:context])]
        if model.scaling == "mean":
            return 0.0, np.abs(seen).mean() if np.abs(seen).sum() else 1.0
        if len(seen) and seen.std() > 1e-12:
            return seen.mean(), seen.std()
        return (seen.mean() if len(seen) else 0.0), (np.abs(seen).mean() or 1.0 if len(seen) else 1.0)
    W, location, size = model.scale_window or max(model.seasons), 0.0, 1.0
    for s in range(t + 1):
        window = range(max(0, s - W + 1), s + 1)
        seen = np.array([y[i] for i in window if not np.isnan(y[i])])
        if not len(seen):
            continue
        if model.scaling == "rolling_mean":
            now = np.abs(seen).mean()
        else:
            location = seen.mean()
            now = seen.std() if len(seen) > 1 else abs(location)
            if model.scaling == "seasonal_naive":
                m = model.seasons[0]
                pairs = [abs(y[i] - y[i - m]) for i in window if i >= m and not np.isnan(y[i] + y[i - m])]
                now = np.mean(pairs) if pairs else now
            now = max(now, abs(location) / 1000)
        size = now if now > 0 else size
    return location, size


def last_season(model, y, t, m, k):
    """r_{m,k} of one series at step t, or NaN: of an earlier season where missing, as far as is remembered."""
    at = t + k - m * -(-k // m)
    reach = t - model.reach
    seasons = (model.reach + 1) // m
    for j in range(seasons):
        assert at - j * m >= reach
        if at - j * m >= 0 and not np.isnan(y[at - j * m]):
            return y[at - j * m]
    return np.nan


def embedded(model, params, options, b):
    """What stays of row b: its static numbers, and its embedding or the mean of all."""
    stays = [options["static"][b]] if model.static_size else []
    if model.identities:
        i = options["static_ids"][b]
        stays += [params["embedding"].mean(0) if i < 0 else params["embedding"][i]]
    return np.concatenate([*stays, []])


def said(model, params, ys, options, b, context):
    """For one row [T, N], from each of its steps: (raw numbers [ahead, N, A], location [ahead, N], size [N])."""
    params, N, K = jax.tree.map(np.asarray, params), model.targets, model.horizon
    stays, h, found = embedded(model, params, options, b), np.zeros(H), []
    for t in range(len(ys)):
        where, size = np.array([scale(model, y, t, context) for y in ys.T]).T

        def z(values, where=where, size=size):
            z = np.where(np.isnan(values), 0, (values - where) / size)
            return np.clip(z, -10, 10) if model.causal else z

        x = [z(ys[t]), ~np.isnan(ys[t])]
        x += [options["past"][t, b]] if model.past_size else []
        x += [options["future"][t + 1, b]] if model.future_size else []
        for lag in model.lags:
            y = ys[t - lag] if t >= lag else np.full(N, np.nan)
            x += [z(y), ~np.isnan(y)]
        skipped = []
        for m in model.seasons:
            last = [[last_season(model, y, t, m, k) for y in ys.T] for k in range(1, min(K, m) + 1)]
            x += [z(r) for r in np.array(last)]
            skipped += [z(r) for r in np.array(last)]
            x += [(~np.isnan(last)).mean(0)]
        if model.bases:
            x += [z(r) for r in options["bases"][t, b]]
            skipped += [z(r) for r in options["bases"][t, b]]
            x += [(~np.isnan(options["bases"][t, b])).mean(0)]
        if model.scaling in ("rolling", "seasonal_naive"):
            x += [np.log(size / (np.abs(where) + size))]
        h = reference.gru(params["cell"], (h,), np.concatenate([*x, stays]))[1]
        f = np.concatenate([h, *skipped, stays])
        if model.readout_size:
            f = f @ params["hidden"]["kernel"] + params["hidden"]["bias"]
            f = 0.5 * f * (1 + np.tanh(np.sqrt(2 / np.pi) * (f + 0.044715 * f**3)))
        raw = (f @ params["readout"] + params["bias"]).reshape(model.ahead, N, -1)
        if model.readout_size and model.seasons:
            raw[..., 0] += (np.concatenate(skipped) @ params["skip"]).reshape(model.ahead, N)
        if model.future_size and model.ahead > 1:
            for k in range(K):
                raw[k] += (options["future"][t + 1 + k, b] @ params["future"]).reshape(N, -1)
        location = np.tile(where, (model.ahead, 1))
        if model.differencing:
            for k, n in np.ndindex(model.ahead, N):
                shares = np.exp(params["seasons"][k])
                r = [last_season(model, ys[:, n], t, m, k + 1) for m in model.seasons]
                r = np.array([*r, *([options["bases"][t, b, k, n]] if model.bases else [])])
                there = ~np.isnan(r)
                if there.any():
                    location[k, n] = (shares[there] * r[there]).sum() / shares[there].sum()
        found.append((raw, location, size))
    return found


def expected(model, params, ys, options, context):
    """The distributions [T, B, ahead, N] of loops."""
    rows = [said(model, params, ys[:, b], options, b, context) for b in range(B)]
    raw, location, size = (np.array([[at[i] for at in of] for of in rows]).swapaxes(0, 1) for i in range(3))
    return HEADS[model.head].of(
        jnp.asarray(raw), jnp.asarray(location), jnp.asarray(size)[..., None, :], model.quantiles
    )


@pytest.mark.parametrize("case", table(CASES, {"all", "seasonal"}))
def test_what_is_said_is_what_loops_say(case, key):
    """Inputs, scales, readout and location, step by step, of series with gaps, zeros and a new level."""
    model, params, ys, options = made(case, key)
    assert_close(compiled(model, 8)[0](params, None, ys, options)[1], expected(model, params, ys, options, 8), TOL)


def alike(carry, expected, tol):
    """Two carries, with NaN of what is remembered at the same places."""
    assert np.array_equal(np.isnan(carry.values), np.isnan(expected.values))
    carry, expected = (c._replace(values=np.nan_to_num(c.values)) for c in (carry, expected))
    assert_close(carry, expected, tol)


CAUSAL = [case for case in CASES if CASES[case]["scaling"] not in ("standard", "mean")]


@pytest.mark.parametrize("case", table(CAUSAL, {"seasonal"}))
def test_series_may_be_cut_anywhere(case, key):
    """All cuts at once, as rows of two pieces of unequal lengths; and one step at a time; as if given at once."""
    model, params, ys, options = made(case, key)
    apply, tol = compiled(model)[0], tolerance(float, T)
    end, whole = apply(params, None, ys, options)
    assert isinstance(end, Remembered) and end.values.shape == (B, model.reach, model.targets)
    cuts = np.arange(T + 1)

    def rows(a):  # each row at each cut: [..., B, ...] -> [..., T + 1 of B, ...]
        return np.repeat(a, T + 1, axis=1)

    moved = (np.arange(T)[:, None] + np.tile(cuts, B)) % T  # the second piece begins at the cut
    future = (np.arange(T + model.horizon)[:, None] + np.tile(cuts, B)) % (T + model.horizon)
    first, second = ({"lengths": n} for n in (np.tile(cuts, B), np.tile(T - cuts, B)))
    for name, value in options.items():
        if name in ("static", "static_ids"):
            first[name] = second[name] = np.repeat(value, T + 1, axis=0)
        else:
            first[name] = rows(value)
            at = future if name == "future" else moved
            second[name] = np.take_along_axis(first[name], at.reshape(*at.shape, *[1] * (value.ndim - 2)), 0)
    carry, before = apply(params, None, rows(ys), first)
    carry, after = apply(params, carry, np.take_along_axis(rows(ys), moved[..., None], 0), second)
    alike(carry, jax.tree.map(lambda a: np.repeat(a, T + 1, axis=0), end), tol)
    for a, b, w in zip(*map(jax.tree.leaves, (before, after, whole)), strict=True):
        for row in range(B):
            for cut in cuts:
                i = row * (T + 1) + cut
                assert_close(np.concatenate([a[:cut, i], b[: T - cut, i]]), np.asarray(w[:, row]), tol)

    carry, step = model.initial_carry(params, (B,)), jax.jit(model.step)
    for t in range(T):
        now = {name: options[name] for name in ("static", "static_ids") if name in options}
        now |= {name: options[name][t] for name in ("past", "bases") if name in options}
        if "future" in options:
            now["future"] = np.moveaxis(options["future"][t + 1 : t + 1 + model.ahead], 0, -2)
        carry, one = step(params, carry, ys[t], **now)
        assert_close(one, jax.tree.map(lambda a, t=t: a[t], whole), tol)
    alike(carry, end, tol)


@pytest.mark.full
def test_the_loss_and_forecasts_continue_too(key):
    """A loss of two pieces is that of the whole without those from before the cut to after it; so are predictions."""
    model, params, ys, options = made("path", key)
    loss = compiled(model)[1]
    n = 8
    pieces = [
        {k: v if k.startswith("static") else v[s] for k, v in options.items()}
        for s in (slice(None, n + 1), slice(n, None))
    ]
    carry = compiled(model)[0](params, None, ys[:n], pieces[0] | {"future": options["future"][: n + model.horizon]})[0]
    each = model.apply(params, None, ys, **options)[1].loss(np.nan_to_num(np.roll(ys, -1, 0))[..., None, :], 1.0)[
        :, :, 0
    ]
    known = np.array([~np.isnan(ys[max(0, t - 3) : t + 1]).all(0) for t in range(n, T - 1)])
    counted = ~np.isnan(ys[n + 1 :]) & known
    assert_close(loss(params, carry, ys[n:], pieces[1])[0], np.asarray(each)[n:-1][counted].mean(), TOL)
    for draw in ({}, {"key": jax.random.key(3), "paths": 7}):
        whole = model.predict(params, ys, **draw, **options)
        assert_close(model.predict(params, ys[n:], carry=carry, **draw, **pieces[1]), whole, tolerance(float, T))


@pytest.mark.full
def test_no_steps_and_any_number(key):
    """After no steps a carry is what it was; and a program for any batch and time says what loops say."""
    model, params, ys, options = made("seasonal", key)
    end, _ = compiled(model)[0](params, None, ys, options)
    alike(model.apply(params, end, ys[:0])[0], end, 0.0)
    T_, b = jax.export.symbolic_shape("T, b")
    run = jax.jit(lambda ys: model.apply(params, model.initial_carry(params, ys.shape[1:2]), ys)[1])
    program = jax.export.export(run)(jax.ShapeDtypeStruct((T_, b, model.targets), "float64"))
    assert_close(jax.tree.leaves(program.call(ys)), jax.tree.leaves(expected(model, params, ys, options, None)), TOL)


@pytest.mark.full
def test_what_came_before_may_be_given(key):
    """`before` is what is remembered of a series over which the cell has not run: its lags, seasons and scale."""
    model, params, ys, options = made("seasonal", key)
    apply = compiled(model)[0]
    n = 11
    carry = model.initial_carry(params, before=ys[:n])
    ran = apply(params, None, ys[:n], options)[0]
    alike(carry._replace(cell=ran.cell), ran, TOL)
    assert (carry.cell.h == 0).all()


@pytest.mark.parametrize("case", table(CAUSAL, {"seasonal"}))
def test_nothing_later_changes_what_was_said(case, key):
    """At any step, by one bit, though the series is another, of another size and with other gaps from there on."""
    model, params, ys, options = made(case, key)
    apply = compiled(model)[0]
    before = apply(params, None, ys, options)[1]
    for t in (0, 4, T - 2):
        other = ys.copy()
        other[t + 1 :] = np.where(np.arange(T)[t + 1 :, None, None] % 2, np.nan, 1e6 * np.nan_to_num(ys[t + 1 :]) + 500)
        after = apply(params, None, other, options)[1]
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            assert np.array_equal(a[: t + 1], b[: t + 1]) and not np.array_equal(a[t + 1 :], b[t + 1 :])


@pytest.mark.parametrize("case", table(["all", "path", "seasonal"], {"seasonal"}))
def test_a_hundred_times_the_series_is_a_hundred_times_the_forecast(case, key):
    """From the first value that is not 0 on; before, there is no unit."""
    model, params, ys, options = made(case, key)
    apply = compiled(model)[0]
    ys[:3] = 1.0 + np.nan_to_num(ys[:3])

    def said(unit):
        bases = {"bases": unit * options["bases"]} if model.bases else {}
        return apply(params, None, unit * ys, options | bases)[1]

    once, larger = said(1.0), said(100.0)
    df = getattr(once, "df", None)
    assert_close(larger, jax.tree.map(lambda a: a if a is df else 100 * a, once), TOL)


STRANGE = {
    "constant": np.full(T, 0.1),
    "zeros": np.zeros(T),
    "spike": np.eye(T)[6] * 1e12,
    "missing": np.full(T, np.nan),
    "one": np.where(np.arange(T) == 9, 3.0, np.nan),
    "high": 7e9 + 1024 * np.arange(T) % 3,
    "huge": np.sin(np.arange(T)) * 1e30,
    "tiny": np.sin(np.arange(T)) * 1e-15,
    "level": np.where(np.arange(T) < 8, 1.0, 1e6) + 0.1 * np.sin(np.arange(T)),
}


@pytest.mark.usefixtures("float32_only")
@pytest.mark.parametrize("scaling", table(["rolling", "rolling_mean", "seasonal_naive"], {"seasonal_naive"}))
def test_strange_series_are_finite_in_float32(scaling, key):
    """Forecasts and gradients by params and values; and they leave a series beside them as it is."""
    model = forecaster(
        jaxrnn.gru(3), 4, head="quantile", scaling=scaling, lags=(2,), seasons=(3,), differencing=True, readout_size=3
    )
    params = jax.jit(model.init)(key)
    ys = np.stack([*STRANGE.values(), 5 + np.sin(np.arange(T))], 1)[..., None].astype("float32")

    @jax.jit
    def run(ys):
        (loss, _), grads = jax.value_and_grad(model.loss, argnums=(0, 2), has_aux=True)(params, None, ys)
        distribution = model.apply(params, None, ys)[1]
        return loss, grads, distribution.values, distribution.mean()

    found = run(ys)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(found))
    _, grads, values, _ = found
    assert np.array_equal(values[:, -1], run(np.repeat(ys[:, -1:], ys.shape[1], 1))[2][:, -1])
    gaps = np.isnan(ys)
    assert (grads[1][gaps] == 0).all()


@pytest.mark.usefixtures("float32_only")
def test_without_a_network_it_is_seasonal_naive():
    """To the bit, with one season, a horizon that is longer, and any scale; a gap is filled by the season before."""
    ys = np.random.default_rng(0).standard_normal((11, 2, 1)).astype("float32") * 1e4 + 7
    naive = ys[-4:].copy()
    naive[2, 1] = ys[-6, 1]
    ys[-2, 1] = np.nan
    for scaling in ("rolling", "standard"):
        model = forecaster(jaxrnn.gru(3), 6, head="point", scaling=scaling, seasons=(4,), differencing=True)
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        params = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)
        assert np.array_equal(jax.jit(model.predict)(params, ys).mean, naive[np.arange(6) % 4])


@pytest.mark.full
def test_every_parameter_has_a_gradient(key):
    model, params, ys, options = made("all", key)
    options["static_ids"] = np.array([0, -1, 2])
    grads = jax.jit(jax.grad(lambda p: model.loss(p, None, ys, **options)[0]))(params)
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert (g != 0).all(), jax.tree_util.keystr(path)


@pytest.mark.full
def test_weights_and_units(key):
    """A loss is the weighted mean of each origin's; in units of one's own, a pinball loss times scale over unit."""
    model, params, ys, options = made("all", key)
    rng = generator(key)
    K, N = model.horizon, model.targets
    following = np.full((T, B, K, N), np.nan)
    for t, k in np.ndindex(T, K):
        if t + 1 + k < T:
            following[t, :, k] = ys[t + 1 + k]
    there = ~np.isnan(following)
    distribution = compiled(model)[0](params, None, ys, options)[1]
    one = np.asarray(distribution.loss(np.nan_to_num(following), np.ones((1, 1, 1, 1))))  # in units of ys
    units = np.exp(rng.standard_normal((B, N)))
    sizes = np.array([[[scale(model, ys[:, b, n], t, None)[1] for n in range(N)] for b in range(B)] for t in range(T)])
    # Row 1 has no value in its window at steps 10 to 13, and is no origin there.
    known = np.array([[~np.isnan(ys[max(0, t - 5) : t + 1, b]).all(0) for b in range(B)] for t in range(T)])
    there &= known[:, :, None]
    given = [None, rng.random(B) * 1e-3, rng.random((T, B)), np.zeros(B)]

    @jax.jit
    def losses(params):
        return [[model.loss(params, None, ys, weights=w, units=u, **options)[0] for u in (None, units)] for w in given]

    for weights, found in zip(given, losses(params), strict=True):
        w = np.broadcast_to(1.0 if weights is None else weights, (T, B))[..., None, None] * there
        total = w.sum() or 1.0
        assert_close(found[0], (w * one / sizes[:, :, None]).sum() / total, TOL)
        assert_close(found[1], (w * one / units[:, None]).sum() / total, TOL)


@pytest.mark.full
def test_dropout_needs_a_key(key):
    """Without one it does nothing; with one, some of what is read out is 0, and the mean of many is near to it all."""
    model = forecaster(jaxrnn.gru(H), 2, head="point", scaling=None, dropout=0.5, seasons=(2,))
    plain = forecaster(jaxrnn.gru(H), 2, head="point", scaling=None, seasons=(2,))
    params = model.init(key)
    ys = generator(key).standard_normal((6, 2, 1))
    still = np.asarray(plain.apply(params, None, ys)[1].loc)
    assert np.array_equal(model.apply(params, None, ys)[1].loc, still)
    drawn = jax.vmap(lambda key: model.apply(params, None, ys, key=key)[1].loc)(jax.random.split(key, 4000))
    drawn = np.asarray(drawn, float)
    assert (np.abs(drawn.mean(0) - still) < 6 * drawn.std(0) / np.sqrt(4000)).all() and (drawn.std(0) > 0).all()


def run(method="loss", ys=None, options=None, **model):
    model = forecaster(jaxrnn.gru(3), 2, **model)
    ys = np.zeros((T, B, 1)) if ys is None else ys
    call = getattr(model, method)
    return jax.eval_shape(lambda key: call(model.init(key), None, ys, **(options or {})), jax.random.key(0))


ROLLING = {"scaling": "rolling"}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: run(lags=(0,)),
            ValueError,
            "lags: expected a tuple of numbers of steps, each at least 1 and once, got (0,)",
        ),
        (lambda: run(seasons=(7, 7)), ValueError, "seasons: expected a tuple of numbers of steps"),
        (lambda: run(seasons=7), ValueError, "seasons: expected a tuple of numbers of steps"),
        (lambda: run(differencing=True), ValueError, "differencing: expected False without seasons"),
        (lambda: run(bases=1, **ROLLING), ValueError, "bases: expected [T, ..., K, G·N] = (19, 3, 2, 1), got None"),
        (lambda: run(bases=1, strategy="blended"), ValueError, "bases: expected 0 with strategy='blended'"),
        (
            lambda: run(differencing=True, seasons=(2,), head="negative_binomial"),
            ValueError,
            "differencing: expected False with head='negative_binomial'",
        ),
        (
            lambda: run(head="negative_binomial", **ROLLING),
            ValueError,
            "scaling: expected 'mean' or None with head='negative_binomial', got 'rolling'",
        ),
        (
            lambda: run(scaling="seasonal_naive"),
            ValueError,
            "seasons: expected at least one with scaling='seasonal_naive'",
        ),
        (lambda: run(scale_window=5), ValueError, "scale_window: expected None with scaling='mean'"),
        (lambda: run(dropout=1.0), ValueError, "dropout: expected a probability"),
        (lambda: run(static_size=2, **ROLLING), ValueError, "static: expected [..., S] = (3, 2), got None"),
        (
            lambda: run(options={"static": np.zeros((3, 2))}, **ROLLING),
            ValueError,
            "static: expected None with static_size=0, got float64(3, 2)",
        ),
        (lambda: run(identities=2, **ROLLING), ValueError, "static_ids: expected [...] = (3,) of int, got None"),
        (
            lambda: run(identities=2, options={"static_ids": np.array([0, 2, 1])}, **ROLLING),
            ValueError,
            "static_ids: expected numbers from 0 to 1, or -1 for a series that is not among them, got 0 to 2",
        ),
        (
            lambda: run(options={"weights": np.ones(4)}, **ROLLING),
            ValueError,
            "weights: expected [...] = (3,) of series, or [T, ...] = (19, 3) of origins, got (4,)",
        ),
        (lambda: run(options={"weights": -np.ones(3)}, **ROLLING), ValueError, "weights: expected finite numbers"),
        (
            lambda: run(options={"units": np.ones((3, 1))}, **ROLLING),
            ValueError,
            "units: expected None with head='gaussian', whose loss is in nats",
        ),
        (
            lambda: run(options={"units": np.ones(3)}, head="point", **ROLLING),
            ValueError,
            "units: expected [..., N] = (3, 1), a size of each series, got (3,)",
        ),
        (
            lambda: forecaster(jaxrnn.gru(3), 2, **ROLLING).apply(
                forecaster(jaxrnn.gru(3), 2, **ROLLING).init(jax.random.key(0)),
                (np.zeros((B, 3)),),
                np.zeros((T, B, 1)),
            ),
            TypeError,
            "carry: expected Remembered(cell, values [..., R, N] = (3, 28, 1), scale)",
        ),
        (
            lambda: run("step", np.zeros((B, 1)), {"scale": None}),
            ValueError,
            "scale: expected Scale(location, scale), each [..., N], with scaling='mean', got None",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value).startswith(message)
