"""Learn to write: a recurrent language model on real text, by default the source of Python's own standard library.

    python -m experiments.char_lm                                  about three minutes on two cores
    python -m experiments.char_lm --text FILE_OR_FOLDER --cell gru --hidden 512 --layers 2
    python -m experiments.char_lm --resume                         goes on with the last run, with its options

Prints how well it predicts text it has not seen, beside simple rulers on the same split, and 400 symbols of its own.
Writes to --out: model.json and checkpoints/ (for experiments.sample), metrics.jsonl, loss.png.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax

import jaxrnn
from experiments import program, runs
from experiments.description import check_same, identity_of, load_description, save_description
from experiments.rulers import rulers
from jaxrnn import data, decode, train
from jaxrnn._core.optional import optional
from jaxrnn.train import Checkpoints


@dataclasses.dataclass(frozen=True)
class Options(program.OverDevices):
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
    hidden: int = 384
    """H, hidden units in each layer."""
    layers: int = 1
    """L, cells one above the other."""
    embedding: int | None = 64
    """E, the size of a symbol's learned vector; None: one-hot."""
    dropout: float = 0.0
    """Of what goes into the first layer, from each to the next, and out of the last."""
    weight_drop: float = 0.0
    """Of the recurrent kernels (Merity, Keskar and Socher 2017)."""
    batch: int = 32
    """B, streams read side by side."""
    window: int = 64
    """Steps between updates, and those a gradient reaches back at most: truncated BPTT with k1 = k2."""
    steps: int = 2400
    """Updates in all."""
    rate: float = 4e-3
    """The highest learning rate, of a warm-up and cosine decay."""
    decay: float = 0.0
    """Weight decay of AdamW."""
    clip: float = 1.0
    """The largest norm of a gradient (Pascanu, Mikolov and Bengio 2013)."""
    every: int = 300
    """Steps between evaluations, each of which is also saved."""
    sample: int = 400
    """Symbols to write at the end."""
    temperature: float = 0.7
    """Of that sample."""
    seed: int = 0
    """Of the parameters and of the sample."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/, or with --resume the last of those."""
    resume: bool = False
    """Go on with the run in `out`, with its options; of those, only `steps`, `every`, `devices`, the sample's and the
    place of the same text may be new."""


# New with --resume: how long and what to write at the end, and where the text is, which its digest tells apart.
MAY_CHANGE = "steps", "every", "devices", "sample", "temperature", "text"


class Read(NamedTuple):
    """A text, read and numbered."""

    text: str  # to learn from
    held_out_text: str
    vocabulary: data.Vocabulary
    numbers: np.ndarray  # of `text`
    held_out: np.ndarray
    sha256: str  # of all of it


def main(options: Options) -> dict:
    """Train, evaluate, write; returns the last line of metrics."""
    begun = None
    if options.resume:
        begun = runs.folder("char_lm", options.out, new=False)
        runs.claim(begun)
        runs.check_resumable(dataclasses.replace(options, out=begun), MAY_CHANGE)
    elif options.out is not None:
        runs.check_free(options.out)  # before the text is read
    choose = decode.sampling(options.temperature)
    read = read_in(options)
    where = options.text or "Python's standard library"
    print(
        f"{where}: {len(read.numbers):,} {options.symbols} to learn from, {len(read.held_out):,} held out, "
        f"V={len(read.vocabulary)}"
    )

    model = model_of(options, len(read.vocabulary))
    streams = data.Streams(read.numbers, options.batch, options.window)
    losses = train.next_symbol(model)
    rate = optax.warmup_cosine_decay_schedule(0.0, options.rate, min(100, options.steps // 10), options.steps, 1e-5)
    optimizer = optax.chain(optax.clip_by_global_norm(options.clip), optax.adamw(rate, weight_decay=options.decay))
    update = train.make_update(losses, optimizer, key=jax.random.key(options.seed))
    state = train.start(model, jax.random.key(options.seed), optimizer, (options.batch,))
    count = sum(p.size for p in jax.tree.leaves(state.params))
    print(f"{model}: {count:,} parameters, {options.steps} steps of {options.batch} x {options.window}")

    evaluate = train.make_evaluate(losses, devices=options.devices)
    held_out_streams = data.Streams(read.held_out, min(options.batch, len(read.held_out) - 1), options.window)
    fresh = model.initial_carry(state.params, (held_out_streams.batch_size,))

    def held_out_bits(state):
        return evaluate(state.params, fresh, held_out_streams) / math.log(2)

    out = begun or runs.folder("char_lm", options.out, new=True)
    log, checkpoints = out / "metrics.jsonl", Checkpoints(out, tell=functools.partial(print, file=sys.stderr))
    run, lines = secrets.token_hex(8), []  # the former tells two runs with the same options apart
    if options.resume:
        state, lines, run = gone_on_with(checkpoints, state, model, read, run)
    kept = {"options": {**runs.plain(options), "out": str(out)}, "text_sha256": read.sha256, "run": run}
    identity = save_description(out, model, read.vocabulary, **kept)
    if not options.resume:
        checkpoints.save(0, state, {"identity": identity, "lines": lines})  # a full disk is found before the work
    runs.write_lines(log, lines)

    def on_report(report, state):
        line = {
            **report._asdict(),
            "loss": report.loss / math.log(2),
            "held_out": held_out_bits(state),
            "rate": float(np.asarray(rate(report.step))),
        }
        lines.append(line)
        checkpoints.save(report.step, state, {"identity": identity, "lines": lines})
        with log.open("a", encoding="utf-8") as file:  # if it does not come so far, the checkpoint has the line
            file.write(json.dumps(line) + "\n")
        print(
            f"step {report.step:5d}   train {line['loss']:.3f}   held out {line['held_out']:.3f} bits per symbol   "
            f"{report.steps_per_second:.1f} steps/s"
        )

    began = time.perf_counter()
    try:
        state, complete = train.fit(
            update,
            state,
            streams,
            options.steps,
            every=options.every,
            on_report=on_report,
            unit="nats",
            devices=options.devices,
        )
    except train.NotFinite as error:
        checkpoints.save(int(error.state.step), error.state, {"identity": identity, "lines": lines})
        sys.exit(f"stopped, and saved as it was before: {error}")
    finally:
        checkpoints.close()
    print(f"trained for {time.perf_counter() - began:.0f} s")
    if not complete:
        print(f"interrupted, and saved at step {int(state.step)} in {out}; --resume goes on")
        return {}
    if not lines or lines[-1]["step"] != int(state.step):  # a log that jaxrnn 0.1.0 left without its last line
        print(f"no line of metrics for step {int(state.step)} was found: evaluated anew")
        lines.append({"step": int(state.step), "held_out": held_out_bits(state)})
        runs.write_lines(log, lines)

    bits = lines[-1]["held_out"]
    began = time.perf_counter()
    found = rulers(read.numbers, read.held_out, len(read.vocabulary), read.text, read.held_out_text)
    print(f"\nbits per symbol of the held-out text (rulers took {time.perf_counter() - began:.0f} s)")
    for name, value in sorted([*found.items(), (str(model.cell), bits)], key=lambda ruler: -ruler[1]):
        print(f"  {value:6.3f}  {name}")
    plot(lines, found, out / "loss.png")

    _, written = decode.generate(
        model.step,
        state.params,
        model.initial_carry(state.params),
        read.vocabulary.encode(read.held_out_text[:100]),
        options.sample,
        key=jax.random.key(options.seed),
        choose=choose,
    )
    print(f"\n--- {options.sample} symbols of its own after the first 100 held out, temperature {options.temperature}")
    print(program.shown(read.vocabulary.decode(np.asarray(written))))
    print(f"---\nwritten to {out}: metrics.jsonl, loss.png, model.json, checkpoints/")
    print(f"more of it: make sample ARGS='--model {out}'")
    return {**lines[-1], "rulers": found}


def read_in(options: Options) -> Read:
    """The text, numbered; exits with the option to change where it is too short to be learnt from and judged by."""
    texts = standard_library() if options.text is None else data.read_text(options.text)
    text, held_out_text = data.split_text(texts, options.held_out)
    vocabulary = data.Vocabulary.of(text, options.symbols, at_least=2, at_most=options.vocabulary)
    numbers, held_out = vocabulary.encode(text), vocabulary.encode(held_out_text)

    def said(option):
        value, default = getattr(options, option), Options.__dataclass_fields__[option].default
        return f"--{option.replace('_', '-')} {value}" + " (the default)" * (value == default)

    if len(numbers) <= options.batch:
        sys.exit(
            f"text: {len(numbers):,} {options.symbols} to learn from are too few for {said('batch')}: expected more "
            f"than one for each of these streams; give a longer text or a --batch below {max(len(numbers), 2)}"
        )
    if len(held_out) < 2:
        sys.exit(
            f"text: with {said('held_out')}, {len(held_out)} of {len(numbers) + len(held_out):,} {options.symbols} are "
            "held out, and to judge by them takes 2; give a longer text or a larger --held-out"
        )
    if len(vocabulary) < 2:
        sys.exit(
            f"text: none of its {len(numbers):,} {options.symbols} to learn from comes twice: give a longer text, or "
            "other --symbols"
        )
    return Read(text, held_out_text, vocabulary, numbers, held_out, hashlib.sha256("".join(texts).encode()).hexdigest())


def model_of(options: Options, symbols: int) -> jaxrnn.models.LanguageModel:
    """The model that the options ask for."""
    layer = jaxrnn.CELLS[options.cell](options.hidden)
    if options.weight_drop:
        layer = jaxrnn.weight_drop(layer, options.weight_drop)
    cell = jaxrnn.stack(*[layer] * options.layers, dropout=options.dropout)
    if options.dropout:
        cell = jaxrnn.dropout(cell, input=options.dropout, output=options.dropout)
    return jaxrnn.models.language_model(cell, symbols, options.embedding)


def gone_on_with(checkpoints: Checkpoints, state: train.TrainState, model: Any, read: Read, run: str) -> tuple:
    """(the state of the newest whole checkpoint, the lines of metrics up to it, the run that it is of).

    `state`, if none was saved yet; `run`, if the run has no name. Exits, or raises, where something is of another run.
    """
    out = checkpoints.folder
    more = load_description(out)[2]
    if more.get("text_sha256") != read.sha256:
        sys.exit(f"resume: the text is not the one that the run in {out} learnt from")
    if identity_of(model, read.vocabulary, more.get("run")) != more["identity"]:
        sys.exit(f"resume: model.json in {out} has another model or vocabulary than its options and its text give")
    beside = checkpoints.beside()
    check_same(out, more["identity"], beside)
    run = more.get("run", run)
    if checkpoints.latest() is None:
        print(f"no checkpoint in {out} yet: going on with it at step 0")
        return state, [], run
    state = checkpoints.restore(state)
    lines = beside["lines"] if beside else runs.logged_until(out / "metrics.jsonl", int(state.step))
    print(f"going on with {out} at step {int(state.step)}")
    return state, lines, run


def standard_library() -> list[str]:
    """The top-level modules of the running Python, real text on every machine."""
    return data.read_text(Path(os.__file__).parent, "*.py")


def plot(lines: list[dict], found: dict, path: Path) -> None:
    """Train and held-out bits per symbol against steps, with the rulers as level lines."""
    optional("matplotlib", "train", "the loss curve").use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    steps = [line["step"] for line in lines]
    axes.plot(steps, [line.get("loss", math.nan) for line in lines], label="train", color="tab:blue", alpha=0.6)
    axes.plot(
        steps, [line["held_out"] for line in lines], label="held out", color="tab:orange", marker="o", markersize=3
    )
    for name, value in found.items():
        if name not in ("uniform", "unigram"):  # far above the curve
            axes.axhline(value, color="gray", linewidth=0.8, linestyle="--")
            axes.annotate(
                name, (steps[-1] / 100, value), xytext=(0, 2), textcoords="offset points", fontsize=8, color="gray"
            )
    axes.set(xlabel="updates", ylabel="bits per symbol", xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    runs.save_figure(figure, path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    program.run(Options, main, "char_lm", __doc__)
