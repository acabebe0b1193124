"""What bounds or cuts a gradient, against an LSTM's backward pass written by hand: NumPy, float64, step by step."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from observed import run
from reference import sigmoid
from support import assert_close, double, leaves_close, loop, normal_like, problem, tolerance, variant, weighed

import jaxrnn
from jaxrnn import burn_in, clip_carry, clip_gradient, cut_gradient

T, B, D, H = 6, 4, 3, 5
TOL = tolerance("float64", 2 * T)  # as many steps forth as back


class Weights(NamedTuple):
    """Of the entries of ys and of the last carry in the loss, their weighted sum."""

    ys: Any
    h: Any
    c: Any


def weights(rng):
    return Weights(rng.standard_normal((T, B, H)), rng.standard_normal((B, H)), rng.standard_normal((B, H)))


def lstm_gradients(params, carry, xs, weights, through):
    """d loss / d (params, carry, xs), where `through` is what becomes of the gradient of what h U reads."""
    W, U, b = (params[name] for name in ("kernel", "recurrent_kernel", "bias"))
    (h, c), kept = carry, []
    for x in xs:
        i, f, g, o = np.split(x @ W + h @ U + b, 4, -1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        kept.append((x, h, c, i, f, g, o))
        c = f * c + i * g
        h = o * np.tanh(c)
    dW, dU, db, dxs = np.zeros_like(W), np.zeros_like(U), np.zeros_like(b), np.zeros_like(xs)
    dh, dc = weights.h, weights.c
    for t in reversed(range(len(xs))):
        x, h, c, i, f, g, o = kept[t]
        dh = dh + weights.ys[t]
        tanh_c = np.tanh(f * c + i * g)
        dc = dc + dh * o * (1 - tanh_c**2)
        dz = [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)]
        dz = np.concatenate(dz, -1)
        dW, dU, db, dxs[t] = dW + x.T @ dz, dU + h.T @ dz, db + dz.sum(0), dz @ W.T
        dh, dc = through(dz @ U.T), dc * f
    return {"kernel": dW, "recurrent_kernel": dU, "bias": db}, (dh, dc), dxs


def first_row(carry):
    return tuple(np.asarray(a)[0] for a in carry)


def gradients(of_all, at, weights):
    """(what of_all(params, carry, xs) gives, the gradients of its weighted sum)."""

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2), has_aux=True)
    def grad(params, carry, xs):
        (h, c), ys = of_all(params, carry, xs)
        loss = jnp.vdot(weights.ys, ys) + jnp.vdot(weights.h, h) + jnp.vdot(weights.c, c)
        return loss, ((h, c), ys)

    grads, out = grad(*at)
    return out, grads


PATHS = {
    "whole": (lambda cell: cell, lambda d: d),
    "clipped": (lambda cell: clip_gradient(cell, 0.05), lambda d: np.clip(d, -0.05, 0.05)),
    "cut": (cut_gradient, np.zeros_like),
}


@pytest.mark.parametrize(
    ("path", "engine"), [("whole", "scan"), ("clipped", "scan"), ("clipped", "deferred"), ("cut", "deferred")]
)
def test_gradient_through_the_recurrent_product(path, engine, key, rng):
    """At each step the gradient of what h U reads is clipped, or left out; the one through f c is whole."""
    wrap, _ = PATHS[path]
    cell = variant("lstm")
    at, of = problem(cell, key, T, (B,), D, dtype="float64"), weights(rng)
    out, grads = gradients(functools.partial(jaxrnn.unroll, wrap(cell), engine=getattr(jaxrnn.engines, engine)), at, of)
    params, carry, xs = double(at)
    leaves_close(out, reference.run(reference.lstm, params, first_row(carry), tuple(carry), xs), TOL)
    expected = {name: lstm_gradients(params, tuple(carry), xs, of, then) for name, (_, then) in PATHS.items()}
    leaves_close(grads, expected[path], TOL)
    bias = [other[0]["bias"] for name, other in expected.items() if name != path]
    assert all(np.abs(grads[0]["bias"] - other).max() > 0.01 for other in bias), "the three paths are one"


@pytest.mark.parametrize("engine", [None, jaxrnn.engines.scan], ids=["default", "scan"])
def test_clip_gradient_leaves_tangents_alone(engine, key):
    """Forward mode has no gradient to clip: it gives the derivative of the values, which are those of the bare cell."""
    cell = jaxrnn.lstm(H)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    along = normal_like(key, params)

    def tangents(cell):
        def run(params):
            return jaxrnn.unroll(cell, params, carry, xs, engine=engine)

        return jax.jvp(run, (params,), (along,)), jax.jit(jax.vmap(lambda d: jax.jvp(run, (params,), (d,))[1]))(
            jax.tree.map(lambda a: a[None], along)
        )

    assert_close(tangents(clip_gradient(cell, 1e-3)), tangents(cell), tolerance("float64", T))


def test_clip_gradient_clips_each_product(key, rng):
    """A GRU that resets before has two a step: along either path into the old h no more than the bound can come."""
    cell, bound = jaxrnn.gru_reset_before(H), 0.02
    params, carry, xs = problem(cell, key, 1, (B,), D, dtype="float64")
    W = rng.standard_normal((1, B, H))
    d = jax.grad(lambda carry: jnp.vdot(W, run(clip_gradient(cell, bound), params, carry, xs)[1]))(carry).h

    p, x, h = double(params), double(xs)[0], double(carry).h
    x_r, x_z, x_n = np.split(x @ p["kernel"] + p["bias"], 3, -1)
    U, U_n = np.split(p["recurrent_kernel"], [2 * H], -1)
    h_r, h_z = np.split(h @ U, 2, -1)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    n = np.tanh(x_n + (r * h) @ U_n)
    d_reset = np.clip((W[0] * (1 - z) * (1 - n**2)) @ U_n.T, -bound, bound)
    d_gates = np.concatenate([d_reset * h * r * (1 - r), W[0] * (h - n) * z * (1 - z)], -1)
    assert_close(d, W[0] * z + d_reset * r + np.clip(d_gates @ U.T, -bound, bound), TOL)
    assert (np.abs(d_reset) == bound).any() and (np.abs(d_gates @ U.T) > bound).any()


def test_cut_gradient_of_an_elman_cell_is_one_step(key, rng):
    """Of each step's loss nothing reaches the steps before: the sum of T networks of one step each."""
    cell = jaxrnn.elman(H)
    params, carry, xs = at = problem(cell, key, T, (B,), D, dtype="float64")
    W = rng.standard_normal((T, B, H))

    def loss(params, carry, xs):
        return jnp.vdot(W, run(cut_gradient(cell), params, carry, xs)[1])

    p, old, h = double(params), [], double(carry).h
    dz = []
    for t, x in enumerate(double(xs)):
        old.append(h)
        h = np.tanh(x @ p["kernel"] + h @ p["recurrent_kernel"] + p["bias"])
        dz.append(W[t] * (1 - h**2))
    old, dz = np.concatenate(old), np.stack(dz)
    flat = dz.reshape(-1, H)
    expected = {
        "kernel": double(xs).reshape(-1, D).T @ flat,
        "recurrent_kernel": old.T @ flat,
        "bias": flat.sum(0),
    }
    grads = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*at)
    leaves_close(grads, [*jax.tree.leaves(expected), np.zeros((B, H)), dz @ p["kernel"].T], TOL)


@pytest.mark.parametrize("name", ["lstm_projection", "gru_reset_before", "lem"])
def test_clip_carry(name, key):
    """Every field after each step, before the next one and y are made of it; some are clipped and some are not."""
    bound, step = 0.2, loop(name)
    cell = clip_carry(variant(name), bound)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")

    def clipped(params, carry, x):
        carry = tuple(np.minimum(np.maximum(a, -bound), bound) for a in step(params, carry, x)[0])
        return carry, carry[0]

    expected = reference.run(clipped, double(params), first_row(carry), double(carry), double(xs))
    for leaf in jax.tree.leaves(expected):
        assert 0 < (np.abs(leaf) == bound).sum() < leaf.size
    leaves_close(run(cell, params, carry, xs), expected, TOL)


def test_clip_carry_stops_the_gradient(key):
    """d h' / d h is 0 for the units that are clipped, and the bare cell's for the others."""
    cell = jaxrnn.lstm(H)
    params, carry, xs = problem(cell, key, 1, (), D, dtype="float64")
    bare, clipped = (
        jax.jacrev(lambda carry, c=c: run(c, params, carry, xs)[0].c)(carry).c for c in (cell, clip_carry(cell, 0.3))
    )
    free = np.abs(run(cell, params, carry, xs)[0].c) < 0.3
    assert free.any() and not free.all()
    assert_close(clipped, np.where(free[:, None], bare, 0), TOL)


def test_the_products_of_a_cell_of_ones_own_are_found(key):
    """Written with a bare @, in a jit of its own: cut, the last y of an Elman cell does not see the first x."""
    own = jaxrnn.elman(H)
    at = jax.jit(lambda params, s: s.h @ params["recurrent_kernel"])
    cell = dataclasses.replace(own, stages=(own.stages[0]._replace(recur=at),))
    params, _, xs = problem(own, key, T, (B,), D, dtype="float64")

    def seen(cell):
        return jax.grad(lambda xs: weighed(run(cell, params, None, xs)[1][-1]))(xs)[0]

    assert np.abs(seen(cell)).max() > 1e-4
    assert_close(seen(cut_gradient(cell)), np.zeros((B, D)), 0.0)
    assert_close(seen(clip_gradient(cell, 1e-9)), np.zeros((B, D)), 1e-8)


STEPS = 3
LENGTHS = np.array([T, STEPS - 1, STEPS + 1, STEPS])  # longer than the burn-in, shorter, and as long


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_burn_in(lengths, key, rng):
    """`unroll` in value; its gradient is that of the steps after, from a carry that is only a number."""
    cell = jaxrnn.lstm(H)
    at, of = problem(cell, key, T, (B,), D, dtype="float64"), weights(rng)
    out, grads = gradients(lambda *at: burn_in(cell, *at, steps=STEPS, lengths=lengths), at, of)
    params, carry, xs = double(at)
    first = first_row(carry)
    expected = reference.run(reference.lstm, params, first, tuple(carry), xs, lengths=lengths)
    leaves_close(out, expected, TOL)

    whole = np.full(B, T) if lengths is None else lengths
    total = jax.tree.map(np.zeros_like, params)
    dxs = np.zeros_like(xs)
    warm, _ = reference.run(reference.lstm, params, first, tuple(carry), xs, lengths=np.minimum(whole, STEPS))
    for b, end in enumerate(whole):
        row = slice(b, b + 1)
        one = Weights(of.ys[STEPS:end, row], of.h[row], of.c[row])
        if end > STEPS:
            start = tuple(a[row] for a in warm)
            more, _, dxs[STEPS:end, row] = lstm_gradients(params, start, xs[STEPS:end, row], one, lambda d: d)
            total = jax.tree.map(np.add, total, more)
    leaves_close(grads, [*jax.tree.leaves(total), *map(np.zeros_like, carry), dxs], TOL)


def test_burn_in_with_flags(key, rng):
    """Masks and resets count on both sides of the cut."""
    cell = jaxrnn.gru(H)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    mask, reset = rng.random((T, B)) < 0.7, rng.random((T, B)) < 0.4
    for part in slice(0, STEPS), slice(STEPS, T):
        assert reset[part].any() and not mask[part].all()
    actual = burn_in(cell, params, carry, xs, STEPS, mask=jnp.asarray(mask), reset=jnp.asarray(reset))
    p = double((params, tuple(carry), xs))
    expected = reference.run(reference.gru, p[0], (np.zeros(H),), *p[1:], mask=mask, reset=reset)
    leaves_close(actual, expected, TOL)
