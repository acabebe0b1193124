"""The ONNX operators RNN, LSTM and GRU: the literal cases of ONNX Runtime's own tests, and the runtime asked live.

The cases are a file that the project does not contain: JAXRNN_CASES names it, or it lies in ../shared/cases beside the
repository. What a case holds is said in operators.py.
"""

from __future__ import annotations

import collections
import functools
import json
import os
import pathlib

import numpy as np
import pytest
from operators import ACTIVATIONS, ours, runtime
from support import assert_close, table, tolerance

from jaxrnn.interop import from_onnx

NAMED = os.environ.get("JAXRNN_CASES")
FILE = pathlib.Path(NAMED or pathlib.Path(__file__).parents[2] / "shared/cases/onnxruntime_rnn_cases.json")
CASES = json.loads(FILE.read_text()) if NAMED or FILE.exists() else []
needs_file = pytest.mark.skipif(
    not CASES, reason=f"JAXRNN_CASES is not set, and there is no ../shared/cases/{FILE.name}"
)
TABLE = {f"{case['op']}_{case['name']}": case for case in CASES}
each_case = pytest.mark.parametrize("name", TABLE or [pytest.param("no_file", marks=needs_file)])

# Two of the cases have literals that are further from the truth than their digits say: so far from ONNX Runtime itself
# (test_the_runtime_on_the_cases finds it equal to us) and from a NumPy loop in float64.
INEXACT = {"ShorterSeqInMiddle": 6.1e-5, "ZeroSeqInMiddle": 6.1e-5}


def half_unit(literals):
    """How far numbers may be from the literals they were rounded to: half a unit of the last digit of the longest."""
    texts = [np.format_float_scientific(a, trim="-") for a in np.abs(literals).ravel()]
    digits = max(len(text.partition("e")[0].replace(".", "")) for text in texts)
    powers = np.reshape([int(text.partition("e")[2]) for text in texts], np.shape(literals))
    return 0.5 * 10.0 ** (powers - digits + 1)


def assert_literals(case, actual):
    """Outputs and final states, as literals of a float32 program."""
    expected = {output: np.array(case[output]) for output in ("Y", "Y_h", "Y_c") if case.get(output)}
    assert expected
    for output, literals in expected.items():
        assert actual[output].shape == literals.shape
        rounding = tolerance("float32", len(case["X"])) + half_unit(literals) + INEXACT.get(case["name"], 0)
        np.testing.assert_array_less(np.abs(actual[output] - literals), rounding, err_msg=output)


@each_case
def test_case(name):
    """Every case, converted by the tests."""
    assert_literals(TABLE[name], ours(TABLE[name]))


@each_case
def test_case_by_from_onnx(name):
    """Every case as a model with one node, read by the library."""
    assert_literals(TABLE[name], ours(TABLE[name], read=reading(TABLE[name])))


def reading(case):
    """from_onnx, told the direction of the case's node."""
    return functools.partial(from_onnx, reverse=case["direction"] == "reverse")


@needs_file
def test_no_case_is_left_out():
    """All of the 36 are in the table above, each under a name of its own, and nothing that they ask for is missing."""
    assert collections.Counter(case["op"] for case in TABLE.values()) == {"LSTM": 19, "GRU": 14, "RNN": 3}
    ways = collections.Counter(case["direction"] for case in TABLE.values())
    assert ways == {"forward": 17, "bidirectional": 14, "reverse": 5}


def assert_same(*layers, read=None):
    """The runtime and us, by the tests' own conversion or by the library's."""
    steps = len(layers) * len(layers[0]["X"])
    assert_close(ours(*layers, read=read), runtime(*layers), tolerance("float32", steps))


@each_case
def test_the_runtime_on_the_cases(name):
    """The installed runtime on the inputs of the cases, to float32's rounding and not to the digits of literals."""
    assert_same(TABLE[name])


T, B, D, H = 7, 4, 3, 5  # all different

# Each asks the runtime for something else; every number is drawn.
ragged, both = {"lens": [7, 0, 3, 1]}, {"direction": "bidirectional"}
SPREAD = [("Affine", 0.4, 0.3), ("LeakyRelu", 0.2), ("ThresholdedRelu", 0.3)]
OTHERS = [("HardSigmoid", 0.3, 0.6), ("ScaledTanh", 0.8, 1.3), ("Elu", 0.7)]
LIVE = {
    "LSTM_forward": {"op": "LSTM"},
    "LSTM_reverse_ragged": {"op": "LSTM", "direction": "reverse", **ragged},
    "LSTM_bidirectional_peepholes": {"op": "LSTM", **both, "lens": [2, 7, 5, 1], "P": 1, "h0": 1},
    "LSTM_bidirectional_zero_lengths": {"op": "LSTM", **both, "lens": [0, 6, 0, 7], "h0": 1},
    "LSTM_clip": {"op": "LSTM", "clip": 0.5, "P": 1, "h0": 1},
    "LSTM_coupled": {"op": "LSTM", "input_forget": True, "P": 1, "h0": 1},
    "LSTM_coupled_clip": {"op": "LSTM", "input_forget": True, "clip": 0.5, "direction": "reverse"},
    "LSTM_coupled_bidirectional": {"op": "LSTM", "input_forget": True, **both, **ragged, "P": 1, "h0": 1},
    "LSTM_activations": {"op": "LSTM", "activations": ["sigmoid", "relu", "soft_sign"], "h0": 1},
    "LSTM_numbers": {"op": "LSTM", "activations": SPREAD, "clip": 0.9, "P": 1, "h0": 1},
    "LSTM_other_numbers": {"op": "LSTM", "activations": OTHERS, **both, **ragged},
    "LSTM_activations_by_direction": {"op": "LSTM", "activations": [*OTHERS, *SPREAD], "clip": 0.9, **both, **ragged},
    "GRU_forward": {"op": "GRU", "h0": 1},
    "GRU_reverse_ragged": {"op": "GRU", "direction": "reverse", **ragged},
    "GRU_bidirectional_linear": {"op": "GRU", **both, "lens": [2, 7, 5, 1], "linear_before_reset": 1},
    "GRU_bidirectional_zero_lengths": {"op": "GRU", **both, "lens": [6, 0, 7, 0], "h0": 1},
    "GRU_clip": {"op": "GRU", "clip": 0.5, "h0": 1},
    "GRU_linear_clip": {"op": "GRU", "linear_before_reset": True, "clip": 0.5, "h0": 1},
    "GRU_activations": {"op": "GRU", "activations": ["sigmoid", "soft_sign"], "lens": [7, 4, 3, 1], "h0": 1},
    "GRU_numbers": {"op": "GRU", "activations": [OTHERS[0], SPREAD[1], SPREAD[0], OTHERS[1]], **both, "h0": 1},
    "RNN_bidirectional_ragged": {"op": "RNN", **both, "lens": [7, 2, 3, 1], "h0": 1},
    "RNN_bidirectional_numbers": {"op": "RNN", "activations": [OTHERS[2], SPREAD[1]], **both, "clip": 0.9, **ragged},
    "RNN_relu_clip": {"op": "RNN", "activations": ["relu"], "clip": 0.5},
    "RNN_reverse_empty_row": {"op": "RNN", "direction": "reverse", "lens": [0, 7, 3, 1]},
}


def drawn(rng, op, *, input_size=D, **asked):
    """A case with everything drawn that an operator has; P, h0 and c0 where they are asked for."""
    G, dirs = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], 1 + (asked.get("direction") == "bidirectional")
    shapes = {"X": (T, B, input_size), "W": (dirs, G * H, input_size), "R": (dirs, G * H, H), "B": (dirs, 2 * G * H)}
    shapes |= dict.fromkeys(("h0", "c0") if asked.get("h0") else (), (dirs, B, H))
    shapes |= {"P": (dirs, 3 * H)} if asked.get("P") else {}
    usual = ["tanh"] if op == "RNN" else ["sigmoid", "tanh", "tanh"][: ACTIVATIONS[op]]
    case = {"direction": "forward", "clip": None, "linear_before_reset": False, "input_forget": False}
    case |= {"op": op, "hidden": H, "activations": usual, **dict.fromkeys(["lens", "P", "h0", "c0"])}
    return case | asked | {k: (0.7 * rng.standard_normal(s)).astype(np.float32) for k, s in shapes.items()}


@pytest.mark.parametrize("name", table(LIVE, set(list(LIVE)[::3])))
def test_the_runtime_on_random_cases(name, rng):
    """LSTM, GRU and RNN on drawn weights, inputs, states and lengths."""
    assert_same(drawn(rng, **LIVE[name]))


@pytest.mark.full
@pytest.mark.parametrize("name", table(LIVE, set(list(LIVE)[1::3])))
def test_from_onnx_on_random_cases(name, rng):
    """The same models, read by the library."""
    case = drawn(rng, **LIVE[name])
    assert_same(case, read=reading(case))


each_stack = pytest.mark.parametrize("ops", [("GRU", "LSTM"), ("LSTM", "RNN", "GRU")], ids="_".join)
each_direction = pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])


def drawn_layers(rng, ops, direction):
    """A case for each operator, one above the other."""
    above = H * (1 + (direction == "bidirectional"))
    asked = {"direction": direction, "h0": 1, **ragged}
    return [drawn(rng, op, input_size=above if n else D, **asked) for n, op in enumerate(ops)]


@each_direction
@each_stack
def test_the_runtime_on_layers(ops, direction, rng):
    """Operators one above the other, in one model, are a stack: of cells, or of cells in both directions."""
    assert_same(*drawn_layers(rng, ops, direction))


@each_direction
@each_stack
def test_from_onnx_on_layers(ops, direction, rng):
    """The same models, read by the library."""
    layers = drawn_layers(rng, ops, direction)
    assert_same(*layers, read=reading(layers[0]))
