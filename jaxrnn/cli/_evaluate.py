"""How well a trained model predicts a text: bits per symbol, as it is, and as it goes on learning while it reads.

    jaxrnn evaluate                                  the last run, on what it held out
    jaxrnn evaluate --text FILE_OR_FOLDER --json     the same model on another text
    jaxrnn evaluate --model model.safetensors --text FILE --learnt FILE

Dynamic evaluation (Krause et al. 2018) has to know how large gradients were on what was learnt: the text of the run, or
--learnt. Seconds for 100,000 symbols on two cores, a minute for a million; dynamically about four times as long.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

from jaxrnn import data, train
from jaxrnn.cli import char_lm, program, runs
from jaxrnn.cli.telling import meaning
from jaxrnn.cli.texts import read_in
from jaxrnn.cli.trained import language_model


@dataclasses.dataclass(frozen=True)
class Options(program.Readable, program.OverDevices):
    """Those of `jaxrnn evaluate`."""

    model: Path | None = None
    """The folder of a run of jaxrnn train, or a file of jaxrnn.save. None: the last run in runs/."""
    text: Path | None = None
    """A file, or a folder of text files. None: what the run held out."""
    learnt: Path | None = None
    """What the model learnt from. None: the text of the run."""
    adapt: float | None = None
    """The learning rate of dynamic evaluation; 0: none. None: that of the run."""


def main(options: Options) -> dict[str, Any]:
    """Print, and return bits per symbol."""
    model, params, vocabulary, folder = language_model(options.model)
    assert vocabulary is not None
    own = char_lm.Options() if folder is None else runs.saved(char_lm.Options, folder)
    options = dataclasses.replace(options, adapt=own.adapt if options.adapt is None else options.adapt)
    read = None
    if folder is not None and (options.text is None or (options.adapt and options.learnt is None)):
        read = read_in(own)

    def numbers_of(place, of_the_run):
        if place is not None:
            return vocabulary.encode("".join(data.read_text(place)))
        return None if read is None else getattr(read, of_the_run)

    held_out, learnt = numbers_of(options.text, "held_out"), numbers_of(options.learnt, "numbers")
    if held_out is None:
        raise program.Usage("--text: expected a file or a folder, got None; a model from a file has no text of its own")
    if len(held_out) < 2:
        sys.exit(f"text: expected at least 2 symbols to predict one, got {len(held_out)}")
    losses = train.next_symbol(model)
    streams = data.Streams(held_out, min(own.batch, len(held_out) - 1), own.window)
    carry = model.initial_carry(params, (streams.batch_size,))
    nats = train.make_evaluate(losses, devices=options.devices)(params, carry, streams)
    found = {"symbols": len(held_out) - 1, "bits": nats / math.log(2)}
    if options.adapt and learnt is not None:
        found["dynamic"] = char_lm.dynamic_bits(losses, model, params, learnt, held_out, options)
        if not math.isfinite(found["dynamic"]):
            sys.exit(f"adapt: expected a rate at which the model stays one, got {options.adapt}; give a smaller one")
    for name, said in {"bits": "as it is", "dynamic": "learning as it reads"}.items():
        if name in found:
            print(f"{found[name]:.3f} bits per symbol   {said}")
    if options.adapt and learnt is None:
        print("not evaluated dynamically: --learnt wants the text that the model learnt from")
    print(meaning(found["bits"], vocabulary.kind, math.log2(model.vocabulary_size)))
    return found
