"""Begin in PyTorch, go on in jaxrnn, ship to ONNX Runtime: one network, and the same figure at each border.

    python -m experiments.from_torch                        half a minute on two cores
    python -m experiments.from_torch --text FILE --hidden 256 --steps 1000

A character model of nn.Embedding, nn.LSTM and nn.Linear is trained in PyTorch. `from_torch` brings its LSTM in, jaxrnn
trains on, `to_torch` fills the PyTorch module again, `to_onnx` writes the whole model for ONNX Runtime, and `save` puts
it in one file. At each border both sides predict the same held-out text: bits per character, the same figure.

PyTorch adds two biases where jaxrnn has one, their sum: the same function, whose training takes other steps.

Prints one line of JSON; writes to --out: that line (result.json), model.onnx, model.safetensors, from_torch.png. Needs
PyTorch and onnxruntime beside the extras "train", "files" and "onnx".
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

import jaxrnn
from experiments import program, runs
from jaxrnn import data, interop, train
from jaxrnn._core.files import replace, replacing
from jaxrnn._core.optional import optional
from jaxrnn.cli import char_lm
from jaxrnn.cli.texts import read_in
from jaxrnn.models import language_model


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
    text: Path | None = None
    """A file, or a folder of text files. None: the modules of this Python's standard library."""
    characters: int = 2_000_000
    """At most so many of them are learnt from, and a tenth as many held out."""
    hidden: int = 192
    """H, hidden units."""
    embedding: int = 32
    """E, the size of a character's vector."""
    batch: int = 32
    """B, streams read side by side."""
    window: int = 64
    """Steps between updates."""
    steps: int = 400
    """Updates in PyTorch, and as many in jaxrnn."""
    rate: float = 4e-3
    """The learning rate of Adam, here and there."""
    seed: int = 0
    """Of the parameters."""
    fast: bool = False
    """A run of seconds: 20,000 characters, 16 units, 20 updates."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/."""


def main(options: Options) -> dict:
    """Train there and here, carry over, compare; returns the line."""
    if options.fast:
        options = dataclasses.replace(options, characters=20_000, hidden=16, embedding=8, batch=4, steps=20)
    torch, onnxruntime = (optional(name, "peers", "experiments.from_torch") for name in ("torch", "onnxruntime"))
    read = read_in(char_lm.Options(text=options.text, batch=options.batch, copied=1.0))
    learnt = data.Streams(read.numbers[: options.characters], options.batch, options.window)
    held_out = data.Streams(read.held_out[: options.characters // 10], options.batch, options.window)
    out, V = runs.folder("from_torch", options.out, new=True), len(read.vocabulary)
    figures: dict[str, float] = {}

    def judge(stage: str, logits_of: Callable) -> None:
        figures[stage] = bits(logits_of, held_out)
        print(f"{figures[stage]:.6f} bits per character   {stage}", file=sys.stderr)

    torch.manual_seed(options.seed)
    embedding, lstm, readout = layers = (
        torch.nn.Embedding(V, options.embedding),
        torch.nn.LSTM(options.embedding, options.hidden),
        torch.nn.Linear(options.hidden, V),
    )

    def in_torch(carry, tokens):
        ys, carry = lstm(embedding(torch.from_numpy(tokens)), carry)
        return carry, readout(ys)

    torch_learns(torch, layers, in_torch, learnt, options)
    judge("PyTorch, trained", in_torch)

    # In. An LSTM is a call; the layers around it are an array each.
    cell, params = interop.from_torch(lstm)
    model = language_model(cell, V, options.embedding)
    theirs = {"embedding": embedding.weight, "readout": readout.weight.T, "bias": readout.bias}
    params = {"cell": params, **{name: a.detach().numpy() for name, a in theirs.items()}}
    apply = jax.jit(model.apply)
    judge("jaxrnn, as it came", lambda carry, tokens: apply(params, carry, tokens))

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(options.rate))

    def loss(params, carry, window, key):
        return model.loss(params, carry, window.tokens, window.targets, weights=window.weights)

    how: Any = {"carry": model.initial_carry(params, (options.batch,)), "optimizer": optimizer, "progress": False}
    params = train.learn(loss, params, learnt, steps=options.steps, **how).params
    judge("jaxrnn, trained on", lambda carry, tokens: apply(params, carry, tokens))

    # Back, and on to two files.
    interop.to_torch(cell, params["cell"], into=lstm)
    with torch.no_grad():
        for parameter, name in (embedding.weight, "embedding"), (readout.weight.T, "readout"), (readout.bias, "bias"):
            parameter.copy_(torch.from_numpy(np.array(params[name])))
    judge("PyTorch again", in_torch)

    with replacing(out / "model.onnx") as file:
        file.write(interop.to_onnx(model, params, lengths=False).SerializeToString())
    session = onnxruntime.InferenceSession(out / "model.onnx")
    judge("ONNX Runtime", lambda carry, tokens: in_onnx_runtime(session, model, params, carry, tokens))

    jaxrnn.save(out / "model.safetensors", model, params, vocabulary=read.vocabulary)
    again, kept, *_ = jaxrnn.load(out / "model.safetensors")
    judge("from its file", lambda carry, tokens: again.apply(kept, carry, tokens))

    line = {**{k: round(v, 6) for k, v in figures.items()}, "options": runs.plain(options)}
    replace(out / "result.json", json.dumps(line) + "\n")
    plot(figures, options, out / "from_torch.png")
    print(json.dumps({**line, "out": str(out)}))
    return line


def bits(logits_of: Callable, streams: data.Streams) -> float:
    """Bits per symbol of the streams, in the mean; logits_of(carry, tokens) -> (carry, logits), the first from None."""
    carry, total, count = None, 0.0, 0.0
    for window in streams:
        carry, logits = logits_of(carry, window.tokens)
        logits = np.asarray(logits.detach() if hasattr(logits, "detach") else logits, np.float64)
        top = logits.max(-1, keepdims=True)
        nats = np.log(np.exp(logits - top).sum(-1)) + top[..., 0]
        nats -= np.take_along_axis(logits, window.targets[..., None], -1)[..., 0]
        total, count = total + (nats * window.weights).sum(), count + window.weights.sum()
    return float(total / count / math.log(2))


def torch_learns(torch: Any, layers: Any, run: Callable, streams: data.Streams, options: Options) -> None:
    """Truncated BPTT in PyTorch: Adam on windows one after another, the carry passed on without its gradient."""
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    adam = torch.optim.Adam(parameters, options.rate)
    carry: Any = None
    for k in range(options.steps):
        window = streams[k]
        carry = None if window.fresh[0] else tuple(part.detach() for part in carry)
        carry, logits = run(carry, window.tokens)
        targets = torch.from_numpy(window.targets).long()
        nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        weights = torch.from_numpy(window.weights).flatten()
        adam.zero_grad()
        ((nats * weights).sum() / weights.sum()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()


def in_onnx_runtime(session: Any, model: Any, params: Any, carry: Any, tokens: np.ndarray) -> tuple[dict, np.ndarray]:
    """A window in ONNX Runtime, whose carry is arrays by name."""
    if carry is None:
        carry = model.initial_carry(params, tokens.shape[1:])._asdict()
    given = {f"carry.{name}": np.asarray(a) for name, a in carry.items()}
    logits, *new = session.run(["logits", *(f"new_{name}" for name in given)], {"tokens": tokens, **given})
    return dict(zip(carry, new, strict=True)), logits


def plot(figures: dict[str, float], options: Options, path: Path) -> None:
    """The figure at each stage: level where a border was crossed, a step down where it was trained."""
    optional("matplotlib", "train", "the figure").use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 12
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    places, values = range(len(figures)), list(figures.values())
    axes.plot(places, values, color="0.7", linewidth=1.5, zorder=1)
    colors = ["tab:orange" if "PyTorch" in name else "tab:green" if "ONNX" in name else "tab:blue" for name in figures]
    axes.scatter(places, values, c=colors, s=90, zorder=2)
    for place, value in zip(places, values, strict=True):
        axes.annotate(f"{value:.4f}", (place, value), (0, -20), textcoords="offset points", ha="center")
    axes.set_xticks(places, [name.replace(", ", "\n") for name in figures])
    spread = max(values) - min(values)
    axes.set(ylabel="bits per held-out character", ylim=(min(values) - 0.3 * spread, max(values) + 0.3 * spread))
    axes.set_title(f"One LSTM of {options.hidden} units in three programs, {options.steps} updates in two of them")
    axes.spines[["top", "right"]].set_visible(False)
    runs.save_figure(figure, path)
    plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "from_torch", __doc__)
