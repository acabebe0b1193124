"""Cells that know the time between steps, and cells with clocks or memories of their own."""

from __future__ import annotations

import numpy as np

from reference.parts import ACTIVATIONS, Entry, columns


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


def ltc(params, carry, x, unfolds=6, tau=1.0, activation="tanh"):
    """Hasani et al. 2021, algorithm 1: the fused step, on the share of the time that each unfold has."""
    (h, waited), (x, dt, _) = carry, timed(x)
    share = (waited + dt) / unfolds
    for _ in range(unfolds):
        f = ACTIVATIONS[activation](params["kernel"].T @ x + params["recurrent_kernel"].T @ h + params["bias"])
        h = (h + share * f * params["target"]) / (1 + share * (np.exp(-params["log_tau"]) + f))
    return (h, np.zeros(1)), h


def cfc(params, carry, x, backbone=None, activation="tanh", gate_activation="sigmoid"):
    """Hasani et al. 2022, equation 2; their g and h are g and k."""
    (h, waited), (x, dt, _) = carry, timed(x)
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    z = x @ params["kernel"] + h @ params["recurrent_kernel"] + params["bias"]
    if backbone is not None:
        z = phi(z) @ params["heads"] + params["head_bias"]
    head = columns(z, "fgk")
    t = waited + dt
    h = sigma(-head["f"] * t) * phi(head["g"]) + (1 - sigma(-head["f"] * t)) * phi(head["k"])
    return (h, np.zeros(1)), h


def lstm_sums(params, x, h):
    W, U, b = (columns(params[name], "ifgo") for name in ("kernel", "recurrent_kernel", "bias"))
    return {gate: x @ W[gate] + h @ U[gate] + b[gate] for gate in "ifgo"}


def phased_lstm(
    params, carry, x, ratio=0.05, leak=0.001, longest=20.0, peepholes=True, activation="tanh", gate_activation="sigmoid"
):
    """Neil et al. 2016, equations 2 to 10, unit by unit where the phase is."""
    (h, c, time), (x, dt, _) = carry, timed(x)
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    w = columns(params["peephole"], "ifo") if peepholes else dict.fromkeys("ifo", 0.0)
    z, time = lstm_sums(params, x, h), time + dt
    i, f = (sigma(z[gate] + w[gate] * c) for gate in "if")
    proposed = f * c + i * phi(z["g"])
    o = sigma(z["o"] + w["o"] * proposed)
    k = []
    for s, log_period in zip(params["shift"], params["log_period"], strict=True):
        period = np.exp(log_period)
        phase = np.mod(time[0] - s, period) / period
        if phase < ratio / 2:
            k.append(2 * phase / ratio)
        elif phase < ratio:
            k.append(2 - 2 * phase / ratio)
        else:
            k.append(leak * phase)
    k = np.array(k)
    h = k * (o * phi(proposed)) + (1 - k) * h
    return (h, k * proposed + (1 - k) * c, time), h


def t_lstm(params, carry, x, decay="log", activation="tanh", gate_activation="sigmoid"):
    """Baytas et al. 2017, figure 2 and its equations."""
    (h, c, waited), (x, dt, _) = carry, timed(x)
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    gap = (waited + dt)[0]
    short_term = phi(c @ params["decay_kernel"] + params["decay_bias"])
    long_term = c - short_term
    discounted = short_term * (1 / np.log(np.e + gap) if decay == "log" else 1 / (gap if gap > 0 else 1.0))
    z = lstm_sums(params, x, h)
    c = sigma(z["f"]) * (long_term + discounted) + sigma(z["i"]) * phi(z["g"])
    h = sigma(z["o"]) * phi(c)
    return (h, c, np.zeros(1)), h


def gru_d(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Che et al. 2018, equations 8 to 15, feature by feature where one may be missing."""
    (h, last, since), (x, dt, observed) = carry, timed(x)
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    W, V, U, b = (columns(params[name], "rzn") for name in ("kernel", "mask_kernel", "recurrent_kernel", "bias"))
    delta = since + dt
    gamma = np.exp(-np.maximum(0, params["input_decay"] * delta + params["input_decay_bias"]))
    seen, m = np.zeros_like(last), observed.astype(float)
    for d, there in enumerate(observed):
        seen[d] = x[d] if there else gamma[d] * last[d] + (1 - gamma[d]) * params["mean"][d]
    h = np.exp(-np.maximum(0, delta @ params["decay_kernel"] + params["decay_bias"])) * h
    r, z = (sigma(seen @ W[gate] + h @ U[gate] + m @ V[gate] + b[gate]) for gate in "rz")
    candidate = phi(seen @ W["n"] + (r * h) @ U["n"] + m @ V["n"] + b["n"])
    h = (1 - z) * h + z * candidate
    return (h, np.where(observed, x, last), np.where(observed, 0.0, delta)), h


def clockwork(params, carry, x, modules=4, base=2, activation="tanh"):
    """Koutnik et al. 2014: a module whose period divides the time reads x, itself and all slower modules."""
    (h, clock), size = carry, len(carry[0]) // modules
    new = h.copy()
    for m in range(modules):
        own = slice(m * size, (m + 1) * size)
        if clock[0] % base**m == 0:
            z = x @ params["kernel"][:, own] + params["bias"][own]
            for k in range(m, modules):
                block = params[f"recurrent_kernel_{m}"][(k - m) * size : (k - m + 1) * size]
                z = z + h[k * size : (k + 1) * size] @ block
            new[own] = ACTIVATIONS[activation](z)
    return (new, np.mod(clock + 1, base ** (modules - 1))), new


def lmu(params, carry, x, order=32, theta=100.0, activation="tanh"):
    """Voelker et al. 2019, equations 1 to 7; the memory's equation is solved by its series over a hundredth step."""
    h, m = carry
    u = params["input_encoder"] @ x + params["hidden_encoder"] @ h + params["memory_encoder"] @ m
    A, B = np.zeros((order, order)), np.zeros(order)
    for i in range(order):
        B[i] = (2 * i + 1) * (-1) ** i / theta
        for j in range(order):
            A[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1)) / theta
    for _ in range(100):
        term = (A @ m + B * u) / 100
        for n in range(2, 12):
            m, term = m + term, A @ term / 100 / n
    h = ACTIVATIONS[activation](x @ params["kernel"] + h @ params["recurrent_kernel"] + m @ params["memory_kernel"])
    return (h, m), h


DECAYS = ("decay_kernel", "input_decay", "input_decay_bias")  # below 0 they have none

CELLS = {
    "ctrnn": Entry(
        ctrnn,
        resting(1),
        variants={"ctrnn_euler": {"solver": "euler", "tau": 3.0, "activation": "soft_sign"}},
        hold=waiting,
        timed=True,
    ),
    "ltc": Entry(
        ltc,
        resting(1),
        variants={"ltc_unfolds": {"unfolds": 1, "tau": 2.0, "activation": "sigmoid"}},
        hold=waiting,
        timed=True,
    ),
    "cfc": Entry(
        cfc,
        resting(1),
        variants={"cfc_backbone": {"backbone": 4, "activation": "soft_sign", "gate_activation": "hard_sigmoid"}},
        hold=waiting,
        timed=True,
    ),
    "phased_lstm": Entry(
        phased_lstm,
        resting(2),
        # At the default of 0.05 a phase's last bits grow forty times over, and most units stay shut.
        options={"ratio": 0.4, "leak": 0.01},
        steps=12,
        variants={"phased_lstm_open": {"ratio": 0.7, "leak": 0.1, "peepholes": False, "activation": "soft_sign"}},
        hold=waiting,
        timed=True,
    ),
    "t_lstm": Entry(t_lstm, resting(2), variants={"t_lstm_inverse": {"decay": "inverse"}}, hold=waiting, timed=True),
    "gru_d": Entry(
        gru_d,
        lambda params, H: (np.zeros(H), params["mean"], np.zeros(len(params["mean"]))),
        variants={"gru_d_activations": {"activation": "soft_sign", "gate_activation": "hard_sigmoid"}},
        steps=24,  # a value that is missing after one was seen since the last reset
        domain=lambda params: {name: abs(a) + 0.5 if name in DECAYS else a for name, a in params.items()},
        hold=waiting,
        timed=True,
    ),
    "clockwork": Entry(
        clockwork,
        lambda params, H: (np.zeros(H), np.zeros(1, int)),
        options={"hidden_size": 6, "modules": 3},
        steps=24,  # the slowest module acts at one in four
        variants={"clockwork_slow": {"modules": 2, "base": 3, "activation": "soft_sign"}},
    ),
    "lmu": Entry(
        lmu,
        lambda params, H: (np.zeros(H), np.zeros(len(params["memory_encoder"]))),
        options={"order": 4, "theta": 7.0},
        variants={"lmu_short": {"order": 3, "theta": 2.5, "activation": "soft_sign"}},
    ),
}
