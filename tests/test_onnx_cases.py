"""The ONNX operators RNN, LSTM and GRU: the literal cases of ONNX Runtime's own tests, and the runtime asked live.

The cases are a file that the project does not contain: JAXRNN_CASES names it, or it lies in ../shared/cases beside the
repository. A case holds an operator's inputs in ONNX's layout: X [T, B, D], W [dirs, G·H, D], R [dirs, G·H, H],
B = [Wb | Rb], P, h0, c0, lens; its gates stand in the order i, o, f, c (LSTM) and z, r, h (GRU).
"""

from __future__ import annotations

import collections
import functools
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tolerance

import jaxrnn

NAMED = os.environ.get("JAXRNN_CASES")
FILE = pathlib.Path(NAMED or pathlib.Path(__file__).parents[2] / "shared/cases/onnxruntime_rnn_cases.json")
CASES = json.loads(FILE.read_text()) if NAMED or FILE.exists() else []
needs_file = pytest.mark.skipif(
    not CASES, reason=f"JAXRNN_CASES is not set, and there is no ../shared/cases/{FILE.name}"
)
each_case = pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{case['op']}_{case['name']}") for case in CASES]
    or [pytest.param(None, id="no_file", marks=needs_file)],
)

# Two of the cases have literals that are further from the truth than their digits say: so far from ONNX Runtime itself
# (test_the_runtime_on_the_cases finds it equal to us) and from a NumPy loop in float64.
INEXACT = {"ShorterSeqInMiddle": 6.1e-5, "ZeroSeqInMiddle": 6.1e-5}

unroll = jax.jit(jaxrnn.unroll, static_argnums=0, static_argnames="reverse")


def gates(rows, theirs, ours):
    """[G·H, N] or [G·H], gates by rows in the order `theirs` -> [N, G·H] or [G·H], by columns in the order `ours`."""
    named = dict(zip(theirs, np.split(rows, len(theirs)), strict=True))
    return np.concatenate([named[gate].T for gate in ours], -1)


@functools.cache
def clipped(activation, clip):
    """ONNX clips what goes into the activations of the gates (and not c on its way to h)."""
    return lambda z: getattr(jax.nn, activation)(jnp.clip(z, -clip, clip))


def convert(case, d):
    """(cell, params, carry) for the direction d of a case."""
    H = case["hidden"]
    W, R = (np.array(case[name][d]) for name in ("W", "R"))
    Wb, Rb = np.split(np.array(case["B"][d]), 2) if case["B"] is not None else np.zeros((2, len(W)))
    h, c = (
        np.array(case[name][d]) if case.get(name) is not None else np.zeros((len(case["X"][0]), H))
        for name in ("h0", "c0")
    )
    names = case["activations"]
    if case.get("clip"):
        names = [clipped(name, case["clip"]) for name in names[:2]] + names[2:]

    if case["op"] == "RNN":
        params = {"kernel": W.T, "recurrent_kernel": R.T, "bias": Wb + Rb}
        return jaxrnn.elman(H, activation=names[0]), params, jaxrnn.ElmanCarry(h)

    if case["op"] == "GRU":
        W, R, Wb, Rb = (gates(a, "zrh", "rzh") for a in (W, R, Wb, Rb))
        after = case["linear_before_reset"]
        factory, biases = (jaxrnn.gru, (Wb, Rb)) if after else (jaxrnn.gru_reset_before, (Wb + Rb,))
        params = {"kernel": W, "recurrent_kernel": R, **dict(zip(("bias", "recurrent_bias"), biases, strict=False))}
        return factory(H, gate_activation=names[0], activation=names[1]), params, jaxrnn.GRUCarry(h)

    coupled, ours, peeps = case["input_forget"], "ifco", "ifo"
    P = np.array(case["P"][d]) if case["P"] is not None else None
    if coupled:
        # Their f is 1 - i and ours i is 1 - f: with sigmoid(-z) = 1 - sigmoid(z), our f is their i of -z.
        assert case["activations"][0] == "sigmoid"
        ours, peeps = "-co", "-o"
    negated = functools.partial(with_negated_input_gate, H=H)
    params = {
        "kernel": gates(*negated(W, "iofc"), ours),
        "recurrent_kernel": gates(*negated(R, "iofc"), ours),
        "bias": gates(*negated(Wb + Rb, "iofc"), ours),
    }
    if P is not None:
        params["peephole"] = gates(*negated(P, "iof"), peeps)
    cell = jaxrnn.lstm(
        H,
        peepholes=P is not None,
        coupled=coupled,
        gate_activation=names[0],
        activation=names[1],
        output_activation=names[2],
    )
    return cell, params, jaxrnn.LSTMCarry(h, c)


def with_negated_input_gate(rows, order, H):
    """The rows with those of -i after them, as a gate named '-'."""
    return np.concatenate([rows, -rows[:H]]), order + "-"


def ours(case):
    """(Y [T, dirs, B, H], Y_h [dirs, B, H], Y_c) of a case, one unroll for each direction."""
    xs, lengths = np.array(case["X"], np.float64), None if case["lens"] is None else np.array(case["lens"])
    carries, ys = [], []
    for d, way in enumerate({"bidirectional": ["forward", "reverse"]}.get(case["direction"], [case["direction"]])):
        cell, params, carry = convert(case, d)
        params, carry = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params, carry))
        carry, y = unroll(cell, params, carry, xs, lengths=lengths, reverse=way == "reverse")
        carries.append(carry)
        ys.append(np.asarray(y))
    Y, *finals = np.stack(ys, 1), *map(np.stack, zip(*carries, strict=True))
    return dict(zip(("Y", "Y_h", "Y_c"), (Y, *finals), strict=False))


def half_unit(literals):
    """How far numbers may be from the literals they were rounded to: half a unit of the last digit of the longest."""
    texts = [np.format_float_scientific(a, trim="-") for a in np.abs(literals).ravel()]
    digits = max(len(text.partition("e")[0].replace(".", "")) for text in texts)
    powers = np.reshape([int(text.partition("e")[2]) for text in texts], np.shape(literals))
    return 0.5 * 10.0 ** (powers - digits + 1)


@each_case
def test_case(case):
    """Every case: outputs and final states, as literals of a float32 program."""
    actual = ours(case)
    expected = {name: np.array(case[name]) for name in ("Y", "Y_h", "Y_c") if case.get(name)}
    assert expected
    for name, literals in expected.items():
        assert actual[name].shape == literals.shape
        rounding = tolerance("float32", len(case["X"])) + half_unit(literals) + INEXACT.get(case["name"], 0)
        np.testing.assert_array_less(np.abs(actual[name] - literals), rounding, err_msg=name)


@needs_file
def test_no_case_is_left_out():
    """All of the 36 are in the table above: nothing that they ask for is missing."""
    assert collections.Counter(case["op"] for case in CASES) == {"LSTM": 19, "GRU": 14, "RNN": 3}


def runtime(case):
    """The outputs of ONNX Runtime for a case, from a model of one node."""
    helper = pytest.importorskip("onnx.helper", reason="onnx is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    values = {"X": case["X"], "W": case["W"], "R": case["R"], "B": case["B"], "lens": case["lens"], "h0": case["h0"]}
    if case["op"] == "LSTM":
        values |= {"c0": case["c0"], "P": case["P"]}
    feeds = {k: np.array(v, np.int32 if k == "lens" else np.float32) for k, v in values.items() if v is not None}
    outputs = ["Y", "Y_h"] + ["Y_c"] * (case["op"] == "LSTM")
    dirs = 1 + (case["direction"] == "bidirectional")
    optional = {"LSTM": {"input_forget": int(case.get("input_forget", 0))},
                "GRU": {"linear_before_reset": int(case.get("linear_before_reset", 0))}}  # fmt: skip
    node = helper.make_node(
        case["op"],
        [name if name in feeds else "" for name in values],
        outputs,
        hidden_size=case["hidden"],
        direction=case["direction"],
        activations=[{"soft_sign": "Softsign"}.get(a, a.capitalize()) for a in case["activations"]] * dirs,
        **({"clip": case["clip"]} if case.get("clip") else {}),
        **optional.get(case["op"], {}),
    )
    kind = {np.dtype(np.float32): 1, np.dtype(np.int32): 6}  # as TensorProto numbers them
    graph = helper.make_graph(
        [node],
        "one_node",
        [helper.make_tensor_value_info(name, kind[a.dtype], a.shape) for name, a in feeds.items()],
        [helper.make_tensor_value_info(name, 1, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, feeds), strict=True))


def assert_same(case):
    theirs, actual = runtime(case), ours(case)
    assert set(theirs) == set(actual)
    for name, value in theirs.items():
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=tolerance("float32", len(case["X"])), err_msg=name)


@each_case
def test_the_runtime_on_the_cases(case):
    """The installed runtime on the inputs of the cases, to float32's rounding and not to the digits of literals."""
    assert_same(case)


# Each asks the runtime for something else; sizes all differ, and every number is drawn.
LIVE = {
    "LSTM_forward": {"op": "LSTM"},
    "LSTM_reverse_ragged": {"op": "LSTM", "direction": "reverse", "lens": [7, 0, 3, 1]},
    "LSTM_bidirectional_peepholes": {"op": "LSTM", "direction": "bidirectional", "lens": [2, 7, 5, 1], "P": 1, "h0": 1},
    "LSTM_clip": {"op": "LSTM", "clip": 0.5, "P": 1, "h0": 1},
    "LSTM_coupled": {"op": "LSTM", "input_forget": True, "P": 1, "h0": 1},
    "LSTM_coupled_clip": {"op": "LSTM", "input_forget": True, "clip": 0.5, "direction": "reverse"},
    "LSTM_activations": {"op": "LSTM", "activations": ["sigmoid", "relu", "soft_sign"], "h0": 1},
    "GRU_forward": {"op": "GRU", "h0": 1},
    "GRU_reverse_ragged": {"op": "GRU", "direction": "reverse", "lens": [7, 0, 3, 1]},
    "GRU_bidirectional_linear": {
        "op": "GRU",
        "direction": "bidirectional",
        "lens": [2, 7, 5, 1],
        "linear_before_reset": 1,
    },
    "GRU_linear_clip": {"op": "GRU", "linear_before_reset": True, "clip": 0.5, "h0": 1},
    "GRU_activations": {"op": "GRU", "activations": ["sigmoid", "soft_sign"], "lens": [7, 4, 3, 1], "h0": 1},
    "RNN_bidirectional_ragged": {"op": "RNN", "direction": "bidirectional", "lens": [7, 2, 3, 1], "h0": 1},
    "RNN_relu_clip": {"op": "RNN", "activations": ["relu"], "clip": 0.5},
    "RNN_reverse_empty_row": {"op": "RNN", "direction": "reverse", "lens": [0, 7, 3, 1]},
}


@pytest.mark.parametrize("name", LIVE)
def test_the_runtime_on_random_cases(name, rng):
    """LSTM, GRU and RNN on drawn weights, inputs, states and lengths."""
    case = {"direction": "forward", "lens": None, "clip": None, "linear_before_reset": False, "input_forget": False}
    case |= LIVE[name]
    usual = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}[case["op"]]
    T, B, D, H, G = 7, 4, 3, 5, {"LSTM": 4, "GRU": 3, "RNN": 1}[case["op"]]
    dirs = 1 + (case["direction"] == "bidirectional")

    def draw(*shape):
        return (0.7 * rng.standard_normal(shape)).astype(np.float32)

    states = dict.fromkeys(("h0", "c0") if case.get("h0") else (), (dirs, B, H))
    shapes = {"X": (T, B, D), "W": (dirs, G * H, D), "R": (dirs, G * H, H), "B": (dirs, 2 * G * H), **states}
    if case.pop("P", None):
        shapes["P"] = (dirs, 3 * H)
    assert_same(
        {"P": None, "h0": None, "c0": None, "hidden": H, "activations": usual}
        | case
        | {k: draw(*s) for k, s in shapes.items()}
    )
