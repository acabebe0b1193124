"""Cells that know the time between steps, and cells with clocks or memories of their own."""

from __future__ import annotations

import numpy as np

from reference.parts import ACTIVATIONS, Entry


def timed(x):
    """(x with missing values as 0, dt, observed) of an x alone, (x, dt) or (x, dt, observed)."""
    x, dt, observed = (*x, None, None)[:3] if isinstance(x, tuple) else (x, 1.0, None)
    there = ~np.isnan(x) if observed is None else ~np.isnan(x) & observed
    return np.where(there, x, 0.0), 1.0 if dt is None else dt, there


def waiting(params, carry, x):
    """A masked step's time is put into the last part of the carry."""
    return (*carry[:-1], carry[-1] + timed(x)[1])


def resting(states):
    """The initial carry of `states` vectors [H], and a clock [1]."""
    return lambda params, H: (*(np.zeros(H) for _ in range(states)), np.zeros(1))


def ctrnn(params, carry, x, tau=1.0, solver="exact", activation="tanh"):
    """Funahashi and Nakamura 1993, unit by unit: tau h' = target - h over the time since the last step."""
    (h, waited), (x, dt, _) = carry, timed(x)
    target = ACTIVATIONS[activation](x @ params["kernel"] + h @ params["recurrent_kernel"] + params["bias"])
    new = []
    for unit, goal, log_tau in zip(h, target, params["log_tau"], strict=True):
        r = (waited[0] + dt) / np.exp(log_tau)
        new.append(goal + (unit - goal) * np.exp(-r) if solver == "exact" else unit + r * (goal - unit))
    return (np.array(new), np.zeros(1)), np.array(new)


CELLS = {
    "ctrnn": Entry(
        ctrnn,
        resting(1),
        variants={"ctrnn_euler": {"solver": "euler", "tau": 3.0, "activation": "soft_sign"}},
        hold=waiting,
        timed=True,
    ),
}
