"""Linear recurrences: states of vectors that see themselves, unit by unit, affinely."""

from __future__ import annotations

import numpy as np

from reference.parts import Entry, columns, sigmoid


def _g(z):
    return np.where(z >= 0, z + 0.5, sigmoid(z))


def _gates(params, x, names):
    """x W + b of each gate, by its letter."""
    return columns(x @ params["kernel"] + params["bias"], names)


def min_gru(params, carry, x, log_space=False):
    """Feng et al. 2024, section 3.1; appendix B for g."""
    (h,) = carry
    s = _gates(params, x, "zn")
    z, candidate = sigmoid(s["z"]), _g(s["n"]) if log_space else s["n"]
    h = h + z * (candidate - h)
    return (h,), h


def min_lstm(params, carry, x, log_space=False):
    """Feng et al. 2024, section 3.2."""
    (h,) = carry
    s = _gates(params, x, "fin")
    f, i = sigmoid(s["f"]), sigmoid(s["i"])
    candidate = _g(s["n"]) if log_space else s["n"]
    h = (f * h + i * candidate) / (f + i)
    return (h,), h


CELLS = {
    "min_gru": Entry(min_gru, variants={"min_gru_log_space": {"log_space": True}}),
    "min_lstm": Entry(min_lstm, variants={"min_lstm_log_space": {"log_space": True}}),
}
