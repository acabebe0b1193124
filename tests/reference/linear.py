"""Linear recurrences: states of vectors that see themselves, unit by unit, affinely."""

from __future__ import annotations

import numpy as np

from reference.parts import ACTIVATIONS, Entry, columns, sigmoid


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


def _eigenvalues(params):
    return np.exp(-np.exp(params["nu_log"]) + 1j * np.exp(params["theta_log"]))


def _state_space(params, x, N, C):
    """x B, and x D, from one kernel; and C, complex."""
    real, imaginary, skip = np.split(x @ params["kernel"], [N, 2 * N])
    return real + 1j * imaginary, skip, C[:N] + 1j * C[N:]


def _complex(size):
    return lambda params, H: (np.zeros(size(params), complex), np.zeros(H))


def lru(params, carry, x, state_size=None):
    """Orvieto et al. 2023, section 3 and appendix A."""
    h, _ = carry
    Bx, Dx, C = _state_space(params, x, len(h), params["output_kernel"])
    h = _eigenvalues(params) * h + np.exp(params["gamma_log"]) * Bx
    return (h, Dx), np.real(C.T @ h) + Dx


def s5(params, carry, x, state_size=None):
    """Smith et al. 2023, equation 6 (zero-order hold); the conjugate half of the state written out."""
    h, _ = carry
    Bx, Dx, C = _state_space(params, x, len(h), params["output_kernel"])
    rate, step = -np.exp(params["log_decay"]) + 1j * params["frequency"], np.exp(params["log_step"])
    h = np.exp(rate * step) * h + (np.exp(rate * step) - 1) / rate * Bx
    whole, both = np.concatenate([h, h.conj()]), np.concatenate([C, C.conj()])
    return (h, Dx), np.real(whole @ both) + Dx


def s4d(params, carry, x, **options):
    """Gu et al. 2022, unit by unit: each a state space of its own, whose input is one number."""
    states, _ = carry
    u = x @ params["kernel"] + params["bias"]
    new, y = [], []
    for k, h in enumerate(states):
        rate, step = -np.exp(params["log_decay"][k]) + 1j * params["frequency"][k], np.exp(params["log_step"][k])
        h = np.exp(rate * step) * h + (np.exp(rate * step) - 1) / rate * u[k]
        C = params["output_weight"][0, k] + 1j * params["output_weight"][1, k]
        new.append(h)
        y.append(2 * np.real(h @ C) + params["skip"][k] * u[k])
    return (np.array(new), u), np.array(y)


def rtu(params, carry, x, nonlinear=False, activation="relu"):
    """Elelimy et al. 2024, equations of the linear and the nonlinear unit, with their two real states."""
    (h,) = carry
    first, second, act = h.real, h.imag, ACTIVATIONS[activation]
    r, theta = np.exp(-np.exp(params["nu_log"])), np.exp(params["theta_log"])
    W_1, W_2 = np.split(params["kernel"], 2, axis=1)
    gamma = np.sqrt(1 - r**2)
    new_first = r * np.cos(theta) * first - r * np.sin(theta) * second + gamma * (x @ W_1)
    new_second = r * np.cos(theta) * second + r * np.sin(theta) * first + gamma * (x @ W_2)
    if nonlinear:
        new_first, new_second = act(new_first), act(new_second)
        return (new_first + 1j * new_second,), np.concatenate([new_first, new_second])
    return (new_first + 1j * new_second,), act(np.concatenate([new_first, new_second]))


def sru(params, carry, x, highway_bias=0.0):
    """Lei et al. 2018, equations 1 to 4, with the scaling of section 3; x itself where it is as wide as the state."""
    _, c = carry
    H = len(c)
    W = columns(params["kernel"], "nfr" if len(x) == H else "nfrx")
    (v_f, v_r), (b_f, b_r) = np.split(params["recurrent_weight"], 2), np.split(params["bias"], 2)
    forget = sigmoid(x @ W["f"] + v_f * c + b_f)
    reset = sigmoid(x @ W["r"] + v_r * c + b_r)
    c = forget * c + (1 - forget) * (x @ W["n"])
    past = x @ W["x"] if "x" in W else x
    h = reset * c + (1 - reset) * past * np.sqrt(1 + np.exp(highway_bias) * 2)
    return (h, c), h


def sru_2017(params, carry, x, activation="tanh"):
    """Lei and Zhang 2017, equations 3 to 7, with W_x x for the x of the highway."""
    c, *_ = carry
    s = _gates(params, x, "nfrx")
    f, r = sigmoid(s["f"]), sigmoid(s["r"])
    c = f * c + (1 - f) * s["n"]
    return (c, r, s["x"]), r * ACTIVATIONS[activation](c) + (1 - r) * s["x"]


def qrnn(params, carry, x, window=2, pooling="fo", activation="tanh"):
    """Bradbury et al. 2017, equations 1 to 5. What x will add to later gates is put by, as the cell's carry has it."""
    _, c, waiting = carry
    gates = {"f": "nf", "fo": "nfo", "ifo": "nifo"}[pooling]
    W = np.split(params["kernel"], window, axis=1)
    s = columns(x @ W[0] + waiting[0] + params["bias"], gates)
    n, f = ACTIVATIONS[activation](s["n"]), sigmoid(s["f"])
    c = f * c + (sigmoid(s["i"]) if pooling == "ifo" else 1 - f) * n
    h = c if pooling == "f" else sigmoid(s["o"]) * c
    older = [*waiting[1:], np.zeros_like(waiting[0])]
    return (h, c, np.array([x @ W[lag + 1] + older[lag] for lag in range(window - 1)])), h


def _qrnn_start(params, H):
    G = len(params["bias"])
    return np.zeros(H), np.zeros(H), np.zeros((params["kernel"].shape[1] // G - 1, G))


def rg_lru(params, carry, x, c=8.0):
    """De et al. 2024, equations 1 to 4, with a = sigmoid(-decay)."""
    h, fresh = carry
    s = _gates(params, x, "rin")
    a = sigmoid(-params["decay"]) ** (c * sigmoid(s["r"]))
    multiplier = 1 if fresh[0] else np.sqrt(1 - a**2)
    h = a * h + multiplier * (sigmoid(s["i"]) * s["n"])
    return (h, np.array([False])), h


def hgrn(params, carry, x, lower_bound=0.0):
    """Qin et al. 2023, section 3.2."""
    h, _ = carry
    N = len(h)
    f, real, imaginary, gate = np.split(x @ params["kernel"] + params["bias"], [N, 2 * N, 3 * N])
    gamma = params["lower_bound"] if lower_bound is None else lower_bound
    decay, gate = gamma + (1 - gamma) * sigmoid(f), sigmoid(gate)
    content = real * sigmoid(real) + 1j * imaginary * sigmoid(imaginary)
    h = decay * np.exp(1j * params["theta"]) * h + (1 - decay) * content
    return (h, gate), gate * np.concatenate([h.real, h.imag])


def para_gru(params, carry, x, activation="tanh"):
    """Danieli et al. 2025, the diagonal GRU, unit by unit."""
    (h,) = carry
    s, v = _gates(params, x, "zrn"), columns(params["recurrent_weight"], "zrn")
    new = []
    for k, old in enumerate(h):
        z, r = (sigmoid(s[gate][k] + v[gate][k] * old) for gate in "zr")
        new.append((1 - z) * old + z * ACTIVATIONS[activation](s["n"][k] + v["n"][k] * (old * r)))
    return (np.array(new),), np.array(new)


def para_lstm(params, carry, x, activation="tanh"):
    """Danieli et al. 2025, the diagonal LSTM with coupled gates and peepholes."""
    h, c = carry
    s, v, p = _gates(params, x, "fgo"), columns(params["recurrent_weight"], "fgo"), columns(params["peephole"], "fo")
    phi = ACTIVATIONS[activation]
    f = sigmoid(v["f"] * h + p["f"] * c + s["f"])
    c = f * c + (1 - f) * phi(v["g"] * h + s["g"])
    o = sigmoid(v["o"] * h + p["o"] * c + s["o"])
    return (o * phi(c), c), o * phi(c)


def _pair(params, H):
    return np.zeros(H), np.zeros(H)


CELLS = {
    "sru": Entry(sru, _pair, variants={"sru_square": {"hidden_size": 3, "highway_bias": -1.0}}),
    "sru_2017": Entry(
        sru_2017,
        lambda params, H: (np.zeros(H), np.zeros(H), np.zeros(H)),
        variants={"sru_2017_identity": {"activation": "identity"}},
    ),
    "qrnn": Entry(
        qrnn,
        _qrnn_start,
        variants={
            "qrnn_f": {"pooling": "f", "window": 3},
            "qrnn_ifo": {"pooling": "ifo", "activation": "soft_sign"},
        },
    ),
    "rg_lru": Entry(rg_lru, lambda params, H: (np.zeros(H), np.array([True])), variants={"rg_lru_c": {"c": 2.0}}),
    "hgrn": Entry(
        hgrn,
        lambda params, H: (np.zeros(H // 2, complex), np.zeros(H)),
        {"hidden_size": 6},
        {"hgrn_bound": {"lower_bound": 0.4}, "hgrn_tied": {"lower_bound": None}},
    ),
    "para_gru": Entry(para_gru, variants={"para_gru_soft_sign": {"activation": "soft_sign"}}),
    "para_lstm": Entry(para_lstm, _pair, variants={"para_lstm_soft_sign": {"activation": "soft_sign"}}),
    "lru": Entry(lru, _complex(lambda p: len(p["nu_log"])), variants={"lru_state": {"state_size": 4}}),
    "s5": Entry(s5, _complex(lambda p: len(p["log_step"])), variants={"s5_state": {"state_size": 4}}),
    "s4d": Entry(
        s4d,
        _complex(lambda p: p["log_decay"].shape),
        {"state_size": 4},
    ),
    "rtu": Entry(
        rtu,
        lambda params, H: (np.zeros(H // 2, complex),),
        {"hidden_size": 6},
        {"rtu_tanh": {"activation": "tanh"}, "rtu_nonlinear": {"nonlinear": True, "activation": "tanh"}},
    ),
    "min_gru": Entry(min_gru, variants={"min_gru_log_space": {"log_space": True}}),
    "min_lstm": Entry(min_lstm, variants={"min_lstm_log_space": {"log_space": True}}),
}
