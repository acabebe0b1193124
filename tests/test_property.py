"""Drawn calls of `unroll` beside loops in NumPy; `python tests/property.py 10000 --seed N` draws more of them."""

from __future__ import annotations

import property
import pytest


@pytest.mark.parametrize("number", range(4))
def test_drawn(number):
    """The same at each run; in parts, for several processes. As many as 20 s of CPU allow."""
    counts, failures = property.piece(number, 12)
    assert failures == []
    assert counts["values"] + counts["derivative"] + counts["refused"] == counts["cases"] == 12


@pytest.mark.full
@pytest.mark.parametrize("number", range(10, 12))
def test_drawn_more(number):
    """A hundred."""
    counts, failures = property.piece(number, 50)
    assert failures == []
    assert counts["values"] + counts["derivative"] + counts["refused"] == counts["cases"] == 50
