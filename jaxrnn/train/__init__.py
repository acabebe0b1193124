"""Training: truncated BPTT, one update with optax, the loop around it, checkpoints; and what goes beside optax."""

from jaxrnn.train import constraints, loss_scale, regularizers
from jaxrnn.train._checkpoints import Checkpoints
from jaxrnn.train._loop import NotFinite, Report, TrainState, fit, interruptible, make_evaluate, make_update, start
from jaxrnn.train._truncated_bptt import Losses as Losses
from jaxrnn.train._truncated_bptt import next_symbol, truncated_bptt, weighted

__all__ = [
    "Checkpoints",
    "NotFinite",
    "Report",
    "TrainState",
    "constraints",
    "fit",
    "interruptible",
    "loss_scale",
    "make_evaluate",
    "make_update",
    "next_symbol",
    "regularizers",
    "start",
    "truncated_bptt",
    "weighted",
]
