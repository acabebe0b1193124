"""Cells, one recurrence per file. `CELLS` has all of them by name."""

from jaxrnn.cells._cornn import CoRNNCarry, cornn
from jaxrnn.cells._delta_net import delta_net
from jaxrnn.cells._dense import HiddenCarry
from jaxrnn.cells._elman import ElmanCarry, elman
from jaxrnn.cells._gated import GatedCarry, gated
from jaxrnn.cells._gated_delta_net import gated_delta_net
from jaxrnn.cells._gla import gla
from jaxrnn.cells._gru import GRUCarry, gru
from jaxrnn.cells._gru_reset_before import gru_reset_before
from jaxrnn.cells._hgrn import HGRNCarry, hgrn
from jaxrnn.cells._hgrn2 import hgrn2
from jaxrnn.cells._indrnn import IndRNNCarry, indrnn, indrnn_uniform
from jaxrnn.cells._janet import JANETCarry, janet
from jaxrnn.cells._lem import LEMCarry, lem
from jaxrnn.cells._linear_attention import LinearAttentionCarry, linear_attention
from jaxrnn.cells._lru import LRUCarry, lru
from jaxrnn.cells._lstm import LSTMCarry, lstm
from jaxrnn.cells._memory import MemoryCarry
from jaxrnn.cells._mgu import MGUCarry, mgu
from jaxrnn.cells._mgu_reset_after import mgu_reset_after
from jaxrnn.cells._min_gru import min_gru
from jaxrnn.cells._min_lstm import min_lstm
from jaxrnn.cells._mlstm import MLSTMCarry, mlstm
from jaxrnn.cells._multiplicative_lstm import multiplicative_lstm
from jaxrnn.cells._para_gru import para_gru
from jaxrnn.cells._para_lstm import para_lstm
from jaxrnn.cells._qrnn import QRNNCarry, qrnn
from jaxrnn.cells._recurrent_highway import RecurrentHighwayCarry, recurrent_highway
from jaxrnn.cells._retention import retention
from jaxrnn.cells._rg_lru import RGLRUCarry, rg_lru
from jaxrnn.cells._rtu import rtu
from jaxrnn.cells._rwkv import RWKVCarry, rwkv
from jaxrnn.cells._s4d import S4DCarry, s4d
from jaxrnn.cells._s5 import s5
from jaxrnn.cells._s6 import S6Carry, s6
from jaxrnn.cells._slstm import SLSTMCarry, slstm
from jaxrnn.cells._sru import sru
from jaxrnn.cells._sru_2017 import SRU2017Carry, sru_2017

# fmt: off
CELLS = {cell.__name__: cell for cell in (
    elman, gated, lstm, gru, gru_reset_before, mgu, mgu_reset_after, multiplicative_lstm, recurrent_highway, lem,
    cornn, indrnn, janet, min_gru, min_lstm, lru, s5, s4d, rtu, sru, sru_2017, qrnn, rg_lru, hgrn, para_gru,
    para_lstm, linear_attention, retention, gla, hgrn2, delta_net, gated_delta_net, slstm, mlstm, rwkv, s6,
)}
# fmt: on

__all__ = [
    "CELLS",
    "CoRNNCarry",
    "ElmanCarry",
    "GRUCarry",
    "GatedCarry",
    "HGRNCarry",
    "HiddenCarry",
    "IndRNNCarry",
    "JANETCarry",
    "LEMCarry",
    "LRUCarry",
    "LSTMCarry",
    "LinearAttentionCarry",
    "MGUCarry",
    "MLSTMCarry",
    "MemoryCarry",
    "QRNNCarry",
    "RGLRUCarry",
    "RWKVCarry",
    "RecurrentHighwayCarry",
    "S4DCarry",
    "S6Carry",
    "SLSTMCarry",
    "SRU2017Carry",
    "cornn",
    "delta_net",
    "elman",
    "gated",
    "gated_delta_net",
    "gla",
    "gru",
    "gru_reset_before",
    "hgrn",
    "hgrn2",
    "indrnn",
    "indrnn_uniform",
    "janet",
    "lem",
    "linear_attention",
    "lru",
    "lstm",
    "mgu",
    "mgu_reset_after",
    "min_gru",
    "min_lstm",
    "mlstm",
    "multiplicative_lstm",
    "para_gru",
    "para_lstm",
    "qrnn",
    "recurrent_highway",
    "retention",
    "rg_lru",
    "rtu",
    "rwkv",
    "s4d",
    "s5",
    "s6",
    "slstm",
    "sru",
    "sru_2017",
]
