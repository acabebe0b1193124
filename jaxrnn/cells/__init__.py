"""One recurrence per file. `CELLS` names them all, once."""

from jaxrnn.cells.elman import ElmanCarry, elman
from jaxrnn.cells.gated import GatedCarry, gated
from jaxrnn.cells.gru import GRUCarry, gru
from jaxrnn.cells.gru_reset_before import gru_reset_before
from jaxrnn.cells.lstm import LSTMCarry, lstm

CELLS = {cell.__name__: cell for cell in (elman, gated, lstm, gru, gru_reset_before)}

__all__ = [
    "CELLS",
    "ElmanCarry",
    "GRUCarry",
    "GatedCarry",
    "LSTMCarry",
    "elman",
    "gated",
    "gru",
    "gru_reset_before",
    "lstm",
]
