"""PyTorch's weights without PyTorch: names, layout and errors. tests/full/parity has PyTorch itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, noisy_params, table, tolerance, weighed

import jaxrnn
from jaxrnn.interop import from_torch, to_torch

T, B, D, H, P = 3, 2, 5, 4, 3
ELMAN, LSTM, GRU = jaxrnn.elman(H), jaxrnn.lstm(H), jaxrnn.gru(H)
PAIR = jaxrnn.bidirectional(GRU, GRU)
G = {"elman": 1, "lstm": 4, "gru": 3}

CELLS = {
    "tanh": ELMAN,
    "relu": jaxrnn.elman(H, activation="relu"),
    "lstm": LSTM,
    "lstm_projection": jaxrnn.lstm(H, projection=P),
    "gru": GRU,
}


def nonlinearity(cell):
    return cell.options["activation"] if cell.name == "elman" else None


def weights(rng, kind="lstm", end="_l0", size=D, dtype="float32"):
    """A layer's state dict, without a zero in it."""
    rows = G[kind] * H
    shapes = {"weight_ih": (rows, size), "weight_hh": (rows, H), "bias_ih": (rows,), "bias_hh": (rows,)}
    return {name + end: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def torch_step(cell, w, x, state):
    """A step as PyTorch's documentation writes it: W x + b, gate by gate."""
    h = state[0]
    sums = x @ w["weight_ih_l0"].T + w["bias_ih_l0"], h @ w["weight_hh_l0"].T + w["bias_hh_l0"]
    if cell.name == "elman":
        z = sums[0] + sums[1]
        return (np.tanh(z) if nonlinearity(cell) == "tanh" else np.maximum(z, 0),)
    if cell.name == "gru":
        (x_r, x_z, x_n), (h_r, h_z, h_n) = (np.split(z, 3, axis=-1) for z in sums)
        z = sigmoid(x_z + h_z)
        return ((1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h,)
    i, f, g, o = np.split(sums[0] + sums[1], 4, axis=-1)
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    h = sigmoid(o) * np.tanh(c)
    return (h @ w["weight_hr_l0"].T if "weight_hr_l0" in w else h), c


@pytest.mark.parametrize("name", CELLS)
def test_steps_are_those_of_the_documentation(name, rng, key):
    cell = CELLS[name]
    w = to_torch(cell, noisy_params(cell, key, D, "float64"))
    w = {k: rng.standard_normal(a.shape) for k, a in w.items()}  # both biases have numbers
    made, params = from_torch(w, nonlinearity=nonlinearity(cell))
    xs = rng.standard_normal((T, B, D))
    state, expected = [np.zeros((B, n.shape[-1])) for n in made.initial_carry(params, (B,))], []
    for x in xs:
        state = torch_step(cell, w, x, state)
        expected.append(state[0])
    carry, ys = jaxrnn.unroll(made, params, None, jnp.asarray(xs))
    assert_close([*carry, ys], [*state, np.stack(expected)], tolerance("float64", T))


@pytest.mark.parametrize("both", [False, True], ids=["one_way", "both_ways"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_there_and_back(name, layers, both, key):
    cell = CELLS[name]
    layer = jaxrnn.bidirectional(cell, cell) if both else cell
    network = jaxrnn.stack(*[layer] * layers) if layers > 1 else layer
    params = noisy_params(network, key, D)
    state = to_torch(network, params)
    made, back = from_torch(state, nonlinearity=nonlinearity(cell))
    assert made == network
    assert jax.tree.structure(back) == jax.tree.structure(params)
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(params)))
    again = to_torch(made, back)
    assert list(again) == list(state)
    assert all(np.array_equal(again[key], state[key]) for key in state)


def test_names_and_layout():
    """In PyTorch's order, which its state dicts have."""
    cell = jaxrnn.lstm(H, projection=P)
    layer = jaxrnn.bidirectional(cell, cell)
    network = jaxrnn.stack(layer, layer)
    state = to_torch(network, network.init(jax.random.key(0), D), prefix="encoder.rnn.")
    names = "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"
    sizes = (4 * H, D), (4 * H, P), (4 * H,), (4 * H,), (P, H)
    expected = {
        f"encoder.rnn.{name}_l0{way}": n for way in ("", "_reverse") for name, n in zip(names, sizes, strict=True)
    }
    above = {
        name.replace("_l0", "_l1"): (4 * H, 2 * P) if "_ih" in name and len(n) > 1 else n
        for name, n in expected.items()
    }
    assert {name: a.shape for name, a in state.items()} == expected | above
    assert list(state) == [*expected, *above]
    assert all(type(a) is np.ndarray for a in state.values())


def test_a_stack_by_other_names_and_with_dropout(key):
    network = jaxrnn.stack(GRU, GRU, names=("low", "high"), dropout=0.2)
    params = noisy_params(network, key, D)
    made, back = from_torch(to_torch(network, params))
    assert made == jaxrnn.stack(GRU, GRU)
    assert np.array_equal(back["layer_1"]["bias"], params["high"]["bias"])


def test_a_cell_by_its_names(rng):
    w = weights(rng, "gru")
    named = {key.removesuffix("_l0"): a for key, a in w.items()}
    (cell, params), (other, expected) = from_torch(named), from_torch(w)
    assert cell == other == GRU
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, params, expected)))


def test_a_part_of_a_larger_state(rng):
    w = weights(rng)
    larger = {f"encoder.rnn.{key}": a for key, a in w.items()} | {"out.weight": np.ones((2, H), "float32")}
    cell, params = from_torch(larger, prefix="encoder.rnn.")
    assert cell == LSTM
    assert np.array_equal(params["kernel"], w["weight_ih_l0"].T)
    back = to_torch(cell, params, prefix="encoder.rnn.")
    assert back.keys() == larger.keys() - {"out.weight"}


@pytest.mark.parametrize("kind", G)
def test_without_biases(kind, rng):
    w = {key: a for key, a in weights(rng, kind).items() if not key.startswith("bias")}
    cell, params = from_torch(w, nonlinearity="tanh" if kind == "elman" else None)
    assert params.keys() == jax.eval_shape(lambda: cell.init(jax.random.key(0), D)).keys()
    assert not any(np.any(params[name]) for name in params if "bias" in name)
    assert all(params[name].dtype == "float32" for name in params)
    back = to_torch(cell, params, bias=False)
    assert back.keys() == w.keys()
    for name in (name for name in params if "bias" in name):
        with pytest.raises(ValueError, match=r"bias: expected zeros for bias_[ih]h_l0, which .* lacks, got others"):
            to_torch(cell, {**params, name: params[name].at[1].set(1e-30)}, bias=False)
    with pytest.raises(ValueError, match=r"bias: expected zeros for bias_ih_l0, .* got some that JAX traces"):
        jax.eval_shape(lambda p: to_torch(cell, p, bias=False), params)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_types(dtype, rng):
    w = {key: jnp.asarray(a, dtype) for key, a in weights(rng, "gru").items()}
    cell, params = from_torch(w)
    assert cell == jaxrnn.gru(H, param_dtype=dtype)
    assert {a.dtype.name for a in params.values()} == {dtype}
    assert {a.dtype.name for a in to_torch(cell, params).values()} == {dtype}
    cast, narrow = from_torch(w, dtype="float32")
    assert cast == GRU
    assert {a.dtype.name for a in narrow.values()} == {"float32"}
    assert np.array_equal(narrow["kernel"], params["kernel"].astype("float32"))


def test_biases_are_added_in_the_type_asked_for(rng):
    """A sum of two bfloat16 has more digits than bfloat16 has."""
    w = {key: jnp.asarray(a, "bfloat16") for key, a in weights(rng).items()}
    _, params = from_torch(w, dtype="float32")
    assert np.array_equal(params["bias"], w["bias_ih_l0"].astype("float32") + w["bias_hh_l0"].astype("float32"))


@pytest.mark.usefixtures("float32_only")
def test_float64_without_float64(rng):
    w = weights(rng, dtype="float64")
    with pytest.raises(
        TypeError, match=r"weights\['weight_hh_l0'\]: float64 while JAX has no float64 here: pass dtype="
    ):
        from_torch(w)
    assert from_torch(w, dtype="float32")[0] == LSTM


def test_no_memory_is_shared(rng):
    w = weights(rng, "gru")
    cell, params = from_torch(w)
    before = jax.tree.map(np.array, params)
    for a in w.values():
        a[:] = 7
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, params, before)))
    for given in params, before:  # of JAX, of NumPy
        state = to_torch(cell, given)
        for a in state.values():
            a[:] = 7
        assert np.array_equal(given["kernel"], to_torch(cell, given)["weight_ih_l0"].T)
        assert not np.any(given["bias"] == 7)


@pytest.mark.parametrize("name", table(CELLS, {"gru"}))
def test_traced_and_differentiated(name, rng, key):
    """from_torch(to_torch(...)) is the identity, also to JAX, and the gradient reaches both biases."""
    cell = CELLS[name]
    params = noisy_params(cell, key, D, "float64")

    def there_and_back(params):
        return from_torch(to_torch(cell, params), nonlinearity=nonlinearity(cell))[1]

    value, gradients = jax.jit(jax.value_and_grad(lambda p: weighed(there_and_back(p))))(params)
    assert_close(value, weighed(params), 1e-14)
    assert_close(gradients, jax.grad(weighed)(params), 1e-15)
    state = to_torch(cell, params)
    gradients = jax.grad(lambda w: weighed(from_torch(w, nonlinearity=nonlinearity(cell))[1]))(state)
    assert gradients.keys() == state.keys()
    assert all(np.all(np.asarray(g) != 0) for g in gradients.values())


def test_it_is_saved_and_rebuilt(rng):
    cell, _ = from_torch({**weights(rng), **weights(rng, end="_l1", size=H)}, dtype="bfloat16")
    assert jaxrnn.interop.from_config(jaxrnn.interop.to_config(cell)) == cell


def without(w, *names):
    return {key: a for key, a in w.items() if key not in names}


def nan(a):
    a = a.copy()
    a[1, 2] = np.nan
    return a


# What came for a state dict -> the type and the message, of which these are the parts.
MALFORMED = {
    "no_mapping": (lambda w: [*w.values()], TypeError, "weights: expected a mapping of arrays by name, got list"),
    "nothing": (lambda w: {}, KeyError, "weights: expected weight_ih_l0, or weight_ih of a cell; are these weights"),
    "number_for_a_name": (
        lambda w: {**w, 3: w["bias_ih_l0"]},
        TypeError,
        "weights: expected a mapping of arrays by name, got the names ['weight_ih_l0', ",
    ),
    "a_larger_state": (
        lambda w: {f"a.b.{k}": v for k, v in w.items()},
        KeyError,
        "weights: expected weight_ih_l0, or weight_ih of a cell; pass prefix='a.b.'",
    ),
    "no_input_weight": (lambda w: without(w, "weight_ih_l0"), KeyError, "weights: expected weight_ih_l0"),
    "no_recurrent_weight": (
        lambda w: without(w, "weight_hh_l0"),
        KeyError,
        "weights['weight_hh_l0'] is missing: expected",
    ),
    "no_input_bias": (
        lambda w: without(w, "bias_ih_l0"),
        KeyError,
        "weights['bias_ih_l0'] is missing: expected [G·H=16]",
    ),
    "no_recurrent_bias": (lambda w: without(w, "bias_hh_l0"), KeyError, "weights['bias_hh_l0'] is missing"),
    "an_extra": (
        lambda w: {**w, "weight_ch_l0": np.ones(3, "float32")},
        ValueError,
        "weights: expected no more arrays than the cell has, got 'weight_ch_l0' float32(3,) as well",
    ),
    "a_layer_left_out": (
        lambda w: {**w, **{k.replace("_l0", "_l2"): v for k, v in w.items()}},
        ValueError,
        "expected no more arrays than the cell has, got 'weight_ih_l2' float32(16, 5), 'weight_hh_l2'",
    ),
    "half_a_layer": (
        lambda w: {**w, "weight_ih_l1": np.ones((16, 4), "float32")},
        KeyError,
        "weights['weight_hh_l1'] is missing: expected [G·H=16, H=4]",
    ),
    "half_a_direction": (
        lambda w: {**w, "weight_ih_l0_reverse": w["weight_ih_l0"]},
        KeyError,
        "weights['weight_hh_l0_reverse'] is missing: expected [G·H=16, H=4]",
    ),
    "one_direction_above": (
        lambda w: {**w, **{k.replace("_l0", "_l0_reverse"): v for k, v in w.items()}, "weight_ih_l1": np.ones((16, 4))},
        ValueError,
        "weights['weight_ih_l1']: expected [G·H=16, D=8], got float64(16, 4)",
    ),
    "another_direction": (
        lambda w: {**w, **{f"{k}_reverse": v for k, v in w.items()}, "weight_ih_l0_reverse": np.ones((16, 6))},
        ValueError,
        "weights['weight_ih_l0_reverse']: expected [G·H=16, D=5], got float64(16, 6)",
    ),
    "two_gates": (
        lambda w: {k: v[: 2 * H] for k, v in w.items()},
        ValueError,
        "weights['weight_hh_l0']: expected [G·H, H] with G = 1 (RNN), 3 (GRU) or 4 (LSTM), or [4H, P] beside a "
        "weight_hr [P, H], got (8, 4) and H=4",
    ),
    "transposed": (
        lambda w: {k: v.T for k, v in w.items()},
        ValueError,
        "weights['weight_hh_l0']: expected [G·H, H] with",
    ),
    "a_vector": (
        lambda w: {**w, "weight_hh_l0": w["bias_hh_l0"]},
        ValueError,
        "weights['weight_hh_l0']: expected [G·H, H], got float32(16,)",
    ),
    "a_short_bias": (
        lambda w: {**w, "bias_hh_l0": w["bias_hh_l0"][:-1]},
        ValueError,
        "weights['bias_hh_l0']: expected [G·H=16], got float32(15,)",
    ),
    "a_lost_projection": (lambda w: {**w, "weight_hh_l0": w["weight_hh_l0"][:, :2]}, ValueError, "got (16, 2) and H=2"),
    "a_projection_of_another_size": (
        lambda w: {**w, "weight_hh_l0": w["weight_hh_l0"][:, :3], "weight_hr_l0": np.ones((2, 4), "float32")},
        ValueError,
        "weights['weight_hr_l0']: expected [P=3, H], got float32(2, 4)",
    ),
    "integers": (
        lambda w: {**w, "weight_ih_l0": np.ones((16, 5), int)},
        TypeError,
        "weights['weight_ih_l0']: expected real floating-point numbers, got int64(16, 5)",
    ),
    "text": (
        lambda w: {**w, "weight_ih_l0": "no"},
        ValueError,
        "weights['weight_ih_l0']: expected [G·H=16, D], got <U2",
    ),
    "not_a_number": (
        lambda w: {**w, "weight_ih_l0": nan(w["weight_ih_l0"])},
        ValueError,
        "weights['weight_ih_l0']: expected finite numbers, got nan at",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name, rng):
    change, error, message = MALFORMED[name]
    with pytest.raises(error) as raised:
        from_torch(change(weights(rng)))
    assert type(raised.value) is error
    assert message in raised.value.args[0]


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("elman", None, "nonlinearity: expected 'tanh' or 'relu', which the state dict of an RNN does not say"),
        ("elman", "sigmoid", "nonlinearity: expected 'tanh' or 'relu', got 'sigmoid'"),
        ("lstm", "tanh", "nonlinearity: expected None, as these are weights of LSTM, got 'tanh'"),
        ("gru", "relu", "nonlinearity: expected None, as these are weights of GRU, got 'relu'"),
    ],
)
def test_the_nonlinearity_is_asked_for(kind, given, message, rng):
    with pytest.raises(ValueError, match=f"^{message}$"):
        from_torch(weights(rng, kind), nonlinearity=given)


HAS = "cell: PyTorch has no"
REFUSED = {
    "another_cell": (
        jaxrnn.mgu(H),
        f"{HAS} such layer, and mgu(4) asks for it; the nearest that it has: one of elman, lstm",
    ),
    "reset_before": (jaxrnn.gru_reset_before(H), f"{HAS} such layer"),
    "wrapped": (jaxrnn.residual(GRU), f"{HAS} such layer"),
    "peepholes": (jaxrnn.lstm(H, peepholes=True), f"{HAS} lstm with peepholes=True"),
    "coupled": (jaxrnn.lstm(H, coupled=True), f"{HAS} lstm with coupled=True"),
    "clip": (jaxrnn.lstm(H, cell_clip=3.0), f"{HAS} lstm with cell_clip=3.0"),
    "lstm_activation": (jaxrnn.lstm(H, activation="relu"), f"{HAS} lstm with activation='relu'"),
    "gru_activation": (jaxrnn.gru(H, gate_activation="hard_sigmoid"), f"{HAS} gru with gate_activation='hard_sigmoid'"),
    "nonlinearity": (jaxrnn.elman(H, activation="sigmoid"), f"{HAS} nonlinearity 'sigmoid'"),
    "wide_projection": (jaxrnn.lstm(H, projection=H), f"{HAS} proj_size of hidden_size or more"),
    "merge": (jaxrnn.bidirectional(GRU, GRU, merge="sum"), f"{HAS} merge but concat"),
    "merges": (jaxrnn.stack(jaxrnn.bidirectional(GRU, GRU, merge="sum"), PAIR), "one merge for all layers"),
    "skip": (jaxrnn.stack(GRU, GRU, skip=True), "no layer that reads the input of the first"),
    "kinds": (jaxrnn.stack(GRU, LSTM), f"{HAS} network whose layers or directions differ"),
    "sizes": (jaxrnn.stack(GRU, jaxrnn.gru(H + 1)), f"{HAS} network whose layers or directions differ"),
    "directions": (jaxrnn.bidirectional(ELMAN, CELLS["relu"]), f"{HAS} network whose layers or directions differ"),
    "one_layer_in_both": (jaxrnn.stack(PAIR, GRU), f"{HAS} network whose layers or directions differ"),
    "nested": (jaxrnn.stack(jaxrnn.stack(GRU, GRU), GRU), f"{HAS} such layer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """PyTorch has nothing that computes the same."""
    cell, message = REFUSED[name]
    params = cell.init(jax.random.key(0), D)
    with pytest.raises(TypeError) as raised:
        to_torch(cell, params)
    assert message in str(raised.value)


def test_what_is_not_a_cell_or_not_its_params():
    with pytest.raises(TypeError, match="cell: expected a Cell of jaxrnn, got 3"):
        to_torch(3, {})
    with pytest.raises(ValueError, match=r"params: expected those of lstm\(4\)"):
        to_torch(LSTM, GRU.init(jax.random.key(0), D))
    with pytest.raises(TypeError, match=r"into: expected nn.RNN, nn.LSTM, nn.GRU or one of their cells, got 3"):
        to_torch(GRU, GRU.init(jax.random.key(0), D), into=3)
