"""flax's weights in and out, as plain mappings of arrays: no flax is imported here."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, tolerance, weighed

import jaxrnn
from jaxrnn.interop import from_flax, to_flax

T, B, D, H = 6, 3, 5, 4

# The arrays of each cell, as flax lists them: layers that read x, layers that read h, and where biases are.
LINEN_LSTM = (["ii", "if", "ig", "io"], ["hi", "hf", "hg", "ho"], ["hi", "hf", "hg", "ho"])
ARRAYS = {
    ("linen", "SimpleCell", "elman"): (["i"], ["h"], ["i"]),
    ("linen", "LSTMCell", "lstm"): LINEN_LSTM,
    ("linen", "OptimizedLSTMCell", "lstm"): LINEN_LSTM,
    ("linen", "GRUCell", "gru"): (["ir", "iz", "in"], ["hr", "hz", "hn"], ["ir", "iz", "in", "hn"]),
    ("linen", "MGUCell", "mgu_reset_after"): (["if", "in"], ["hf", "hn"], ["if", "in", "hn"]),
    ("linen", "MGUCell", "gated"): (["if", "in"], ["hf", "hn"], ["if", "in"]),
    ("nnx", "SimpleCell", "elman"): (["dense_i"], ["dense_h"], ["dense_i"]),
    ("nnx", "LSTMCell", "lstm"): (["ii", "if_", "ig", "io"], ["hi", "hf", "hg", "ho"], ["hi", "hf", "hg", "ho"]),
    ("nnx", "OptimizedLSTMCell", "lstm"): (["dense_i"], ["dense_h"], ["dense_h"]),
    ("nnx", "GRUCell", "gru"): (["dense_i"], ["dense_h"], ["dense_i"]),
}
GATES = {"elman": 1, "lstm": 4, "gru": 3, "mgu_reset_after": 2, "gated": 2}
NAMED = pytest.mark.parametrize("row", ARRAYS, ids="-".join)


def weights(rng, row, D=D, dtype="float32"):
    """{layer: {"kernel", "bias"}} without a zero."""
    inputs, hidden, biased = ARRAYS[row]
    width = H * GATES[row[2]] // len(inputs)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    tree = {name: {"kernel": draw(D if name in inputs else H, width)} for name in (*inputs, *hidden)}
    for name in biased:
        tree[name]["bias"] = draw(width)
    return tree


def call(tree, row, **options):
    simple = {"activation": "tanh"} if row[1] == "SimpleCell" else {}
    return from_flax(tree, **simple, **options)


def drawn(cell, rng, D=D):
    """Params of ours without a zero, by NumPy, which compiles nothing."""
    like = jax.eval_shape(lambda key: cell.init(key, D), jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape), a.dtype), like)


def params_of(name, rng):
    cell = jaxrnn.CELLS[name](H)
    return cell, drawn(cell, rng)


def equal(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@NAMED
def test_theirs_to_ours_and_back_to_the_bit(row, rng):
    api, kind, name = row
    tree = weights(rng, row)
    cell, params = call({"cell": tree}, row)
    assert cell == jaxrnn.CELLS[name](H)
    assert {k: a.shape for k, a in params.items()} == {
        k: a.shape for k, a in jax.eval_shape(lambda k: cell.init(k, D), jax.random.key(0)).items()
    }
    equal(to_flax(cell, params, api=api, kind=kind), {"cell": tree})


@NAMED
def test_ours_to_theirs_and_back_to_the_bit(row, rng):
    """But of a GRU, whose r and z have one bias in flax: the same sum."""
    api, kind, name = row
    cell, params = params_of(name, rng)
    if name == "gru":
        kept = H if api == "linen" else 0
        params["recurrent_bias"] = params["recurrent_bias"].at[: 3 * H - kept].set(0)
    made, back = call(to_flax(cell, params, api=api, kind=kind), row)
    assert made == cell
    equal(back, params)


def test_biases_of_r_and_z_are_added(rng):
    cell, params = params_of("gru", rng)
    b, d = (np.split(np.asarray(params[name]), 3) for name in ("bias", "recurrent_bias"))
    tree = to_flax(cell, params, api="linen")["cell"]
    equal([tree[name]["bias"] for name in ("ir", "iz", "in", "hn")], [b[0] + d[0], b[1] + d[1], b[2], d[2]])
    params["recurrent_bias"] = params["recurrent_bias"].at[2 * H :].set(0)
    equal(to_flax(cell, params, api="nnx")["cell"]["dense_i"]["bias"], np.concatenate([b[0] + d[0], b[1] + d[1], b[2]]))


@pytest.mark.parametrize(
    "row", [("linen", "LSTMCell", "lstm"), ("linen", "GRUCell", "gru"), ("linen", "MGUCell", "mgu_reset_after")]
)
def test_every_block_in_its_place(row, rng):
    """Each array is another number, which stands in our layout where its gate is."""
    inputs, hidden, biased = ARRAYS[row]
    order = inputs + hidden
    tree = {name: {"kernel": np.full((D if name in inputs else H, H), float(i))} for i, name in enumerate(order)}
    for name in biased:
        tree[name]["bias"] = np.full(H, order.index(name) + 0.5)
    _, params = from_flax(tree)
    G = len(inputs)
    np.testing.assert_array_equal(params["kernel"][0], np.repeat(np.arange(G), H))
    np.testing.assert_array_equal(params["recurrent_kernel"][0], np.repeat(np.arange(G, 2 * G), H))
    np.testing.assert_array_equal(params["bias"], np.repeat([order.index(name) + 0.5 for name in biased[:G]], H))
    if "recurrent_bias" in params:
        np.testing.assert_array_equal(params["recurrent_bias"][-H:], np.full(H, 2 * G - 0.5))
        assert not params["recurrent_bias"][:-H].any()


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_mgu_without_a_reset(rng):
    """f keeps the old state; g of `gated` lets the new one in."""
    tree = weights(rng, ("linen", "MGUCell", "gated"), dtype="float64")
    x, h = rng.standard_normal((B, D)), rng.standard_normal((B, H))
    f, n = (x @ tree[f"i{k}"]["kernel"] + tree[f"i{k}"]["bias"] + h @ tree[f"h{k}"]["kernel"] for k in "fn")
    expected = (1 - sigmoid(f)) * np.tanh(n) + sigmoid(f) * h
    cell, params = from_flax(tree)
    assert_close(cell.step(params, jaxrnn.GatedCarry(h), x)[1], expected, tolerance("float64", 1))
    with pytest.raises(TypeError, match=r"gate_activation: MGUCell\(reset_gate=False\) has a gate that keeps the old"):
        from_flax(tree, gate_activation="relu")
    cell = jaxrnn.gated(H, gate_activation="relu")
    with pytest.raises(TypeError, match=r"cell: flax has a gate that keeps .* gated\(4, gate_activation='relu'\) asks"):
        to_flax(cell, params, api="linen")


def test_residual(rng):
    """h + h U = h (U + 1), a pre-activation sum: not `residual`, which adds x."""
    row = ("linen", "SimpleCell", "elman")
    tree = weights(rng, row, dtype="float64")
    x, h = rng.standard_normal((B, D)), rng.standard_normal((B, H))
    z = x @ tree["i"]["kernel"] + tree["i"]["bias"] + h @ tree["h"]["kernel"] + h
    cell, params = from_flax(tree, activation="relu", residual=True)
    y = cell.step(params, jaxrnn.ElmanCarry(h), x)[1]
    assert_close(y, np.maximum(z, 0), tolerance("float64", 1))


@pytest.mark.parametrize("wrap", [lambda t: {"params": {"cell": t}}, lambda t: {"params": t}, lambda t: {"cell": t}])
def test_where_the_arrays_stand(wrap, rng):
    tree = weights(rng, ("linen", "GRUCell", "gru"))
    equal(from_flax(wrap(tree))[1], from_flax(tree)[1])


def test_directions_and_stacks(rng):
    """A list is a stack; forward_rnn and backward_rnn are two directions, and the next layer reads both."""
    lstm, gru = ("linen", "LSTMCell", "lstm"), ("linen", "GRUCell", "gru")
    both = {f"{way}_rnn": {"cell": weights(rng, lstm)} for way in ("forward", "backward")}
    above = {"cell": weights(rng, gru, D=2 * H)}
    cell, params = from_flax([both, above])
    assert cell == jaxrnn.stack(jaxrnn.bidirectional(jaxrnn.lstm(H), jaxrnn.lstm(H)), jaxrnn.gru(H))
    equal(to_flax(cell, params, api="linen"), [both, above])
    forward = from_flax(both["forward_rnn"])[1]
    equal(params["layer_0"]["forward"], forward)
    _, ys = jaxrnn.unroll(cell, params, None, rng.standard_normal((T, B, D)).astype("float32"))
    assert ys.shape == (T, B, H)
    assert from_flax(both, merge="sum")[0].options["merge"] == "sum"
    with pytest.raises(ValueError, match=r"params: expected those of stack\(.*layer_1.kernel"):
        from_flax([{"cell": weights(rng, lstm)}, above])


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_types(dtype, rng):
    tree = weights(rng, ("nnx", "GRUCell", "gru"), dtype=jnp.dtype(dtype))
    cell, params = from_flax(tree)
    assert cell == jaxrnn.gru(H, param_dtype=dtype)
    assert {a.dtype for a in params.values()} == {jnp.dtype(dtype)}
    equal(to_flax(cell, params, api="nnx"), {"cell": tree})
    cell, params = from_flax(tree, dtype="float32")
    assert cell == jaxrnn.gru(H)
    assert {a.dtype for a in params.values()} == {jnp.dtype("float32")}


def test_float64_where_jax_has_none(float32_only, rng):
    tree = weights(rng, ("nnx", "GRUCell", "gru"), dtype="float64")
    with pytest.raises(TypeError, match=r"weights\['dense_i/kernel'\]: float64 while JAX has no float64 here"):
        from_flax(tree)


def test_no_memory_is_shared(rng):
    tree = weights(rng, ("nnx", "OptimizedLSTMCell", "lstm"))
    cell, params = from_flax(tree)
    kept = jax.tree.map(np.array, params)
    tree["dense_i"]["kernel"][:] = 7
    equal(params, kept)
    out = to_flax(cell, params, api="nnx")["cell"]
    out["dense_h"]["bias"][:] = 7
    out["dense_i"]["kernel"][:] = 7
    equal(params, kept)


@NAMED
def test_gradients_pass_through(row, rng):
    """There and back is the identity, and so is its derivative; nnx's GRU, without n's bias, cannot go back traced."""
    api, kind, _ = row
    tree = weights(rng, row)

    def loss(tree):
        cell, params = call(tree, row)
        if row == ("nnx", "GRUCell", "gru"):
            return weighed(params)
        return weighed(to_flax(cell, params, api=api, kind=kind))

    found = jax.jit(jax.grad(loss))(tree)
    if row == ("nnx", "GRUCell", "gru"):
        cell, params = call(tree, row)
        slopes = jax.grad(weighed)(params)
        equal({k: found["dense_i"][k] for k in ("kernel", "bias")}, {k: slopes[k] for k in ("kernel", "bias")})
        equal(found["dense_h"]["kernel"], slopes["recurrent_kernel"])
        with pytest.raises(TypeError, match=r"recurrent bias .* is not known to be 0 here"):
            jax.eval_shape(functools.partial(to_flax, cell, api="nnx"), params)
    else:
        equal(found, jax.grad(lambda t: weighed({"cell": t}))(tree))


def broken(rng, change, row=("linen", "LSTMCell", "lstm")):
    tree = {"cell": weights(rng, row)}
    change(tree["cell"])
    return tree


def drop(*path):
    def change(tree):
        for name in path[:-1]:
            tree = tree[name]
        del tree[path[-1]]

    return change


def put(value, *path):
    def change(tree):
        for name in path[:-1]:
            tree = tree.setdefault(name, {})
        tree[path[-1]] = value

    return change


def nan(tree):
    tree["hg"]["kernel"][2, 1] = np.nan


GRU, SIMPLE = ("linen", "GRUCell", "gru"), ("linen", "SimpleCell", "elman")
FUSED = ("nnx", "OptimizedLSTMCell", "lstm")
MALFORMED = {
    "missing layer": (drop("hf"), {}, KeyError, r"weights\['cell/hf/kernel'\] is missing: expected \[H=4, H'=4\]"),
    "missing first layer": (drop("hi"), {}, KeyError, r"weights\['cell/hi/kernel'\] is missing: expected \[H, H'\]"),
    "missing kernel": (drop("ig", "kernel"), {}, KeyError, r"weights\['cell/ig/kernel'\] is missing"),
    "missing bias": (drop("ho", "bias"), {}, KeyError, r"weights\['cell/ho/bias'\] is missing: expected \[H'=4\]"),
    "extra layer": (put(np.ones(3), "hz", "scale"), {}, ValueError, r"more arrays .* got 'cell/hz/scale' float64\(3,"),
    "extra bias": (put(np.ones(H), "ii", "bias"), {}, ValueError, r"more arrays .* got 'cell/ii/bias' float64\(4,\)"),
    "transposed": (put(np.ones((H, D)), "if", "kernel"), {}, ValueError, r"'cell/if/kernel'\]: expected \[D=5, H'=4\]"),
    "rows of h": (put(np.ones((3, H)), "ho", "kernel"), {}, ValueError, r"'cell/ho/kernel'\]: expected \[H=4, H'=4\]"),
    "first of h": (
        put(np.ones((3, H)), "hi", "kernel"),
        {},
        ValueError,
        r"\['cell/i./kernel'\]: expected \[D=5, H'=3\]",
    ),
    "three axes": (
        put(np.ones((1, D, H)), "ii", "kernel"),
        {},
        ValueError,
        r"'cell/ii/kernel'\]: expected \[D, H'=4\]",
    ),
    "bias": (put(np.ones(D), "hi", "bias"), {}, ValueError, r"'cell/hi/bias'\]: expected \[H'=4\], got float64\(5,\)"),
    "NaN": (nan, {}, ValueError, r"weights\['cell/hg/kernel'\]: expected finite numbers, got nan at \(2, 1\)"),
    "ints": (
        put(np.ones((D, H), int), "ii", "kernel"),
        {},
        TypeError,
        r"real floating-point numbers, got int64\(5, 4\)",
    ),
    "text": (put("ones", "ii", "kernel"), {}, Exception, r"weights\['cell/ii/kernel'\]"),
    "two types": (
        put(np.ones((D, H), "float64"), "ii", "kernel"),
        {},
        TypeError,
        r"weights: expected arrays of one type, got \['float32', 'float64'\]; pass dtype='float32'",
    ),
    "residual": (drop, {"residual": True}, ValueError, r"residual: expected None, as OptimizedLSTMCell has no such"),
    "merge": (
        drop,
        {"merge": "sum"},
        ValueError,
        r"merge: expected one for all layers of two directions, got layers of",
    ),
    "activation": (
        drop,
        {"activation": "tan"},
        ValueError,
        r"activation: expected a function or its name .* got 'tan'",
    ),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed(fault, rng):
    change, options, error, message = MALFORMED[fault]
    tree = broken(rng, (lambda t: None) if change is drop else change)
    with pytest.raises(error, match=message):
        from_flax(tree, **options)


def test_what_arrays_do_not_say(rng):
    tree = {"cell": weights(rng, SIMPLE)}
    with pytest.raises(
        ValueError, match="activation: expected a name such as 'tanh' or 'relu': SimpleCell's arrays do"
    ):
        from_flax(tree)
    with pytest.raises(ValueError, match="gate_activation: expected None, as SimpleCell has no gates, got 'sigmoid'"):
        from_flax(tree, activation="tanh", gate_activation="sigmoid")
    assert from_flax(tree, activation="relu")[0] == jaxrnn.elman(H, activation="relu")
    assert from_flax({"cell": weights(rng, GRU)}, activation=jnp.sin)[0] == jaxrnn.gru(H, activation="sin")


@pytest.mark.parametrize(
    ("tree", "error", "message"),
    [
        (
            3.0,
            TypeError,
            "weights: expected flax's params, a mapping, a module of flax, or a list of such, got float 3.0",
        ),
        (np.ones(3), TypeError, r"weights: expected flax's params, a mapping, .* got float64\(3,\)"),
        ({}, ValueError, "weights: expected the layers of a cell of flax .* got none"),
        ([], ValueError, "weights: expected one layer or more, got an empty list"),
        (
            {"Dense_0": {"kernel": np.ones((3, 4))}},
            ValueError,
            r"GRUCell dense_i, dense_h; .* got \['Dense_0/kernel'\]",
        ),
        ({"cell": {"ih": {"kernel": np.ones(3)}, "hh": {}}}, ValueError, "expected the layers of a cell"),
        (
            {"cell": {k: {"kernel": np.ones(3)} for k in ("ih", "hh")}},
            TypeError,
            "got a ConvLSTMCell, whose arrays are not taken",
        ),
        ([{"cell": {}}, 3], ValueError, r"weights\[0\]: expected the layers of a cell of flax .* got none"),
        (
            {"rngs": {"count": np.uint32(0)}, "cell": {}},
            ValueError,
            r"got random state too: pass nnx.state\(module, nnx",
        ),
        (
            {"dense_i": {"kernel": np.ones((5, 8))}, "dense_h": {"kernel": np.ones((4, 8))}},
            ValueError,
            r"expected dense_h/kernel \[H, G·H\] with G 1 of SimpleCell, 4 of .*, 3 of GRUCell, got float64\(4, 8\)",
        ),
    ],
)
def test_what_is_no_cell_of_flax(tree, error, message):
    with pytest.raises(error, match=message):
        from_flax(tree, activation="tanh")


def test_one_direction_is_missing(rng):
    with pytest.raises(
        ValueError, match=r"weights\['backward_rnn/'\]: expected the layers of a cell of flax .* got none"
    ):
        from_flax({"forward_rnn": {"cell": weights(rng, GRU)}})


REFUSED = {
    "peepholes": (
        jaxrnn.lstm(H, peepholes=True),
        {},
        r"flax has no lstm with peepholes=True, .* nearest .* peepholes=False",
    ),
    "projection": (jaxrnn.lstm(H, projection=2), {}, r"flax has no lstm with projection=2"),
    "clip": (jaxrnn.lstm(H, cell_clip=1.0), {}, r"flax has no lstm with cell_clip=1.0"),
    "coupled": (jaxrnn.lstm(H, coupled=True), {}, r"flax has no lstm with coupled=True"),
    "Zhou's MGU": (
        jaxrnn.mgu(H),
        {},
        r"flax has no such layer, and mgu\(4\) asks .* one of elman, lstm, gru, mgu_reset",
    ),
    "reset before": (jaxrnn.gru_reset_before(H), {}, r"flax has no such layer, and gru_reset_before\(4\) asks"),
    "wrapper": (jaxrnn.residual(jaxrnn.lstm(H)), {}, r"flax has no such layer, and residual\(lstm\(4\)\) asks"),
    "dropout": (
        jaxrnn.stack(jaxrnn.gru(H), jaxrnn.gru(H), dropout=0.5),
        {},
        "flax has no dropout between the layers of a list",
    ),
    "skip": (jaxrnn.stack(jaxrnn.gru(H), jaxrnn.gru(H), skip=True), {}, "flax has no layer that reads the input"),
    "MGU in nnx": (jaxrnn.mgu_reset_after(H), {"api": "nnx"}, r"flax.nnx has no MGUCell, .* nearest .*: api='linen'"),
    "GRU in nnx": (jaxrnn.gru(H), {"api": "nnx"}, r"flax.nnx has no recurrent bias in its GRUCell .* api='linen'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, rng):
    cell, options, message = REFUSED[name]
    params = drawn(cell, rng, H)
    with pytest.raises(TypeError, match="cell: " + message):
        to_flax(cell, params, **{"api": "linen", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "api: expected 'linen' or 'nnx', got None"),
        ({"api": "haiku"}, "api: expected 'linen' or 'nnx', got 'haiku'"),
        (
            {"api": "nnx", "kind": "GRUCell"},
            r"kind: expected OptimizedLSTMCell or LSTMCell of lstm\(4\), got 'GRUCell'",
        ),
    ],
)
def test_which_names(options, message, rng):
    cell = jaxrnn.lstm(H)
    params = drawn(cell, rng)
    with pytest.raises(ValueError, match=message):
        to_flax(cell, params, **options)
    with pytest.raises(TypeError, match="into: expected a module of flax, got <class 'object'>"):
        to_flax(cell, params, into=object())
