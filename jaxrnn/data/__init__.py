"""Data: text as symbols in streams for truncated BPTT, and lists of sequences as batches (`ragged`).

`UNKNOWN` is the symbol that stands for everything that is not in a vocabulary.
"""

from jaxrnn.data import ragged
from jaxrnn.data._text import UNKNOWN, Streams, Vocabulary, Window, read_text, split_text

__all__ = ["UNKNOWN", "Streams", "Vocabulary", "Window", "ragged", "read_text", "split_text"]
