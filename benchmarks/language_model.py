"""A whole train step of a language model: does the speed of a layer reach the user, and what does `train` cost?

The model of Zaremba, Sutskever and Vinyals (2014, arXiv 1409.2329) without its dropout: an embedding, two LSTMs, a
softmax over 10,000 words; the carry is handed from window to window, gradients are clipped by their norm to 5, and SGD
takes the step. The same in jaxrnn (its `models` and `train`), flax.nnx and PyTorch, from the same parameters: the
script compares their sizes, and the losses before and after a step. "On cores" the streams are shared among as many
devices of JAX as there are cores, in a process of its own; PyTorch has its own too.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from benchmarks import in_torch
from benchmarks.contenders import over_devices, present, torch_device
from benchmarks.protocol import Report, ahead, floor_ms, rnn_flops, setting, total_size
from benchmarks.turns import Apart, Contender, cores, interleaved

V, L, B, CLIP, RATE = 10_000, 2, 20, 5.0, 1.0
NNX, TORCH, FLOOR = "nnx / jaxrnn", "torch / jaxrnn", "floor / jaxrnn"
BEST, TORCH_BEST = "nnx / jaxrnn on cores", "torch / jaxrnn on cores"


def model_of(H: int) -> Any:
    return jaxrnn.models.language_model(jaxrnn.stack(*[jaxrnn.lstm(H)] * L), V, H)


def problem(H: int, T: int) -> tuple[np.ndarray, dict]:
    """Tokens [T + 1, B], and the params from which all begin."""
    return np.random.default_rng(0).integers(0, V, (T + 1, B), np.int32), model_of(H).init(jax.random.key(0))


# A side is a step that goes on from where the last one ended, and gives the loss before it.


def ours(H: int, T: int) -> Contender:
    tokens, params = problem(H, T)
    model, optimizer = model_of(H), optax.chain(optax.clip_by_global_norm(CLIP), optax.sgd(RATE))
    state = jaxrnn.train.start(model, jax.random.key(0), optimizer, (B,))
    state = state._replace(params=jax.tree.map(jnp.copy, params))  # a copy: an update is given its buffers
    window = jaxrnn.data.Window(tokens[:-1], tokens[1:], np.ones((T, B), np.float32), np.zeros(T, bool))
    if jax.device_count() > 1:
        state, (window,) = jaxrnn.train.data_parallel(state, [window])
    window = jax.tree.map(jnp.asarray, window)
    update, costs = ahead(jaxrnn.train.make_update(jaxrnn.train.next_symbol(model), optimizer), state, window)

    def step():
        nonlocal state
        state, seen = update(state, window)
        jax.block_until_ready(state)
        return seen["loss"]

    return Contender(step, **costs)


def nnx(H: int, T: int) -> Contender:
    from flax import nnx

    tokens, params = problem(H, T)

    class Model(nnx.Module):
        def __init__(self, rngs):
            self.embedding = nnx.Embed(V, H, rngs=rngs)
            self.first = nnx.RNN(nnx.OptimizedLSTMCell(H, H, rngs=rngs), return_carry=True)
            self.second = nnx.RNN(nnx.OptimizedLSTMCell(H, H, rngs=rngs), return_carry=True)
            self.readout = nnx.Linear(H, V, rngs=rngs)

        def __call__(self, tokens, carries):
            first, x = self.first(self.embedding(tokens), initial_carry=carries[0])
            second, x = self.second(x, initial_carry=carries[1])
            return self.readout(x), (first, second)

    model = Model(nnx.Rngs(0))
    model.embedding.embedding = nnx.Param(params["embedding"])
    model.readout.kernel, model.readout.bias = nnx.Param(params["readout"]), nnx.Param(params["bias"])
    for rnn, layer in zip((model.first, model.second), params["cell"].values(), strict=True):
        rnn.cell.dense_i.kernel, rnn.cell.dense_h.kernel = (
            nnx.Param(layer["kernel"]),
            nnx.Param(layer["recurrent_kernel"]),
        )
        rnn.cell.dense_h.bias = nnx.Param(layer["bias"])
    tx = optax.chain(optax.clip_by_global_norm(CLIP), optax.sgd(RATE))
    graph, state = nnx.split((model, nnx.Optimizer(model, tx, wrt=nnx.Param)))
    batch = jnp.asarray(tokens[:-1].T), jnp.asarray(tokens[1:].T)
    carries = [(jnp.zeros((B, H)), jnp.zeros((B, H))) for _ in range(L)]
    # Buffers of our own: those of `params` are not ours to give away.
    state, carries = jax.tree.map(jnp.copy, (state, tuple(carries)))
    state, (carries, batch) = over_devices(state, (carries, batch), axis=0)

    def update(state, carries, tokens, targets):
        model, optimizer = nnx.merge(graph, state)

        def loss_of(model):
            logits, after = model(tokens, carries)
            return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean(), after

        (loss, after), gradient = nnx.value_and_grad(loss_of, has_aux=True)(model)
        optimizer.update(model, gradient)
        return nnx.state((model, optimizer)), after, loss

    program, costs = ahead(jax.jit(update, donate_argnums=(0, 1)), state, carries, *batch)

    def step():
        nonlocal state, carries
        state, carries, loss = jax.block_until_ready(program(state, carries, *batch))
        return loss

    sizes = total_size(nnx.state(model, nnx.Param)), total_size(params)
    assert sizes[0] == sizes[1], f"numbers of parameters differ: {sizes}"
    return Contender(step, **costs)


SIDES = {"jaxrnn": ours, "nnx": nnx}


def same(sides: dict[str, Contender]) -> None:
    """The same first loss, and after a step nearly so. Raises AssertionError.

    The first to rounding: means over the same numbers. The second to a hundredth: PyTorch trains two biases for one.
    """
    for tolerance in (1e-4, 1e-2):
        losses = {name: float(side.call()) for name, side in sides.items()}
        assert max(losses.values()) / min(losses.values()) - 1 < tolerance, f"losses differ: {losses}"


def table(seconds: float = 10.0, sizes: tuple[str, ...] = ("200,20", "200,35", "650,35")) -> Report:
    """Milliseconds (minimum) of a train step of a 2 x H LSTM language model on T steps of 20 streams, and ratios.

    seconds: how long a row is timed. sizes: H,T of each.
    """
    torch = Apart() if present("torch") else None
    many = Apart(cores()) if jax.default_backend() == "cpu" and cores() > 1 and B % cores() == 0 else None
    names = [*SIDES, *([f"{name} on cores" for name in SIDES] if many else []), *(["torch"] if torch else [])]
    pairs = {NNX: ("nnx", "jaxrnn"), BEST: ("nnx", "jaxrnn on cores")}
    pairs |= {TORCH: ("torch", "jaxrnn"), TORCH_BEST: ("torch", "jaxrnn on cores")}
    pairs = {ratio: pair for ratio, pair in pairs.items() if set(pair) <= set(names)}
    columns = ["model", "parameters", "B, T", *(f"{name} ms" for name in names), *pairs, FLOOR]
    facts = setting("flax", "optax", *(["torch"] if torch else []))
    report = Report(facts, [*columns, "temporary MB", "compile s"])
    for H, T in (map(int, text.split(",")) for text in sizes):
        tokens, params = problem(H, T)
        sides = {name: make(H, T) for name, make in SIDES.items()}
        if many:
            sides |= {f"{name} on cores": many.make(make, name, H, T) for name, make in SIDES.items()}
        if torch:
            given = tokens, jax.tree.map(np.asarray, params), RATE, CLIP, torch_device()
            sides["torch"] = torch.make(in_torch.language_model, "torch", H, L, *given)
        same(sides)
        times = interleaved({name: each.call for name, each in sides.items()}, seconds=seconds)
        row = {"model": f"{L} x {H}", "parameters": total_size(params), "B, T": f"{B}, {T}"}
        for name, each in sides.items():
            row[f"{name} ms"], row[f"{name} median ms"] = times[name]
            row[f"{name} temporary MB"], row[f"{name} compile s"] = each.temporary_mb, each.compile_s
        for ratio, (theirs, mine) in pairs.items():
            # Of a JAX peer the better form counts, where ours is on cores.
            forms = [theirs, *([f"{theirs} on cores"] if ratio == BEST else [])]
            row[ratio] = min(times[form].minimum for form in forms) / times[mine].minimum
            row[f"{ratio}, medians"] = min(times[form].median for form in forms) / times[mine].median
        row["floor ms"] = floor_ms(L * rnn_flops("lstm", B, T, H, H, "gradient") + 3 * 2 * B * T * H * V)
        row[FLOOR] = row["floor ms"] / times["jaxrnn"].minimum
        row["temporary MB"], row["compile s"] = sides["jaxrnn"].temporary_mb, sides["jaxrnn"].compile_s
        report.add(row)
    return report
