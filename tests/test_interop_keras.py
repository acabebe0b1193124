"""Keras' weights in and out, without Keras: lists of arrays beside its configurations, and layers that look like its.

The equations are those of Keras' documentation, as loops in NumPy. tests/full/parity has Keras itself.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, noisy_params, tolerance, weighed

import jaxrnn
from jaxrnn.interop import from_keras, to_keras

T, B, D, H = 6, 3, 5, 4
run = jax.jit(jaxrnn.unroll, static_argnums=0)


def layer(kind, **options):
    return {"class_name": kind, "config": options}


def both(forward, merge="concat"):
    turned = layer(forward["class_name"], **forward["config"], go_backwards=True)
    return layer("Bidirectional", layer=forward, backward_layer=turned, merge_mode=merge)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def hard_sigmoid(z):
    return np.clip(z / 6 + 0.5, 0, 1)


def zeros_if_none(bias, shape):
    return np.zeros(shape) if not bias else bias[0]


def simple(x, h, kernel, recurrent, *bias, act=np.tanh):
    return (act(x @ kernel + h @ recurrent + zeros_if_none(bias, H)),)


def lstm(x, h, c, kernel, recurrent, *bias, act=np.tanh, gate=sigmoid):
    i, f, n, o = np.split(x @ kernel + h @ recurrent + zeros_if_none(bias, 4 * H), 4, axis=-1)
    c = gate(f) * c + gate(i) * act(n)
    return gate(o) * act(c), c


def gru(x, h, kernel, recurrent, *bias, gate=sigmoid):
    of_x, of_h = zeros_if_none(bias, (2, 3 * H))
    (x_z, x_r, x_h), (z, r, n) = (np.split(a, 3, axis=-1) for a in (x @ kernel + of_x, h @ recurrent + of_h))
    z, r = gate(x_z + z), gate(x_r + r)
    return (z * h + (1 - z) * np.tanh(x_h + r * n),)


def gru_before(x, h, kernel, recurrent, *bias):
    x_z, x_r, x_h = np.split(x @ kernel + zeros_if_none(bias, 3 * H), 3, axis=-1)
    U_z, U_r, U_h = np.split(recurrent, 3, axis=-1)
    z, r = sigmoid(x_z + h @ U_z), sigmoid(x_r + h @ U_r)
    return (z * h + (1 - z) * np.tanh(x_h + (r * h) @ U_h),)


def shapes(G, bias, D=D):
    return [(D, G * H), (H, G * H), *bias]


# name: (configuration, shapes of its weights, its step, the cell it is)
LAYERS = {
    "simple": ("SimpleRNN", shapes(1, [(H,)]), simple, jaxrnn.elman(H)),
    "simple cell": (layer("SimpleRNNCell", units=H, use_bias=False), shapes(1, []), simple, jaxrnn.elman(H)),
    "relu": (
        layer("SimpleRNN", activation="relu"),
        shapes(1, [(H,)]),
        lambda *a: simple(*a, act=lambda z: np.maximum(z, 0)),
        jaxrnn.elman(H, activation="relu"),
    ),
    "lstm": ("LSTM", shapes(4, [(4 * H,)]), lstm, jaxrnn.lstm(H)),
    "lstm without bias": (layer("LSTM", use_bias=False), shapes(4, []), lstm, jaxrnn.lstm(H)),
    "lstm activations": (
        layer("LSTM", activation="softsign", recurrent_activation="hard_sigmoid"),
        shapes(4, [(4 * H,)]),
        lambda *a: lstm(*a, act=lambda z: z / (1 + abs(z)), gate=hard_sigmoid),
        jaxrnn.lstm(H, activation="soft_sign", gate_activation="hard_sigmoid"),
    ),
    "gru": ("GRU", shapes(3, [(2, 3 * H)]), gru, jaxrnn.gru(H)),
    "gru without bias": (layer("GRU", units=H, use_bias=False), shapes(3, []), gru, jaxrnn.gru(H)),
    "gru activations": (
        layer("GRUCell", recurrent_activation="hard_sigmoid"),
        shapes(3, [(2, 3 * H)]),
        lambda *a: gru(*a, gate=hard_sigmoid),
        jaxrnn.gru(H, gate_activation="hard_sigmoid"),
    ),
    "gru before": (
        layer("GRU", reset_after=False),
        shapes(3, [(3 * H,)]),
        gru_before,
        jaxrnn.gru_reset_before(H),
    ),
    "gru before without bias": (
        layer("RNN", cell=layer("GRUCell", reset_after=False, use_bias=False)),
        shapes(3, []),
        gru_before,
        jaxrnn.gru_reset_before(H),
    ),
}


def draw(rng, shapes, dtype="float64"):
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


@pytest.mark.parametrize("name", LAYERS)
def test_equations(name, rng):
    """A cell and params whose outputs are those of Keras' equations, from the arrays in Keras' order."""
    config, like, step, cell = LAYERS[name]
    weights = draw(rng, like)
    made, params = from_keras(weights, config)
    assert made == type_of(cell, "float64")
    xs = rng.standard_normal((T, B, D))
    carry, ys = run(made, params, None, xs)
    state, expected = (np.zeros((B, H)),) * (2 if "lstm" in name else 1), []
    for x in xs:
        state = step(x, *state, *weights)
        expected.append(state[0])
    assert_close(ys, np.stack(expected), tolerance("float64", T))
    assert_close(tuple(carry), state, tolerance("float64", T))


def type_of(cell, dtype):
    """The cell with that param_dtype."""
    options = {**cell.options, "param_dtype": dtype}
    return getattr(jaxrnn, cell.name)(options.pop("hidden_size"), **options)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", [name for name in LAYERS if "without" not in name and name != "simple cell"])
def test_round_trips(name, dtype, key, rng):
    config, like, _, cell = LAYERS[name]
    weights = [a.astype(jnp.dtype(dtype)) for a in draw(rng, like)]
    again = to_keras(*from_keras(weights, config))
    same(again, weights)
    cell = type_of(cell, dtype)
    params = noisy_params(cell, key, D)
    made, back = from_keras(to_keras(cell, params), config)
    assert made == cell
    assert jax.tree.map(lambda a: a.dtype.name, back) == jax.tree.map(lambda a: dtype, params)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def same(actual, expected):
    assert [a.dtype for a in actual] == [e.dtype for e in expected]
    assert all(isinstance(a, np.ndarray) for a in actual)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, e)


f64 = {"param_dtype": "float64"}
SMALL, WIDE = jaxrnn.gru(H, **f64), jaxrnn.lstm(7, **f64)
COMPOSED = {
    "concat": (
        jaxrnn.bidirectional(SMALL, WIDE),
        layer("Bidirectional", layer=layer("GRU"), backward_layer=layer("LSTM", go_backwards=True)),
    ),
    "sum": (jaxrnn.bidirectional(SMALL, SMALL, merge="sum"), both(layer("GRU"), "sum")),
    "mean": (jaxrnn.bidirectional(SMALL, SMALL, merge="mean"), both(layer("GRU", units=H), "ave")),
    "mul": (jaxrnn.bidirectional(SMALL, SMALL, merge=jnp.multiply), both(layer("GRU"), "mul")),
    "one for both": (jaxrnn.bidirectional(SMALL, SMALL), layer("Bidirectional", layer=layer("GRU"))),
    "stack": (jaxrnn.stack(WIDE, SMALL), layer("RNN", cell=layer("StackedRNNCells", cells=["LSTMCell", "GRUCell"]))),
    "names": (jaxrnn.stack(WIDE, SMALL), ["LSTM", "GRU"]),
    "sequential": (
        jaxrnn.stack(jaxrnn.bidirectional(WIDE, WIDE), SMALL, jaxrnn.elman(2, **f64)),
        layer("Sequential", layers=[layer("InputLayer"), both(layer("LSTM")), layer("GRU"), layer("SimpleRNN")]),
    ),
    "stacks both ways": (
        jaxrnn.stack(jaxrnn.bidirectional(jaxrnn.stack(WIDE, SMALL), jaxrnn.stack(SMALL, SMALL)), WIDE),
        [
            layer(
                "Bidirectional",
                layer=layer("RNN", cell=layer("StackedRNNCells", cells=["LSTMCell", "GRUCell"])),
                backward_layer=layer(
                    "RNN", cell=layer("StackedRNNCells", cells=["GRUCell", "GRUCell"]), go_backwards=True
                ),
            ),
            "LSTM",
        ],
    ),
    "dropout": (jaxrnn.variational_dropout(SMALL, input=0.2), layer("GRU", dropout=0.2)),
    "both dropouts": (
        jaxrnn.variational_dropout(jaxrnn.elman(H, **f64), input=0.2, recurrent=0.5),
        layer("SimpleRNN", dropout=0.2, recurrent_dropout=0.5),
    ),
    "mixed": (
        jaxrnn.gru(H, dtype="bfloat16", **f64),
        layer("GRU", dtype={"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}}),
    ),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_compositions(name, key):
    cell, config = COMPOSED[name]
    params = noisy_params(cell, key, D)
    weights = to_keras(cell, params)
    made, back = from_keras(weights, config)
    assert made == cell
    assert jax.tree.structure(back) == jax.tree.structure(params)
    jax.tree.map(np.testing.assert_array_equal, back, params)
    same(to_keras(made, back), weights)


def test_layers_keep_their_order(rng):
    """layer_10 is sorted before layer_2, as params are that went through jax.tree.map; names are sorted at will."""
    weights = draw(rng, [shape for n in range(12) for shape in [(H if n else D, H), (H, H), (H,)]])
    cell, params = from_keras(weights, ["SimpleRNN"] * 12)
    sorted_ = jax.tree.map(lambda a: a, params)
    assert list(sorted_) != [f"layer_{n}" for n in range(12)]
    same(to_keras(cell, sorted_), weights)
    named = jaxrnn.stack(*cell.options["cells"][:2], names=("upper", "lower"))
    same(to_keras(named, {"lower": params["layer_1"], "upper": params["layer_0"]}), weights[:6])


def test_memory_is_not_shared(key):
    weights = [np.ones((D, 4 * H)), np.ones((H, 4 * H)), np.ones(4 * H)]
    cell, params = from_keras(weights, "LSTM")
    out = to_keras(cell, params)
    for a in weights + out:
        a[...] = 7  # what comes out can be written, too
    assert all((a == 1).all() for a in jax.tree.leaves(params))


def test_types(rng):
    weights = draw(rng, LAYERS["gru"][1])
    cell, params = from_keras(weights, "GRU", dtype="float32")
    assert cell == jaxrnn.gru(H)
    assert {a.dtype.name for a in params.values()} == {"float32"}
    arrays = to_keras(cell, jax.tree.map(lambda a: np.asarray(a, np.float64), params))
    assert {a.dtype.name for a in arrays} == {"float64"}


@pytest.mark.usefixtures("float32_only")
def test_without_float64(rng):
    weights = draw(rng, LAYERS["gru"][1])
    with pytest.raises(TypeError, match="float64 while JAX has no float64 here"):
        from_keras(weights, "GRU")
    cell, params = from_keras(weights, "GRU", dtype="float32")
    wide = {name: np.asarray(a, np.float64) for name, a in params.items()}
    assert {a.dtype.name for a in to_keras(cell, wide)} == {"float64"}  # NumPy's own are not made narrow on the way


@pytest.mark.parametrize("name", ["gru", "lstm", "gru before"])
def test_gradients_pass_through(name, rng):
    """Of a loss of Keras' weights, by JAX: what a change of each entry does, to the order of its square."""
    config, like, *_ = LAYERS[name]
    weights, change = draw(rng, like), draw(rng, like)
    xs = rng.standard_normal((T, B, D))

    @jax.jit
    def loss(weights):
        cell, params = from_keras(weights, config)
        return weighed(jaxrnn.unroll(cell, params, None, xs)[1])

    def moved(by):
        return loss([w + by * c for w, c in zip(weights, change, strict=True)])

    slope = sum((g * c).sum() for g, c in zip(jax.grad(loss)(weights), change, strict=True))
    step = 1e-5
    assert abs((moved(step) - moved(-step)) / (2 * step) - slope) < 1e-7 * max(1, abs(slope))
    back = jax.jit(lambda p: to_keras(from_keras(weights, config)[0], p))(from_keras(weights, config)[1])
    same([np.asarray(a) for a in back], weights)


SIMPLE = [np.ones((D, H)), np.ones((H, H)), np.ones(H)]
GRU3 = [np.ones((D, 3 * H)), np.ones((H, 3 * H)), np.ones((2, 3 * H))]
NAN = np.ones(H)
NAN[2] = np.nan
MALFORMED = {
    "a mapping": ({"kernel": SIMPLE[0]}, "SimpleRNN", TypeError, "weights: expected a list of arrays beside config"),
    "one array": (SIMPLE[0], "SimpleRNN", TypeError, "got numpy.ndarray"),
    "arrays alone": (SIMPLE, None, TypeError, "arrays need config="),
    "no layer": ([], None, ValueError, "expected a recurrent layer at least, got none"),
    "no such layer": (SIMPLE, "ConvLSTM2D", TypeError, "config: expected layers of Keras that are .*, got ConvLSTM2D"),
    "a dense layer among them": (
        SIMPLE,
        layer("Sequential", layers=[layer("SimpleRNN"), layer("Dense", name="top")]),
        TypeError,
        "got 'top', Dense; from a model, pass a list",
    ),
    "another class of that name": (
        SIMPLE,
        {"class_name": "SimpleRNN", "module": "mine", "config": {}},
        TypeError,
        "a class outside of Keras, SimpleRNN",
    ),
    "a registered class of that name": (
        SIMPLE,
        {"class_name": "SimpleRNN", "module": None, "registered_name": "Custom>SimpleRNN", "config": {}},
        TypeError,
        "a class outside of Keras, SimpleRNN",
    ),
    "no configuration": (SIMPLE, 3, TypeError, "config: expected a configuration of Keras, .*, got int 3"),
    "no class": (SIMPLE, {"units": H}, TypeError, "config: expected a configuration of Keras"),
    "no cell": (SIMPLE, "RNN", ValueError, "expected 'cell' in the config of RNN"),
    "an array too few": (SIMPLE[:2], "SimpleRNN", ValueError, "expected 3 arrays or more, .*, got 2; use_bias=False"),
    "an array too many": ([*SIMPLE, NAN], "SimpleRNN", ValueError, r"expected 3 arrays .*, got float64\(4,\) as well"),
    "no bias said": (SIMPLE, layer("SimpleRNN", use_bias=False), ValueError, "expected 2 arrays for these layers"),
    "transposed": (
        [SIMPLE[0].T, *SIMPLE[1:]],
        "SimpleRNN",
        ValueError,
        r"weights\[0\], kernel of SimpleRNN: expected \[D, 1·H=4\], got float64\(4, 5\)",
    ),
    "other units": (
        SIMPLE,
        layer("SimpleRNN", units=5),
        ValueError,
        r"weights\[0\], kernel of SimpleRNN: expected \[D, 1·H=5\], got float64\(5, 4\)",
    ),
    "units of no kind": (SIMPLE, layer("SimpleRNN", units="4"), ValueError, "units: expected an int of at least 1"),
    "another kind": (SIMPLE, "LSTM", ValueError, r"kernel of LSTM: expected \[D, 4·H=16\], got float64\(5, 4\)"),
    "a recurrent kernel without axes": (
        [SIMPLE[0], np.ones(()), SIMPLE[2]],
        "SimpleRNN",
        ValueError,
        r"weights\[1\], recurrent_kernel of SimpleRNN: expected \[H, 1·H\], got float64\(\)",
    ),
    "one bias for two": (
        [*GRU3[:2], GRU3[2][0]],
        "GRU",
        ValueError,
        r"weights\[2\], bias with reset_after=True of GRU: expected \[2=2, 3·H=12\], got float64\(12,\)",
    ),
    "two biases for one": (
        GRU3,
        layer("GRU", reset_after=False),
        ValueError,
        r"bias with reset_after=False of GRU: expected \[3·H=12\], got float64\(2, 12\)",
    ),
    "the layer above does not fit": (
        [*GRU3, *GRU3],
        ["GRU", "GRU"],
        ValueError,
        r"weights\[3\], kernel of GRU: expected \[D=4, 3·H=12\], got float64\(5, 12\)",
    ),
    "not a number": ([*SIMPLE[:2], NAN], "SimpleRNN", ValueError, "expected finite numbers, got nan at 2"),
    "integers": ([*SIMPLE[:2], np.ones(H, int)], "SimpleRNN", TypeError, "expected real floating-point numbers"),
    "strings": ([*SIMPLE[:2], np.array(["a"] * H)], "SimpleRNN", TypeError, "weights.2., bias of SimpleRNN"),
    "go_backwards": (
        SIMPLE,
        layer("SimpleRNN", go_backwards=True),
        TypeError,
        "no SimpleRNN with go_backwards=True here; the nearest that it has: the same weights without it, and unroll",
    ),
    "both ways forward": (
        SIMPLE * 2,
        layer("Bidirectional", layer=layer("SimpleRNN"), backward_layer=layer("SimpleRNN")),
        TypeError,
        "no SimpleRNN with go_backwards=False here",
    ),
    "both ways turned": (
        SIMPLE * 2,
        layer("Bidirectional", layer=layer("SimpleRNN", go_backwards=True), backward_layer=layer("SimpleRNN")),
        TypeError,
        "no SimpleRNN with go_backwards=True here",
    ),
    "no merge": (SIMPLE * 2, both(layer("SimpleRNN"), None), TypeError, "no Bidirectional with merge_mode=None"),
    "recurrent dropout": (
        GRU3,
        layer("GRU", recurrent_dropout=0.1),
        TypeError,
        r"no GRU with recurrent_dropout=0.1, a mask for each gate; .* variational_dropout\(cell, recurrent=...\)",
    ),
    "another gelu": (
        SIMPLE,
        layer("SimpleRNN", activation="gelu"),
        TypeError,
        "no SimpleRNN with activation='gelu'; the nearest that it has: one of celu, ",
    ),
    "another leaky_relu": (SIMPLE, layer("SimpleRNN", activation="leaky_relu"), TypeError, "activation='leaky_relu'"),
    "a layer as activation": (
        SIMPLE,
        layer("SimpleRNN", activation={"class_name": "LeakyReLU", "config": {"negative_slope": 0.3}}),
        TypeError,
        "activation='LeakyReLU'",
    ),
    "a function as activation": (
        GRU3,
        layer("GRU", recurrent_activation={"class_name": "function", "config": "mine"}),
        TypeError,
        "recurrent_activation='mine'",
    ),
    "hard_sigmoid of Keras 2": (
        GRU3,
        layer("GRU", recurrent_activation="hard_sigmoid", implementation=2, time_major=False),
        TypeError,
        "no GRU with the hard_sigmoid of Keras 2, 0.2 x",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name):
    weights, config, error, message = MALFORMED[name]
    with pytest.raises(error, match=message) as raised:
        from_keras(weights, config)
    assert type(raised.value) is error


def test_no_activation_is_the_identity():
    """Keras' activation=None, which it writes as linear."""
    assert from_keras(SIMPLE, layer("SimpleRNN", activation=None))[0].options["activation"] == "identity"


UNKNOWN = {
    "no cell": (lambda: jaxrnn.gru, "cell: expected a Cell of jaxrnn"),
    "another cell": (lambda: jaxrnn.mgu(H), "Keras has no such layer, and mgu"),
    "peepholes": (lambda: jaxrnn.lstm(H, peepholes=True), "Keras has no lstm with peepholes=True"),
    "projection": (lambda: jaxrnn.lstm(H, projection=2), "Keras has no lstm with projection=2"),
    "output activation": (lambda: jaxrnn.lstm(H, output_activation="relu"), "one activation for g and c"),
    "activation": (lambda: jaxrnn.gru(H, activation="gelu"), "Keras has no activation='gelu'"),
    "gate activation": (lambda: jaxrnn.lstm(H, gate_activation="cos"), "Keras has no gate_activation='cos'"),
    "own activation": (lambda: jaxrnn.elman(H, activation=lambda z: z), "Keras has no activation=<function"),
    "merge": (lambda: jaxrnn.bidirectional(SMALL, SMALL, merge=jnp.maximum), "Keras has no such merge_mode"),
    "skip": (lambda: jaxrnn.stack(SMALL, SMALL, skip=True), "Keras has no such option of StackedRNNCells"),
    "dropout": (lambda: jaxrnn.stack(SMALL, SMALL, dropout=0.1), "Keras has no such option of StackedRNNCells"),
    "a mask of the output": (lambda: jaxrnn.variational_dropout(SMALL, output=0.1), "Keras has no such mask"),
    "a recurrent mask": (lambda: jaxrnn.variational_dropout(SMALL, recurrent=0.1), "Keras has no such mask"),
    "residual": (lambda: jaxrnn.residual(jaxrnn.gru(D)), "Keras has no such layer"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_cells_that_keras_does_not_have(name, key):
    make, message = UNKNOWN[name]
    cell = make()
    params = cell.init(key, D) if hasattr(cell, "init") else None
    with pytest.raises(TypeError, match=message):
        to_keras(cell, params)


def test_options_that_change_nothing(key):
    """How params are drawn, and what the output activation is if it is that of the candidate."""
    cell = jaxrnn.lstm(H, forget_bias=3.0, bias_init=jaxrnn.initializers.normal(1), output_activation="tanh", **f64)
    params = cell.init(key, D)
    made, back = from_keras(to_keras(cell, params), "LSTM")
    assert made == jaxrnn.lstm(H, **f64)
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_params_of_another_cell(key):
    with pytest.raises(ValueError, match="params: expected those of lstm"):
        to_keras(jaxrnn.lstm(H), jaxrnn.gru(H).init(key, D))


class Layer:
    """What `into` needs of a layer of Keras."""

    __module__ = "keras.src.layers"

    def __init__(self, weights, **options):
        self.weights, self.options, self.built = weights, options, True

    def get_config(self):
        return self.options

    def get_weights(self):
        return [w.copy() for w in self.weights]

    def set_weights(self, weights):
        assert [w.shape for w in weights] == [w.shape for w in self.weights]
        self.weights = weights


def fake(kind, weights, **options):
    return type(kind, (Layer,), {"__module__": "keras.src.layers"})(weights, **options)


def test_into(key):
    cell = jaxrnn.stack(SMALL, WIDE)
    params = noisy_params(cell, key, D)
    below = fake("GRU", GRU3, units=H)
    above = fake("LSTM", [np.ones((H, 28)), np.ones((7, 28)), np.ones(28)], units=7)
    layers = [below, above]
    assert to_keras(cell, params, into=layers) is layers
    same(below.weights + above.weights, to_keras(cell, params))
    made, back = from_keras(layers)
    assert made == cell
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_into_without_bias(key):
    without = fake("GRU", GRU3[:2], units=H, use_bias=False)
    params = noisy_params(SMALL, key, D)
    with pytest.raises(ValueError, match="into: expected layers with use_bias=True, as GRU"):
        to_keras(SMALL, params, into=without)
    params |= {"bias": np.zeros(3 * H), "recurrent_bias": np.zeros(3 * H)}
    assert to_keras(SMALL, params, into=without) is without
    jax.tree.map(np.testing.assert_array_equal, from_keras(without)[1], params)


WRONG = {
    "no layer": (SMALL, lambda: 3, TypeError, "into: expected a layer of Keras, .*, got builtins.int$"),
    "another layer": (SMALL, lambda: fake("LSTM", [], units=H), ValueError, "into: expected GRU.*, got LSTM"),
    "other units": (SMALL, lambda: fake("GRU", [], units=5), ValueError, r"expected GRU\(units=4,.*, got GRU\(units=5"),
    "reset before": (
        SMALL,
        lambda: fake("GRU", [], units=H, reset_after=False),
        ValueError,
        "reset_after=True.*, got GRU.*reset_after=False",
    ),
    "another activation": (
        SMALL,
        lambda: fake("GRU", [], units=H, recurrent_activation="hard_sigmoid"),
        ValueError,
        "recurrent_activation='sigmoid'.*got GRU.*recurrent_activation='hard_sigmoid'",
    ),
    "a layer twice": (SMALL, lambda: [fake("GRU", GRU3, units=H)] * 2, ValueError, "into: expected each layer once"),
    "a layer more": (
        SMALL,
        lambda: [fake("GRU", GRU3, units=H) for _ in range(2)],
        ValueError,
        r"got GRU\(.*\) \+ GRU\(",
    ),
    "another input": (
        SMALL,
        lambda: fake("GRU", [np.ones((3, 12)), *GRU3[1:]], units=H),
        ValueError,
        r"into: expected weights \[\(5, 12\), .*, got \[\(3, 12\)",
    ),
    "dropout": (SMALL, lambda: fake("GRU", GRU3, units=H, dropout=0.1), ValueError, "got GRU.*dropout=0.1"),
    "backwards": (SMALL, lambda: fake("GRU", GRU3, units=H, go_backwards=True), TypeError, "into: jaxrnn has no GRU"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_into(name, key):
    cell, make, error, message = WRONG[name]
    layers = make()
    with pytest.raises(error, match=message):
        to_keras(cell, cell.init(key, D), into=layers)
    for one in layers if isinstance(layers, list) else [layers] * (name == "another input"):
        assert all((w == 1).all() for w in one.weights)  # nothing was set


def test_into_is_not_traced(key):
    layer = fake("GRU", GRU3, units=H)
    with pytest.raises(TypeError, match="params: expected arrays with values"):
        jax.jit(lambda p: to_keras(SMALL, p, into=layer))(SMALL.init(key, D))
