"""One recurrence per file. `CELLS` names them all, once."""

from jaxrnn.cells.cornn import CoRNNCarry, cornn
from jaxrnn.cells.elman import ElmanCarry, elman
from jaxrnn.cells.gated import GatedCarry, gated
from jaxrnn.cells.gru import GRUCarry, gru
from jaxrnn.cells.gru_reset_before import gru_reset_before
from jaxrnn.cells.indrnn import IndRNNCarry, indrnn, indrnn_uniform
from jaxrnn.cells.lem import LEMCarry, lem
from jaxrnn.cells.lstm import LSTMCarry, lstm
from jaxrnn.cells.mgu import MGUCarry, mgu
from jaxrnn.cells.multiplicative_lstm import multiplicative_lstm
from jaxrnn.cells.recurrent_highway import RecurrentHighwayCarry, recurrent_highway

# fmt: off
CELLS = {cell.__name__: cell for cell in (
    elman, gated, lstm, gru, gru_reset_before, mgu, multiplicative_lstm, recurrent_highway, lem, cornn, indrnn,
)}
# fmt: on

__all__ = [
    "CELLS",
    "CoRNNCarry",
    "ElmanCarry",
    "GRUCarry",
    "GatedCarry",
    "IndRNNCarry",
    "LEMCarry",
    "LSTMCarry",
    "MGUCarry",
    "RecurrentHighwayCarry",
    "cornn",
    "elman",
    "gated",
    "gru",
    "gru_reset_before",
    "indrnn",
    "indrnn_uniform",
    "lem",
    "lstm",
    "mgu",
    "multiplicative_lstm",
    "recurrent_highway",
]
