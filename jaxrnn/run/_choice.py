"""The engine that runs a cell when none is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxrnn._core.cell import Cell
from jaxrnn.engines import deferred, scan


def choice(cell: Cell) -> tuple[Callable[..., Any], str]:
    """The default engine for a cell, and the reason in one line.

    It depends on the cell alone. With a gradient, `deferred` was faster in `benchmarks/results/scaling.png`, which has
    only the LSTM; no committed table compares it with `scan` for other cells or for the forward pass, where `scan` has
    been seen to be faster for a single row on jax 0.12.
    """
    if cell.has_parts:
        return deferred, "the cell is in three parts: its products are taken over many steps, outside of the loop"
    return scan, "the cell is a plain step: nothing of it can be taken out of the loop"
