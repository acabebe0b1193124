"""Which engine runs a cell when none is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxrnn._core.cell import Cell
from jaxrnn.engines import deferred, scan


def choice(cell: Cell) -> tuple[Callable[..., Any], str]:
    """The engine for a cell, and the reason in one line.

    By the cell alone. With a gradient `deferred` was the faster in `benchmarks/results/scaling.png`, which has the
    LSTM only; no committed table sets it beside `scan` for other cells or forward, and a lone row forward has been
    seen to be faster with `scan` on jax 0.12.
    """
    if cell.has_parts:
        return deferred, "the cell is in three parts: its products are taken over many steps, outside of the loop"
    return scan, "the cell is a plain step: nothing of it can be taken out of the loop"
