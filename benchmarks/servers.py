"""Servers of one stream that are not of JAX, for processes that have no JAX in them: see `turns.Apart`."""

from __future__ import annotations

import numpy as np

from benchmarks.turns import Contender

LOOP = 1000  # steps in each call of a "loop"


def inputs(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def served(step, state, x, calls):
    """So many calls of `step(state, x) -> (state, y)`, each with the state of the one before."""
    kept = [state]

    def call():
        state = kept[0]
        for _ in range(calls):
            state, y = step(state, x)
        kept[0] = state
        return y

    return call


def torch_nn(cell, H, how, calls, threads):
    """nn.LSTMCell for "call, cell", else nn.LSTM; the state of an LSTM is a pair, that of a GRU one tensor."""
    import torch

    one = getattr(torch.nn, f"{cell.upper()}Cell")(H, H)
    many = getattr(torch.nn, cell.upper())(H, H)

    def cell_step(state, x):
        state = one(torch.from_numpy(x), state)
        return state, (state[0] if cell == "lstm" else state).numpy()

    def sequence(state, xs):
        ys, state = many(torch.from_numpy(xs), state)
        return state, ys.numpy()

    def serve(step, x, calls):
        call = torch.inference_mode()(served(step, None, x, calls))

        def with_threads():
            torch.set_num_threads(threads)
            return call()

        return Contender(with_threads)

    if how == "call, cell":
        return serve(cell_step, inputs(1, H), calls)
    return serve(sequence, *((inputs(1, 1, H), calls) if how == "call" else (inputs(LOOP, 1, H), 1)))


def onnx(cell, H, how, calls, threads):
    """The operator of that name, its weights within the model, any number of steps in a run."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    gates, states = {"lstm": (4, ["h", "c"]), "gru": (3, ["h"])}[cell]
    shapes = {"W": (1, gates * H, H), "R": (1, gates * H, H), "B": (1, 2 * gates * H)}
    weights = [numpy_helper.from_array(inputs(*shape) / np.float32(H**0.5), name) for name, shape in shapes.items()]
    node = helper.make_node(
        cell.upper(),
        ["X", "W", "R", "B", "", *states],
        ["Y", *(f"{s}_next" for s in states)],
        hidden_size=H,
        **({"linear_before_reset": 1} if cell == "gru" else {}),
    )
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    graph = helper.make_graph(
        [node],
        cell,
        [value("X", ["T", 1, H]), *(value(s, [1, 1, H]) for s in states)],
        [value("Y", ["T", 1, 1, H]), *(value(f"{s}_next", [1, 1, H]) for s in states)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # A thread that waits by spinning would take the core from whoever's turn is next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def step(state, x):
        y, *state = session.run(None, {"X": x, **dict(zip(states, state, strict=True))})
        return state, y

    zeros = [np.zeros((1, 1, H), np.float32) for _ in states]
    xs, calls = (inputs(1, 1, H), calls) if how == "call" else (inputs(LOOP, 1, H), 1)
    return Contender(served(step, zeros, xs, calls))
