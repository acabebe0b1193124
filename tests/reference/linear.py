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


CELLS = {
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
