"""Text as arrays: reading it, numbering its symbols, and cutting it into streams for truncated backpropagation."""

from __future__ import annotations

import codecs
import dataclasses
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn._core import arrays, checks

UNKNOWN = "\ufffd"  # what an unknown symbol decodes to
KINDS = "characters", "bytes", "words"
# Longer marks first: UTF-32's begins with UTF-16's.
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: str | Path, pattern: str = "**/*") -> list[str]:
    """The texts of a file, or of the files of a folder that match `pattern`, each as one string.

    In UTF-8, or what a byte-order mark says (UTF-16, UTF-32); the mark is no part of the text.
    Files of a folder come in an order shuffled with a fixed seed, the same on every machine, so that a split by
    position is a fair sample of them. Those that are hidden, empty or binary (a NUL and no mark) are skipped.
    Raises FileNotFoundError for a path that does not exist or a folder without text, ValueError with its name for a
    file in another encoding.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"text: expected a file or a folder, found nothing at {path}")
    found = [path] if path.is_file() else sorted(path.glob(pattern))
    hidden = [f for f in found if any(part.startswith(".") for part in f.relative_to(path).parts)]
    files = [f for f in found if f.is_file() and f not in hidden]
    random.Random(0).shuffle(files)
    texts = [text for text in map(_decoded, files) if text]
    if not texts:
        why = f" under {pattern!r}"
        if path.is_file():
            why = ": it holds NUL bytes, as binary files do" if _binary(path.read_bytes()) else ": it is empty"
        raise FileNotFoundError(f"text: found no text in {path}{why}")
    return texts


def _mark(content: bytes) -> tuple[bytes, str]:
    """The byte-order mark that bytes begin with, and the encoding that it tells."""
    return next((found for found in MARKS if content.startswith(found[0])), (b"", "utf-8"))


def _binary(content: bytes) -> bool:
    return not _mark(content)[0] and b"\0" in content[:4096]


def _decoded(path: Path) -> str:
    """The text of a file, "" for a binary one."""
    content = path.read_bytes()
    if _binary(content):
        return ""
    mark, encoding = _mark(content)
    try:
        return content[len(mark) :].decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"text: {path} is not in {encoding.upper()}: {error.reason} at byte {len(mark) + error.start:,}; convert "
            "it, such as by iconv -f LATIN1 -t UTF-8, or leave it out"
        ) from None


def split_text(texts: Sequence[str], held_out: float = 0.1) -> tuple[str, str]:
    """(train, held-out): the last fraction `held_out` of the characters is held out, in whole files if several.

    Raises ValueError for a fraction outside (0, 1), TypeError for a single text that is not in a list.
    """
    if isinstance(texts, str):
        raise TypeError("texts: expected a list of texts, as read_text gives, got one str; write [text]")
    if not 0 < held_out < 1:
        raise ValueError(f"held_out: expected a share between 0 and 1, got {held_out!r}")
    if len(texts) == 1:
        cut = int(len(texts[0]) * (1 - held_out))
        return texts[0][:cut], texts[0][cut:]
    wanted, kept = sum(map(len, texts)) * held_out, len(texts)
    while kept > 1 and sum(map(len, texts[kept:])) < wanted:
        kept -= 1
    return "".join(texts[:kept]), "".join(texts[kept:])


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The symbols of a text and their numbers, V of them. Number 0 is for every unknown symbol.

    kind: "characters", "bytes" (of UTF-8) or "words" (runs of letters and digits, and every other character by
    itself, spaces included, so that decoding restores the text).
    """

    kind: str
    symbols: tuple[str, ...]  # without the unknown one

    @classmethod
    def of(cls, text: str, kind: str = "characters", *, at_least: int = 1, at_most: int | None = None) -> Vocabulary:
        """The vocabulary of a text: its `at_most` most frequent symbols that occur at least `at_least` times.

        Raises ValueError for an unknown kind, TypeError unless `text` is one string.
        """
        if not isinstance(text, str):
            raise TypeError(f"text: expected one str, got {type(text).__name__}; join several with ''.join(texts)")
        counts = Counter(_symbols(text, kind))
        common = [symbol for symbol, count in counts.most_common(at_most) if count >= at_least]
        return cls(kind, tuple(sorted(common)))

    def __len__(self) -> int:
        return len(self.symbols) + 1

    def encode(self, text: str) -> np.ndarray:
        """Text -> numbers [T] int32; what is not in the vocabulary is 0."""
        number = {symbol: i for i, symbol in enumerate(self.symbols, start=1)}
        return np.fromiter((number.get(s, 0) for s in _symbols(text, self.kind)), np.int32)

    def decode(self, numbers: Sequence[int] | np.ndarray) -> str:
        """Numbers [T] -> text; 0 becomes U+FFFD, and so does a broken sequence of bytes.

        -1, which `decode.generate` writes after the end of a row, stands for nothing. Raises ValueError for what is no
        number of a symbol.
        """
        numbers = _whole(numbers) if np.size(numbers) else np.zeros(0, np.int32)
        numbers = numbers[numbers != -1]
        if ((numbers < 0) | (numbers >= len(self))).any():
            raise ValueError(f"numbers: expected [T] of 0 to {len(self) - 1}, got {numbers!r}")
        pieces = [UNKNOWN if n == 0 else self.symbols[n - 1] for n in numbers.tolist()]
        if self.kind == "bytes":  # no character in UTF-8 has the byte FF
            octets = (b"\xff" if p == UNKNOWN else p.encode("latin-1") for p in pieces)
            return b"".join(octets).decode("utf-8", "replace")
        return "".join(pieces)

    def to_config(self) -> dict:
        """The vocabulary as plain JSON, to save with a model."""
        return {"kind": self.kind, "symbols": list(self.symbols)}

    @classmethod
    def from_config(cls, config: dict) -> Vocabulary:
        """The vocabulary that `to_config` was called on. Raises ValueError for what it does not write."""
        kind, symbols = config.get("kind"), config.get("symbols")
        if kind not in KINDS or not isinstance(symbols, list) or not all(isinstance(s, str) and s for s in symbols):
            raise ValueError(f"vocabulary: expected a kind of {', '.join(KINDS)} and a list of symbols, got {kind!r}")
        long = [s for s in symbols if (kind != "words" and len(s) > 1) or (kind == "bytes" and s > "\xff")]
        if long or len(set(symbols)) < len(symbols):
            raise ValueError(f"vocabulary: expected different symbols, each of {kind}, got others: {long[:3]!r}")
        return cls(kind, tuple(symbols))


def _whole(numbers: Any) -> np.ndarray:
    """Symbols [N] of any integer type as int32; a cast by NumPy would wrap what does not fit, and cut fractions off."""
    numbers = np.asarray(arrays.numbers(numbers, "numbers"))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise ValueError(f"numbers: expected one axis of int, symbols numbered from 0, got {checks.describe(numbers)}")
    return arrays.whole(numbers, "numbers")


def _symbols(text: str, kind: str) -> Sequence[str]:
    if kind == "characters":
        return text
    if kind == "bytes":
        return text.encode("utf-8").decode("latin-1")  # one character for each byte
    if kind == "words":
        return re.findall(r"\w+|\W", text)
    raise ValueError(f"kind: expected 'characters', 'bytes' or 'words', got {kind!r}")


class Window(NamedTuple):
    """n steps of B streams. `fresh`: the streams begin at this step, so the carry must restart before it."""

    tokens: np.ndarray  # [n, B] int32
    targets: np.ndarray  # [n, B] int32, the symbol after each token
    weights: np.ndarray  # [n, B] float32, 0 where there is no target
    fresh: np.ndarray  # [n] bool, True at the first step of an epoch


@dataclasses.dataclass(frozen=True, eq=False)
class Streams:
    """One long sequence as B contiguous streams side by side, cut into windows of n steps.

    Window k + 1 continues each stream where window k ended, so the carry can be passed on; an epoch is one pass, and
    its first window is `fresh`. Every symbol but the first is a target exactly once: incomplete windows and streams
    are padded with weight 0.
    """

    numbers: np.ndarray  # [N] int32
    batch_size: int
    window: int

    def __post_init__(self):
        object.__setattr__(self, "numbers", _whole(self.numbers))
        if self.batch_size < 1 or self.window < 1:
            raise ValueError(f"batch_size, window: expected at least 1, got {self.batch_size} and {self.window}")
        if len(self.numbers) <= self.batch_size:
            raise ValueError(
                f"numbers: expected more than batch_size={self.batch_size} symbols, a target for each stream, "
                f"got {len(self.numbers)}; give more text or a smaller batch_size"
            )

    @property
    def stream_length(self) -> int:
        """Steps in each stream."""
        return -(-(len(self.numbers) - 1) // self.batch_size)

    def __len__(self) -> int:
        """Windows in an epoch."""
        return -(-self.stream_length // self.window)

    def __getitem__(self, k: int) -> Window:
        """Window k, counted over all epochs, so that a run can resume at any step."""
        first = (k % len(self)) * self.window
        step = np.arange(first, first + self.window)[:, None]
        at = step + self.stream_length * np.arange(self.batch_size)
        there = (step < self.stream_length) & (at + 1 < len(self.numbers))
        at = np.where(there, at, 0)
        return Window(
            self.numbers[at],
            np.where(there, self.numbers[at + 1], 0),
            there.astype(np.float32),
            step[:, 0] == 0,
        )

    def __iter__(self) -> Iterator[Window]:
        """One epoch."""
        return (self[k] for k in range(len(self)))
