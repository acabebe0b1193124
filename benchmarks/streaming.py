"""One stream, a step at a time: microseconds per step of jaxrnn.streaming beside flax.linen, PyTorch and ONNX Runtime.

"call": one step in each call from Python; "loop": 1000 steps in each call. In both, a NumPy array goes in, the state
goes in and comes out, and the output is waited for and is a NumPy array. B = 1, D = H, float32. Each peer as its own
users would write it: flax's cell under `jax.jit`, by itself and in a `lax.scan`; `torch.nn.LSTMCell` and `nn.LSTM`
(GRU alike) under `torch.inference_mode`; the LSTM operator of ONNX in a session of ONNX Runtime. The last two have a
process each (`servers.py`), and are timed with one thread and with as many as there are cores: the faster counts; XLA
takes what it wants.

A second table is of many streams: steps of a stream per second, all B of them together, by `devices=1` and by a device
for each core, in calls of one step and of 16.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools

import jax
import numpy as np

import jaxrnn
from benchmarks import servers
from benchmarks.protocol import setting
from benchmarks.servers import LOOP, inputs, served
from benchmarks.turns import Apart, cores, interleaved

SIZES = (16, 32, 64, 128, 256, 512, 1024)
LINEN = {"lstm": "OptimizedLSTMCell", "gru": "GRUCell"}
THREADS = (1, cores())


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


# name -> (maker, the module that it needs, ways to serve); those of `servers` run in a process of their own.
PEERS = {
    "linen": (linen, "flax", ("call", "loop")),
    "torch": (servers.torch_nn, "torch", ("call, cell", "call", "loop")),
    "onnxruntime": (servers.onnx, "onnxruntime", ("call", "loop")),
}


def contenders(cell, H, calls, peers, apart):
    """(who, how, threads) -> call."""
    made = {("jaxrnn", how, 0): call for how, call in ours(cell, H, calls).items()}
    for name in peers:
        maker, _, ways = PEERS[name]
        if name not in apart:
            made |= {(name, how, 0): call for how, call in maker(cell, H, calls).items()}
            continue
        for key in [(name, how, threads) for threads in THREADS for how in ways]:
            made[key] = apart[name].make(maker, str(key), cell, H, key[1], calls, key[2]).call
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
    peers = [name for name, (_, module, _) in PEERS.items() if importlib.util.find_spec(module)]
    apart = {name: Apart() for name in peers if name != "linen"}
    facts = "; ".join(f"{name} {value}" for name, value in setting(*(PEERS[name][1] for name in peers)).items())
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
        f"{facts}; dispatch {dispatch}; float32, B=1, D=H; "
        "us per step, minimum, and in brackets over that of jaxrnn: by minima, by medians",
        "",
        "| cell | H | " + " | ".join(columns.values()) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    print("\n".join(lines), flush=True)
    for cell in cells:
        for H in sizes:
            calls = 100 if H <= 256 else 20
            made = contenders(cell, H, calls, peers, apart)
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
