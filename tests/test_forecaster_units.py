"""What a forecaster must not know: what comes, and in which unit. Norms and regularizers in any unit too."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import adam, assert_close, table, tolerance
from test_forecaster import CASES, T, made

import jaxrnn
from jaxrnn import regularizers
from jaxrnn.models import forecaster
from jaxrnn.models._forecaster.series import scale_of

UNITS = (1e-12, 1.0, 1e12)


@pytest.mark.parametrize("case", table(CASES, ("gaussian", "student_t", "negative_binomial")))
def test_nothing_after_a_step_changes_what_was_said_at_it(case, key):
    """From the context's last step on: the series is another, in size too, from step t + 1 on, and so are its gaps."""
    model, params, ys, options = made(case, key)
    options = {**options, "lengths": np.full(3, T)}
    n = options["context"]

    @jax.jit
    def said(ys, observed):
        return model.apply(params, None, ys, **{**options, "observed": observed})[1]

    before = said(ys, options["observed"])
    for t in range(n - 1, T - 1):
        other, there = ys.copy(), options["observed"].copy()
        other[t + 1 :] = 1000 * np.nan_to_num(ys[t + 1 :]) + 500
        there[t + 1 :] = ~there[t + 1 :] | (np.arange(T)[t + 1 :] % 2 == 0)[:, None, None]
        after = said(other, there)
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            assert np.array_equal(a[: t + 1], b[: t + 1])
            assert t + 2 > T - 1 or not np.array_equal(a[t + 1 :], b[t + 1 :])


def test_a_loss_counts_no_forecast_that_knows_the_scale_of_what_comes(key):
    """The gradient by the parameters is what it is without the first n - 1 steps' targets, whatever these were."""
    model = forecaster(jaxrnn.gru(3), 1)
    params, n = model.init(key), 4
    ys = np.exp(np.random.default_rng(0).standard_normal((8, 2, 1)))
    loss = jax.jit(functools.partial(model.loss, context=n))
    distribution = jax.jit(functools.partial(model.apply, context=n))(params, None, ys)[1]
    each = np.asarray(distribution.loss(np.roll(ys, -1, 0)[:, :, None], 1.0))[n - 1 : -1]
    assert_close(loss(params, None, ys)[0], each.mean(), tolerance("float32", 8))


@pytest.mark.usefixtures("float32_only")
def test_training_knows_no_unit(key):
    """White noise times 2^33 and 2^-33, about 1e10 and 1e-10: the same training, bit for bit but for log(unit) nats.

    And the intervals of 80% hold about 80% of what comes: 4.7% did at 1e10 when a density squared its scale.
    """
    noise = np.random.default_rng(0).standard_normal((40, 64, 1)).astype("float32")
    model = forecaster(jaxrnn.gru(4), 2)
    optimizer = adam(0.02)

    @jax.jit
    def trained(key, ys):
        def update(state, _):
            params, moments = state
            (loss, _), grads = jax.value_and_grad(model.loss, has_aux=True)(params, None, ys, context=20)
            change, moments = optimizer.update(grads, moments)
            return (optax.apply_updates(params, change), moments), loss

        params = model.init(key)
        (params, _), losses = jax.lax.scan(update, (params, optimizer.init(params)), length=60)
        return params, losses, model.predict(params, ys[:-2], context=20)

    def covered(unit):
        params, losses, found = trained(key, noise * np.float32(unit))
        inside = (found.lower[0] < noise[-2:] * np.float32(unit)) & (noise[-2:] * np.float32(unit) < found.upper[0])
        return params, np.asarray(losses), found.median / np.float32(unit), float(inside.mean())

    params, losses, median, share = covered(1.0)
    assert losses[-1] < losses[0] and 0.7 < share < 0.9  # 128 values: 3.5% is a standard deviation
    for unit in (2.0**33, 2.0**-33):
        others = covered(unit)
        assert others[3] == share
        np.testing.assert_allclose(others[1] - np.log(unit), losses, atol=1e-5)
        assert_close((others[0], others[2]), (params, median), 1e-3)  # log(unit) is rounded, and so are 60 updates


@pytest.mark.parametrize("scaling", ["mean", "standard"])
def test_scales_in_any_unit(scaling, rng):
    """In float32, up to where a sum of them would overflow; constants and zeros have one too."""
    ys = rng.standard_normal((30, 5)) + 0.5
    ys[:, 3], ys[:, 4] = 0.7, 0
    there = rng.random((30, 5)) < 0.8
    for unit in (*UNITS, 1e-30, 4e37):
        found = scale_of(scaling, jnp.asarray(unit * ys, "float32"), jnp.asarray(there))
        for k in range(5):
            seen = ys[there[:, k], k]
            size = np.abs(seen).mean() if scaling == "mean" or k == 3 else seen.std()
            where = 0 if scaling == "mean" else seen.mean()
            expected = (where * unit, size * unit) if k < 4 else (0.0, 1.0)
            np.testing.assert_allclose([found.location[k], found.scale[k]], expected, rtol=1e-5, atol=1e-6 * unit)


def called(ys=None, method="loss", jitted=False, options=None, **model):
    model = forecaster(jaxrnn.gru(3), 2, **model)
    ys = np.ones((6, 2, 1)) if ys is None else ys
    carry = [None] if method in ("loss", "apply") else []
    call = functools.partial(getattr(model, method), **{"context": 3, **(options or {})})
    return (jax.jit(call) if jitted else call)(model.init(jax.random.key(0)), *carry, ys)


def with_one(value, shape=(6, 2, 1)):
    ys = np.ones(shape)
    ys[4, 1, 0] = value
    return ys


def test_an_infinite_number_is_named():
    """With its step and series, where the values are known; traced, NaN are its series from there on and the loss."""
    message = "expected numbers finite in float32, got {} at step 4 of series 1, number 0 of its 1"
    for value in (np.inf, -np.inf, 1e39):
        for method in ("loss", "apply", "predict"):
            with pytest.raises(ValueError, match="ys: " + message.format(value).replace("+", r"\+")):
                called(with_one(value), method)
    for name in ("past", "future"):
        for value in (np.nan, np.inf):
            with pytest.raises(ValueError, match=f"{name}: " + message.format(value)):
                called(options={name: with_one(value)}, **{f"{name}_size": 1})
    assert np.isnan(called(with_one(np.inf), jitted=True)[0])
    sound, broken = (called(ys, "apply", jitted=True)[1].loc for ys in (np.ones((6, 2, 1)), with_one(np.inf)))
    assert np.isnan(broken[4:, 1]).all() and np.array_equal(broken[:, 0], sound[:, 0])
    for options in ({"observed": with_one(0.0).astype(bool)}, {"lengths": np.array([6, 4])}):
        assert np.isfinite(called(with_one(np.inf), options=options)[0])  # it is not there


def test_a_context_must_be_named():
    """Where a scale would know what comes. `predict` looks from the last step on, and takes all of the series."""
    for method in ("loss", "apply"):
        with pytest.raises(
            ValueError, match="context: expected the number of first steps that set the scale, got None"
        ):
            called(method=method, options={"context": None})
        assert called(method=method, options={"context": None}, scaling=None)
    assert np.isfinite(called(method="predict", options={"context": None}).mean).all()
    for wrong in (0, -1, 2.0, np.array([1, 2, 3]), np.array([1, 0]), True):
        with pytest.raises(ValueError, match="context: expected a number of steps, an int of at least 1"):
            called(options={"context": wrong})
    expected = called(options={"context": np.array([3, 3])})[0]
    for same in (3, np.uint8(3), [3, 3], np.array([3, 3], "int8"), jnp.array([3, 3], "uint32")):
        assert called(options={"context": same})[0] == expected


def elman(params, x, h, gain=None):
    """One step in NumPy; gain: (that of the input's product, that of the recurrent one), each normalised over H."""

    def normed(a, gain):
        return gain * (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)

    u, v = x @ params["kernel"], h @ params["recurrent_kernel"]
    if gain is not None:
        u, v = normed(u, gain[0]), normed(v, gain[1])
    return np.tanh(u + params["bias"] + v)


@pytest.mark.parametrize("unit", UNITS)
def test_norms_in_any_unit(unit, rng):
    """layer_norm of inputs, and weight_norm's directions, in float32: what NumPy finds in float64."""
    x, h = rng.standard_normal((3, 2)), rng.standard_normal((3, 4))
    cell = jaxrnn.elman(4)
    normed, directed = jaxrnn.layer_norm(cell), jaxrnn.weight_norm(cell, names=("kernel",))
    params = normed.init(jax.random.key(0), 2)
    inner = {name: np.asarray(a, float) for name, a in params["cell"].items()}
    carry = type(cell.initial_carry(params["cell"]))(jnp.asarray(h, "float32"))
    _, y = normed.step(params, carry, jnp.asarray(unit * x, "float32"))
    assert_close(y, elman(inner, unit * x, h, (1.0, 1.0)), 1e-5)

    params = directed.init(jax.random.key(0), 2)
    params["cell"]["kernel"] = params["cell"]["kernel"] * np.float32(unit)

    def loss(params):
        return (directed.step(params, carry, jnp.asarray(x, "float32"))[1] ** 2).sum()

    _, y = directed.step(params, carry, jnp.asarray(x, "float32"))
    assert_close(y, elman(inner, x, h), 1e-5)
    grads = jax.grad(loss)(params)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    by_scale, V = np.asarray(grads["scale"]["cell.kernel"], float), inner["kernel"]
    y = elman(inner, x, h)
    through = 2 * y * (1 - y**2)
    expected = (V / np.linalg.norm(V, axis=0) * (x.T @ through)).sum(0)
    np.testing.assert_allclose(by_scale, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("unit", UNITS)
def test_regularizers_in_any_unit(unit, rng):
    ys = unit * rng.standard_normal((6, 3, 4))
    some = jnp.asarray(ys, "float32")
    np.testing.assert_allclose(regularizers.activation_regularization(some, 2.0), 2 * (ys**2).mean(), rtol=1e-5)
    pairs = np.diff(ys, axis=0)
    np.testing.assert_allclose(regularizers.temporal_activation_regularization(some, 1.0), (pairs**2).mean(), rtol=1e-5)
