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


def slstm(params, carry, x, heads=1, forget_gate="exp", forget_bias=0.0, activation="tanh"):
    """Beck et al. 2024, equations 8 to 18, without the stabiliser: c and n as they are, c exp(m) and n exp(m) here."""
    h, c, n, m = carry
    K, old = len(h) // heads, np.exp(m)
    recurrent = [h[k * K : (k + 1) * K] @ params["recurrent_kernel"][k] for k in range(heads)]
    v = {g: np.concatenate([r[j * K : (j + 1) * K] for r in recurrent]) for j, g in enumerate("ifzo")}
    z = {g: value + v[g] for g, value in _gates(params, x, "ifzo").items()}
    forget = np.exp(z["f"]) if forget_gate == "exp" else sigmoid(z["f"])
    whole = forget * old * c + np.exp(z["i"]) * ACTIVATIONS[activation](z["z"])
    weight = forget * old * n + np.exp(z["i"])
    h = sigmoid(z["o"]) * whole / weight
    m = np.maximum(np.log(forget) + m, z["i"])
    return (h, whole / np.exp(m), weight / np.exp(m), m), h


def rwkv(params, carry, x):
    """Peng et al. 2023, equations 11 to 16 and the sums of appendix D, without the stabiliser."""
    _, a, b, m, last = carry
    W = columns(params["kernel"], "rkv")
    now, before = (
        [(share * x) @ W[g] for g, share in zip("rkv", mix, strict=True)] for mix in (params["mix"], 1 - params["mix"])
    )
    r, k, v = (new + old for new, old in zip(now, np.split(last, 3), strict=True))
    a, b = a * np.exp(m), b * np.exp(m)
    first = np.exp(params["bonus"] + k)
    h = sigmoid(r) * (a + first * v) / (b + first)
    fade = np.exp(-np.exp(params["decay"]))
    a, b = fade * a + np.exp(k) * v, fade * b + np.exp(k)
    m = np.maximum(m - np.exp(params["decay"]), k)
    return (h, a / np.exp(m), b / np.exp(m), m, np.concatenate(before)), h


def s6(params, carry, x, state_size=16, rank=None):
    """Gu and Dao 2023, algorithm 2 and section 3.6, unit by unit: A by zero-order hold, B by Euler."""
    h, *_ = carry
    H, N = h.shape
    u = x @ params["kernel"] + params["bias"]
    selected = u @ params["select_kernel"]
    R = len(selected) - 2 * N
    low, B, C = selected[:R], selected[R : R + N], selected[R + N :]
    step = np.log1p(np.exp(low @ params["step_kernel"] + params["step_bias"]))
    A = -np.exp(params["log_rate"])
    h = np.array([np.exp(step[k] * A[k]) * h[k] + step[k] * B * u[k] for k in range(H)])
    return (h, C, u), h @ C + params["skip"] * u


EMPTY = -1e30

CELLS = {
    "slstm": Entry(
        slstm,
        lambda params, H: (np.zeros(H), np.zeros(H), np.zeros(H), np.full(H, EMPTY)),
        variants={"slstm_heads": {"hidden_size": 6, "heads": 2, "forget_gate": "sigmoid", "activation": "soft_sign"}},
        reached=lambda h, c, n, m: (h, c, 1 + abs(n), m),
    ),
    "rwkv": Entry(
        rwkv,
        lambda params, H: (np.zeros(H), np.zeros(H), np.zeros(H), np.full(H, EMPTY), np.zeros(3 * H)),
        reached=lambda h, a, b, m, last: (h, a, abs(b), m, last),
    ),
    "s6": Entry(
        s6,
        lambda params, H: (np.zeros(params["log_rate"].shape), np.zeros(params["log_rate"].shape[1]), np.zeros(H)),
        {"state_size": 3},
        {"s6_rank": {"rank": 2}},
    ),
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
