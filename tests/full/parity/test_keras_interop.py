"""Weights from Keras and to Keras, beside Keras itself on JAX: values, gradients, and ten steps of training.

In float64 the layers' tanh is set to jnp.tanh after they were read: Keras 3.15's own returns float32 for float64. One
test has them as they are, in float32.
"""

import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sides import B, D, H, T, with_gradients
from support import assert_close, tolerance, weighed

import jaxrnn
from jaxrnn.interop import from_keras, to_keras
from jaxrnn.interop._keras_layers import ACTIVATIONS

keras = pytest.importorskip("keras", reason="keras is not installed")
if keras.backend.backend() != "jax":
    pytest.skip("KERAS_BACKEND is not jax: no gradients through jax.vjp", allow_module_level=True)

L = keras.layers
WHOLE = {"return_sequences": True, "return_state": True, "dtype": "float64"}
f64 = {"dtype": "float64"}


def both(layer, merge, **options):
    return L.Bidirectional(layer, merge_mode=merge, **f64, **options)


def cells():
    return [L.LSTMCell(H, **f64), L.GRUCell(3, reset_after=False, **f64), L.SimpleRNNCell(2, **f64)]


LAYERS = {
    "simple": lambda: L.SimpleRNN(H, **WHOLE),
    "relu": lambda: L.SimpleRNN(H, activation="relu", **WHOLE),
    "simple without bias": lambda: L.SimpleRNN(H, use_bias=False, **WHOLE),
    "lstm": lambda: L.LSTM(H, **WHOLE),
    "lstm hard_sigmoid": lambda: L.LSTM(H, recurrent_activation="hard_sigmoid", activation="softsign", **WHOLE),
    "lstm without bias": lambda: L.LSTM(H, use_bias=False, **WHOLE),
    "gru": lambda: L.GRU(H, **WHOLE),
    "gru hard_sigmoid": lambda: L.GRU(H, recurrent_activation="hard_sigmoid", activation="relu", **WHOLE),
    "gru without bias": lambda: L.GRU(H, use_bias=False, **WHOLE),
    "gru before": lambda: L.GRU(H, reset_after=False, **WHOLE),
    "gru before without bias": lambda: L.GRU(H, reset_after=False, use_bias=False, **WHOLE),
    "concat": lambda: both(L.LSTM(H, **WHOLE), "concat"),
    "sum": lambda: both(L.GRU(H, **WHOLE), "sum"),
    "ave": lambda: both(L.SimpleRNN(H, **WHOLE), "ave"),
    "mul": lambda: both(L.GRU(H, reset_after=False, **WHOLE), "mul"),
    "two sizes": lambda: both(
        L.LSTM(H, **WHOLE), "concat", backward_layer=L.LSTM(3, go_backwards=True, use_bias=False, **WHOLE)
    ),
    "cell": lambda: L.RNN(L.GRUCell(H, **f64), **WHOLE),
    "stacked cells": lambda: L.RNN(L.StackedRNNCells(cells(), **f64), **WHOLE),
    "cell both ways": lambda: both(L.RNN(L.LSTMCell(H, **f64), **WHOLE), "concat"),
}


def drawn(rng, like, scale=0.5):
    return [scale * rng.standard_normal(a.shape).astype(a.dtype) for a in like]


def built(rng, layer, features=D):
    """The layer with random weights: no bias is zero."""
    layer.build((B, T, features))
    layer.set_weights(drawn(rng, layer.get_weights()))
    return layer


def exact(layer):
    """The same layer with a tanh that keeps float64."""
    for part in [layer, *layer._flatten_layers()]:
        if vars(part).get("activation") is keras.activations.tanh:
            part.activation = jnp.tanh
    return layer


def running(layer):
    """(weights, xs [T, B, D]) -> (the states, ys [T, B, ...])."""
    fixed = [v.value for v in layer.non_trainable_variables]

    def run(weights, xs):
        (ys, *states), _ = layer.stateless_call(weights, fixed, xs.swapaxes(0, 1))
        return jax.tree.leaves(states), ys.swapaxes(0, 1)

    return run


def states(carry):
    """Our carry in the order of Keras' states: forward before backward, a layer after another, h before c."""
    if isinstance(carry, dict):
        names = ("forward", "backward") if "forward" in carry else [f"layer_{n}" for n in range(len(carry))]
        return [a for name in names for a in states(carry[name])]
    return list(carry)


def ours(cell, params, xs):
    carry, ys = jaxrnn.unroll(cell, params, None, xs)
    return states(carry), ys


def depth(cell):
    return len(cell.options.get("cells", [0]))


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients(name, rng):
    """Outputs, last states, and gradients in Keras' own weights, through the conversion; the weights to the bit."""
    layer = built(rng, LAYERS[name]())
    weights = layer.get_weights()
    cell, params = from_keras(layer)
    kinds = keras.saving.serialize_keras_object(layer)
    assert from_keras(weights, kinds)[0] == cell
    again = to_keras(cell, params, into=LAYERS[name]())
    jax.tree.map(np.testing.assert_array_equal, again.get_weights(), weights)
    xs = rng.standard_normal((T, B, D))

    def mine(weights, _, xs):
        return ours(*from_keras(weights, kinds), xs)

    def theirs(weights, _, xs):
        return running(exact(layer))(weights, xs)

    cotangents = jax.tree.map(lambda a: rng.standard_normal(a.shape), jax.eval_shape(mine, weights, None, xs))
    actual, (gradients, _, of_xs) = with_gradients(mine)(weights, None, xs, cotangents)
    expected, (wanted, _, of_inputs) = with_gradients(theirs)(weights, None, xs, cotangents)
    assert_close(actual, expected, tolerance("float64", depth(cell) * T))
    assert_close((gradients, of_xs), (wanted, of_inputs), tolerance("float64", 2 * depth(cell) * T))
    assert all(np.abs(g).max() > 0 for g in wanted)


@pytest.mark.parametrize("name", ["simple", "lstm", "gru", "gru before", "concat", "stacked cells"])
def test_from_ours(name, rng):
    """Ours to theirs and back to the bit; Keras' outputs from our params."""
    cell, _ = from_keras(built(rng, LAYERS[name]()))
    like = jax.eval_shape(lambda: cell.init(jax.random.key(0), D))
    params = jax.tree.map(lambda a: jnp.asarray(0.5 * rng.standard_normal(a.shape)), like)
    layer = to_keras(cell, params, into=LAYERS[name]())
    made, back = from_keras(layer)
    assert made == cell
    jax.tree.map(np.testing.assert_array_equal, back, params)
    xs = rng.standard_normal((T, B, D))
    actual, expected = ours(cell, params, xs), running(exact(layer))(layer.get_weights(), xs)
    assert_close(actual, expected, tolerance("float64", depth(cell) * T))


@pytest.mark.parametrize("name", ["simple", "lstm", "gru", "gru before", "concat", "stacked cells"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_ten_steps(name, optimizer, rng):
    """Ten steps of Keras' optimizer there and of optax' here end at the same weights.

    A gradient's rounding error, as above, is a step's error times the rate; Adam divides by the gradient's own size
    first. It is carried along for ten steps, in which the loss of so small a rate bends it by less than as much again.
    Each number of Keras is one of ours, so nothing is frozen. The rate is a power of two: Keras holds it in float32.
    """
    rate = 2.0**-7
    layer = built(rng, LAYERS[name]())
    cell, params = from_keras(layer)
    xs = rng.standard_normal((T, B, D))
    run = running(exact(layer))

    def theirs(weights):
        return weighed(run(weights, xs)[1])

    def mine(params):
        return weighed(ours(cell, params, xs)[1])

    # An eps that is nothing beside any gradient: Keras adds it before the correction of the bias, optax after it.
    tiny = 1e-30
    own = {"sgd": keras.optimizers.SGD(rate), "adam": keras.optimizers.Adam(rate, epsilon=tiny)}[optimizer]
    peer = {"sgd": optax.sgd(rate), "adam": optax.adam(rate, eps=tiny)}[optimizer]
    own.build(layer.trainable_variables)
    weights, held = [v.value for v in layer.trainable_variables], [v.value for v in own.variables]
    state, smallest = peer.init(params), np.inf
    slope, peer_slope = jax.jit(jax.grad(theirs)), jax.jit(jax.grad(mine))
    for _ in range(10):
        gradients = slope(weights)
        smallest = min(smallest, *(np.abs(g).min() for g in gradients))
        weights, held = own.stateless_apply(held, gradients, weights)
        updates, state = peer.update(peer_slope(params), state)
        params = optax.apply_updates(params, updates)
    of_gradient = tolerance("float64", 2 * depth(cell) * T) * max(1, *(np.abs(g).max() for g in gradients))
    error = 2 * 10 * rate * (of_gradient if optimizer == "sgd" else of_gradient / smallest)
    assert error < 1e-6, "the comparison would be empty"
    moved = [np.abs(w - v).max() for w, v in zip(weights, layer.get_weights(), strict=True)]
    assert min(moved) > rate * 1e-2
    assert_close(to_keras(cell, params), [np.asarray(w) for w in weights], error + 10 * tolerance("float64", 1))


def test_as_it_is_in_float32(rng):
    """Keras' own tanh and its fused steps, a Sequential, and prediction by its own call."""
    model = keras.Sequential(
        [
            keras.Input((T, D)),
            L.Bidirectional(L.LSTM(H, return_sequences=True)),
            L.RNN([L.GRUCell(3), L.LSTMCell(H)], return_sequences=True),
            L.GRU(2, use_bias=False, return_sequences=True),
        ]
    )
    model.set_weights(drawn(rng, model.get_weights()))
    xs = rng.standard_normal((T, B, D)).astype("float32")
    cell, params = from_keras(model)
    assert repr(cell) == "stack(bidirectional(lstm(4), lstm(4)), gru(3), lstm(4), gru(2))"
    with jax.enable_x64(False):  # Keras' GRU without bias has zeros of float64 there
        expected = np.asarray(model(xs.swapaxes(0, 1))).swapaxes(0, 1)
        _, ys = jaxrnn.unroll(cell, params, None, xs)
    assert_close(ys, expected, tolerance("float32", 4 * T))
    fresh = to_keras(cell, params, into=keras.models.clone_model(model))
    jax.tree.map(np.testing.assert_array_equal, fresh.get_weights(), model.get_weights())
    made, again = from_keras(model.layers)
    assert made == cell
    jax.tree.map(np.testing.assert_array_equal, again, params)
    model.set_weights([w + 1 for w in model.get_weights()])
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_a_saved_model(rng, tmp_path):
    """The configuration in a .keras file, read without Keras, and its weights."""
    model = keras.Sequential([keras.Input((T, D)), L.GRU(H, return_sequences=True), L.LSTM(3)])
    model.set_weights(drawn(rng, model.get_weights()))
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        config = json.loads(file.read("config.json"))
    cell, params = from_keras(model.get_weights(), config)
    expected = from_keras(model)
    assert cell == expected[0]
    jax.tree.map(np.testing.assert_array_equal, params, expected[1])


@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "SimpleRNNCell", "StackedRNNCells"])
def test_cells(name, rng):
    """A cell by itself: one step."""
    peer = L.StackedRNNCells(cells(), **f64) if name == "StackedRNNCells" else getattr(L, name)(H, **f64)
    peer.build((B, D))
    peer.set_weights(drawn(rng, peer.get_weights()))
    cell, params = from_keras(peer)
    x = rng.standard_normal((B, D))
    start = jax.tree.map(lambda a: rng.standard_normal(a.shape), cell.initial_carry(params, (B,)))
    given = [states(start)] if depth(cell) == 1 else [[list(c) for c in start.values()]]
    y, end = exact(peer)(x, *given)
    carry, actual = cell.step(params, start, x)
    assert_close((states(carry), actual), (jax.tree.leaves(end), y), tolerance("float64", depth(cell)))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name, rng):
    """What a name of Keras' stands for: values and slopes, at the kinks too."""
    layer = built(rng, L.SimpleRNN(H, activation=name, **WHOLE))
    cell, _ = from_keras(layer)
    z = np.concatenate([np.linspace(-8, 8, 161), [-6, -3, -1, 0, 1, 3, 6]]).reshape(-1, 7)
    theirs = keras.activations.get(name)
    mine = getattr(jax.nn, cell.options["activation"], None) or getattr(jnp, cell.options["activation"])
    weights = rng.standard_normal(z.shape)

    def value_and_slopes(f):
        return f(z), jax.grad(lambda z: (weights * f(z)).sum())(z)

    actual, expected = value_and_slopes(mine), value_and_slopes(theirs)
    dtype = expected[0].dtype  # float32 for tanh and exp, whatever they are given
    assert_close(actual, expected, tolerance(dtype, 1))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_dropout_is_one_mask_for_all_gates(kind, rng):
    """Keras' dropout is that of variational_dropout: a mask [B, D] for a sequence, and the rest times 1 / (1 - p)."""
    layer = built(rng, getattr(L, kind)(H, dropout=0.5, **WHOLE))
    cell, params = from_keras(layer)
    plain = cell.options["cell"]
    assert cell == jaxrnn.variational_dropout(plain, input=0.5)
    xs = rng.standard_normal((T, B, D))
    exact(layer)
    mask = layer.cell.get_dropout_mask(xs[0])
    assert set(np.unique(mask)) == {0, 2}
    ys, *_ = layer(xs.swapaxes(0, 1), training=True)
    _, expected = jaxrnn.unroll(plain, params, None, xs * np.asarray(mask))
    assert_close(expected, jnp.swapaxes(ys, 0, 1), tolerance("float64", T))


def test_recurrent_dropout_of_one_gate(rng):
    """SimpleRNN's two masks are those of variational_dropout."""
    layer = built(rng, L.SimpleRNN(H, dropout=0.5, recurrent_dropout=0.5, **WHOLE))
    cell, params = from_keras(layer)
    xs = rng.standard_normal((T, B, D))
    exact(layer)
    of_x, of_h = layer.cell.get_dropout_mask(xs[0]), layer.cell.get_recurrent_dropout_mask(np.ones((B, H)))
    ys, *_ = layer(xs.swapaxes(0, 1), training=True)
    h, expected = np.zeros((B, H)), []
    for x in xs * np.asarray(of_x):
        h = np.tanh(x @ params["kernel"] + (h * np.asarray(of_h)) @ params["recurrent_kernel"] + params["bias"])
        expected.append(h)
    assert_close(np.stack(expected), jnp.swapaxes(ys, 0, 1), tolerance("float64", T))
    assert cell == jaxrnn.variational_dropout(cell.options["cell"], input=0.5, recurrent=0.5)


def test_bfloat16(rng):
    """A mixed policy computes in bfloat16, with weights in float32."""
    layer = L.GRU(H, return_sequences=True, dtype="mixed_bfloat16")
    layer.build((B, T, D))
    layer.set_weights(drawn(rng, layer.get_weights()))
    cell, params = from_keras(layer)
    assert cell == jaxrnn.gru(H, dtype="bfloat16")
    xs = rng.standard_normal((T, B, D)).astype("float32")
    with jax.enable_x64(False):
        expected = np.asarray(layer(xs.swapaxes(0, 1))).swapaxes(0, 1)
        _, ys = jaxrnn.unroll(cell, params, None, xs)
    assert ys.dtype == expected.dtype == jnp.bfloat16
    assert_close(ys, expected, tolerance("bfloat16", T))


REFUSED = {
    "go_backwards": (lambda: L.GRU(H, go_backwards=True), "no GRU with go_backwards=True here"),
    "no merge": (lambda: L.Bidirectional(L.GRU(H), merge_mode=None), "no Bidirectional with merge_mode=None"),
    "a layer as activation": (lambda: L.LSTM(H, activation=L.LeakyReLU()), "activation='LeakyReLU'"),
    "gelu": (lambda: L.SimpleRNN(H, activation="gelu"), "activation='gelu'"),
    "recurrent dropout": (lambda: L.LSTM(H, recurrent_dropout=0.1), "recurrent_dropout=0.1, a mask for each gate"),
    "convolution": (lambda: L.ConvLSTM1D(H, 3), "got 'conv_lstm1d.*', ConvLSTM1D"),
    "dense": (lambda: keras.Sequential([L.GRU(H), L.Dense(2, name="top")]), "got 'top', Dense"),
    "functional": (lambda: keras.Model(*[keras.Input((T, D))] * 2), "Functional; from a model, pass a list"),
    "a class of one's own": (lambda: type("LSTM", (L.LSTM,), {})(H), "a class outside of Keras, LSTM"),
    "a cell of one's own": (lambda: L.RNN(type("GRUCell", (L.GRUCell,), {})(H)), "a class outside of Keras, GRUCell"),
    "not built": (lambda: L.GRU(H), "expected layers that are built"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=message):
        from_keras(make())


def test_gelu_is_another():
    """Why it is refused."""
    assert abs(keras.activations.gelu(1.0) - jax.nn.gelu(1.0)) > 1e-4
    assert abs(keras.activations.leaky_relu(-1.0) - jax.nn.leaky_relu(-1.0)) > 0.1


BOUNDED = ["tanh", "sigmoid", "softsign", "hard_sigmoid", "hard_tanh"]
bools = st.booleans()


@st.composite
def one_layer(draw):
    kind = draw(st.sampled_from(["SimpleRNN", "LSTM", "GRU"]))
    options = {"units": draw(st.integers(1, 5)), "activation": draw(st.sampled_from(BOUNDED)), "use_bias": draw(bools)}
    if kind != "SimpleRNN":
        options["recurrent_activation"] = draw(st.sampled_from(["sigmoid", "hard_sigmoid"]))
    if kind == "GRU":
        options["reset_after"] = draw(bools)
    return kind, options, draw(st.sampled_from([None, None, "concat", "sum", "ave", "mul"]))


def made(kind, options, merge):
    layer = getattr(L, kind)(return_sequences=True, **options)
    return layer if merge is None else L.Bidirectional(layer, merge_mode=merge)


@given(layers=st.lists(one_layer(), min_size=1, max_size=3), features=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=12, derandomize=True, deadline=None)
def test_any_layers(layers, features, seed):
    """Kinds, sizes, directions, merges, options: there and back to the bit, and the same outputs."""
    rng = np.random.default_rng(seed)
    with jax.enable_x64(False):
        model = keras.Sequential([keras.Input((T, features)), *(made(*layer) for layer in layers)])
        model.set_weights(drawn(rng, model.get_weights()))
        cell, params = from_keras(model)
        xs = rng.standard_normal((T, B, features)).astype("float32")
        expected = np.asarray(model(xs.swapaxes(0, 1))).swapaxes(0, 1)
        _, ys = jaxrnn.unroll(cell, params, None, xs)
        back = to_keras(cell, params, into=keras.models.clone_model(model))
    jax.tree.map(np.testing.assert_array_equal, back.get_weights(), model.get_weights())
    assert_close(ys, expected, tolerance("float32", len(layers) * T))
