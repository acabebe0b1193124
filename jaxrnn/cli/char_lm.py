"""Learn to write: a recurrent language model on real text, by default the source of Python's own standard library.

    make train                                      three to five minutes on two cores; jaxrnn train is the same
    make train ARGS="--text FILE_OR_FOLDER --cell gru --hidden 512 --layers 2"
    make train ARGS=--resume                        goes on with the last run, with its options

Prints how well it predicts text it has not seen, beside simple rulers on the same split, and 400 symbols of its own.
Writes to --out: model.json and checkpoints/ (for make sample), metrics.jsonl, loss.png.

Held out are whole files at the end of a folder in shuffled order. Those of which more than --copied stands in the files
to learn from, in runs of 50 characters, are left out of it; how much of the rest does is printed.
Dynamic evaluation (Krause et al. 2018): the model goes on learning from what it has just predicted, as a compressor
does; its rate and decay were chosen on a tenth of the default text to learn from, by a model that had not read it.

It trains by `train.fit` and not by `train.learn`, in whose checkpoints those of earlier runs could not go on.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import secrets
import sys
import time
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import numpy as np
import optax

from jaxrnn import data, decode, models, train
from jaxrnn.cells import CELLS
from jaxrnn.cli import program, runs
from jaxrnn.cli.description import check_same, identity_of, load_description, save_description
from jaxrnn.cli.rulers import rulers
from jaxrnn.cli.telling import Paced, clock, first_line, lasting, meaning, plot, table
from jaxrnn.cli.texts import Read, read_in
from jaxrnn.train import Checkpoints
from jaxrnn.wrappers import dropout, stack, weight_drop


@dataclasses.dataclass(frozen=True)
class Options(program.Readable, program.OverDevices):
    """Those of `jaxrnn train`."""

    text: Path | None = None
    """A file, or a folder of text files. None: the modules of this Python's standard library."""
    symbols: Literal["characters", "bytes", "words"] = "characters"
    """What the text is cut into."""
    vocabulary: int = 10_000
    """At most so many different symbols; the rest count as one unknown."""
    held_out: float = 0.1
    """The share at the end of the text that is not trained on."""
    copied: float = 0.1
    """Held-out files of which a larger share is in the text to learn from too are left out; 1: none."""
    cell: Literal[tuple(CELLS)] = "lstm"  # type: ignore[valid-type]
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
    adapt: float = 2e-3
    """The learning rate with which it is evaluated dynamically too, at the end; 0: it is not."""
    sample: int = 400
    """Symbols to write at the end."""
    temperature: float = 0.7
    """Of that sample."""
    seed: int = 0
    """Of the parameters and of the sample."""
    out: Path | None = None
    """The folder to write to. None: a new one in runs/, or with --resume the last of those."""
    resume: bool = False
    """Go on with the run in `out`, with its options; of those, only `steps`, `every`, `adapt`, `devices`, the sample's
    and the place of the same text may be new."""
    BEFORE: ClassVar = {"copied": 1.0}


ADAPTED = "the same, learning as it reads"
# Of dynamic evaluation: the rows and steps of a window, the windows of training that tell how large gradients are, and
# how fast params go back to those trained, and what is added to how large gradients are.
ROWS, STEPS, STATISTICS, DECAY, EPSILON = 16, 32, 100, 1e-3, 1e-4
# New with --resume: how long and what to write at the end, and where the text is, which its digest tells apart.
MAY_CHANGE = "steps", "every", "adapt", "devices", "sample", "temperature", "text", "json"


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
    where = options.text or "Python's standard library"
    print(
        f"{name_of(options)}: learns to write like {where}, and is asked about text that it has not seen; Ctrl-C saves"
    )
    read = read_in(options)
    print(
        f"{where}: {len(read.numbers):,} {options.symbols} to learn from, {len(read.held_out):,} held out, "
        f"V={len(read.vocabulary)}"
    )
    print(read.said)

    model = model_of(options, len(read.vocabulary))
    streams = data.Streams(read.numbers, options.batch, options.window)
    losses = train.next_symbol(model)
    rate = optax.warmup_cosine_decay_schedule(0.0, options.rate, min(100, options.steps // 10), options.steps, 1e-5)
    optimizer = optax.chain(optax.clip_by_global_norm(options.clip), optax.adamw(rate, weight_decay=options.decay))
    update = train.make_update(losses, optimizer, key=jax.random.key(options.seed))
    state = train.start(model, jax.random.key(options.seed), optimizer, (options.batch,))
    count = sum(p.size for p in jax.tree.leaves(state.params))
    print(f"{model}: {count:,} parameters, {options.steps} steps of {options.batch} x {options.window}")
    print("how long that takes here is said after the first of them")

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

    def written(params):
        """What it writes after the first held-out symbols, the same random numbers each time."""
        prime, key = read.vocabulary.encode(read.held_out_text[:100]), jax.random.key(options.seed)
        start = model.initial_carry(params)
        found = decode.generate(model.step, params, start, prime, options.sample, key=key, choose=choose)[1]
        return read.vocabulary.decode(np.asarray(found))

    def tell_time(step, left):
        """An evaluation passes once forward over the held-out text, a dynamic one forth and back as a step does."""
        symbol = step / (options.batch * options.window)
        passes = -(-left // options.every) / 3 + bool(options.adapt)
        rest = step * left + symbol * len(read.held_out) * passes
        rest += 2e-6 * (len(read.numbers) + len(read.held_out))  # the rulers
        print(f"a step takes {1000 * step:.0f} ms here: about {lasting(rest)} to go, until {clock(rest)}")

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
        print(f"             writes: {first_line(written(jax.device_get(state.params)))}")

    began = time.perf_counter()
    try:
        state, complete = train.fit(
            update,
            state,
            Paced(streams, options.steps, options.every, tell_time),
            options.steps,
            every=options.every,
            on_report=on_report,
            unit="bits",
            scale=1 / math.log(2),
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

    bits, began = lines[-1]["held_out"], time.perf_counter()
    found = rulers(read.numbers, read.held_out, len(read.vocabulary), read.text, read.held_out_text)
    took, began, name = time.perf_counter() - began, time.perf_counter(), name_of(options)
    figures, last = {name: bits, **found}, {**lines[-1], "rulers": found}
    if options.adapt:
        dynamic = dynamic_bits(losses, model, state.params, read.numbers, read.held_out, options)
        if math.isfinite(dynamic):
            last["dynamic"] = figures[ADAPTED] = dynamic
        else:
            print(f"dynamic evaluation was no success: give a smaller --adapt than {options.adapt}")
    print(f"\nbits per symbol of the held-out text, fewer is better (rulers took {took:.0f} s, ", end="")
    print(f"dynamic evaluation {time.perf_counter() - began:.0f} s)")
    print(table(figures, (name, ADAPTED)))
    print(meaning(bits, options.symbols, found["uniform"]))
    plot(lines, {other: value for other, value in figures.items() if other != name}, out / "loss.png")

    print(f"\n--- {options.sample} symbols of its own after the first 100 held out, temperature {options.temperature}")
    print(program.shown(written(state.params)))
    print(f"---\nwritten to {out}: metrics.jsonl, loss.png, model.json, checkpoints/")
    print(f"more of it: make sample ARGS='--model {out}', or jaxrnn sample --model {out}")
    return last


def name_of(options: Options) -> str:
    """What the model is, for people."""
    return f"{options.cell} of {options.hidden} units" + f", {options.layers} layers" * (options.layers > 1)


def dynamic_bits(losses: Any, model: Any, params: Any, learnt: Any, held_out: Any, options: Any) -> float:
    """Bits per symbol of a model that goes on learning while it is evaluated, of numbers; options: adapt, devices."""
    rows, steps = min(ROWS, len(held_out) - 1, len(learnt) - 1), STEPS
    seen, asked = (data.Streams(numbers, rows, steps) for numbers in (learnt, held_out))
    carry, how = model.initial_carry(params, (rows,)), {"devices": options.devices}
    squares = train.mean_square(losses, params, carry, itertools.islice(seen, STATISTICS), **how)
    rates = {"rate": options.adapt, "decay": DECAY, "epsilon": EPSILON}
    return train.dynamic_evaluate(losses, params, carry, asked, squares, **rates, **how).loss / math.log(2)


def model_of(options: Options, symbols: int) -> models.LanguageModel:
    """The model that the options ask for."""
    layer = CELLS[options.cell](options.hidden)
    if options.weight_drop:
        layer = weight_drop(layer, options.weight_drop)
    cell = stack(*[layer] * options.layers, dropout=options.dropout)
    if options.dropout:
        cell = dropout(cell, input=options.dropout, output=options.dropout)
    return models.language_model(cell, symbols, options.embedding)


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
