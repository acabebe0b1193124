"""Wrong options, and the whole message that each must give when the cell is made."""

import numpy as np
import pytest
from wrong import GRU, refuses

import jaxrnn
from jaxrnn import initializers

BARE = jaxrnn.Cell(GRU.init, GRU.start, plain_step=lambda params, carry, x: (carry, x))

OPTIONS = {
    "hidden_size 0": (lambda: jaxrnn.lstm(0), ValueError, "hidden_size: expected an int of at least 1, got 0"),
    "hidden_size a float": (
        lambda: jaxrnn.elman(4.0),
        ValueError,
        "hidden_size: expected an int of at least 1, got 4.0",
    ),
    "hidden_size a bool": (
        lambda: jaxrnn.gated(True),
        ValueError,
        "hidden_size: expected an int of at least 1, got True",
    ),
    "hidden_size a string": (
        lambda: jaxrnn.gru_reset_before("8"),
        ValueError,
        "hidden_size: expected an int of at least 1, got '8'",
    ),
    "projection 0": (
        lambda: jaxrnn.lstm(4, projection=0),
        ValueError,
        "projection: expected an int of at least 1, got 0",
    ),
    "unknown activation": (
        lambda: jaxrnn.elman(4, activation="tanhh"),
        ValueError,
        "activation: expected a function or its name in jax.nn, such as 'tanh', 'relu' or 'sigmoid', got 'tanhh'",
    ),
    "no gate activation": (
        lambda: jaxrnn.gru(4, gate_activation=None),
        ValueError,
        "gate_activation: expected a function or its name in jax.nn, such as 'tanh', 'relu' or 'sigmoid', got None",
    ),
    "unknown output activation": (
        lambda: jaxrnn.lstm(4, output_activation=3),
        ValueError,
        "output_activation: expected a function or its name in jax.nn, such as 'tanh', 'relu' or 'sigmoid', got 3",
    ),
    "dtype of int": (
        lambda: jaxrnn.gru(4, dtype=int),
        TypeError,
        "dtype: expected a floating type such as 'float32' or 'bfloat16', got 'int64'",
    ),
    "param_dtype complex": (
        lambda: jaxrnn.elman(4, param_dtype="complex64"),
        TypeError,
        "param_dtype: expected a floating type such as 'float32' or 'bfloat16', got 'complex64'",
    ),
    "cell_dtype bool": (
        lambda: jaxrnn.lstm(4, cell_dtype=bool),
        TypeError,
        "cell_dtype: expected a floating type such as 'float32' or 'bfloat16', got 'bool'",
    ),
    "cell_clip below 0": (
        lambda: jaxrnn.lstm(4, cell_clip=-1.0),
        ValueError,
        "cell_clip: expected a number above 0, or None, got -1.0",
    ),
    "cell_clip NaN": (
        lambda: jaxrnn.lstm(4, cell_clip=float("nan")),
        ValueError,
        "cell_clip: expected a number above 0, or None, got nan",
    ),
    "depth 0": (
        lambda: jaxrnn.recurrent_highway(4, depth=0),
        ValueError,
        "depth: expected an int of at least 1, got 0",
    ),
    "no time step": (lambda: jaxrnn.lem(4, dt=0), ValueError, "dt: expected a number above 0, got 0.0"),
    "a time step backwards": (
        lambda: jaxrnn.cornn(4, dt=-0.1),
        ValueError,
        "dt: expected a number above 0, got -0.1",
    ),
    "gamma below 0": (
        lambda: jaxrnn.cornn(4, gamma=-1),
        ValueError,
        "gamma: expected a number of at least 0, got -1.0",
    ),
    "epsilon NaN": (
        lambda: jaxrnn.cornn(4, epsilon=float("nan")),
        ValueError,
        "epsilon: expected a number of at least 0, got nan",
    ),
    "indrnn_uniform the wrong way round": (
        lambda: jaxrnn.indrnn_uniform(1, 0),
        ValueError,
        "low, high: expected low at most as large as high, got 1.0, 0.0",
    ),
    "chrono of 1": (
        lambda: initializers.chrono(1),
        ValueError,
        "longest: expected the longest dependency in steps, more than 2, got 1",
    ),
    "stack of nothing": (jaxrnn.stack, TypeError, "stack: expected one or more cells, got ()"),
    "stack of a list": (
        lambda: jaxrnn.stack([GRU, GRU]),
        TypeError,
        "stack: expected one or more cells, got ((gru(4), gru(4)),); write stack(*cells)",
    ),
    "stack of a name": (
        lambda: jaxrnn.stack(GRU, "lstm"),
        TypeError,
        "stack: expected one or more cells, got (gru(4), 'lstm')",
    ),
    "an array as an option": (
        lambda: jaxrnn.lstm(4, forget_bias=np.ones(4)),
        TypeError,
        "lstm: every option must be hashable, so that the record can be compared (unhashable type: 'numpy.ndarray'). "
        "Arrays belong in params.",
    ),
    "a Cell of nothing": (
        lambda: jaxrnn.Cell(GRU.init, GRU.start),
        ValueError,
        "Cell: expected either drive and stages, or plain_step, or sequence",
    ),
    "a Cell of both": (
        lambda: jaxrnn.Cell(GRU.init, GRU.start, drive=GRU.drive, stages=GRU.stages, plain_step=BARE.plain_step),
        ValueError,
        "Cell: expected either drive and stages, or plain_step, or sequence",
    ),
    "a Cell with stages and no drive": (
        lambda: jaxrnn.Cell(GRU.init, GRU.start, stages=GRU.stages),
        ValueError,
        "Cell: expected either drive and stages, or plain_step, or sequence",
    ),
    "outputs of a cell that does not give its input": (
        lambda: BARE.outputs({}),
        ValueError,
        "<Cell made by hand>: the shape of its outputs follows from its `input`, which it does not give",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), OPTIONS.values(), ids=OPTIONS)
def test_refused_option(call, error, message):
    refuses(error, message, call)
