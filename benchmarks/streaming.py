"""One stream, a step at a time: microseconds per step of jaxrnn.streaming beside flax.linen, PyTorch and ONNX Runtime.

"call": one step in each call from Python; "loop": 1000 steps in each call. In both, a NumPy array goes in, the state
goes in and comes out, and the output is waited for and is a NumPy array. B = 1, D = H, float32. Each peer as its own
users would write it: flax's cell under `jax.jit`, by itself and in a `lax.scan`; `torch.nn.LSTMCell` and `nn.LSTM`
(GRU alike) under `torch.inference_mode`; the LSTM operator of ONNX in a session of ONNX Runtime. The last two are timed
with one thread and with as many as there are cores, and the faster counts; XLA takes what it wants.

A second table is of many streams: steps of a stream per second, all B of them together, by `devices=1` and by a device
for each core, in calls of one step and of 16.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import os
from importlib import metadata

import jax
import numpy as np

import jaxrnn
from benchmarks.protocol import interleaved

SIZES = (16, 32, 64, 128, 256, 512, 1024)
LOOP = 1000
LINEN = {"lstm": "OptimizedLSTMCell", "gru": "GRUCell"}
THREADS = (1, os.cpu_count() or 1)


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


def ours(cell, H, calls):
    record = jaxrnn.CELLS[cell](H)
    params = record.init(jax.random.key(0), H)

    def serve(stream, x, calls):
        def step(state, x):
            state, y = stream.step(state, x)
            return state, np.asarray(y)

        return served(step, stream.start(), x, calls)

    return {
        "call": serve(jaxrnn.streaming(record, params), inputs(H), calls),
        "loop": serve(jaxrnn.streaming(record, params, steps=LOOP), inputs(LOOP, H), 1),
    }


def linen(cell, H, calls):
    import flax.linen

    module = getattr(flax.linen, LINEN[cell])(H)
    carry = module.initialize_carry(jax.random.key(0), (1, H))
    params = module.init(jax.random.key(0), carry, inputs(1, H))
    one = jax.jit(module.apply)
    many = jax.jit(lambda params, carry, xs: jax.lax.scan(functools.partial(module.apply, params), carry, xs))

    def serve(apply, x, calls):
        def step(carry, x):
            carry, y = apply(params, carry, x)
            return carry, np.asarray(y)

        return served(step, carry, x, calls)

    return {"call": serve(one, inputs(1, H), calls), "loop": serve(many, inputs(LOOP, 1, H), 1)}


def torch_nn(cell, H, calls, threads):
    """nn.LSTMCell and nn.LSTM; the state of an LSTM is a pair, that of a GRU one tensor."""
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

        return with_threads

    return {
        "call, cell": serve(cell_step, inputs(1, H), calls),
        "call": serve(sequence, inputs(1, 1, H), calls),
        "loop": serve(sequence, inputs(LOOP, 1, H), 1),
    }


def onnx(cell, H, calls, threads):
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
    return {
        "call": served(step, zeros, inputs(1, 1, H), calls),
        "loop": served(step, zeros, inputs(LOOP, 1, H), 1),
    }


PEERS = {"linen": (linen, "flax"), "torch": (torch_nn, "torch"), "onnxruntime": (onnx, "onnxruntime")}


def contenders(cell, H, calls, peers):
    """(who, how, threads) -> call."""
    made = {("jaxrnn", how, 0): call for how, call in ours(cell, H, calls).items()}
    for name in peers:
        for threads in (0,) if name == "linen" else THREADS:
            calls_of = PEERS[name][0](cell, H, calls, *([threads] if threads else []))
            made |= {(name, how, threads): call for how, call in calls_of.items()}
    return made


MANY = [(64, 64), (64, 256), (512, 128), (512, 256), (2048, 64), (2048, 256)]


def many(seconds: float, cells: tuple[str, ...]) -> list[str]:
    """The lines of the table of many streams."""
    n = jax.local_device_count()
    lines = [
        "",
        f"| cell | B | H | steps a call | steps/s, 1 device | {n} devices | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for cell, (B, H), steps in itertools.product(cells, MANY, (None, 16)):
        record = jaxrnn.CELLS[cell](H)
        params = record.init(jax.random.key(0), H)
        made = {}
        for devices in (1, n):
            stream = jaxrnn.streaming(record, params, streams=B, steps=steps, devices=devices)

            def step(state, x, stream=stream):
                state, y = stream.step(state, x)
                return state, np.asarray(y)

            made[devices] = served(step, stream.start(), inputs(*[steps] * (steps is not None), B, H), 10)
        times = interleaved({str(k): call for k, call in made.items()}, seconds=seconds, least=5)
        one, all_of = (10 * B * (steps or 1) / (1e-3 * times[str(k)][0]) for k in (1, n))
        lines.append(f"| {cell} | {B} | {H} | {steps or 1} | {one:.3g} | {all_of:.3g} | {all_of / one:.2f} |")
        print(lines[-1], flush=True)
    return lines


def table(
    seconds: float = 4.0,
    cells: tuple[str, ...] = ("lstm", "gru"),
    sizes: tuple[int, ...] = SIZES,
    dispatch: str = "synchronous",
) -> str:
    """Markdown: microseconds per step, and the peers' over ours: above 1, jaxrnn is the faster.

    dispatch: of JAX, for both libraries on it. "synchronous" is what a server should set, as the README says; one that
        sets nothing has "asynchronous".
    """
    jaxrnn.cores_as_devices()
    jax.config.update("jax_cpu_enable_async_dispatch", dispatch == "asynchronous")
    peers = [name for name, (_, module) in PEERS.items() if importlib.util.find_spec(module)]
    versions = ", ".join(f"{m} {metadata.version(m)}" for m in ("jax", *(PEERS[name][1] for name in peers)))
    columns = {
        ("jaxrnn", "call"): "call: jaxrnn",
        ("linen", "call"): "linen",
        ("torch", "call, cell"): "torch cell",
        ("torch", "call"): "torch nn",
        ("onnxruntime", "call"): "onnxruntime",
        ("jaxrnn", "loop"): "loop: jaxrnn",
        ("linen", "loop"): "linen ",
        ("torch", "loop"): "torch nn ",
        ("onnxruntime", "loop"): "onnxruntime ",
    }
    columns = {key: title for key, title in columns.items() if key[0] in ("jaxrnn", *peers)}
    lines = [
        f"{versions}; {jax.devices()[0].device_kind}, {os.cpu_count()} cores; dispatch {dispatch}; float32, B=1, D=H; "
        "us per step, minimum, and in brackets over that of jaxrnn: by minima, by medians",
        "",
        "| cell | H | " + " | ".join(columns.values()) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    print("\n".join(lines), flush=True)
    for cell in cells:
        for H in sizes:
            calls = 100 if H <= 256 else 20
            made = contenders(cell, H, calls, peers)
            times = interleaved({str(key): call for key, call in made.items()}, seconds=seconds, least=5)
            best = {}
            for name, how, threads in made:
                steps = LOOP if how == "loop" else calls
                least, median = (1e3 * t / steps for t in times[str((name, how, threads))])
                best[name, how] = min(best.get((name, how), (np.inf,)), (least, median))
            row = [cell, str(H)]
            for name, how in columns:
                (least, median), mine = best[name, how], best["jaxrnn", how.split(",")[0]]
                ratio = f" ({least / mine[0]:.2f}, {median / mine[1]:.2f})" if name != "jaxrnn" else ""
                row.append(f"{least:.2f}{ratio}")
            lines.append("| " + " | ".join(row) + " |")
            print(lines[-1], flush=True)
    return "\n".join([*lines, *many(seconds, cells)]) + "\n"


if __name__ == "__main__":
    table()
