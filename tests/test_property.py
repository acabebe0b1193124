"""Drawn calls of `unroll` beside loops in NumPy; `python tests/property.py 10000 --seed N` draws more of them."""

from __future__ import annotations

import property
import pytest


@pytest.mark.parametrize("number", range(8))
def test_drawn(number):
    """Two hundred, the same at each run; in parts, for several processes."""
    counts, failures = property.piece(number, 25)
    assert failures == []
    assert counts["values"] + counts["derivative"] + counts["refused"] == counts["cases"] == 25
