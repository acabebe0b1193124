"""Cells, one recurrence per file. `CELLS` has all of them by name."""

from jaxrnn.cells._alif import ALIFCarry, alif
from jaxrnn.cells._clocked import ClockedCarry
from jaxrnn.cells._conv_gru import conv_gru
from jaxrnn.cells._conv_lstm import conv_lstm
from jaxrnn.cells._cornn import CoRNNCarry, cornn
from jaxrnn.cells._ctrnn import ctrnn
from jaxrnn.cells._dale_rnn import dale_rnn
from jaxrnn.cells._delta_rnn import delta_rnn
from jaxrnn.cells._dense import HiddenCarry
from jaxrnn.cells._echo_state import echo_state
from jaxrnn.cells._elman import ElmanCarry, elman
from jaxrnn.cells._gated import GatedCarry, gated
from jaxrnn.cells._goru import goru
from jaxrnn.cells._gru import GRUCarry, gru
from jaxrnn.cells._gru_reset_before import gru_reset_before
from jaxrnn.cells._indrnn import IndRNNCarry, indrnn, indrnn_uniform
from jaxrnn.cells._janet import JANETCarry, janet
from jaxrnn.cells._jordan import JordanCarry, jordan
from jaxrnn.cells._lem import LEMCarry, lem
from jaxrnn.cells._lif import LIFCarry, lif
from jaxrnn.cells._lipschitz_rnn import lipschitz_rnn
from jaxrnn.cells._low_rank_rnn import low_rank_rnn
from jaxrnn.cells._lru import LRUCarry, lru
from jaxrnn.cells._lstm import LSTMCarry, lstm
from jaxrnn.cells._mgu import MGUCarry, mgu
from jaxrnn.cells._mgu_reset_after import mgu_reset_after
from jaxrnn.cells._min_gru import min_gru
from jaxrnn.cells._min_lstm import min_lstm
from jaxrnn.cells._mogrifier_lstm import mogrifier_lstm
from jaxrnn.cells._multiplicative_integration_gru import multiplicative_integration_gru
from jaxrnn.cells._multiplicative_integration_lstm import multiplicative_integration_lstm
from jaxrnn.cells._multiplicative_integration_rnn import multiplicative_integration_rnn
from jaxrnn.cells._multiplicative_lstm import multiplicative_lstm
from jaxrnn.cells._nested_lstm import NestedLSTMCarry, nested_lstm
from jaxrnn.cells._orthogonal_rnn import orthogonal_rnn
from jaxrnn.cells._recurrent_highway import RecurrentHighwayCarry, recurrent_highway
from jaxrnn.cells._rev_gru import RevGRUCarry, rev_gru
from jaxrnn.cells._rtu import rtu
from jaxrnn.cells._s4d import S4DCarry, s4d
from jaxrnn.cells._s5 import s5
from jaxrnn.cells._scaled_cayley import scaled_cayley
from jaxrnn.cells._second_order import second_order
from jaxrnn.cells._statistical_recurrent_unit import StatisticsCarry, statistical_recurrent_unit
from jaxrnn.cells._sub_lstm import sub_lstm
from jaxrnn.cells._unitary_rnn import UnitaryCarry, unitary_rnn

# fmt: off
CELLS = {cell.__name__: cell for cell in (
    elman, gated, lstm, gru, gru_reset_before, mgu, mgu_reset_after, multiplicative_lstm, recurrent_highway, lem,
    cornn, indrnn, janet, jordan, second_order, low_rank_rnn, dale_rnn, multiplicative_integration_rnn,
    multiplicative_integration_lstm, multiplicative_integration_gru, conv_lstm, conv_gru, orthogonal_rnn,
    scaled_cayley, unitary_rnn, lif, alif, echo_state, sub_lstm, nested_lstm, mogrifier_lstm, lipschitz_rnn,
    delta_rnn, statistical_recurrent_unit, rev_gru, min_gru, min_lstm, lru, s5, s4d, rtu, ctrnn, goru,
)}
# fmt: on

__all__ = [
    "CELLS",
    "ALIFCarry",
    "ClockedCarry",
    "CoRNNCarry",
    "ElmanCarry",
    "GRUCarry",
    "GatedCarry",
    "HiddenCarry",
    "IndRNNCarry",
    "JANETCarry",
    "JordanCarry",
    "LEMCarry",
    "LIFCarry",
    "LRUCarry",
    "LSTMCarry",
    "MGUCarry",
    "NestedLSTMCarry",
    "RecurrentHighwayCarry",
    "RevGRUCarry",
    "S4DCarry",
    "StatisticsCarry",
    "UnitaryCarry",
    "alif",
    "conv_gru",
    "conv_lstm",
    "cornn",
    "ctrnn",
    "dale_rnn",
    "delta_rnn",
    "echo_state",
    "elman",
    "gated",
    "goru",
    "gru",
    "gru_reset_before",
    "indrnn",
    "indrnn_uniform",
    "janet",
    "jordan",
    "lem",
    "lif",
    "lipschitz_rnn",
    "low_rank_rnn",
    "lru",
    "lstm",
    "mgu",
    "mgu_reset_after",
    "min_gru",
    "min_lstm",
    "mogrifier_lstm",
    "multiplicative_integration_gru",
    "multiplicative_integration_lstm",
    "multiplicative_integration_rnn",
    "multiplicative_lstm",
    "nested_lstm",
    "orthogonal_rnn",
    "recurrent_highway",
    "rev_gru",
    "rtu",
    "s4d",
    "s5",
    "scaled_cayley",
    "second_order",
    "statistical_recurrent_unit",
    "sub_lstm",
    "unitary_rnn",
]
