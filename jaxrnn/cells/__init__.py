"""Cells, one recurrence per file. `FAMILIES` has them by kind, `CELLS` all of them by name."""

from jaxrnn.cells._alif import ALIFCarry, alif
from jaxrnn.cells._antisymmetric_rnn import antisymmetric_rnn
from jaxrnn.cells._atr import atr
from jaxrnn.cells._brc import brc
from jaxrnn.cells._cfc import cfc
from jaxrnn.cells._cfn import cfn
from jaxrnn.cells._clocked import ClockedCarry
from jaxrnn.cells._clockwork import ClockworkCarry, clockwork
from jaxrnn.cells._conv_gru import conv_gru
from jaxrnn.cells._conv_lstm import conv_lstm
from jaxrnn.cells._cornn import CoRNNCarry, cornn
from jaxrnn.cells._ctrnn import ctrnn
from jaxrnn.cells._dale_rnn import dale_rnn
from jaxrnn.cells._delta_net import delta_net
from jaxrnn.cells._delta_rnn import delta_rnn
from jaxrnn.cells._dense import HiddenCarry
from jaxrnn.cells._dsgu import dsgu
from jaxrnn.cells._echo_state import echo_state
from jaxrnn.cells._elman import ElmanCarry, elman
from jaxrnn.cells._fast_grnn import fast_grnn
from jaxrnn.cells._fast_rnn import fast_rnn
from jaxrnn.cells._gated import GatedCarry, gated
from jaxrnn.cells._gated_antisymmetric_rnn import gated_antisymmetric_rnn
from jaxrnn.cells._gated_delta_net import gated_delta_net
from jaxrnn.cells._gla import gla
from jaxrnn.cells._goru import goru
from jaxrnn.cells._gru import GRUCarry, gru
from jaxrnn.cells._gru_d import GRUDCarry, gru_d
from jaxrnn.cells._gru_reset_before import gru_reset_before
from jaxrnn.cells._hgrn import HGRNCarry, hgrn
from jaxrnn.cells._hgrn2 import hgrn2
from jaxrnn.cells._indrnn import IndRNNCarry, indrnn, indrnn_uniform
from jaxrnn.cells._intersection_rnn import IntersectionCarry, intersection_rnn
from jaxrnn.cells._janet import JANETCarry, janet
from jaxrnn.cells._jordan import JordanCarry, jordan
from jaxrnn.cells._lem import LEMCarry, lem
from jaxrnn.cells._li_gru import li_gru
from jaxrnn.cells._lif import LIFCarry, lif
from jaxrnn.cells._light_ru import light_ru
from jaxrnn.cells._linear_attention import LinearAttentionCarry, linear_attention
from jaxrnn.cells._lipschitz_rnn import lipschitz_rnn
from jaxrnn.cells._lmu import LMUCarry, lmu
from jaxrnn.cells._low_rank_rnn import low_rank_rnn
from jaxrnn.cells._lru import LRUCarry, lru
from jaxrnn.cells._lstm import LSTMCarry, lstm
from jaxrnn.cells._ltc import ltc
from jaxrnn.cells._mclstm import MCLSTMCarry, mclstm
from jaxrnn.cells._memory import MemoryCarry
from jaxrnn.cells._mgu import MGUCarry, mgu
from jaxrnn.cells._mgu_reset_after import mgu_reset_after
from jaxrnn.cells._mi_ru1 import mi_ru1
from jaxrnn.cells._mi_ru2 import mi_ru2
from jaxrnn.cells._min_gru import min_gru
from jaxrnn.cells._min_lstm import min_lstm
from jaxrnn.cells._minimal_rnn import minimal_rnn
from jaxrnn.cells._mlstm import MLSTMCarry, mlstm
from jaxrnn.cells._mogrifier_lstm import mogrifier_lstm
from jaxrnn.cells._multiplicative_integration_gru import multiplicative_integration_gru
from jaxrnn.cells._multiplicative_integration_lstm import multiplicative_integration_lstm
from jaxrnn.cells._multiplicative_integration_rnn import multiplicative_integration_rnn
from jaxrnn.cells._multiplicative_lstm import multiplicative_lstm
from jaxrnn.cells._mut1 import mut1
from jaxrnn.cells._mut2 import mut2
from jaxrnn.cells._mut3 import mut3
from jaxrnn.cells._nas import nas
from jaxrnn.cells._nbrc import nbrc
from jaxrnn.cells._nested_lstm import NestedLSTMCarry, nested_lstm
from jaxrnn.cells._original_lstm import original_lstm
from jaxrnn.cells._orthogonal_rnn import orthogonal_rnn
from jaxrnn.cells._para_gru import para_gru
from jaxrnn.cells._para_lstm import para_lstm
from jaxrnn.cells._phased_lstm import ClockedLSTMCarry, phased_lstm
from jaxrnn.cells._qrnn import QRNNCarry, qrnn
from jaxrnn.cells._ran import ran
from jaxrnn.cells._recurrent_highway import RecurrentHighwayCarry, recurrent_highway
from jaxrnn.cells._res_lstm import res_lstm
from jaxrnn.cells._retention import retention
from jaxrnn.cells._rev_gru import RevGRUCarry, rev_gru
from jaxrnn.cells._rg_lru import RGLRUCarry, rg_lru
from jaxrnn.cells._rtu import rtu
from jaxrnn.cells._rwkv import RWKVCarry, rwkv
from jaxrnn.cells._s4d import S4DCarry, s4d
from jaxrnn.cells._s5 import s5
from jaxrnn.cells._s6 import S6Carry, s6
from jaxrnn.cells._scaled_cayley import scaled_cayley
from jaxrnn.cells._scrn import SCRNCarry, scrn
from jaxrnn.cells._second_order import second_order
from jaxrnn.cells._sgrn import sgrn
from jaxrnn.cells._sgu import sgu
from jaxrnn.cells._slstm import SLSTMCarry, slstm
from jaxrnn.cells._sru import sru
from jaxrnn.cells._sru_2017 import SRU2017Carry, sru_2017
from jaxrnn.cells._star import star
from jaxrnn.cells._statistical_recurrent_unit import StatisticsCarry, statistical_recurrent_unit
from jaxrnn.cells._sub_lstm import sub_lstm
from jaxrnn.cells._t_lstm import t_lstm
from jaxrnn.cells._tau_gru import TauGRUCarry, tau_gru
from jaxrnn.cells._tgru import TGRUCarry, tgru
from jaxrnn.cells._tlstm import TLSTMCarry, tlstm
from jaxrnn.cells._trnn import trnn
from jaxrnn.cells._unicornn import UnICORNNCarry, unicornn
from jaxrnn.cells._unitary_rnn import UnitaryCarry, unitary_rnn
from jaxrnn.cells._wmclstm import wmclstm

# fmt: off
FAMILIES = {
    "classic cells and simpler gates": (
        elman, jordan, gated, lstm, gru, gru_reset_before, mgu, mgu_reset_after, minimal_rnn, ran, janet, cfn,
        atr, star,
    ),
    "variants of the LSTM": (
        original_lstm, multiplicative_lstm, res_lstm, slstm, sub_lstm, nested_lstm, mogrifier_lstm, mclstm,
        wmclstm, nas, multiplicative_integration_lstm, tlstm,
    ),
    "variants of the GRU": (
        li_gru, light_ru, mut1, mut2, mut3, mi_ru1, mi_ru2, sgrn, sgu, dsgu, tgru, tau_gru, brc, nbrc, rev_gru,
        multiplicative_integration_gru,
    ),
    "other recurrences": (
        indrnn, scrn, trnn, intersection_rnn, delta_rnn, recurrent_highway, fast_rnn, fast_grnn, second_order,
        multiplicative_integration_rnn, statistical_recurrent_unit,
    ),
    "dynamical systems": (antisymmetric_rnn, gated_antisymmetric_rnn, lipschitz_rnn, cornn, unicornn, lem),
    "orthogonal and unitary recurrences": (orthogonal_rnn, scaled_cayley, unitary_rnn, goru),
    "linear recurrences": (
        min_gru, min_lstm, sru, sru_2017, qrnn, hgrn, rg_lru, lru, s5, s4d, s6, rtu, rwkv, para_gru, para_lstm,
    ),
    "matrix memories": (mlstm, linear_attention, retention, gla, hgrn2, delta_net, gated_delta_net),
    "cells that know time": (ctrnn, ltc, cfc, phased_lstm, t_lstm, gru_d, clockwork, lmu),
    "images": (conv_lstm, conv_gru),
    "neuroscience": (low_rank_rnn, dale_rnn, echo_state, lif, alif),
}
# fmt: on
CELLS = {cell.__name__: cell for family in FAMILIES.values() for cell in family}

__all__ = [
    "CELLS",
    "FAMILIES",
    "ALIFCarry",
    "ClockedCarry",
    "ClockedLSTMCarry",
    "ClockworkCarry",
    "CoRNNCarry",
    "ElmanCarry",
    "GRUCarry",
    "GRUDCarry",
    "GatedCarry",
    "HGRNCarry",
    "HiddenCarry",
    "IndRNNCarry",
    "IntersectionCarry",
    "JANETCarry",
    "JordanCarry",
    "LEMCarry",
    "LIFCarry",
    "LMUCarry",
    "LRUCarry",
    "LSTMCarry",
    "LinearAttentionCarry",
    "MCLSTMCarry",
    "MGUCarry",
    "MLSTMCarry",
    "MemoryCarry",
    "NestedLSTMCarry",
    "QRNNCarry",
    "RGLRUCarry",
    "RWKVCarry",
    "RecurrentHighwayCarry",
    "RevGRUCarry",
    "S4DCarry",
    "S6Carry",
    "SCRNCarry",
    "SLSTMCarry",
    "SRU2017Carry",
    "StatisticsCarry",
    "TGRUCarry",
    "TLSTMCarry",
    "TauGRUCarry",
    "UnICORNNCarry",
    "UnitaryCarry",
    "alif",
    "antisymmetric_rnn",
    "atr",
    "brc",
    "cfc",
    "cfn",
    "clockwork",
    "conv_gru",
    "conv_lstm",
    "cornn",
    "ctrnn",
    "dale_rnn",
    "delta_net",
    "delta_rnn",
    "dsgu",
    "echo_state",
    "elman",
    "fast_grnn",
    "fast_rnn",
    "gated",
    "gated_antisymmetric_rnn",
    "gated_delta_net",
    "gla",
    "goru",
    "gru",
    "gru_d",
    "gru_reset_before",
    "hgrn",
    "hgrn2",
    "indrnn",
    "indrnn_uniform",
    "intersection_rnn",
    "janet",
    "jordan",
    "lem",
    "li_gru",
    "lif",
    "light_ru",
    "linear_attention",
    "lipschitz_rnn",
    "lmu",
    "low_rank_rnn",
    "lru",
    "lstm",
    "ltc",
    "mclstm",
    "mgu",
    "mgu_reset_after",
    "mi_ru1",
    "mi_ru2",
    "min_gru",
    "min_lstm",
    "minimal_rnn",
    "mlstm",
    "mogrifier_lstm",
    "multiplicative_integration_gru",
    "multiplicative_integration_lstm",
    "multiplicative_integration_rnn",
    "multiplicative_lstm",
    "mut1",
    "mut2",
    "mut3",
    "nas",
    "nbrc",
    "nested_lstm",
    "original_lstm",
    "orthogonal_rnn",
    "para_gru",
    "para_lstm",
    "phased_lstm",
    "qrnn",
    "ran",
    "recurrent_highway",
    "res_lstm",
    "retention",
    "rev_gru",
    "rg_lru",
    "rtu",
    "rwkv",
    "s4d",
    "s5",
    "s6",
    "scaled_cayley",
    "scrn",
    "second_order",
    "sgrn",
    "sgu",
    "slstm",
    "sru",
    "sru_2017",
    "star",
    "statistical_recurrent_unit",
    "sub_lstm",
    "t_lstm",
    "tau_gru",
    "tgru",
    "tlstm",
    "trnn",
    "unicornn",
    "unitary_rnn",
    "wmclstm",
]
