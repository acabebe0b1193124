"""Haiku's params in and out, without Haiku: mappings {module: {name: array}}.

The equations are those of Haiku's documentation, as loops in NumPy. tests/full/parity has Haiku itself.
"""

import collections
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, noisy_params, tolerance, weighed

import jaxrnn
from jaxrnn.interop import from_haiku, to_haiku

T, B, D, H = 6, 3, 5, 4
run = jax.jit(jaxrnn.unroll, static_argnums=0)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def vanilla(w, x, h):
    two = w["linear_1"].get("b", 0)
    return (np.maximum(x @ w["linear"]["w"] + w["linear"]["b"] + h @ w["linear_1"]["w"] + two, 0),)


def lstm(w, x, h, c):
    i, g, f, o = np.split(np.concatenate([x, h], axis=-1) @ w["linear"]["w"] + w["linear"]["b"], 4, axis=-1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(w, x, h):
    w = w[""]
    (i_z, i_r, i_a), (h_z, h_r, h_a), (b_z, b_r, b_a) = (np.split(w[n], 3, axis=-1) for n in ("w_i", "w_h", "b"))
    z, r = sigmoid(x @ i_z + h @ h_z + b_z), sigmoid(x @ i_r + h @ h_r + b_r)
    a = np.tanh(x @ i_a + (r * h) @ h_a + b_a)
    return ((1 - z) * h + z * a,)


def shapes(kind, D=D, H=H):
    """{module within the core: {name: shape}}."""
    return {
        "vanilla": {"linear": {"w": (D, H), "b": (H,)}, "linear_1": {"w": (H, H)}},
        "vanilla two": {"linear": {"w": (D, H), "b": (H,)}, "linear_1": {"w": (H, H), "b": (H,)}},
        "lstm": {"linear": {"w": (D + H, 4 * H), "b": (4 * H,)}},
        "gru": {"": {"w_i": (D, 3 * H), "w_h": (H, 3 * H), "b": (3 * H,)}},
    }[kind]


STEPS = {"vanilla": vanilla, "vanilla two": vanilla, "lstm": lstm, "gru": gru}
f64 = {"param_dtype": "float64"}
CELLS = {
    "vanilla": jaxrnn.elman(H, activation="relu", **f64),
    "vanilla two": jaxrnn.elman(H, activation="relu", **f64),
    "lstm": jaxrnn.lstm(H, **f64),
    "gru": jaxrnn.gru_reset_before(H, **f64),
}
OWN = {"vanilla": "vanilla_rnn", "vanilla two": "vanilla_rnn", "lstm": "lstm", "gru": "gru"}


def draw(rng, like, dtype="float64"):
    return {m: {n: rng.standard_normal(s).astype(dtype) for n, s in shapes.items()} for m, shapes in like.items()}


def under(name, inner):
    """The modules of a core as they stand in Haiku's params."""
    return {f"{name}/{module}".rstrip("/"): arrays for module, arrays in inner.items()}


def core(rng, kind, name, D=D, H=H, dtype="float64"):
    return under(name, draw(rng, shapes(kind, D, H), dtype))


def same(actual, expected):
    assert {m: {n: a.dtype.name for n, a in arrays.items()} for m, arrays in actual.items()} == {
        m: {n: jnp.dtype(a.dtype).name for n, a in arrays.items()} for m, arrays in expected.items()
    }
    jax.tree.map(np.testing.assert_array_equal, dict(actual), dict(expected))


def near(actual, expected, dtype="float64"):
    """To the rounding of f's bias, less 1 and 1 again."""
    assert_close(dict(actual), dict(expected), tolerance(dtype, 1))


@pytest.mark.parametrize("kind", STEPS)
def test_equations(kind, rng):
    weights = draw(rng, shapes(kind))
    cell, params = from_haiku(under("net/~/mine", weights), "net/~/mine")
    assert cell == CELLS[kind]
    assert from_haiku(under(OWN[kind], weights))[0] == cell  # the name that Haiku gives is found
    xs = rng.standard_normal((T, B, D))
    carry, ys = run(cell, params, None, xs)
    state, expected = (np.zeros((B, H)),) * len(carry), []
    for x in xs:
        state = STEPS[kind](weights, x, *state)
        expected.append(state[0])
    assert_close(ys, np.stack(expected), tolerance("float64", T))
    assert_close(tuple(carry), state, tolerance("float64", T))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
@pytest.mark.parametrize("kind", STEPS)
def test_round_trips(kind, dtype, key, rng):
    """To the bit, but for f's bias."""
    weights = core(rng, kind, OWN[kind], dtype=jnp.dtype(dtype))
    cell, params = from_haiku(weights)
    again = to_haiku(cell, params, double_bias=kind == "vanilla two")
    if kind == "vanilla two":  # two numbers for one
        weights["vanilla_rnn/linear"]["b"] = weights["vanilla_rnn/linear"]["b"] + weights["vanilla_rnn/linear_1"]["b"]
        weights["vanilla_rnn/linear_1"]["b"] = np.zeros(H, jnp.dtype(dtype))
    if kind == "lstm":
        near(again, weights, dtype)
        for arrays in again["lstm/linear"], weights["lstm/linear"]:
            arrays["b"] = np.delete(arrays["b"], slice(2 * H, 3 * H))
    same(again, weights)
    params = noisy_params(cell, key, D)
    made, back = from_haiku(to_haiku(cell, params))
    assert made == cell
    assert {a.dtype.name for a in back.values()} == {dtype}
    near(back, params, dtype)
    if kind == "lstm":
        back["bias"], params["bias"] = (jnp.delete(p["bias"], slice(H, 2 * H)) for p in (back, params))
    jax.tree.map(np.testing.assert_array_equal, back, params)


def deep(rng, skip=False, dtype="float64"):
    """Three cores of a network, in no order, with a readout beside them."""
    second, third = (D if skip else 0) + H, (D if skip else 0) + 3
    return {
        **core(rng, "gru", "net/gru", third, 2, dtype),
        "net/linear": {"w": rng.standard_normal((2, 7)), "b": rng.standard_normal(7)},
        **core(rng, "lstm", "net/lstm_1", second, 3, dtype),
        **core(rng, "lstm", "net/lstm", D, H, dtype),
    }


NAMES = ["net/lstm", "net/lstm_1", "net/gru"]


@pytest.mark.parametrize("skip", [False, True])
def test_stack(skip, rng):
    weights = deep(rng, skip)
    cell, params = from_haiku(weights, NAMES, skip=skip)
    assert cell == jaxrnn.stack(
        jaxrnn.lstm(H, **f64), jaxrnn.lstm(3, **f64), jaxrnn.gru_reset_before(2, **f64), skip=skip
    )
    jaxrnn.unroll(cell, params, None, rng.standard_normal((T, B, D)))
    again = to_haiku(cell, params, NAMES, into=weights)
    near(again, weights)
    assert list(again) == list(weights)
    assert set(to_haiku(cell, params)) == {"lstm/linear", "lstm_1/linear", "gru"}
    assert set(to_haiku(cell, params, NAMES)) == {"net/lstm/linear", "net/lstm_1/linear", "net/gru"}


def test_functions_between(rng):
    weights = deep(rng)
    names = ["net/lstm", jax.nn.relu, "net/lstm_1", "net/gru"]
    cell, params = from_haiku(weights, names)
    assert cell.options["cells"][1] == jaxrnn.time_distributed("relu")
    assert params["layer_1"] == ()
    jaxrnn.unroll(cell, params, None, rng.standard_normal((T, B, D)))
    near(to_haiku(cell, params, names, into=weights), weights)
    with pytest.raises(ValueError, match="modules: expected names of cores alone with skip=True"):
        from_haiku(deep(rng, True), names, skip=True)


def test_twelve_layers_keep_their_order(rng):
    """Names sort otherwise than numbers, in Haiku's params and in ours."""
    names = [f"gru_{n}" if n else "gru" for n in range(12)]
    weights = {k: v for n, name in enumerate(names) for k, v in core(rng, "gru", name, H if n else D).items()}
    cell, params = from_haiku(jax.tree.map(lambda a: a, weights), names)
    same(to_haiku(cell, jax.tree.map(lambda a: a, params)), weights)
    np.testing.assert_array_equal(params["layer_2"]["bias"][2 * H :], weights["gru_2"]["b"][2 * H :])


def test_other_mappings(rng):
    weights = collections.OrderedDict(core(rng, "gru", "gru"))
    frozen = types.MappingProxyType({m: types.MappingProxyType(arrays) for m, arrays in weights.items()})
    same(to_haiku(*from_haiku(frozen)), weights)


def test_memory_is_not_shared(rng):
    weights = core(rng, "vanilla", "net/core")
    before = jax.tree.map(np.copy, weights)
    cell, params = from_haiku(weights, "net/core")
    out = to_haiku(cell, params, "net/core", into=weights)
    for arrays in [*weights.values(), *out.values()]:
        for a in arrays.values():
            a[...] = 7  # what comes out can be written, too
    same(to_haiku(cell, params, "net/core", double_bias=False), before)


def test_into_leaves_the_rest(rng):
    """In the types that were there."""
    weights = deep(rng, dtype="float32")
    cell, params = from_haiku(deep(rng), NAMES)
    before = jax.tree.map(np.copy, weights)
    made = to_haiku(cell, params, NAMES, into=weights)
    same(weights, before)
    assert {a.dtype.name for name in made if name != "net/linear" for a in made[name].values()} == {"float32"}
    np.testing.assert_array_equal(made["net/linear"]["w"], weights["net/linear"]["w"])
    np.testing.assert_array_equal(
        made["net/gru"]["w_h"][:, 4:], np.float32(params["layer_2"]["recurrent_kernel"][:, 4:])
    )


def test_two_biases(rng):
    cell, params = from_haiku(core(rng, "vanilla", "vanilla_rnn"))
    assert "b" not in to_haiku(cell, params, double_bias=False)["vanilla_rnn/linear_1"]
    assert not to_haiku(cell, params)["vanilla_rnn/linear_1"]["b"].any()
    for kind in ("vanilla", "vanilla two"):
        there = core(rng, kind, "vanilla_rnn")
        made = to_haiku(cell, params, into=there)
        assert made["vanilla_rnn/linear_1"].keys() == there["vanilla_rnn/linear_1"].keys()
        back = from_haiku(made)[1]
        jax.tree.map(np.testing.assert_array_equal, back, params)


def test_types(rng):
    cell, params = from_haiku(core(rng, "lstm", "lstm"), dtype="float32")
    assert cell == jaxrnn.lstm(H)
    assert {a.dtype.name for a in params.values()} == {"float32"}


@pytest.mark.usefixtures("float32_only")
def test_without_float64(rng):
    weights = core(rng, "gru", "gru")
    with pytest.raises(TypeError, match="float64 while JAX has no float64 here"):
        from_haiku(weights)
    cell, params = from_haiku(weights, dtype="float32")
    wide = {name: np.asarray(a, np.float64) for name, a in params.items()}
    assert {a.dtype.name for a in to_haiku(cell, wide)["gru"].values()} == {"float64"}


def test_gradients_pass_through(rng):
    """Of a loss of Haiku's params, by JAX: what a change of each entry does, to the order of its square."""
    weights, change = core(rng, "lstm", "lstm"), core(rng, "lstm", "lstm")
    xs = rng.standard_normal((T, B, D))

    @jax.jit
    def loss(weights):
        cell, params = from_haiku(weights)
        return weighed(jaxrnn.unroll(cell, params, None, xs)[1])

    def moved(by):
        return loss(jax.tree.map(lambda w, c: w + by * c, weights, change))

    slopes = jax.tree.map(lambda g, c: (g * c).sum(), jax.grad(loss)(weights), change)
    step, slope = 1e-5, sum(jax.tree.leaves(slopes))
    assert abs((moved(step) - moved(-step)) / (2 * step) - slope) < 1e-7 * max(1, abs(slope))
    near(jax.jit(lambda w: to_haiku(*from_haiku(w), into=w))(weights), weights)


def without(kind, module, name):
    weights = core(np.random.default_rng(0), kind, OWN[kind])
    module = f"{OWN[kind]}/{module}".rstrip("/")
    return {m: {n: a for n, a in arrays.items() if (m, n) != (module, name)} for m, arrays in weights.items()}


def having(kind, **arrays):
    """The arrays of a core's last module, with some in their place or beside them."""
    weights = core(np.random.default_rng(0), kind, OWN[kind])
    last = list(weights)[-1]
    return {**weights, last: {**weights[last], **arrays}}


NAN = np.ones(3 * H)
NAN[2] = np.nan
CONVOLUTION = {"conv1_d_lstm/input_to_hidden": {"w": np.ones((3, 2, 16)), "b": np.ones(16)}}
MALFORMED = {
    "no mapping": ([np.ones(3)], None, TypeError, "weights: expected params of Haiku, {module: {name: array}}"),
    "flat": ({"lstm/linear/w": np.ones(3)}, None, TypeError, "weights: expected params of Haiku"),
    "nothing": ({}, None, ValueError, r"modules: expected the cores' names, .*, got \[\]"),
    "no name": ({}, [], ValueError, "modules: expected a core at least, got none"),
    "a readout alone": ({"net/linear": {"w": np.ones((5, 8)), "b": np.ones(8)}}, None, ValueError, r"got \[\]"),
    "several cores": (
        deep(np.random.default_rng(0)),
        None,
        ValueError,
        r"the lowest first, as there is not one, got \['net/gru', 'net/lstm', 'net/lstm_1'\]",
    ),
    "no such module": (having("gru"), "lstm", KeyError, "expected names of VanillaRNN, LSTM or GRU, got 'lstm'"),
    "a module that is no core": (
        {"net/a": {"scale": np.ones(3)}},
        "net/a",
        KeyError,
        r"got 'net/a'; there is no such among \['net/a'\]",
    ),
    "a module twice": (having("gru"), ["gru", "gru"], KeyError, "got 'gru'; there is no such among"),
    "others beside it": (
        {**having("gru"), "linear": {"w": np.ones((4, 2))}},
        None,
        ValueError,
        r"expected no more arrays than the cell has, got 'linear/w' float64\(4, 2\)",
    ),
    "an array too many": (having("gru", scale=NAN), "gru", ValueError, r"got 'gru/scale' float64\(12,\) as well"),
    "no w_h": (without("gru", "", "w_h"), None, KeyError, r"weights\['gru/w_h'\] is missing: expected \[H=4, 3·H=12\]"),
    "no b": (
        without("lstm", "linear", "b"),
        None,
        KeyError,
        r"weights\['lstm/linear/b'\] is missing: expected \[4·H\]",
    ),
    "no linear_1": (
        without("vanilla", "linear_1", "w"),
        None,
        KeyError,
        r"weights\['vanilla_rnn/linear_1/w'\] is miss",
    ),
    "transposed": (
        having("gru", w_i=np.ones((12, 5))),
        None,
        ValueError,
        r"weights\['gru/w_i'\]: expected \[D, 3·H=12\], got float64\(12, 5\)",
    ),
    "a bias of another size": (having("gru", b=np.ones(13)), None, ValueError, "to be of GRU, got a bias"),
    "an lstm without input": (
        having("lstm", w=np.ones((H, 4 * H))),
        None,
        ValueError,
        r"expected 'lstm' to be of LSTM, got a bias \(16,\) beside \(0, 16\)",
    ),
    "an empty bias": (having("gru", b=np.ones(0)), None, ValueError, r"expected \[D, 3·H=3\]"),
    "not a number": (
        having("gru", b=NAN),
        None,
        ValueError,
        r"weights\['gru/b'\]: expected finite numbers, got nan at 2",
    ),
    "integers": (having("gru", b=np.ones(12, int)), None, TypeError, "expected real floating-point numbers, got int64"),
    "a convolution": (CONVOLUTION, None, ValueError, r"got \[\]"),
    "a convolution by name": (CONVOLUTION, "conv1_d_lstm", TypeError, "those of a convolutional LSTM are not taken"),
    "layers in another order": (
        deep(np.random.default_rng(0)),
        NAMES[::-1],
        ValueError,
        r"weights\['net/lstm_1/linear/w'\]: expected \[D\+H=5, 4·H=12\], got float64\(7, 12\)",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name):
    weights, modules, error, message = MALFORMED[name]
    with pytest.raises(error, match=message) as raised:
        from_haiku(weights, modules)
    assert type(raised.value) is error


@pytest.mark.parametrize("skip", [False, True])
def test_skip_is_seen(skip, rng):
    """Layers with skip connections have other shapes: neither is taken for the other."""
    with pytest.raises(ValueError, match=r"weights\['net/lstm_1/linear/w'\]: expected \[D\+H="):
        from_haiku(deep(rng, skip), NAMES, skip=not skip)


LSTM = jaxrnn.lstm(H)
UNKNOWN = {
    "no cell": (lambda: jaxrnn.gru, "cell: expected a Cell of jaxrnn"),
    "gru": (lambda: jaxrnn.gru(H), "no GRU that resets after the product, .*: gru_reset_before"),
    "tanh": (lambda: jaxrnn.elman(H), "Haiku has no VanillaRNN but that of relu, .*: activation='relu'"),
    "another cell": (lambda: jaxrnn.mgu(H), "Haiku has no such layer"),
    "peepholes": (lambda: jaxrnn.lstm(H, peepholes=True), "Haiku has no lstm with peepholes=True"),
    "activation": (lambda: jaxrnn.lstm(H, activation="relu"), "Haiku has no lstm with activation='relu'"),
    "gate activation": (lambda: jaxrnn.gru_reset_before(H, gate_activation="relu"), "with gate_activation='relu'"),
    "both ways": (lambda: jaxrnn.bidirectional(LSTM, LSTM), "Haiku has no layer for both directions"),
    "dropout": (lambda: jaxrnn.stack(LSTM, LSTM, dropout=0.1), "Haiku has no dropout between the layers"),
    "a function and skip": (
        lambda: jaxrnn.stack(LSTM, jaxrnn.time_distributed("relu"), skip=True),
        "Haiku has no functions among layers with skip connections",
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_cells_that_haiku_does_not_have(name, key):
    make, message = UNKNOWN[name]
    cell = make()
    with pytest.raises(TypeError, match=message):
        to_haiku(cell, cell.init(key, D) if hasattr(cell, "init") else None)


INTO = {
    "no params": ({}, 3, TypeError, "into: expected params of Haiku"),
    "no such module": ({}, {"lstm/linear": {}}, KeyError, "into: expected an array 'gru/w_i' in the modules"),
    "an array too many": ({}, having("gru", scale=NAN), ValueError, "got 'gru/scale' as well"),
    "an array too few": ({}, without("gru", "", "b"), KeyError, "into: expected an array 'gru/b'"),
    "another shape": (
        {},
        having("gru", w_i=np.ones((3, 12))),
        ValueError,
        r"into: expected 'gru/w_i' of shape \(5, 12\), got float64\(3, 12\)",
    ),
    "two names": ({"modules": ["gru", "gru_1"]}, None, ValueError, "modules: expected a name of its own for each of 1"),
}


@pytest.mark.parametrize("name", INTO)
def test_wrong_into(name, key):
    options, into, error, message = INTO[name]
    cell = CELLS["gru"]
    with pytest.raises(error, match=message):
        to_haiku(cell, cell.init(key, D), into=into, **options)


def test_params_of_another_cell(key):
    with pytest.raises(ValueError, match="params: expected those of lstm"):
        to_haiku(LSTM, jaxrnn.gru(H).init(key, D))
