"""Write text with a trained model, to the terminal as it comes; control characters but tab and line feed as escapes.

    jaxrnn sample --prime "def main(" --length 1000 --temperature 0.8 --top-p 0.95
    jaxrnn sample --model model.safetensors --temperature 0 --json

It takes seconds on two cores. `make sample ARGS=...` and `python -m experiments.sample` are the same.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxrnn import decode
from jaxrnn.cli import program
from jaxrnn.cli.trained import language_model
from jaxrnn.data import UNKNOWN


@dataclasses.dataclass(frozen=True)
class Options(program.Readable):
    """Those of `jaxrnn sample`."""

    model: Path | None = None
    """The folder of a run of jaxrnn train, or a file of jaxrnn.save. None: the last run in runs/."""
    prime: str = "\n"
    """The text to go on from; it is printed first."""
    length: int = 1000
    """Symbols to write."""
    temperature: float = 0.7
    """Below 1 more likely symbols, 0 always the likeliest."""
    top_k: int | None = None
    """Only from the so many likeliest."""
    top_p: float | None = None
    """Only from the fewest symbols that have this probability together."""
    seed: int = 0
    """Another seed, another text."""


def main(options: Options) -> str:
    """Write; returns what was written, without the prime."""
    model, params, vocabulary, _ = language_model(options.model)
    assert vocabulary is not None
    prime = jnp.asarray(vocabulary.encode(options.prime))
    if not len(prime):
        sys.exit("prime: expected at least one symbol to go on from, got ''")
    choose = decode.sampling(options.temperature, top_k=options.top_k, top_p=options.top_p)
    key = jax.random.key(options.seed)
    numbers, written = [], ""
    print(program.shown(options.prime), end="", flush=True)
    for tokens in decode.stream(
        model.step, params, model.initial_carry(params), prime, options.length, key=key, choose=choose
    ):
        numbers.extend(tokens)
        text = vocabulary.decode(numbers)
        if len(numbers) < options.length:
            text = text.rstrip(UNKNOWN)  # the rest of a character in UTF-8 may still be to come
        print(program.shown(text[len(written) :]), end="", flush=True)
        written = text
    print()
    return written
