"""Cells, one recurrence per file. `CELLS` has all of them by name."""

from jaxrnn.cells._cfc import cfc
from jaxrnn.cells._clocked import ClockedCarry
from jaxrnn.cells._clockwork import ClockworkCarry, clockwork
from jaxrnn.cells._cornn import CoRNNCarry, cornn
from jaxrnn.cells._ctrnn import ctrnn
from jaxrnn.cells._dense import HiddenCarry
from jaxrnn.cells._elman import ElmanCarry, elman
from jaxrnn.cells._gated import GatedCarry, gated
from jaxrnn.cells._gru import GRUCarry, gru
from jaxrnn.cells._gru_d import GRUDCarry, gru_d
from jaxrnn.cells._gru_reset_before import gru_reset_before
from jaxrnn.cells._indrnn import IndRNNCarry, indrnn, indrnn_uniform
from jaxrnn.cells._janet import JANETCarry, janet
from jaxrnn.cells._lem import LEMCarry, lem
from jaxrnn.cells._lmu import LMUCarry, lmu
from jaxrnn.cells._lstm import LSTMCarry, lstm
from jaxrnn.cells._ltc import ltc
from jaxrnn.cells._mgu import MGUCarry, mgu
from jaxrnn.cells._mgu_reset_after import mgu_reset_after
from jaxrnn.cells._multiplicative_lstm import multiplicative_lstm
from jaxrnn.cells._phased_lstm import ClockedLSTMCarry, phased_lstm
from jaxrnn.cells._recurrent_highway import RecurrentHighwayCarry, recurrent_highway
from jaxrnn.cells._t_lstm import t_lstm

# fmt: off
CELLS = {cell.__name__: cell for cell in (
    elman, gated, lstm, gru, gru_reset_before, mgu, mgu_reset_after, multiplicative_lstm, recurrent_highway, lem, cornn,
    indrnn, janet, ctrnn, ltc, cfc, phased_lstm, t_lstm, gru_d, clockwork, lmu,
)}
# fmt: on

__all__ = [
    "CELLS",
    "ClockedCarry",
    "ClockedLSTMCarry",
    "ClockworkCarry",
    "CoRNNCarry",
    "ElmanCarry",
    "GRUCarry",
    "GRUDCarry",
    "GatedCarry",
    "HiddenCarry",
    "IndRNNCarry",
    "JANETCarry",
    "LEMCarry",
    "LMUCarry",
    "LSTMCarry",
    "MGUCarry",
    "RecurrentHighwayCarry",
    "cfc",
    "clockwork",
    "cornn",
    "ctrnn",
    "elman",
    "gated",
    "gru",
    "gru_d",
    "gru_reset_before",
    "indrnn",
    "indrnn_uniform",
    "janet",
    "lem",
    "lmu",
    "lstm",
    "ltc",
    "mgu",
    "mgu_reset_after",
    "multiplicative_lstm",
    "phased_lstm",
    "recurrent_highway",
    "t_lstm",
]
