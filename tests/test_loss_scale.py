"""Dynamic loss scaling against PyTorch's GradScaler, and float16 gradients that are 0 without it and right with it."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import noisy_params, normal_like
from wrong import refuses

import jaxrnn
from jaxrnn import loss_scale

T, B, D, H = 6, 4, 3, 5
FINE, BAD, NAN = 0.5, math.inf, math.nan
SCRIPT = [FINE, FINE, FINE, BAD, FINE, NAN, BAD, *[FINE] * 7, BAD, FINE]


@pytest.mark.full  # importing torch takes seconds
def test_as_torchs_grad_scaler():
    """The same scales, and the same steps skipped, for a script of finite and other gradients."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    weight = torch.nn.Parameter(torch.tensor(1.0))
    theirs, sgd = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3), torch.optim.SGD([weight], lr=0.25)
    optimizer = optax.apply_if_finite(optax.sgd(0.25), loss_scale.ALWAYS)
    scale, params = loss_scale.start(8.0), jnp.float32(1.0)
    state = optimizer.init(params)

    @jax.jit
    def step(scale, params, state, slope):
        value, grads = loss_scale.value_and_grad(lambda p: p * slope)(scale, params)
        updates, state = optimizer.update(grads, state, params)
        return value, optax.apply_updates(params, updates), state, loss_scale.update(scale, grads, every=3)

    for slope in SCRIPT:
        sgd.zero_grad()
        theirs.scale(weight * slope).backward()
        theirs.step(sgd)
        theirs.update()
        before = params
        value, params, state, scale = step(scale, params, state, jnp.float32(slope))
        np.testing.assert_array_equal(value, before * np.float32(slope))
        assert (float(scale.scale), float(params)) == (theirs.get_scale(), weight.item())
    assert int(state.total_notfinite) == sum(not math.isfinite(slope) for slope in SCRIPT)


def task(key, dtype, weight):
    """A regression by a GRU that computes in `dtype`: (loss, params); the loss is times `weight`, a power of two."""
    cell = jaxrnn.gru(H, dtype=dtype)
    k_params, k_xs, k_targets = jax.random.split(key, 3)
    xs = normal_like(k_xs, jax.ShapeDtypeStruct((T, B, D), jnp.float32))
    targets = normal_like(k_targets, jax.ShapeDtypeStruct((T, B, H), jnp.float32), 0.5)

    def loss(params):
        ys = jaxrnn.unroll(cell, params, None, xs.astype(dtype))[1]
        return weight * ((ys.astype(jnp.float32) - targets) ** 2).mean()

    return loss, noisy_params(cell, k_params, D)


def train(loss, params, optimizer, scale, steps, every=2000):
    """Losses, params, scales and the number of skipped updates."""

    def body(state, _):
        params, opt_state, scale = state
        value, grads = loss_scale.value_and_grad(loss)(scale, params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        state = optax.apply_updates(params, updates), opt_state, loss_scale.update(scale, grads, every=every)
        return state, (value, state[2].scale)

    start = params, optimizer.init(params), scale
    (params, opt_state, _), (values, scales) = jax.jit(lambda: jax.lax.scan(body, start, None, steps))()
    return values, params, scales, int(opt_state.total_notfinite)


def trained_in_float32(key, weight, rate, steps):
    """By jax.grad and a loop of plain gradient descent; and a tolerance for the same in float16.

    Each gradient may be off by 4 eps for each step of the sequence (as `tolerance` has it) of its largest entry; over
    updates these add up at worst, to that part of the way that the params went.
    """
    loss, params = task(key, "float32", weight)
    gradient, way = jax.jit(jax.grad(loss)), 0.0
    for _ in range(steps):
        grads = gradient(params)
        way += rate * max(float(jnp.abs(g).max()) for g in jax.tree.leaves(grads))
        params = jax.tree.map(lambda a, g: a - rate * g, params, grads)
    return params, 4 * T * float(jnp.finfo("float16").eps) * way


def furthest(a, b):
    return max(float(jnp.abs(x - y).max()) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def test_without_it_float16_learns_nothing(key):
    """A loss of 2^-22 of its size, as of few among many symbols: gradients are 0, and with it as float32's."""
    weight, steps = 2.0**-22, 20
    rate = 0.5 / weight
    loss, params = task(key, "float16", weight)
    optimizer = optax.apply_if_finite(optax.sgd(rate), loss_scale.ALWAYS)
    expected, tol = trained_in_float32(key, weight, rate, steps)
    assert furthest(expected, params) > 10 * tol, "too little was learned for the comparison to say anything"

    jax.tree.map(lambda g: np.testing.assert_array_equal(g, np.zeros_like(g)), jax.grad(loss)(params))
    values, trained, scales, skipped = train(loss, params, optimizer, loss_scale.start(2.0**17), steps)
    assert (skipped, set(scales.tolist())) == (0, {2.0**17})
    assert values[-1] < 0.9 * values[0]
    assert furthest(trained, expected) <= tol


def test_too_large_a_scale_is_found_out(key):
    """From 2^24 on it is halved, each time without an update, to where gradients fit; then as float32's."""
    steps = 20
    loss, params = task(key, "float16", 1.0)
    optimizer = optax.apply_if_finite(optax.sgd(0.5), loss_scale.ALWAYS)
    _, trained, scales, skipped = train(loss, params, optimizer, loss_scale.start(2.0**24), steps)
    assert 0 < skipped < steps / 2
    expected = [2.0 ** (24 - min(n, skipped)) for n in range(1, steps + 1)]
    assert scales.tolist() == expected
    right, tol = trained_in_float32(key, 1.0, 0.5, steps - skipped)
    assert furthest(trained, right) <= tol


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [2.0**-8, 2.0**20])
def test_harmless_in_a_wide_range(dtype, scale, key):
    """A power of two changes no bit of the value or the gradient in float32 and bfloat16."""
    loss, params = task(key, dtype, 1.0)
    got = jax.jit(loss_scale.value_and_grad(loss))(loss_scale.start(scale), params)
    jax.tree.map(np.testing.assert_array_equal, got, jax.jit(jax.value_and_grad(loss))(params))


def test_gradients_of_half_params_are_wide():
    """In float16 they would be 0 again after the division; value and aux keep their types, further arguments pass."""

    def loss(params, x, *, factor):
        return (params * x * factor).sum(), {"seen": x}

    params, x = jnp.float16([1.0, 2.0]), jnp.float16([2.0**-14, 2.0**-12])
    (value, aux), grads = loss_scale.value_and_grad(loss, has_aux=True)(
        loss_scale.start(2.0**12), params, x, factor=jnp.float16(2.0**-12)
    )
    assert (value.dtype, grads.dtype) == (jnp.float16, jnp.float32)
    np.testing.assert_array_equal(value, loss(params, x, factor=jnp.float16(2.0**-12))[0])
    np.testing.assert_array_equal(aux["seen"], x)
    np.testing.assert_array_equal(grads, np.float32([2.0**-26, 2.0**-24]))
    assert (np.asarray(grads, np.float16) != np.asarray(grads)).any()


def test_it_stays_within_bounds():
    """Never 0, never infinite, in types that a loop can carry; one bad entry of one leaf is enough."""
    fine, bad = {"a": jnp.ones(3), "b": jnp.ones(2)}, {"a": jnp.ones(3), "b": jnp.float32([1.0, math.nan])}
    for grads, end in (fine, 2.0**24), (bad, 2.0**-24):
        body = lambda scale, _, grads=grads: (loss_scale.update(scale, grads, every=1), None)  # noqa: E731
        assert jax.lax.scan(body, loss_scale.start(), None, 60)[0] == (end, 0)


def test_good_steps_in_a_row():
    """Only finite gradients in a row count towards the next doubling."""
    scale, seen = loss_scale.start(8.0), []
    for grads in FINE, FINE, BAD, FINE, FINE, FINE, FINE:
        scale = loss_scale.update(scale, jnp.float32(grads), every=3)
        seen.append((float(scale.scale), int(scale.good)))
    assert seen == [(8, 1), (8, 2), (4, 0), (4, 1), (4, 2), (8, 0), (8, 1)]


def test_vmap():
    """Each member of an ensemble has a scale of its own."""
    scales = jax.tree.map(lambda a: jnp.stack([a, a]), loss_scale.start(8.0))
    new = jax.vmap(functools.partial(loss_scale.update, every=1))(scales, jnp.float32([FINE, BAD]))
    np.testing.assert_array_equal(new.scale, [16.0, 4.0])


@pytest.mark.parametrize("scale", [0, 3.0, -2.0, 2.0**25, math.inf, math.nan])
def test_wrong_start(scale):
    message = f"scale: expected a power of two from 2**-24 to 2**24, got {scale!r}"
    refuses(ValueError, message, lambda: loss_scale.start(scale))


def test_wrong_every():
    message = "every: expected an int of at least 1, got 0"
    refuses(ValueError, message, lambda: loss_scale.update(loss_scale.start(), jnp.ones(2), every=0))
