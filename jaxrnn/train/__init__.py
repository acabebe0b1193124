"""Training: a loop for every model, truncated BPTT, dynamic evaluation, checkpoints, ridge, additions to optax."""

from jaxrnn.train import constraints, loss_scale, regularizers
from jaxrnn.train._checkpoints import Checkpoints
from jaxrnn.train._cycle import NotFinite, interruptible
from jaxrnn.train._devices import data_parallel, spread
from jaxrnn.train._dynamic import Adapted, dynamic_evaluate, mean_square
from jaxrnn.train._learn import Learning, Learnt, learn
from jaxrnn.train._loop import Report, TrainState, fit, make_evaluate, make_update, start
from jaxrnn.train._ridge import ridge
from jaxrnn.train._seal import Damaged
from jaxrnn.train._truncated_bptt import Losses as Losses
from jaxrnn.train._truncated_bptt import next_symbol, truncated_bptt, weighted

__all__ = [
    "Adapted",
    "Checkpoints",
    "Damaged",
    "Learning",
    "Learnt",
    "NotFinite",
    "Report",
    "TrainState",
    "constraints",
    "data_parallel",
    "dynamic_evaluate",
    "fit",
    "interruptible",
    "learn",
    "loss_scale",
    "make_evaluate",
    "make_update",
    "mean_square",
    "next_symbol",
    "regularizers",
    "ridge",
    "spread",
    "start",
    "truncated_bptt",
    "weighted",
]
