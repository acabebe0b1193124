"""Wrappers from cell to cell, one kind per file. Pointwise ones keep the three parts, at no cost in any engine."""

from jaxrnn.wrappers._bidirectional import bidirectional
from jaxrnn.wrappers._clip import clip_carry, clip_gradient, cut_gradient
from jaxrnn.wrappers._control import with_mask, with_reset
from jaxrnn.wrappers._dropout import dropout, variational_dropout, weight_drop
from jaxrnn.wrappers._emit_carry import emit_carry
from jaxrnn.wrappers._hgrn_stack import hgrn_stack
from jaxrnn.wrappers._joins import bottleneck, highway, projection, residual, time_distributed
from jaxrnn.wrappers._layer_norm import layer_norm
from jaxrnn.wrappers._learned_carry import learned_carry
from jaxrnn.wrappers._precision import precision
from jaxrnn.wrappers._recurrent_dropout import recurrent_dropout
from jaxrnn.wrappers._stack import stack
from jaxrnn.wrappers._transition import deep_transition, fast_slow
from jaxrnn.wrappers._weight_norm import weight_norm
from jaxrnn.wrappers._zoneout import zoneout

__all__ = [
    "bidirectional",
    "bottleneck",
    "clip_carry",
    "clip_gradient",
    "cut_gradient",
    "deep_transition",
    "dropout",
    "emit_carry",
    "fast_slow",
    "hgrn_stack",
    "highway",
    "layer_norm",
    "learned_carry",
    "precision",
    "projection",
    "recurrent_dropout",
    "residual",
    "stack",
    "time_distributed",
    "variational_dropout",
    "weight_drop",
    "weight_norm",
    "with_mask",
    "with_reset",
    "zoneout",
]
