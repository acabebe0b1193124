"""cuDNN's flat weights, by JAX's reference of its LSTM, which runs on CPU and takes the array apart by itself."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies
from jax.experimental import rnn
from sides import LENGTHS, B, D, H, T, assert_same, both_dtypes, draw, with_gradients
from support import adam, assert_close, tolerance

import jaxrnn
from jaxrnn import LSTMCarry
from jaxrnn.interop import from_cudnn, to_cudnn

FORMS = {"1": (1, False), "2": (2, False), "1_both": (1, True), "2_both": (2, True)}
every_form = pytest.mark.parametrize("form", FORMS)


def by_layer(carry, layers, both):
    """[layers and directions, B, H] of h and c, as ours."""
    rows = [LSTMCarry(h, c) for h, c in zip(*carry, strict=True)]
    if both:
        rows = [dict(zip(("forward", "backward"), rows[n : n + 2], strict=True)) for n in range(0, len(rows), 2)]
    return rows[0] if layers == 1 else {f"layer_{n}": row for n, row in enumerate(rows)}


def stacked(carry):
    """The inverse."""
    rows = jax.tree.leaves(carry, is_leaf=lambda node: isinstance(node, LSTMCarry))
    if isinstance(carry, dict) and "forward" in str(jax.tree.structure(carry)):
        rows = [
            row for n in range(0, len(rows), 2) for row in rows[n : n + 2][::-1]
        ]  # JAX sorts backward before forward
    return LSTMCarry(*(jnp.stack(leaves) for leaves in zip(*rows, strict=True)))


def ours(sizes, layers, both, lengths):
    def run(weights, carry, xs):
        cell, params = from_cudnn(weights, *sizes, layers, both)
        last, ys = jaxrnn.unroll(cell, params, by_layer(carry, layers, both), xs, lengths=lengths)
        return stacked(last), ys

    return run


def theirs(sizes, layers, both, lengths):
    lengths = jnp.full(B, T, "int32") if lengths is None else jnp.asarray(lengths, "int32")

    def run(weights, carry, xs):
        parts = rnn.unpack_lstm_weights(weights, *sizes, layers, both)
        ys, *last = rnn.lstm_ref(xs.transpose(1, 0, 2), *carry, *parts, lengths, *sizes, layers, 0.0, both)
        return LSTMCarry(*last), ys.transpose(1, 0, 2)

    return run


def shapes(sizes, layers, both):
    """The weights and the carry."""
    N = rnn.get_num_params_in_lstm(*sizes, layers, both)
    row = jax.ShapeDtypeStruct((layers * (1 + both), B, sizes[1]), float)
    return jax.ShapeDtypeStruct((N,), float), LSTMCarry(row, row)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "ragged"])
@both_dtypes
@every_form
def test_values_and_gradients(form, dtype, lengths, rng):
    args = (D, H), *FORMS[form], lengths
    weights, carry = shapes(*args[:-1])
    assert_same(rng, ours(*args), with_gradients(theirs(*args)), weights, carry, dtype, FORMS[form][0])


@every_form
def test_theirs_to_ours_and_back(form, key, rng):
    """Of two biases only the sum stays; all else to the bit. What jax.experimental.rnn draws is taken."""
    layers, both = FORMS[form]
    weights = rnn.init_lstm_weight(key, D, H, layers, both)
    cell, params = from_cudnn(weights, D, H, layers, both)
    back = to_cudnn(cell, params)
    assert (back.shape, back.dtype) == (weights.shape, weights.dtype)
    before, after = (rnn.unpack_lstm_weights(w, D, H, layers, both) for w in (weights, back))
    for n in before[0]:
        assert np.array_equal(before[0][n], after[0][n])
        assert np.array_equal(before[1][n], after[1][n])
        assert np.array_equal(before[2][n] + before[3][n], after[2][n])
        assert not np.any(after[3][n])
    carry, xs = draw(rng, shapes((D, H), layers, both)[1], "float32"), draw(rng, np.empty((T, B, D)), "float32")
    run = theirs((D, H), layers, both, None)
    assert_close(run(back, carry, xs), run(weights, carry, xs), tolerance("float32", layers * T))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_ten_steps_of_training(optimizer, rng):
    """Two layers in both directions end at the same weights, if the second bias of each is masked."""
    args = (D, H), 2, True, None
    weights, carry = (draw(rng, shape, "float64") for shape in shapes(*args[:-1]))
    xs = draw(rng, np.empty((T, B, D)), "float64", scale=1.0)
    out = draw(rng, np.empty((T, B, 2 * H)), "float64", scale=1.0)
    cell, params = from_cudnn(weights, *args[0], *args[1:3])
    free = np.ones_like(weights)
    free[-4 * 8 * H :].reshape(4, 2, 4 * H)[:, 1] = 0
    optimize = optax.sgd(0.05, momentum=0.9) if optimizer == "sgd" else adam(0.01)

    def trained(loss, params, mask=None):
        state, losses = optimize.init(params), []
        step = jax.jit(jax.value_and_grad(loss))
        for _ in range(10):
            value, gradients = step(params)
            if mask is not None:
                gradients = gradients * mask
            updates, state = optimize.update(gradients, state, params)
            params = optax.apply_updates(params, updates)
            losses.append(value)
        return params, losses

    def loss(params):
        return jnp.mean(out * jaxrnn.unroll(cell, params, by_layer(carry, 2, True), xs)[1])

    end, losses = trained(loss, params)
    their_end, expected = trained(lambda w: jnp.mean(out * theirs(*args)(w, carry, xs)[1]), jnp.asarray(weights), free)
    tol = tolerance("float64", 10 * 4 * T)
    assert_close(losses, expected, tol)
    assert_close(end, from_cudnn(their_end, *args[0], *args[1:3])[1], tol)
    assert np.abs(their_end - weights)[free == 1].max() > 1e-3


@hypothesis.settings(max_examples=12, derandomize=True, deadline=None, database=None)
@hypothesis.given(
    sizes=strategies.tuples(strategies.integers(1, 6), strategies.integers(1, 6)),
    layers=strategies.integers(1, 3),
    both=strategies.booleans(),
    ragged=strategies.booleans(),
    seed=strategies.integers(0, 2**32 - 1),
)
def test_any_network(sizes, layers, both, ragged, seed):
    rng = np.random.default_rng(seed)
    args = sizes, layers, both, LENGTHS if ragged else None
    weights, carry = (draw(rng, shape, "float32") for shape in shapes(*args[:-1]))
    xs = draw(rng, np.empty((T, B, sizes[0])), "float32", scale=1.0)
    expected = theirs(*args)(weights, carry, xs)
    assert_close(ours(*args)(weights, carry, xs), expected, tolerance("float32", layers * T))
    cell, params = from_cudnn(weights, *sizes, layers, both)
    again, back = from_cudnn(to_cudnn(cell, params), *sizes, layers, both)
    assert again == cell
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, back, params)))
