"""The language model against NumPy: logits, likelihood, units, masks, and its step against its unroll."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import assert_close, generator, tolerance

import jaxrnn
from jaxrnn.models import language_model

V, T, B = 6, 5, 3


def noisy(model, key):
    """Float64 params without a zero."""
    rng = generator(key)
    return jax.tree.map(lambda p: p.astype(float) + 0.3 * rng.standard_normal(p.shape), model.init(key))


def likelihoods(params, step, initial, tokens, targets, embedding, **run):
    """-log p of each target [T, B], by loops: symbols in, the cell, a softmax out."""
    table = np.eye(V) if embedding is None else params["embedding"]
    readout = params["readout"] if "readout" in params else params["embedding"].T
    carry, ys = reference.run(step, params["cell"], initial, None, table[tokens], **run)
    nats = np.zeros(tokens.shape)
    for at in np.ndindex(*tokens.shape):
        logits = ys[at] @ readout + params["bias"]
        nats[at] = np.log(np.exp(logits).sum()) - logits[targets[at]]
    return carry, nats


CASES = {
    "one_hot": (jaxrnn.lstm(4), reference.lstm, (np.zeros(4), np.zeros(4)), None, False),
    "embedding": (jaxrnn.gru(4), reference.gru, (np.zeros(4),), 3, False),
    "tied": (jaxrnn.elman(4), reference.elman, (np.zeros(4),), 4, True),
    "stack": (
        jaxrnn.stack(jaxrnn.gated(3), jaxrnn.elman(4)),
        reference.stack(reference.gated, reference.elman),
        {"layer_0": (np.zeros(3),), "layer_1": (np.zeros(4),)},
        3,
        False,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_loss_is_the_mean_negative_log_likelihood(case, key, rng):
    cell, step, initial, embedding, tied = CASES[case]
    model = language_model(cell, V, embedding, tied=tied)
    params = noisy(model, key)
    tokens, targets = rng.integers(0, V, (2, T, B))
    carry, nats = likelihoods(jax.tree.map(np.asarray, params), step, initial, tokens, targets, embedding)
    tol = tolerance(float, T)

    loss, ours = model.loss(params, None, tokens, targets)
    assert_close(loss, np.float64(nats.mean()), tol)
    assert_close(jax.tree.leaves(ours), jax.tree.leaves(carry), tol)
    bits, _ = model.loss(params, None, tokens, targets, unit="bits")
    assert_close(bits, np.float64(nats.mean() / np.log(2)), tol)

    weights = rng.random((T, B))
    loss, _ = model.loss(params, None, tokens, targets, weights=weights)
    assert_close(loss, np.float64((nats * weights).sum() / weights.sum()), tol)

    lengths = np.array([T, 0, 3])
    inside = np.arange(T)[:, None] < lengths
    loss, _ = model.loss(params, None, tokens, targets, lengths=lengths)
    assert_close(loss, np.float64(nats[inside].mean()), tol)

    mask = rng.random((T, B)) < 0.6
    _, held = likelihoods(jax.tree.map(np.asarray, params), step, initial, tokens, targets, embedding, mask=mask)
    loss, _ = model.loss(params, None, tokens, targets, mask=mask)
    assert_close(loss, np.float64(held[mask].mean()), tol)


@pytest.mark.parametrize("case", CASES)
def test_steps_make_the_same_logits_as_apply(case, key, rng):
    cell, _, _, embedding, tied = CASES[case]
    model = language_model(cell, V, embedding, tied=tied)
    params = noisy(model, key)
    tokens = rng.integers(0, V, (T, B))
    end, logits = model.apply(params, None, tokens)
    carry, steps = jax.lax.scan(lambda c, t: model.step(params, c, t), model.initial_carry(params, (B,)), tokens)
    assert logits.shape == (T, B, V)
    assert_close((carry, steps), (end, logits), tolerance(float, T))


def test_every_parameter_has_a_gradient(key, rng):
    """Each entry that a symbol of the text can reach; the embedding of an absent symbol has none."""
    model = language_model(jaxrnn.lstm(4), V, 3)
    params = noisy(model, key)
    tokens = np.concatenate([np.arange(V), rng.integers(0, V, 9)]).reshape(T, B)
    grads = jax.grad(lambda p: model.loss(p, None, tokens, np.roll(tokens, 1))[0])(params)
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert (g != 0).all(), jax.tree_util.keystr(path)


def test_nothing_counted_is_a_loss_of_0(key):
    model = language_model(jaxrnn.elman(4), V)
    tokens = np.zeros((T, B), int)
    loss, _ = model.loss(model.init(key), None, tokens, tokens, weights=np.zeros((T, B)))
    assert loss == 0


def test_padding_may_hold_anything(key, rng):
    """Symbols and targets past a row's end, masked or of weight 0, are looked at neither by value nor by gradient."""
    model = language_model(jaxrnn.gru(4), V, 3)
    params = noisy(model, key)
    tokens, targets = rng.integers(0, V, (2, T, B))
    lengths, weights = np.array([T, 0, 3]), rng.random((T, B)) < 0.7
    there = np.arange(T)[:, None] < lengths
    broken = np.where(there, tokens, -7), np.where(there & weights, targets, 99)
    for f in (lambda g: g), jax.jit:
        loss = f(jax.value_and_grad(lambda p, a, b: model.loss(p, None, a, b, weights=weights, lengths=lengths)[0]))
        assert_close(loss(params, *broken), loss(params, tokens, targets), 0.0)


def test_half_cells_leave_the_other_params_in_float32(key):
    params = language_model(jaxrnn.lstm(4, dtype="bfloat16"), V, 3).init(key)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float32"}


def test_bfloat16_keeps_its_logits_in_float32(key):
    model = language_model(jaxrnn.lstm(4, dtype="bfloat16"), V, 3)
    tokens = np.zeros((T, B), int)
    _, logits = model.apply(model.init(key), None, tokens)
    assert logits.dtype == jnp.float32 and jnp.isfinite(logits).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: language_model("lstm", V), TypeError, "cell: expected a cell such as jaxrnn.lstm(256), got 'lstm'"),
        (
            lambda: language_model(jaxrnn.lstm(4), 0),
            ValueError,
            "vocabulary_size: expected an int of at least 1, got 0",
        ),
        (
            lambda: language_model(jaxrnn.lstm(4), V, tied=True),
            ValueError,
            "embedding_size: expected a size with tied=True, got None: one-hot inputs have no embedding",
        ),
        (
            lambda: language_model(jaxrnn.lstm(4), V, 3, tied=True).init(jax.random.key(0)),
            ValueError,
            "embedding_size: a tied embedding is also the readout, so it must be H=4, the size of the cell's y, got 3; "
            "lstm(..., projection=3) gives y that size",
        ),
        (
            lambda: run(tokens=np.zeros((T, B))),
            TypeError,
            "tokens: expected [T, ...] of int, symbols numbered from 0, got float64(5, 3)",
        ),
        (lambda: run(tokens=np.full((T, B), 9)), ValueError, "tokens: expected numbers below V=6, got 9 at (0, 0)"),
        (lambda: run(targets=np.full((T, B), -1)), ValueError, "targets: expected numbers below V=6, got -1 at (0, 0)"),
        (
            lambda: run(targets=np.zeros((T, 1), int)),
            ValueError,
            "targets: expected [T, ...] = (5, 3), as tokens, got (5, 1)",
        ),
        (
            lambda: run(weights=np.ones((B, T))),
            ValueError,
            "weights: expected [T, ...] = (5, 3), as tokens, got (3, 5)",
        ),
        (lambda: run(unit="bytes"), ValueError, "unit: expected 'nats' or 'bits', got 'bytes'"),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message


def run(tokens=None, targets=None, **options):
    model = language_model(jaxrnn.lstm(4), V)
    fine = np.zeros((T, B), int)
    return model.loss(
        model.init(jax.random.key(0)),
        None,
        fine if tokens is None else tokens,
        fine if targets is None else targets,
        **options,
    )
