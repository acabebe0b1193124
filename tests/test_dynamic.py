"""Dynamic evaluation beside a loop in NumPy, whose gradients are differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, normal_like

import jaxrnn
from jaxrnn import data, train

V, E, H, B, N = 5, 2, 3, 2, 3
RATE, DECAY, EPSILON = 0.05, 0.6, 0.01


@pytest.fixture
def problem(key, rng):
    """A language model of float64, two windows that it was trained on and four to evaluate, the last one half empty."""
    model = jaxrnn.models.language_model(jaxrnn.elman(H, param_dtype=float), V, E)
    params = normal_like(key, jax.eval_shape(model.init, key))
    learnt, held_out = (data.Streams(rng.integers(0, V, n), B, N) for n in (2 * N * B + 1, 4 * N * B - 2))
    return model, train.next_symbol(model), params, learnt, held_out


def forward(params, h, window):
    """(the sum of nats, the sum of weights, h) of an Elman network over its own embedding, in loops."""
    cell, total = params["cell"], 0.0
    h = np.zeros_like(h) if window.fresh[0] else h.copy()
    for tokens, targets, weights in zip(window.tokens, window.targets, window.weights, strict=True):
        for b in range(B):
            x = params["embedding"][tokens[b]]
            h[b] = np.tanh(x @ cell["kernel"] + h[b] @ cell["recurrent_kernel"] + cell["bias"])
            logits = h[b] @ params["readout"] + params["bias"]
            total += weights[b] * (np.log(np.exp(logits).sum()) - logits[targets[b]])
    return total, window.weights.sum(), h


def gradient(params, h, window, step=1e-5):
    """Of the mean loss, by central differences."""
    found = jax.tree.map(np.zeros_like, params)
    for a, g in zip(jax.tree.leaves(params), jax.tree.leaves(found), strict=True):
        for i in np.ndindex(a.shape):
            was, sides = a[i], []
            for side in (was + step, was - step):
                a[i] = side
                sides.append(forward(params, h, window)[0])
            a[i], g[i] = was, (sides[0] - sides[1]) / (2 * step)
    return jax.tree.map(lambda g: g / window.weights.sum(), found)


def loops(params, learnt, held_out):
    """(mean square, loss, params after it), all in NumPy."""
    params = jax.tree.map(np.array, params)
    h, squares = np.zeros((B, H)), jax.tree.map(np.zeros_like, params)
    for window in learnt:
        squares = jax.tree.map(lambda s, g: s + g**2 / len(learnt), squares, gradient(params, h, window))
        h = forward(params, h, window)[2]
    rms = jax.tree.map(np.sqrt, squares)
    mean = np.concatenate([a.ravel() for a in jax.tree.leaves(rms)]).mean()
    trained, h, total, weight = jax.tree.map(np.array, params), np.zeros((B, H)), 0.0, 0.0
    for window in held_out:
        grads, (loss, counted, after) = gradient(params, h, window), forward(params, h, window)
        total, weight, h = total + loss, weight + counted, after
        params = jax.tree.map(
            lambda p, first, r, g: p + np.minimum(DECAY * r / mean, 1) * (first - p) - RATE * g / (r + EPSILON),
            params, trained, rms, grads,
        )  # fmt: skip
    return squares, total / weight, params


def test_it_is_the_papers_loop(problem):
    """Values in all: the statistics, the loss, and the params at the end; the decay is cut at 1 for some."""
    model, losses, params, learnt, held_out = problem
    carry = model.initial_carry(params, (B,))
    seen = train.mean_square(losses, params, carry, learnt)
    how = {"rate": RATE, "decay": DECAY, "epsilon": EPSILON}
    ours = train.dynamic_evaluate(losses, params, carry, held_out, seen, **how)
    squares, loss, after = loops(params, learnt, held_out)
    rms = np.concatenate([np.sqrt(a).ravel() for a in jax.tree.leaves(squares)])
    assert (DECAY * rms / rms.mean() > 1).any() and (DECAY * rms / rms.mean() < 1).any()
    for a, b in ((seen, squares), ((ours.loss, ours.params), (loss, after))):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-7, atol=1e-9), a, b)


def test_a_rate_of_0_is_static_evaluation(problem):
    model, losses, params, learnt, held_out = problem
    carry = model.initial_carry(params, (B,))
    seen = train.mean_square(losses, params, carry, learnt)
    ours = train.dynamic_evaluate(losses, params, carry, held_out, seen, rate=0.0, decay=0.3)
    static = train.make_evaluate(losses)(params, carry, held_out)
    assert_close(ours.loss, static, tol=4 * len(held_out) * N * np.finfo(float).eps)
    assert jax.tree.all(jax.tree.map(np.array_equal, ours.params, params))


def test_repetition_is_learnt(problem):
    """A text that says one thing over and over, which an untrained model does not know."""
    model, losses, params, _, _ = problem
    again = data.Streams(np.tile([1, 4, 2, 2, 3], 60), B, 5)
    carry = model.initial_carry(params, (B,))
    seen = train.mean_square(losses, params, carry, again)
    ours = train.dynamic_evaluate(losses, params, carry, again, seen, rate=0.03, decay=0.0).loss
    assert ours < 0.8 * train.make_evaluate(losses)(params, carry, again)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": -1.0}, "rate: expected a number of at least 0, got -1.0"),
        ({"epsilon": float("nan")}, "epsilon: expected a number of at least 0, got nan"),
        ({"mean_square": {"cell": jnp.zeros(3)}}, "mean_square: expected the form of params, "),
    ],
)
def test_what_does_not_fit_is_said(wrong, message, problem):
    _, losses, params, learnt, _ = problem
    with pytest.raises(ValueError, match=message):
        train.dynamic_evaluate(losses, params, None, learnt, **({"mean_square": params} | wrong))
    with pytest.raises(ValueError, match="windows: expected at least one, got none"):
        train.mean_square(losses, params, None, [])
