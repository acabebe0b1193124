"""Noise as numbers: how often, how independent, with which mean."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from observed import run
from support import assert_close, double, problem

import jaxrnn
from jaxrnn import bidirectional, dropout, recurrent_dropout, stack, variational_dropout, weight_drop, zoneout

RATE = 0.3
SIGMAS = 6  # how many standard errors chance is allowed: 2e-9 for each number compared
T, B, H = 20, 16, 12


def masks(cell, key):
    """Every mask of one call, in the order drawn from bottom to top: True where something is kept whole or zoned out.

    All inputs, weights and outputs are 1, so what was dropped is what is 0.
    """
    found = []

    def engine(cell, params, carry, xs):
        found.extend(a if a.dtype == bool else a != 0 for a in jax.tree.leaves((params, xs)))
        return carry, jnp.ones((T, B, H))

    params = jax.tree.map(lambda a: jnp.ones(a.shape, a.dtype), jax.eval_shape(lambda: cell.init(key, H)))
    ys = jaxrnn.unroll(cell, params, None, jnp.ones((T, B, H)), engine=engine, key=key)[1]
    return [np.asarray(mask) for mask in [*found, ys != 0] if not mask.all()]


# name -> (cell, how many masks, of which shape)
LSTM, GRU, BEFORE = jaxrnn.lstm(H), jaxrnn.gru(H), jaxrnn.gru_reset_before(H)
FRESH, FIXED = (T, B, H), (B, H)
PLACES = {
    "input": (dropout(LSTM, input=RATE), 1, FRESH),
    "output": (dropout(LSTM, output=RATE), 1, FRESH),
    "input_and_output": (dropout(LSTM, input=RATE, output=RATE), 2, FRESH),
    "candidate": (recurrent_dropout(LSTM, RATE), 1, FRESH),
    "candidate_fixed": (recurrent_dropout(LSTM, RATE, per="sequence"), 1, FIXED),
    "carry": (recurrent_dropout(LSTM, RATE, on="carry"), 1, FRESH),
    "carry_fixed": (recurrent_dropout(LSTM, RATE, on="carry", per="sequence"), 1, FIXED),
    "two_products": (recurrent_dropout(BEFORE, RATE, on="carry"), 2, FRESH),
    "weights": (weight_drop(LSTM, RATE), 1, (H, 4 * H)),
    "zoneout": (zoneout(LSTM, h=1 - RATE, c=1 - RATE), 2, FRESH),
    "layers": (stack(GRU, GRU, GRU, dropout=RATE), 2, FRESH),
    "layers_with_noise": (stack(zoneout(GRU, h=1 - RATE), zoneout(GRU, h=1 - RATE), dropout=RATE), 3, FRESH),
    "weights_of_layers": (weight_drop(stack(GRU, GRU), RATE), 2, (H, 3 * H)),
    "directions": (
        recurrent_dropout(bidirectional(GRU, GRU, merge="sum"), RATE, on="carry"),
        2,
        FRESH,
    ),
    "inputs_of_directions": (
        bidirectional(dropout(GRU, input=RATE), dropout(GRU, input=RATE), merge="sum"),
        2,
        FRESH,
    ),
}


def assert_frequency(hits, p):
    """The share of hits is p within so many standard deviations of a binomial."""
    assert abs(np.mean(hits) - p) <= SIGMAS * math.sqrt(p * (1 - p) / np.size(hits))


def assert_independent(a, b):
    """Two masks agree as often as two that have nothing to do with one another."""
    assert_frequency(a == b, RATE**2 + (1 - RATE) ** 2)


@pytest.mark.parametrize("place", PLACES)
def test_rate_and_independence(place, key):
    """As often as asked; nothing shared by neighbouring steps, rows or units, nor by two masks, also not mirrored."""
    cell, count, shape = PLACES[place]
    drawn = masks(cell, key)
    if shape == FIXED:
        drawn = [mask if mask.ndim == 2 else mask[0] for mask in drawn]
    assert [mask.shape for mask in drawn] == [shape] * count
    for i, mask in enumerate(drawn):
        assert_frequency(mask, 1 - RATE)
        for axis in range(mask.ndim):
            assert_independent(mask, np.roll(mask, 1, axis))
        for other in drawn[:i]:
            assert_independent(mask, other)
            assert_independent(mask, other[::-1])


@pytest.mark.parametrize("place", PLACES)
def test_the_key_is_the_noise(place, key):
    """The same key draws the same masks, another key others."""
    cell, _, _ = PLACES[place]
    drawn, others = masks(cell, key), masks(cell, jax.random.fold_in(key, 1))
    assert_close(masks(cell, key), drawn, 0.0)
    for mask, other in zip(drawn, others, strict=True):
        assert_independent(mask, other)


def test_the_masks_of_variational_dropout_are_apart(key):
    """That of x, of h in products and of y; each the same at every step."""
    cell = variational_dropout(LSTM, input=RATE, recurrent=RATE, output=RATE)
    drawn = masks(cell, key)
    assert sorted(mask.shape for mask in drawn) == sorted([FIXED, FRESH, FRESH])
    for mask in drawn:
        if mask.ndim == 3:
            assert (mask == mask[0]).all()
    drawn = [mask if mask.ndim == 2 else mask[0] for mask in drawn]
    for i, mask in enumerate(drawn):
        assert_frequency(mask, 1 - RATE)
        for other in drawn[:i]:
            assert_independent(mask, other)


# One step, in which the noise acts linearly: its mean over keys is the step without noise.
LINEAR = jaxrnn.elman(5, activation=lambda z: z)
UNBIASED = {
    "input": dropout(LINEAR, input=RATE),
    "output": dropout(jaxrnn.lstm(5), output=RATE),
    "candidate_lstm": recurrent_dropout(jaxrnn.lstm(5, output_activation=lambda z: z), RATE),
    "candidate_gru": recurrent_dropout(jaxrnn.gru(5), RATE),
    "carry": recurrent_dropout(LINEAR, RATE, on="carry"),
    "weights": weight_drop(LINEAR, RATE),
    "stack": stack(LINEAR, LINEAR, dropout=RATE),
    "zoneout_lstm": zoneout(jaxrnn.lstm(5), h=0.2, c=0.4),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_over_keys_of_one_step_is_the_evaluation(name, key):
    """Within so many standard errors of the mean, for every number that comes out; and not without noise."""
    cell, draws = UNBIASED[name], 2000
    params, carry, xs = problem(cell, key, 1, (2,), dtype="float64")
    one = functools.partial(run, cell, params, carry, xs)
    many = jax.jit(lambda key: jax.vmap(lambda key: one(key=key))(jax.random.split(key, draws)))(key)
    spread = 0.0
    for sample, expected in zip(*(jax.tree.leaves(jax.device_get(out)) for out in (many, one())), strict=True):
        error = np.std(sample, axis=0) / math.sqrt(draws)
        assert (np.abs(np.mean(sample, axis=0) - expected) <= SIGMAS * error + 1e-12).all()
        spread = max(spread, error.max())
    assert spread > 1e-4


@pytest.mark.parametrize("name", ["candidate", "all_at_once"])
def test_gradient_with_noise(name, key):
    """That of the program with these very masks: along a line it is the slope of the values, by differences."""
    cell = {
        "candidate": recurrent_dropout(jaxrnn.lstm(5), RATE),
        "all_at_once": zoneout(
            variational_dropout(weight_drop(jaxrnn.gru_reset_before(5), RATE), input=RATE, recurrent=RATE, output=RATE),
            h=RATE,
        ),
    }[name]
    at, line = (double(problem(cell, k, 6, (2,), dtype="float64")) for k in jax.random.split(key))

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2))
    def loss(params, carry, xs):
        out = jaxrnn.unroll(cell, params, carry, xs, key=key)
        return sum(jnp.sum(jnp.cos(jnp.arange(a.size).reshape(a.shape)) * a) for a in jax.tree.leaves(out))

    def moved(by):
        return float(loss(*jax.tree.map(lambda a, d: a + by * d, at, line))[0])

    _, grads = loss(*at)
    slope = sum(np.vdot(g, d) for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(line), strict=True))
    # Of fourth order: it errs by step^4 and by eps / step, alike at eps^(1/5), times derivatives of a size of 100s.
    eps = float(jnp.finfo("float64").eps)
    step = eps ** (1 / 5)
    differences = (8 * (moved(step) - moved(-step)) - (moved(2 * step) - moved(-2 * step))) / (12 * step)
    assert abs(slope) > 0.1
    assert_close(differences, slope, 1000 * eps ** (4 / 5))
