"""The text that a language model is to learn: read, split, numbered; and how much of what is held out is a copy."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn import data

RUN = 50  # characters: as long a run in both texts is no chance, but copied


class Read(NamedTuple):
    """A text, read and numbered."""

    text: str  # to learn from
    held_out_text: str
    vocabulary: data.Vocabulary
    numbers: np.ndarray  # of `text`
    held_out: np.ndarray
    sha256: str  # of all of it, with what was left out
    said: str  # what was left out as a copy, and how much is one of what was not


def read_in(options: Any) -> Read:
    """The text, numbered; exits with the option to change where it is too short to be learnt from and judged by.

    options: text, symbols, vocabulary, held_out, copied and batch count.
    """
    texts = standard_library() if options.text is None else data.read_text(options.text)
    text, held_out_text = data.split_text(texts, options.held_out)
    held_out_text, said = without_copies(text, last_of(texts, len(held_out_text)), options.copied)
    vocabulary = data.Vocabulary.of(text, options.symbols, at_least=2, at_most=options.vocabulary)
    numbers, held_out = vocabulary.encode(text), vocabulary.encode(held_out_text)

    def asked(option):
        value, default = getattr(options, option), type(options).__dataclass_fields__[option].default
        return f"--{option.replace('_', '-')} {value}" + " (the default)" * (value == default)

    if len(numbers) <= options.batch:
        sys.exit(
            f"text: {len(numbers):,} {options.symbols} to learn from are too few for {asked('batch')}: expected more "
            f"than one for each of these streams; give a longer text or a --batch below {max(len(numbers), 2)}"
        )
    if len(held_out) < 2:
        sys.exit(
            f"text: with {asked('held_out')}, {len(held_out)} of {len(numbers) + len(held_out):,} {options.symbols} "
            "are held out, and to judge by them takes 2; give a longer text or a larger --held-out"
        )
    if len(vocabulary) < 2:
        sys.exit(
            f"text: none of its {len(numbers):,} {options.symbols} to learn from comes twice: give a longer text, or "
            "other --symbols"
        )
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    return Read(text, held_out_text, vocabulary, numbers, held_out, digest, said)


def standard_library() -> list[str]:
    """The top-level modules of the running Python, real text on every machine."""
    return data.read_text(Path(os.__file__).parent, "*.py")


def last_of(texts: list[str], length: int) -> list[str]:
    """The last texts, or the end of the only one, which have so many characters together."""
    if len(texts) == 1:
        return [texts[0][len(texts[0]) - length :]]
    first = len(texts)
    while sum(map(len, texts[first:])) < length:
        first -= 1
    return texts[first:]


def without_copies(text: str, held_out: list[str], at_most: float) -> tuple[str, str]:
    """(the held-out texts together but those of which a larger share than `at_most` is in `text` too, a line on it).

    If all of several are such, or there is only one, none is left out.
    """
    shares = copied(text, held_out)
    kept = [share <= at_most for share in shares]
    if len(held_out) == 1 or not any(kept):
        kept = [True] * len(held_out)
    runs = [max(len(one) - RUN + 1, 0) for one in held_out]
    counted = [n for n, keep in zip(runs, kept, strict=True) if keep]
    share = sum(s * n for s, n, keep in zip(shares, runs, kept, strict=True) if keep) / max(sum(counted), 1)
    said = f"of the held-out text {share:.1%} is a copy, in runs of {RUN} characters that are learnt from too"
    if not all(kept):
        said += f"; {kept.count(False)} of {len(kept)} files, more than {at_most:.0%} copied, were left out of it"
    return "".join(one for one, keep in zip(held_out, kept, strict=True) if keep), said


def copied(text: str, others: list[str]) -> list[float]:
    """Of each of the others, the share of its runs of RUN characters that stand in `text` as well."""
    known = np.sort(_runs(text))
    if not len(known):
        return [0.0] * len(others)
    shares = []
    for other in others:
        wanted = np.sort(_runs(other))
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        shares.append(float((known[at] == wanted).mean()) if len(wanted) else 0.0)
    return shares


def _runs(text: str) -> np.ndarray:
    """A number for each run of RUN characters, the same for the same run, and by chance alone for two others."""
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    count = max(len(characters) - RUN + 1, 0)
    found = np.zeros(count, np.uint64)
    for k in range(RUN if count else 0):
        found = found * np.uint64(0x9E3779B97F4A7C15) + characters[k : k + count]  # wraps around at 2^64
    return found
