"""ONNX without a runtime: what is refused and how it is said, activations as records, nothing shared with the model."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import noisy_params

import jaxrnn
from jaxrnn import models
from jaxrnn.interop import from_config, from_onnx, onnx_activation, to_config, to_onnx

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
T, B, D, H = 6, 3, 5, 4
G = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.fixture
def node(rng):
    """A function that makes a model with one node: attributes, and arrays and names in place of its own."""

    def make(kind="LSTM", *, opset=18, after=(), output="Y", dirs=1, **given):
        attributes = {k: v for k, v in given.items() if k.islower() and k != "initial_h"}
        shapes = {"W": (dirs, G[kind] * H, D), "R": (dirs, G[kind] * H, H), "B": (dirs, 2 * G[kind] * H)}
        arrays = {k: rng.standard_normal(s).astype(np.float32) for k, s in shapes.items()}
        arrays |= {k: a for k, a in given.items() if k not in attributes}
        inputs = ["X", *(k if arrays.get(k) is not None else "" for k in ("W", "R", "B"))]
        inputs += ["", "initial_h" if "initial_h" in arrays else ""]
        if kind == "LSTM":
            inputs += ["", "P" if "P" in arrays else ""]
        helper = onnx.helper
        nodes = [helper.make_node(kind, inputs, ["Y"], name="layer", **({"hidden_size": H} | attributes)), *after]
        graph = helper.make_graph(
            nodes,
            "one",
            [helper.make_tensor_value_info("X", 1, ["T", "B", D])],
            [helper.make_tensor_value_info(output, 1, None)],
            initializer=[onnx.numpy_helper.from_array(a, k) for k, a in arrays.items() if a is not None],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])

    return make


def after(kind, *inputs, **attributes):
    return [onnx.helper.make_node(kind, inputs, ["Z"], name="behind", **attributes)]


W, R = np.ones((1, 16, D), np.float32), np.ones((1, 16, H), np.float32)
MALFORMED = {
    "missing_W": ({"W": None}, "node 'layer': W: expected an initializer .*there is none"),
    "missing_R": ({"R": None}, "node 'layer': R: expected an initializer .*there is none"),
    "computed_W": ({"W": None, "R": R}, "W: expected an initializer"),
    "R_of_other_size": ({"R": R[:, :, :3]}, r"node 'layer': R: expected \[dirs=1, 4·H, H=4\], got float32\(1, 16, 3\)"),
    "R_of_other_gates": ({"R": R[:, :15]}, r"node 'layer': R: expected \[dirs, 4·H, H\] with H=4, got \(1, 15, 4\)"),
    "W_of_other_gates": ({"W": W[:, :15]}, r"node 'layer': W: expected \[dirs=1, 4·H=16, D\]"),
    "W_of_two_directions": ({"W": np.concatenate([W, W])}, r"node 'layer': W: expected \[dirs=1"),
    "W_of_other_features": ({"W": W[:, :, :3]}, r"node 'layer': X: expected \[T, B, D\] with D=3"),
    "B_of_other_size": ({"B": np.ones((1, 16), np.float32)}, r"node 'layer': B: expected \[dirs=1, 8·H=32\]"),
    "P_of_other_size": ({"P": np.ones((1, 16), np.float32)}, r"node 'layer': P: expected \[dirs=1, 3·H=12\]"),
    "nan": ({"W": np.where(np.arange(D) == 2, np.nan, W)}, r"node 'layer': W: expected finite numbers, got nan at"),
    "infinite": ({"R": R * np.float32(np.inf)}, "node 'layer': R: expected finite numbers, got inf"),
    "activation": (
        {"activations": ["Sigmoid", "Gelu", "Tanh"]},
        "node 'layer': activations: expected of .*, got 'Gelu'",
    ),
    "activations": ({"activations": ["Sigmoid", "Tanh"]}, "node 'layer': activations: expected 3 for each of 1"),
    "coupled": (
        {"activations": ["Relu", "Tanh", "Tanh"], "input_forget": 1},
        "node 'layer': input_forget: expected Sigmoid, .*, got Relu",
    ),
    "direction": ({"direction": "sideways"}, "node 'layer': direction: expected forward, reverse or .* got 'sideways'"),
    "reverse": ({"direction": "reverse"}, "direction: got a node that runs right to left with reverse=False"),
    "initial": (
        {"initial_h": np.ones((1, B, H), np.float32)},
        "node 'layer': initial_h: expected an input of the model",
    ),
    "opset_old": ({"opset": 6}, "model: expected ONNX's operators of opset 7 to .*, got 6"),
    "opset_new": ({"opset": 1000}, "model: expected ONNX's operators of opset 7 to .*, got 1000"),
    "operator": ({"after": after("Relu", "Y"), "output": "Z"}, "model: node 'behind' is a Relu, and from_onnx reads"),
    "domain": ({"after": after("Attention", "Y", domain="x.y"), "output": "Z"}, "node 'behind' is a x.y.Attention"),
    "order": (
        {"after": after("Transpose", "Y", perm=[0, 1, 3, 2]), "output": "Z"},
        "model: expected output 'Z' to be the outputs of one recurrent layer",
    ),
    "no_nodes": (
        {"after": after("Identity", "X"), "output": "Z"},
        "model: expected RNN, LSTM or GRU nodes between 'X'",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_models(name, node):
    """The error names the node and what is wrong with it."""
    given, message = MALFORMED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        from_onnx(node(**given))


def test_what_is_no_model(tmp_path, node):
    whole = node().SerializeToString()
    with pytest.raises(TypeError, match=r"model: expected an onnx.ModelProto, its bytes, or a path, got int 3"):
        from_onnx(3)
    with pytest.raises(ValueError, match="model: expected an ONNX model, got what cannot be read as one"):
        from_onnx(whole[:-50])
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "none.onnx")
    (tmp_path / "one.onnx").write_bytes(whole)
    assert from_onnx(tmp_path / "one.onnx")[0] == jaxrnn.lstm(H)


def test_the_other_direction_is_asked_for(node):
    assert from_onnx(node(direction="reverse"), reverse=True)[0] == jaxrnn.lstm(H)
    for direction, message in (
        ("forward", "left to right with reverse=True"),
        ("bidirectional", "reverse: expected False"),
    ):
        with pytest.raises(ValueError, match=message):
            from_onnx(node(direction=direction, dirs=1 + (direction == "bidirectional")), reverse=True)


def test_a_part_of_a_model(node):
    """Between the tensors that are named; behind them anything may stand."""
    model = node(after=after("Relu", "Y"), output="Z")
    assert from_onnx(model, output="Y")[0] == jaxrnn.lstm(H)


@pytest.mark.parametrize("layout", [0, 1])
def test_batch_first(layout, node):
    cell, params = from_onnx(node("GRU", layout=layout, linear_before_reset=1))
    assert cell == jaxrnn.gru(H)
    assert params["kernel"].shape == (D, 3 * H)


@pytest.mark.parametrize("layout", [0, 1])
def test_layers_with_batch_first(layout, node):
    """Two layers, each with batch first; or with time first, and then what is between must not exchange them."""
    squeeze = onnx.helper.make_node("Squeeze", ["Y", "axis"], ["Y1"])
    upper = onnx.helper.make_node("GRU", ["Y1", "W2", "R2"], ["Z"], name="upper", hidden_size=3, layout=layout)
    arrays = {"W2": np.ones((1, 9, H), np.float32), "R2": np.ones((1, 9, 3), np.float32)}
    made = node("GRU", layout=layout, after=[squeeze, upper], output="Z", **arrays)
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1 + layout]), "axis"))
    stacked = jaxrnn.stack(jaxrnn.gru_reset_before(H), jaxrnn.gru_reset_before(3))
    assert from_onnx(made)[0] == stacked
    exchange = onnx.helper.make_node("Transpose", ["Y1"], ["Y2"], perm=[1, 0, 2])
    made.graph.node.insert(2, exchange)
    made.graph.node[3].input[0] = "Y2"
    with pytest.raises(
        ValueError, match="expected what a recurrent node reads as X to be the outputs of one recurrent"
    ):
        from_onnx(made)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_dtype(dtype, node):
    _, params = from_onnx(node(), dtype=dtype)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {dtype}


def test_nothing_is_shared(key):
    """Neither way: the arrays of one may be written into."""
    cell = jaxrnn.gru(H)
    mine = jax.tree.map(np.array, noisy_params(cell, key, D))
    proto = to_onnx(cell, mine)
    before = proto.SerializeToString()
    _, params = from_onnx(proto)
    kept = jax.tree.map(np.array, params)
    for leaf in jax.tree.leaves(mine):
        leaf[:] = 7
    assert proto.SerializeToString() == before
    for tensor in proto.graph.initializer:
        tensor.raw_data = bytes(len(tensor.raw_data))
    jax.tree.map(np.testing.assert_array_equal, params, kept)


def other_primitive(params, carry, x):
    return jnp.sort(carry, axis=-1), carry


def loop(params, carry, x):
    return jax.lax.fori_loop(0, 3, lambda i, h: h / 2, carry), carry


def own(step):
    return jaxrnn.Cell(lambda key, size: {"w": jnp.ones((size, H))}, lambda params: jnp.zeros(H), plain_step=step)


def lstm(size=H, **options):
    cell = jaxrnn.lstm(size, **options)
    return cell, cell.init(jax.random.key(0), D)


def both():
    cell = jaxrnn.bidirectional(jaxrnn.lstm(H), jaxrnn.lstm(H))
    return cell, cell.init(jax.random.key(0), D)


REFUSED = {
    "no_cell": (lambda: (3, {}), {}, "model: expected a cell, language_model, classifier or tagger, got 3"),
    "forecaster": (lambda: (models.forecaster(jaxrnn.gru(H), 1), {}), {}, "model: expected a cell, language_model"),
    "primitive": (lambda: (own(other_primitive), {}), {"input_size": D}, "no ONNX node for JAX's primitive 'sort'"),
    "loop": (lambda: (own(loop), {}), {"input_size": D}, "no ONNX node for JAX's primitive '(scan|while)'"),
    "input_size": (lambda: (own(loop), {}), {}, "input_size: expected D, because"),
    "opset": (lstm, {"opset": 13}, "opset: expected 14 to .*, which the installed onnx knows, got 13"),
    "opset_new": (lstm, {"opset": 999}, "opset: expected 14 to .*, got 999"),
    "half": (lambda: lstm(dtype="bfloat16"), {}, "to_onnx writes float32 and float64, got bfloat16"),
    "half_params": (lambda: lstm(param_dtype="float16"), {}, "to_onnx writes float32 and float64, got float16"),
    "other_size": (lstm, {"input_size": 3}, "input_size: expected .*, as the params have, got 3"),
    "other_params": (lambda: (jaxrnn.lstm(H), lstm(3)[1]), {}, "params: expected those of lstm"),
    "backwards": (both, {"step": True}, "step: lstm.* runs backwards"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """With the reason, and what to do."""
    made, options, message = REFUSED[name]
    cell, params = made()
    with pytest.raises((TypeError, ValueError), match=message):
        to_onnx(cell, params, **options)


def test_traced_params():
    cell, params = lstm()
    with pytest.raises(TypeError, match="call to_onnx outside of jit"):
        jax.jit(lambda p: to_onnx(cell, p) and 0)(params)


def test_what_is_written():
    """Names, sizes and types as the docstring says, and not more than is needed."""
    cell = jaxrnn.stack(jaxrnn.lstm(H), jaxrnn.gru(3))
    proto = to_onnx(cell, cell.init(jax.random.key(0), D))
    onnx.checker.check_model(proto, full_check=True)
    declared = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*proto.graph.input, *proto.graph.output)
    }
    states = {"layer_0.h": ["B", H], "layer_0.c": ["B", H], "layer_1.h": ["B", 3]}
    assert declared == {
        "xs": ["T", "B", D],
        "sequence_lens": ["B"],
        "ys": ["T", "B", 3],
        **{f"{stem}.{k}": sizes for stem in ("carry", "new_carry") for k, sizes in states.items()},
    }
    assert proto.doc_string == repr(cell)
    read = {name for node in proto.graph.node for name in node.input}
    assert {tensor.name for tensor in proto.graph.initializer} <= read


@pytest.mark.parametrize(
    ("kind", "numbers", "formula"),
    [
        ("Affine", {"alpha": 0.4, "beta": 0.3}, lambda z: 0.4 * z + 0.3),
        ("Elu", {"alpha": 0.7}, lambda z: np.where(z < 0, 0.7 * (np.exp(z) - 1), z)),
        ("HardSigmoid", {}, lambda z: np.minimum(np.maximum(0.2 * z + 0.5, 0), 1)),
        ("LeakyRelu", {"alpha": 0.2}, lambda z: np.where(z < 0, 0.2 * z, z)),
        ("Relu", {}, lambda z: np.where(z < 0, 0, z)),
        ("ScaledTanh", {"alpha": 0.8, "beta": 1.3}, lambda z: 0.8 * np.tanh(1.3 * z)),
        ("Sigmoid", {}, lambda z: 1 / (1 + np.exp(-z))),
        ("Softplus", {}, lambda z: np.log(1 + np.exp(z))),
        ("Softsign", {}, lambda z: z / (1 + np.abs(z))),
        ("Tanh", {}, np.tanh),
        ("ThresholdedRelu", {"alpha": 0.3}, lambda z: np.where(z > 0.3, z, 0)),
    ],
)
def test_activation(kind, numbers, formula):
    """By ONNX's formula, with and without a clip, and as a record: equal, printed, saved."""
    z = np.linspace(-3, 3, 13)
    for clip in (None, 0.8):
        made = onnx_activation(kind, **numbers, clip=clip)
        clipped = z if clip is None else np.clip(z, -clip, clip)
        np.testing.assert_allclose(made(jnp.asarray(z)), formula(clipped), rtol=1e-12, atol=1e-12)
        cell = jaxrnn.elman(H, activation=made)
        assert from_config(to_config(cell)) == cell
        assert eval(repr(made)) == made  # what is printed is the call


def test_gradients_of_activations():
    """Finite everywhere: no branch that is not taken overflows."""
    for kind in ("Elu", "Sigmoid", "Softplus"):
        slope = jax.grad(lambda z, kind=kind: onnx_activation(kind)(z).sum())(jnp.array([-1000.0, 0.5, 1000.0]))
        assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("Gelu", {}, "kind: expected one of Affine, .*, got 'Gelu'"),
        ("Tanh", {"alpha": 1.0}, "alpha: expected None, because Tanh takes 0 numbers"),
        ("Elu", {"beta": 1.0}, "beta: expected None, because Elu takes 1 numbers"),
        ("Tanh", {"clip": 0.0}, "clip: expected a number above 0"),
    ],
)
def test_activation_options(kind, options, message):
    with pytest.raises(ValueError, match=message):
        onnx_activation(kind, **options)
