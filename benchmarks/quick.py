"""How fast is it here? The ratios of this machine, in under three minutes: three cells, three shapes, as in `peers`."""

from __future__ import annotations

from benchmarks import peers
from benchmarks.contenders import ALL, present
from benchmarks.protocol import Report

SHAPES = ("32,128,128,256", "128,64,64,64", "8,512,32,32")
PEERS = (
    "linen",
    "haiku",
    "torch",
)  # of the JAX libraries, one of these two is the fastest in nearly all rows of `peers`


def table(seconds: float = 0.5) -> Report:
    """The table of `peers` for three cells at three shapes. seconds: how long a row is timed."""
    return peers.rows_of(SHAPES, ALL, [name for name in PEERS if present(name)], "float32", None, seconds)
