"""Equinox's weights in and out, as plain mappings of arrays: no Equinox is imported here."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import weighed

import jaxrnn
from jaxrnn.interop import from_equinox, to_equinox

D, H = 5, 4
GATES = {"lstm": 4, "gru": 3}
BOTH = pytest.mark.parametrize("name", GATES)


def weights(rng, name, D=D, bias=True, dtype="float32"):
    shapes = {"weight_ih": (GATES[name] * H, D), "weight_hh": (GATES[name] * H, H)}
    if bias:
        shapes |= {"bias": (GATES[name] * H,)} | ({"bias_n": (H,)} if name == "gru" else {})
    return {field: rng.standard_normal(shape).astype(dtype) for field, shape in shapes.items()}


def drawn(cell, rng, D=D):
    like = jax.eval_shape(lambda key: cell.init(key, D), jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape), a.dtype), like)


def equal(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.mark.parametrize("bias", [True, False])
@BOTH
def test_theirs_to_ours_and_back_to_the_bit(name, bias, rng):
    w = weights(rng, name, bias=bias)
    cell, params = from_equinox(w)
    assert cell == jaxrnn.CELLS[name](H)
    equal(to_equinox(cell, params, bias=bias), w)
    equal(params["kernel"], w["weight_ih"].T)
    equal(params["recurrent_kernel"], w["weight_hh"].T)
    equal(params["bias"], w["bias"] if bias else np.zeros(GATES[name] * H))
    if name == "gru":
        equal(params["recurrent_bias"], np.concatenate([np.zeros(2 * H), w["bias_n"] if bias else np.zeros(H)]))
    equal(from_equinox({"bias": None, "bias_n": None, **w})[1] if not bias else params, params)


@BOTH
def test_ours_to_theirs_and_back(name, rng):
    """To the bit, but of r and z of a GRU, whose two biases are one in Equinox."""
    cell = jaxrnn.CELLS[name](H)
    params = drawn(cell, rng)
    made, back = from_equinox(to_equinox(cell, params))
    assert made == cell
    if name == "gru":
        b, d = params["bias"], params["recurrent_bias"]
        moved = jnp.concatenate([d[: 2 * H], jnp.zeros(H, d.dtype)])
        params |= {"bias": b + moved, "recurrent_bias": d - moved}
    equal(back, params)


def test_a_list_is_a_stack(rng):
    w = [weights(rng, "gru"), weights(rng, "lstm", D=H), weights(rng, "lstm", D=H)]
    cell, params = from_equinox(w)
    assert cell == jaxrnn.stack(jaxrnn.gru(H), jaxrnn.lstm(H), jaxrnn.lstm(H))
    equal(to_equinox(cell, params), w)
    with pytest.raises(ValueError, match=r"params: expected those of stack\(gru\(4\), lstm\(4\)\)"):
        from_equinox([weights(rng, "gru"), weights(rng, "lstm")])


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_types(dtype, rng):
    w = weights(rng, "gru", dtype=jnp.dtype(dtype))
    cell, params = from_equinox(w)
    assert cell == jaxrnn.gru(H, param_dtype=dtype)
    assert {a.dtype for a in params.values()} == {jnp.dtype(dtype)}
    equal(to_equinox(cell, params), w)
    assert from_equinox(w, dtype="float32")[0] == jaxrnn.gru(H)


@BOTH
def test_no_memory_is_shared(name, rng):
    w = weights(rng, name)
    cell, params = from_equinox(w)
    kept = jax.tree.map(np.array, params)
    out = to_equinox(cell, params)
    for array in (*w.values(), *out.values()):
        array[:] = 7
    equal(params, kept)


@BOTH
def test_gradients_pass_through(name, rng):
    w = weights(rng, name)

    def loss(w):
        return weighed(to_equinox(*from_equinox(w)))

    equal(jax.jit(jax.grad(loss))(w), jax.grad(weighed)(w))


MALFORMED = {
    "missing": ({"weight_ih": None}, KeyError, r"weights\['weight_ih'\] is missing: expected \[G·H=12, D\]"),
    "missing recurrent": ({"weight_hh": None}, KeyError, r"weights\['weight_hh'\] is missing: expected \[G·H, H\]"),
    "one bias": ({"bias": None}, KeyError, r"weights\['bias'\] is missing: expected \[G·H=12\]"),
    "the other": ({"bias_n": None}, KeyError, r"weights\['bias_n'\] is missing: expected \[H=4\]"),
    "extra": ({"bias_hh": np.ones(2)}, ValueError, r"no more arrays than the cell has, got 'bias_hh' float64\(2,\)"),
    "transposed": ({"weight_ih": np.ones((D, 12))}, ValueError, r"\['weight_ih'\]: expected \[G·H=12, D\], got"),
    "gates": ({"weight_hh": np.ones((8, 4))}, ValueError, r"G = 3 \(GRUCell\) or 4 \(LSTMCell\), got \(8, 4\)"),
    "of an LSTM": ({"weight_hh": np.ones((16, 4))}, ValueError, r"\['weight_ih'\]: expected \[G·H=16, D\], got"),
    "axes": ({"weight_hh": np.ones(12)}, ValueError, r"\['weight_hh'\]: expected \[G·H, H\], got float64\(12,\)"),
    "bias of n": ({"bias_n": np.ones(12)}, ValueError, r"\['bias_n'\]: expected \[H=4\], got float64\(12,\)"),
    "NaN": ({"bias": np.full(12, np.nan)}, ValueError, r"\['bias'\]: expected finite numbers, got nan at 0"),
    "ints": ({"bias": np.ones(12, int)}, TypeError, r"\['bias'\]: expected real floating-point numbers, got int64"),
    "a number": ({"bias": 1.0}, ValueError, r"\['bias'\]: expected \[G·H=12\]"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed(fault, rng):
    change, error, message = MALFORMED[fault]
    with pytest.raises(error, match=message):
        from_equinox(weights(rng, "gru") | change)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([], ValueError, "weights: expected one cell or more, got an empty list"),
        (
            3.0,
            TypeError,
            "weights: expected an LSTMCell or GRUCell of Equinox, its arrays by name, or a list, got .*float",
        ),
        ([np.ones(3)], TypeError, r"weights\[0\]: expected an LSTMCell or GRUCell .* got float64\(3,\)"),
        ({3: np.ones(3)}, TypeError, "weights: expected a mapping of arrays by name"),
    ],
)
def test_what_is_no_cell(value, error, message):
    with pytest.raises(error, match=message):
        from_equinox(value)


REFUSED = {
    "another cell": (
        jaxrnn.elman(H),
        {},
        TypeError,
        r"Equinox has no such layer, and elman\(4\) asks .*: one of lstm, gru",
    ),
    "activation": (jaxrnn.lstm(H, activation="relu"), {}, TypeError, "Equinox has no lstm with activation='relu'"),
    "peepholes": (jaxrnn.lstm(H, peepholes=True), {}, TypeError, "Equinox has no lstm with peepholes=True"),
    "directions": (
        jaxrnn.bidirectional(jaxrnn.gru(H), jaxrnn.gru(H)),
        {},
        TypeError,
        "Equinox has no layer of two directions, .* nearest that it has: one cell for each direction",
    ),
    "dropout": (jaxrnn.stack(jaxrnn.gru(H), jaxrnn.gru(H), dropout=0.5), {}, TypeError, "no dropout between the cells"),
    "biases": (
        jaxrnn.gru(H),
        {"bias": False},
        ValueError,
        r"bias: expected True, as the biases of gru\(4\) are not known",
    ),
    "into": (jaxrnn.gru(H), {"into": 3}, TypeError, "into: expected an LSTMCell or GRUCell of Equinox"),
    "two into": (jaxrnn.gru(H), {"into": [3, 4]}, ValueError, r"into: expected 1 cells, as gru\(4\) has layers, got 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, rng):
    cell, options, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        to_equinox(cell, drawn(cell, rng, H), **options)


def test_biases_that_are_not_known(rng):
    cell = jaxrnn.lstm(H)
    with pytest.raises(ValueError, match=r"bias: expected True, as the biases of lstm\(4\) are not known to be 0"):
        jax.eval_shape(functools.partial(to_equinox, cell, bias=False), drawn(cell, rng))
