"""Params from Haiku and to Haiku, beside Haiku itself: values, gradients, and ten steps of training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sides import B, D, H, T, draw, with_gradients
from support import assert_close, tolerance, weighed

import jaxrnn
from jaxrnn.interop import from_haiku, to_haiku

hk = pytest.importorskip("haiku", reason="dm-haiku is not installed")

MAKERS = {"vanilla_rnn": hk.VanillaRNN, "lstm": hk.LSTM, "gru": hk.GRU}


def one_bias(H):
    return hk.VanillaRNN(H, double_bias=False)


# name: (makes the core, within a transformed function; the modules' names; options of from_haiku)
CORES = {
    "relu": (lambda: hk.VanillaRNN(H), None, {}),
    "relu one bias": (lambda: one_bias(H), None, {}),
    "lstm": (lambda: hk.LSTM(H), None, {}),
    "gru": (lambda: hk.GRU(H), None, {}),
    "named": (lambda: hk.GRU(H, name="mine"), "mine", {}),
    "deep": (
        lambda: hk.DeepRNN([hk.LSTM(H), hk.LSTM(3), hk.GRU(2), one_bias(H)]),
        ["lstm", "lstm_1", "gru", "vanilla_rnn"],
        {},
    ),
    "functions": (
        lambda: hk.DeepRNN([hk.GRU(H), jnp.tanh, hk.GRU(3), jax.nn.relu]),
        ["gru", jnp.tanh, "gru_1", jax.nn.relu],
        {},
    ),
    "skip": (
        lambda: hk.deep_rnn_with_skip_connections([hk.GRU(H), hk.LSTM(3), hk.LSTM(2)]),
        ["gru", "lstm", "lstm_1"],
        {"skip": True},
    ),
    "deep in deep": (
        lambda: hk.DeepRNN([hk.DeepRNN([hk.LSTM(H), hk.GRU(3)]), hk.ResetCore(hk.LSTM(2)).core]),
        ["lstm", "gru", "lstm_1"],
        {},
    ),
}


def transformed(make):
    """(weights, xs) -> (leaves of the states, ys), and the shapes of its weights."""

    def run(xs):
        core = make()
        ys, state = hk.dynamic_unroll(core, xs, core.initial_state(xs.shape[1]))
        return jax.tree.leaves(state), ys

    return hk.without_apply_rng(hk.transform(run))


def like(peer, features=D, dtype="float64"):
    return jax.eval_shape(peer.init, jax.random.key(0), jax.ShapeDtypeStruct((T, B, features), dtype))


def states(cell, carry):
    """Our carry in the order of Haiku's states."""
    carries = [carry[f"layer_{n}"] for n in range(len(carry))] if isinstance(carry, dict) else [carry]
    return [a for c in carries for a in c]


def ours(cell, params, xs):
    carry, ys = jaxrnn.unroll(cell, params, None, xs)
    return states(cell, carry), ys


def depth(cell):
    return len(cell.options.get("cells", [0]))


@pytest.mark.parametrize("name", CORES)
def test_values_and_gradients(name, rng):
    """Outputs, last states, and gradients in Haiku's own params, through the conversion; and back in their place."""
    make, modules, options = CORES[name]
    peer = transformed(make)
    weights = draw(rng, like(peer), "float64")
    cell, params = from_haiku(weights, modules, **options)
    xs = rng.standard_normal((T, B, D))

    def mine(weights, _, xs):
        return ours(*from_haiku(weights, modules, **options), xs)

    def theirs(weights, _, xs):
        return peer.apply(weights, xs)

    cotangents = jax.tree.map(lambda a: rng.standard_normal(a.shape), jax.eval_shape(mine, weights, None, xs))
    actual, gradients = with_gradients(mine)(weights, None, xs, cotangents)
    expected, wanted = with_gradients(theirs)(weights, None, xs, cotangents)
    assert_close(actual, expected, tolerance("float64", depth(cell) * T))
    assert_close(gradients, wanted, tolerance("float64", 2 * depth(cell) * T))
    assert all(np.abs(g).max() > 0 for g in jax.tree.leaves(wanted))
    back = to_haiku(cell, params, modules, into=weights)
    assert list(back) == list(weights)
    assert_close(peer.apply(back, xs), expected, tolerance("float64", depth(cell) * T))
    if name == "relu":  # its two biases have become one
        (one, two), (of_x, of_h) = (
            [w[f"vanilla_rnn/{linear}"].pop("b") for linear in ("linear", "linear_1")] for w in (back, weights)
        )
        np.testing.assert_array_equal((one, two), (of_x + of_h, 0 * of_h))
    assert_close(back, dict(weights), tolerance("float64", 1))  # the bias of f, less 1 and 1 again


@pytest.mark.parametrize("name", ["relu", "lstm", "gru", "deep"])
def test_from_ours(name, rng):
    """Ours to theirs and back, to the bit except for f's bias; Haiku's outputs from our params, by its own names."""
    make, modules, _ = CORES[name]
    peer = transformed(make)
    cell, _ = from_haiku(draw(rng, like(peer), "float64"), modules)
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), D))
    params = jax.tree.map(jnp.asarray, draw(rng, shapes, "float64"))
    weights = to_haiku(cell, params, double_bias=name == "relu")
    made = like(peer)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), weights) == jax.tree.map(lambda a: (a.shape, a.dtype), made)
    back_cell, back = from_haiku(weights, modules)
    assert back_cell == cell
    assert_close(back, params, tolerance("float64", 1))
    if name in ("relu", "gru"):
        jax.tree.map(np.testing.assert_array_equal, back, params)
    xs = rng.standard_normal((T, B, D))
    assert_close(ours(cell, params, xs), peer.apply(weights, xs), tolerance("float64", depth(cell) * T))


@pytest.mark.parametrize("name", ["relu", "relu one bias", "lstm", "gru", "deep", "skip"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_ten_steps(name, optimizer, rng):
    """Ten steps of an optimizer on either side end at the same weights.

    A gradient's rounding error, as above, is a step's error times the rate; Adam divides by the gradient's own size
    first. It is carried along for ten steps, in which the loss of so small a rate bends it by less than as much again.
    The second bias of VanillaRNN is frozen: with it the sum of the two, which is our one, would move twice as far.
    """
    rate, tiny = 2.0**-7, 1e-30
    make, modules, options = CORES[name]
    peer = transformed(make)
    weights = draw(rng, like(peer), "float64")
    second = [(m, "b") for m in weights if m.endswith("linear_1") and "b" in weights[m]]
    cell, params = from_haiku(weights, modules, **options)
    xs, start = rng.standard_normal((T, B, D)), weights
    slope = jax.jit(jax.grad(lambda w: weighed(peer.apply(w, xs)[1])))
    peer_slope = jax.jit(jax.grad(lambda p: weighed(jaxrnn.unroll(cell, p, None, xs)[1])))
    made = {"sgd": optax.sgd(rate), "adam": optax.adam(rate, eps=tiny)}[optimizer]
    held, state, smallest, largest = made.init(weights), made.init(params), np.inf, 1.0
    for _ in range(10):
        gradients = slope(weights)
        sizes = [np.abs(g[g != 0]) for g in map(np.asarray, jax.tree.leaves(gradients))]
        smallest, largest = min(smallest, *(s.min() for s in sizes)), max(largest, *(s.max() for s in sizes))
        for module, b in second:
            gradients[module][b] = jnp.zeros_like(gradients[module][b])
        updates, held = made.update(gradients, held)
        weights = optax.apply_updates(weights, updates)
        updates, state = made.update(peer_slope(params), state)
        params = optax.apply_updates(params, updates)
    of_gradient = tolerance("float64", 2 * depth(cell) * T) * largest
    error = 2 * 10 * rate * (of_gradient if optimizer == "sgd" else of_gradient / smallest)
    assert error < 1e-6, "the comparison would be empty"
    back = to_haiku(cell, params, modules, into=weights)
    for module, b in second:  # frozen there, and 0 here: the sum is compared
        below = module.removesuffix("_1")
        back[module][b], back[below][b] = weights[module][b], back[below][b] - weights[module][b]
    assert_close(back, dict(weights), error + 10 * tolerance("float64", 1))
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), weights, start)
    assert min(m for path, m in jax.tree_util.tree_leaves_with_path(moved) if not frozen(path, second)) > rate * 1e-2


def frozen(path, second):
    return tuple(key.key for key in path) in second


class Net(hk.Module):
    """A network as people write them: cores made in __init__, so that their names have a ~, and a readout."""

    def __init__(self):
        super().__init__()
        self.deep = hk.DeepRNN([hk.LSTM(H), hk.LSTM(3)])
        self.readout = hk.Linear(2)

    def __call__(self, xs):
        ys, _ = hk.dynamic_unroll(self.deep, xs, self.deep.initial_state(xs.shape[1]))
        return hk.BatchApply(self.readout)(ys)


def test_a_network(rng):
    """The core of a network that has more: read, trained elsewhere, and put back."""

    def forward(xs):
        return Net()(xs)

    net = hk.without_apply_rng(hk.transform(forward))
    weights = draw(rng, like(net), "float64")
    modules = ["net/~/lstm", "net/~/lstm_1"]
    with pytest.raises(ValueError, match=r"modules: .* got \['net/~/lstm', 'net/~/lstm_1'\]"):
        from_haiku(weights)
    cell, params = from_haiku(weights, modules)
    xs = rng.standard_normal((T, B, D))
    params = jax.tree.map(lambda a: a + 0.1, params)
    _, ys = jaxrnn.unroll(cell, params, None, xs)
    readout = weights["net/~/linear"]
    into = to_haiku(cell, params, modules, into=hk.data_structures.to_immutable_dict(weights))
    assert_close(net.apply(into, xs), ys @ readout["w"] + readout["b"], tolerance("float64", 2 * T))


def test_a_convolutional_lstm_is_refused():
    peer = hk.transform(lambda x: (core := hk.Conv1DLSTM((5,), 4, 3))(x, core.initial_state(B)))
    weights = peer.init(jax.random.key(0), jnp.ones((B, 5, 2)))
    module = next(iter(weights)).rpartition("/")[0]
    with pytest.raises(TypeError, match="those of a convolutional LSTM are not taken"):
        from_haiku(weights, module)


@st.composite
def networks(draw):
    skip = draw(st.booleans())
    kinds = st.sampled_from([*MAKERS, "one bias"])
    layers = draw(st.lists(st.tuples(kinds, st.integers(1, 5)), min_size=1, max_size=3))
    if not skip and draw(st.booleans()):
        layers.insert(draw(st.integers(0, len(layers))), (jnp.tanh, 0))
    return layers, skip


@given(network=networks(), features=st.integers(1, 5), seed=st.integers(0, 99))
@settings(max_examples=12, derandomize=True, deadline=None)
def test_any_layers(network, features, seed):
    """Kinds, sizes, biases, functions between, skip connections: the same outputs and states, and back."""
    layers, skip = network
    rng = np.random.default_rng(seed)

    def make():
        cores = [
            k
            if callable(k)
            else hk.VanillaRNN(n, double_bias=False, name=f"c{i}")
            if k == "one bias"
            else MAKERS[k](n, name=f"c{i}")
            for i, (k, n) in enumerate(layers)
        ]
        return hk.deep_rnn_with_skip_connections(cores) if skip else hk.DeepRNN(cores)

    peer = transformed(make)
    weights = draw(rng, like(peer, features), "float64")
    modules = [k if callable(k) else f"c{i}" for i, (k, _) in enumerate(layers)]
    cell, params = from_haiku(weights, modules, skip=skip)
    xs = rng.standard_normal((T, B, features))
    expected = peer.apply(weights, xs)
    assert_close(ours(cell, params, xs), expected, tolerance("float64", len(layers) * T))
    back = to_haiku(cell, params, modules, into=weights)
    assert_close(peer.apply(back, xs), expected, tolerance("float64", len(layers) * T))
