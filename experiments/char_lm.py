"""Learn to write: a recurrent language model on real text, by default the source of Python's own standard library.

    python -m experiments.char_lm                                  about three minutes on two cores
    python -m experiments.char_lm --text FILE_OR_FOLDER --cell gru --hidden 512 --layers 2
    python -m experiments.char_lm --resume                         goes on with a run that was stopped

Prints how well it predicts text it has not seen, beside simple rulers on the same split, and 400 symbols of its own.
Writes to --out: model.json and checkpoints/ (for experiments.sample), metrics.jsonl, loss.png.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import optax

import jaxrnn
from experiments.rulers import rulers
from jaxrnn import data, decode, train
from jaxrnn.checkpoint import Checkpoints, save_description
from jaxrnn.optional import optional


@dataclasses.dataclass(frozen=True)
class Options:
    text: Path | None = None
    """A file, or a folder of text files. None: the modules of this Python's standard library."""
    symbols: Literal["characters", "bytes", "words"] = "characters"
    """What the text is cut into."""
    vocabulary: int = 10_000
    """At most so many different symbols; the rest count as one unknown."""
    held_out: float = 0.1
    """The share at the end of the text that is not trained on."""
    cell: Literal[tuple(jaxrnn.CELLS)] = "lstm"  # type: ignore[valid-type]
    """The recurrent cell."""
    hidden: int = 512
    """H, hidden units in each layer."""
    layers: int = 1
    """L, cells one above the other."""
    embedding: int | None = 64
    """E, the size of a symbol's learned vector; None: one-hot."""
    batch: int = 32
    """B, streams read side by side."""
    window: int = 64
    """Steps between updates, and those a gradient reaches back at most: truncated BPTT with k1 = k2."""
    steps: int = 2000
    """Updates in all."""
    rate: float = 4e-3
    """The highest learning rate, of a warm-up and cosine decay."""
    decay: float = 0.0
    """Weight decay of AdamW."""
    clip: float = 1.0
    """The largest norm of a gradient (Pascanu, Mikolov and Bengio 2013)."""
    every: int = 200
    """Steps between evaluations, each of which is also saved."""
    sample: int = 400
    """Symbols to write at the end."""
    temperature: float = 0.7
    """Of that sample."""
    seed: int = 0
    """Of the parameters and of the sample."""
    out: Path = Path("runs/char_lm")
    """The folder to write to."""
    resume: bool = False
    """Go on from the last checkpoint in `out`. The options must be those of the run, but for `steps`."""


def main(options: Options) -> dict:
    """Train, evaluate, write; returns the last line of metrics."""
    texts = standard_library() if options.text is None else data.read_text(options.text)
    text, held_out_text = data.split_text(texts, options.held_out)
    vocabulary = data.Vocabulary.of(text, options.symbols, at_least=2, at_most=options.vocabulary)
    numbers, held_out = vocabulary.encode(text), vocabulary.encode(held_out_text)
    where = options.text or "Python's standard library"
    print(f"{where}: {len(numbers):,} {options.symbols} to learn from, {len(held_out):,} held out, V={len(vocabulary)}")

    cell = jaxrnn.stack(*[jaxrnn.CELLS[options.cell](options.hidden)] * options.layers)
    model = jaxrnn.models.language_model(cell, len(vocabulary), options.embedding)
    streams = data.Streams(numbers, options.batch, options.window)
    losses = train.next_symbol(model)
    rate = optax.warmup_cosine_decay_schedule(0.0, options.rate, min(100, options.steps // 10), options.steps, 1e-5)
    optimizer = optax.chain(optax.clip_by_global_norm(options.clip), optax.adamw(rate, weight_decay=options.decay))
    update = train.make_update(losses, optimizer)
    state = train.start(model, jax.random.key(options.seed), optimizer, (options.batch,))
    count = sum(p.size for p in jax.tree.leaves(state.params))
    print(f"{model}: {count:,} parameters, {options.steps} steps of {options.batch} x {options.window}")

    save_description(options.out, model, vocabulary, options=json.loads(json.dumps(vars(options), default=str)))
    checkpoints = Checkpoints(options.out)
    log = options.out / "metrics.jsonl"
    if options.resume:
        state = checkpoints.restore(state)
        keep_until(log, int(state.step))
        print(f"resumed at step {int(state.step)}")
    elif checkpoints.latest() is not None:
        sys.exit(f"{options.out} holds a run already: --resume goes on with it, another --out keeps it, or remove it")
    else:
        log.write_text("")

    evaluate = train.make_evaluate(losses)
    held_out_streams = data.Streams(held_out, min(options.batch, len(held_out) - 1), options.window)
    fresh = model.initial_carry(state.params, (held_out_streams.batch_size,))

    def on_report(report, state):
        bits = evaluate(state.params, fresh, held_out_streams) / math.log(2)
        checkpoints.save(report.step, state)
        line = {
            **report._asdict(),
            "loss": report.loss / math.log(2),
            "held_out": bits,
            "rate": float(np.asarray(rate(report.step))),
        }
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(
            f"step {report.step:5d}   train {line['loss']:.3f}   held out {bits:.3f} bits per symbol   "
            f"{report.steps_per_second:.1f} steps/s"
        )

    began = time.perf_counter()
    try:
        state, complete = train.fit(update, state, streams, options.steps, every=options.every, on_report=on_report)
    except train.NotFinite as error:
        checkpoints.save(int(error.state.step), error.state)
        sys.exit(f"stopped, and saved as it was before: {error}")
    finally:
        checkpoints.close()
    print(f"trained for {time.perf_counter() - began:.0f} s")
    if not complete:
        print(f"interrupted and saved at step {int(state.step)}; --resume goes on")
        return {}

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    bits = lines[-1]["held_out"]
    began = time.perf_counter()
    found = rulers(numbers, held_out, len(vocabulary), text, held_out_text)
    print(f"\nbits per symbol of the held-out text (rulers took {time.perf_counter() - began:.0f} s)")
    for name, value in sorted([*found.items(), (str(cell), bits)], key=lambda ruler: -ruler[1]):
        print(f"  {value:6.3f}  {name}")
    plot(lines, found, options.out / "loss.png")

    prime = vocabulary.encode(held_out_text[:100])
    _, written = decode.generate(
        model.step,
        state.params,
        model.initial_carry(state.params),
        prime,
        options.sample,
        key=jax.random.key(options.seed),
        choose=decode.sampling(options.temperature),
    )
    print(
        f"\n--- after the first 100 held-out symbols, {options.sample} of its own at temperature {options.temperature}"
    )
    print(vocabulary.decode(np.asarray(written)))
    print(
        f"---\nwritten: {log}, {options.out / 'loss.png'}, {options.out / 'model.json'}, {options.out / 'checkpoints'}"
    )
    print(f"more of it: make sample ARGS='--model {options.out}'")
    return {**lines[-1], "rulers": found}


def standard_library() -> list[str]:
    """The top-level modules of the running Python, real text on every machine."""
    return data.read_text(Path(os.__file__).parent, "*.py")


def keep_until(log: Path, step: int) -> None:
    """Drop what a killed run logged after its last checkpoint."""
    lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step] if log.exists() else []
    log.write_text("".join(line + "\n" for line in lines))


def plot(lines: list[dict], found: dict, path: Path) -> None:
    """Train and held-out bits per symbol against steps, with the rulers as level lines."""
    optional("matplotlib", "train", "the loss curve").use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    steps = [line["step"] for line in lines]
    axes.plot(steps, [line["loss"] for line in lines], label="train", color="tab:blue", alpha=0.6)
    axes.plot(
        steps, [line["held_out"] for line in lines], label="held out", color="tab:orange", marker="o", markersize=3
    )
    for name, value in found.items():
        if name not in ("uniform", "unigram"):  # far above the curve
            axes.axhline(value, color="gray", linewidth=0.8, linestyle="--")
            axes.annotate(name, (steps[0], value), xytext=(0, 2), textcoords="offset points", fontsize=8, color="gray")
    axes.set(xlabel="updates", ylabel="bits per symbol")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(optional("tyro", "train", "reading the options").cli(Options, description=__doc__))
