"""Training with noise: what is drawn for each step and piece, and a language model's dropped symbols."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import assert_close, tolerance

import jaxrnn
from jaxrnn import train

T, B = 12, 2


def drawn(params, carry, window, key=None):
    """Losses whose gradient is what was drawn: params[t] is multiplied with the noise of step t."""
    noise = 1.0 if key is None else jax.random.normal(key, window.shape)
    return params[window] * noise, jnp.ones(window.shape), carry


def noisy(model, key):
    """Params of a model, none of which is zero."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: a + 0.3 * rng.standard_normal(a.shape).astype(a.dtype), model.init(key))


def begin():
    params = jnp.zeros(T)
    return train.TrainState(jnp.int32(0), params, optax.sgd(1.0).init(params), jnp.zeros(()), jnp.bool_(True))


def noise_of(update, steps, state=None):
    """(what each update took off the params, the state after)."""
    state, window, seen = begin() if state is None else state, jnp.broadcast_to(jnp.arange(T)[:, None], (T, B)), []
    for _ in range(steps):
        before = np.asarray(state.params)
        state, _ = update(state, window)
        seen.append(before - np.asarray(state.params))
    return np.array(seen), state


@pytest.mark.parametrize(("k1", "k2"), [(None, None), (3, 3), (3, 6)])
def test_each_step_and_each_piece_draws_its_own(k1, k2, key):
    update = train.make_update(drawn, optax.sgd(1.0), k1=k1, k2=k2, key=key)
    seen, _ = noise_of(update, 3)
    assert len({tuple(row) for row in seen.round(6)}) == 3
    pieces = seen[0].reshape(-1, k1 or T)
    assert len({tuple(piece) for piece in pieces.round(6)}) == len(pieces)
    again, _ = noise_of(update, 3)
    assert (seen == again).all()
    other, _ = noise_of(train.make_update(drawn, optax.sgd(1.0), k1=k1, k2=k2, key=jax.random.split(key)[0]), 3)
    assert (seen != other).any()


def test_a_resumed_run_draws_what_it_would_have(key):
    update = train.make_update(drawn, optax.sgd(1.0), key=key)
    whole, _ = noise_of(update, 4)
    _, state = noise_of(update, 2)
    rest, _ = noise_of(update, 2, state)
    assert (whole[2:] == rest).all()


def test_without_a_key_there_is_none():
    seen, _ = noise_of(train.make_update(drawn, optax.sgd(1.0)), 2)
    assert_close(seen, np.full((2, T), 1 / T), tolerance("float32", 4))


def test_next_symbol_hands_the_key_on(key):
    """The losses of a model with dropout are those of `apply` with that key."""
    model = jaxrnn.models.language_model(jaxrnn.dropout(jaxrnn.gru(4), output=0.5), 5, 3)
    params = noisy(model, key)
    rng = np.random.default_rng(0)
    tokens, targets = (jnp.asarray(rng.integers(0, 5, (T, B))) for _ in range(2))
    window = jaxrnn.data.Window(tokens, targets, jnp.ones((T, B)), jnp.zeros(T, bool))
    carry = model.initial_carry(params, (B,))
    nats, _, _ = train.next_symbol(model)(params, carry, window, key=key)
    _, logits = model.apply(params, carry, tokens, key=key)
    logits = np.asarray(logits, float)
    logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
    assert_close(nats, -np.take_along_axis(logits, np.asarray(targets)[..., None], -1)[..., 0], tolerance("float32", T))
    assert np.abs(nats - train.next_symbol(model)(params, carry, window)[0]).max() > 0.01


def test_dropped_symbols_of_a_language_model(key):
    """A symbol is absent wherever it occurs, or its vector is scaled: the same model on vectors 0 or twice as long."""
    V, E = 40, 3
    model = jaxrnn.models.language_model(jaxrnn.gru(4), V, E, tied=False, embedding_dropout=0.5)
    params = noisy(model, key)
    symbols = jnp.tile(jnp.arange(V), (2, 1))  # a row for each, which meets it twice
    _, seen = model.apply(params, None, symbols, key=key)
    absent, scaled = (
        model.apply({**params, "embedding": by * params["embedding"]}, None, symbols)[1] for by in (0.0, 2.0)
    )
    tol = tolerance("float32", 4)
    is_absent, is_scaled = (np.abs(seen - other).max((0, 2)) <= tol for other in (absent, scaled))
    assert (is_absent ^ is_scaled).all() and is_absent.any() and is_scaled.any()
    assert_close(model.apply(params, None, symbols)[1], model.apply({**params}, None, symbols, key=None)[1], 0.0)
    assert ((seen != model.apply(params, None, symbols)[1]).any((0, 2))).all()
