"""A whole train step of a language model: does the speed of a layer reach the user, and what does `train` cost?

The model of Zaremba, Sutskever and Vinyals (2014, arXiv 1409.2329) without its dropout: an embedding, two LSTMs, a
softmax over 10,000 words; the carry is handed from window to window, gradients are clipped by their norm to 5, and SGD
takes the step. The same in jaxrnn (its `models` and `train`), flax.nnx and PyTorch, from the same parameters: the
script compares their sizes, and the losses before and after a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from benchmarks.contenders import present, torch_device, torch_wait
from benchmarks.protocol import Contender, Report, ahead, floor_ms, gemm_peak, interleaved, rnn_flops, setting
from benchmarks.protocol import total_size as size

V, L, B, CLIP, RATE = 10_000, 2, 20, 5.0, 1.0
NNX, TORCH, FLOOR = "nnx / jaxrnn", "torch / jaxrnn", "floor / jaxrnn"
# A step, () -> loss [], that goes on from where the last one ended; how many parameters; the costs to compile.
Side = tuple[Callable, int, dict]


def model_of(H: int) -> Any:
    return jaxrnn.models.language_model(jaxrnn.stack(*[jaxrnn.lstm(H)] * L), V, H)


def ours(H: int, T: int, tokens: np.ndarray, params: dict) -> Side:
    model, optimizer = model_of(H), optax.chain(optax.clip_by_global_norm(CLIP), optax.sgd(RATE))
    state = jaxrnn.train.start(model, jax.random.key(0), optimizer, (B,))
    state = state._replace(params=jax.tree.map(jnp.copy, params))  # a copy: an update is given its buffers
    window = jaxrnn.data.Window(tokens[:-1], tokens[1:], np.ones((T, B), np.float32), np.zeros(T, bool))
    window = jax.tree.map(jnp.asarray, window)
    update, costs = ahead(jaxrnn.train.make_update(jaxrnn.train.next_symbol(model), optimizer), state, window)

    def step():
        nonlocal state
        state, seen = update(state, window)
        jax.block_until_ready(state)
        return seen["loss"]

    return step, size(params), costs


def nnx(H: int, T: int, tokens: np.ndarray, params: dict) -> Side:
    from flax import nnx

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

    return step, size(nnx.state(model, nnx.Param)), costs


def torch(H: int, T: int, tokens: np.ndarray, params: dict) -> Side:
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(V, H)
            self.rnn = torch.nn.LSTM(H, H, num_layers=L)
            self.readout = torch.nn.Linear(H, V)

        def forward(self, tokens, carry):
            y, carry = self.rnn(self.embedding(tokens), carry)
            return self.readout(y), carry

    device = torch_device()
    model = Model().to(device)
    theirs = {"embedding.weight": params["embedding"], "readout.weight": params["readout"].T}
    theirs["readout.bias"] = params["bias"]
    for k, layer in enumerate(params["cell"].values()):
        theirs |= {f"rnn.weight_ih_l{k}": layer["kernel"].T, f"rnn.weight_hh_l{k}": layer["recurrent_kernel"].T}
        theirs |= {f"rnn.bias_ih_l{k}": layer["bias"], f"rnn.bias_hh_l{k}": jnp.zeros_like(layer["bias"])}
    model.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in theirs.items()})
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    inputs, targets = (torch.from_numpy(t).long().to(device) for t in (tokens[:-1], tokens[1:]))
    carry = tuple(torch.zeros(L, B, H, device=device) for _ in range(2))

    def step():
        nonlocal carry
        optimizer.zero_grad()
        logits, after = model(inputs, carry)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        carry = tuple(a.detach() for a in after)
        return torch_wait(loss.detach())

    # Of its two biases in each cell one is for cuDNN's sake: the model is the same without.
    count = sum(p.numel() for name, p in model.named_parameters() if "bias_hh" not in name)
    return step, count, {}


SIDES = {"jaxrnn": ours, "nnx": nnx, "torch": torch}


def same(sides: dict[str, Side]) -> None:
    """The same size, the same first loss, and after a step nearly so. Raises AssertionError.

    The first to rounding: means over the same numbers. The second to a hundredth: PyTorch trains two biases for one.
    """
    sizes = {name: count for name, (_, count, _) in sides.items()}
    assert len(set(sizes.values())) == 1, f"numbers of parameters differ: {sizes}"
    for tolerance in (1e-4, 1e-2):
        losses = {name: float(step()) for name, (step, _, _) in sides.items()}
        assert max(losses.values()) / min(losses.values()) - 1 < tolerance, f"losses differ: {losses}"


def table(seconds: float = 10.0, sizes: tuple[str, ...] = ("200,20", "200,35", "650,35")) -> Report:
    """Milliseconds (minimum) of a train step of a 2 x H LSTM language model on T steps of 20 streams, and ratios.

    seconds: how long a row is timed. sizes: H,T of each.
    """
    names = [name for name in SIDES if name != "torch" or present("torch")]
    facts = setting("flax", "optax", *(["torch"] if "torch" in names else []))
    facts["best product"] = f"{gemm_peak() / 1e9:.0f} GFLOP/s"
    ratios = [NNX, *([TORCH] if "torch" in names else []), FLOOR]
    columns = ["model", "parameters", "B, T", *(f"{name} ms" for name in names), *ratios, "temporary MB", "compile s"]
    report = Report(facts, columns)
    for H, T in (map(int, text.split(",")) for text in sizes):
        tokens = np.random.default_rng(0).integers(0, V, (T + 1, B), np.int32)
        params = model_of(H).init(jax.random.key(0))
        sides = {name: SIDES[name](H, T, tokens, params) for name in names}
        same(sides)
        calls = {name: Contender(step, **costs) for name, (step, _, costs) in sides.items()}
        times = interleaved({name: each.call for name, each in calls.items()}, seconds=seconds)
        row = {"model": f"{L} x {H}", "parameters": sides["jaxrnn"][1], "B, T": f"{B}, {T}"}
        for name, each in calls.items():
            row[f"{name} ms"], row[f"{name} median ms"] = times[name]
            row[f"{name} temporary MB"], row[f"{name} compile s"] = each.temporary_mb, each.compile_s
            if name != "jaxrnn":
                row[f"{name} / jaxrnn"] = times[name].minimum / times["jaxrnn"].minimum
                row[f"{name} / jaxrnn, medians"] = times[name].median / times["jaxrnn"].median
        flops = L * rnn_flops("lstm", B, T, H, H, "gradient") + 3 * 2 * B * T * H * V
        row["floor ms"] = floor_ms(flops)
        row[FLOOR] = row["floor ms"] / times["jaxrnn"].minimum
        row["temporary MB"], row["compile s"] = calls["jaxrnn"].temporary_mb, calls["jaxrnn"].compile_s
        report.add(row)
    return report
