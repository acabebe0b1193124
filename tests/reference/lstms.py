"""Cells with several states: relatives of the LSTM, a delay, typed cells, oscillators, from their papers."""

from __future__ import annotations

import numpy as np

from reference.parts import ACTIVATIONS, Entry, columns, sigmoid
from reference.units import OTHERS, SQUARE, direct, split


def pair(params, H):
    return np.zeros(H), np.zeros(H)


def mclstm(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """NIPS Time Series Workshop 2017: the gates read v, which has a gate of its own."""
    _, c, v = carry
    W, U, b = split(params, kernel="ifgom", recurrent_kernel="ifgom", bias="ifgom")
    z = {k: W[k].T @ x + U[k].T @ v + b[k] for k in "ifgom"}
    i, f, o, m = (ACTIVATIONS[gate_activation](z[k]) for k in "ifom")
    c = i * ACTIVATIONS[activation](z["g"]) + f * c
    h, v = (gate * ACTIVATIONS[activation](c) for gate in (o, m))
    return (h, c, v), h


def wmclstm(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Landi et al. 2021, equations 10 to 14."""
    h, c = carry
    W, U, b = split(params, kernel="ifgo", recurrent_kernel="ifgo", bias="ifgo")
    V = columns(params["memory_kernel"], "ifo")
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    z = {k: W[k].T @ x + U[k].T @ h + b[k] for k in "ifgo"}
    i, f = (sigma(z[k] + phi(V[k].T @ c)) for k in "if")
    c = f * c + i * phi(z["g"])
    h = sigma(z["o"] + phi(V["o"].T @ c)) * phi(c)
    return (h, c), h


def nas(params, carry, x):
    """Zoph and Le 2017, figure 8, with the product of block d as in the authors' code."""
    h, c = carry
    W, U, b = split(params, kernel="abcdefgi", recurrent_kernel="abcdefgi", bias="abcdefgi")
    of_x, of_h = ({k: M[k].T @ a for k in "abcdefgi"} for M, a in ((W, x), (U, h)))
    of_h = {k: of_h[k] + b[k] for k in of_h}
    z = {k: of_x[k] + of_h[k] for k in of_x} | {"d": of_x["d"] * of_h["d"]}
    first = {k: ACTIVATIONS["relu" if k in "bd" else "tanh" if k in "eg" else "sigmoid"](z[k]) for k in z}
    k, m = np.tanh(first["a"] * first["b"]), np.tanh(first["e"] * first["f"])
    c = np.tanh(k + c) * np.tanh(first["c"] + first["d"])
    h = np.tanh(c * np.tanh(m + sigmoid(first["g"] + first["i"])))
    return (h, c), h


def original_lstm(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Hochreiter and Schmidhuber 1997, section 4: g has range [-2, 2], h has [-1, 1]."""
    h, c = carry
    W, U, b = split(params, kernel="igo", recurrent_kernel="igo", bias="igo")
    i, g, o = (W[k].T @ x + U[k].T @ h + b[k] for k in "igo")
    squash = {"tanh": lambda z: 2 * sigmoid(z) - 1, "soft_sign": lambda z: z / (2 + np.abs(z))}[activation]
    c = c + 2 * squash(g) * ACTIVATIONS[gate_activation](i)
    h = ACTIVATIONS[gate_activation](o) * squash(c)
    return (h, c), h


def ran(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Lee et al. 2017, equation 1."""
    h, c = carry
    W, U, b = split(params, kernel="ifn", recurrent_kernel="if", bias="ifn")
    i, f = (ACTIVATIONS[gate_activation](W[k].T @ x + U[k].T @ h + b[k]) for k in "if")
    c = i * (W["n"].T @ x + b["n"]) + f * c
    h = ACTIVATIONS[activation](c)
    return (h, c), h


def res_lstm(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Kim et al. 2017, equations 18 to 24."""
    h, c = carry
    W, U, b = split(params, kernel="ifgo", recurrent_kernel="ifgo", bias="ifgo")
    p = columns(params["peephole"], "ifo")
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    z = {k: W[k].T @ x + U[k].T @ h + b[k] for k in "ifgo"}
    i, f = (sigma(z[k] + p[k] * c) for k in "if")
    c = f * c + i * phi(z["g"])
    o = sigma(z["o"] + p["o"] * c)
    m = params["projection"].T @ phi(c)
    h = o * (m + direct(params, x, len(h)))
    return (h, c), h


def scrn(params, carry, x, context_size=40, alpha=0.95, activation="sigmoid"):
    """Mikolov et al. 2015, equations 3 and 4; what equation 5 reads is put out."""
    h, s = carry
    R, P = params["recurrent_kernel"][: len(h)], params["recurrent_kernel"][len(h) :]
    s = (1 - alpha) * params["context_kernel"].T @ x + alpha * s
    h = ACTIVATIONS[activation](P.T @ s + params["kernel"].T @ x + R.T @ h + params["bias"])
    assert len(s) == context_size
    return (h, s), np.concatenate([h, s])


def tau_gru(params, carry, x, delay=10, activation="tanh", gate_activation="sigmoid"):
    """Erichson et al. 2022, equation 5."""
    h, past = carry
    assert len(past) == delay
    U, W, b = split(params, kernel="ugaz", recurrent_kernel="ugaz", bias="ugaz")
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    u = phi(W["u"].T @ h + U["u"].T @ x + b["u"])
    z = phi(W["z"].T @ past[0] + U["z"].T @ x + b["z"])
    g, a = (sigma(W[k].T @ h + U[k].T @ x + b[k]) for k in "ga")
    new = (1 - g) * h + g * (u + a * z)
    return (new, np.array([*past[1:], h])), new


def trnn(params, carry, x, gate_activation="sigmoid"):
    """Balduzzi and Ghifary 2016, equations for the T-RNN."""
    (h,) = carry
    W, b = split(params, kernel="fn", bias="fn")
    f = ACTIVATIONS[gate_activation](W["f"].T @ x + b["f"])
    h = f * h + (1 - f) * (W["n"].T @ x + b["n"])
    return (h,), h


def typed(params, past, x, activation, gate_activation):
    """Balduzzi and Ghifary 2016: z, f and o of T-GRU and T-LSTM, and the products of x for the next step.

    `past` is what the last x gave, or whatever the carry was set to.
    """
    W, b, past = columns(params["kernel"], "zfoZFO"), columns(params["bias"], "zfo"), columns(past, "zfo")
    z, f, o = (past[k] + W[k].T @ x + b[k] for k in "zfo")
    return z, ACTIVATIONS[gate_activation](f), ACTIVATIONS[activation](o), np.concatenate([W[k].T @ x for k in "ZFO"])


def tgru(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    h, past = carry
    z, f, o, past = typed(params, past, x, activation, gate_activation)
    h = f * h + z * o
    return (h, past), h


def tlstm(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    _, c, past = carry
    z, f, o, past = typed(params, past, x, activation, gate_activation)
    c = f * c + (1 - f) * z
    return (c * o, c, past), c * o


def unicornn(params, carry, x, dt=0.1, alpha=0.0, activation="tanh"):
    """Rusch and Mishra 2021, equation 4, oscillator by oscillator; y there is h here."""
    y, z = (a.copy() for a in carry)
    for n in range(len(y)):
        step = dt * sigmoid(params["control"][n])
        force = params["recurrent_weight"][n] * y[n] + params["kernel"][:, n] @ x + params["bias"][n]
        z[n] -= step * (ACTIVATIONS[activation](force) + alpha * y[n])
        y[n] += step * z[n]
    return (y, z), y


CELLS = {
    "tau_gru": Entry(
        tau_gru,
        lambda params, H: (np.zeros(H), np.zeros((3, H))),
        {"delay": 3},
        {"tau_gru_activations": OTHERS},
    ),
    "trnn": Entry(trnn, variants={"trnn_gates": {"gate_activation": "hard_sigmoid"}}),
    "mclstm": Entry(mclstm, lambda params, H: (np.zeros(H),) * 3, variants={"mclstm_activations": OTHERS}),
    "wmclstm": Entry(wmclstm, pair, variants={"wmclstm_activations": OTHERS}),
    "nas": Entry(nas, pair, dead={"*": 0.3}),  # of relu
    "original_lstm": Entry(original_lstm, pair, variants={"original_lstm_activations": OTHERS}),
    "ran": Entry(ran, pair, variants={"ran_identity": {"activation": "identity", "gate_activation": "hard_sigmoid"}}),
    "res_lstm": Entry(res_lstm, pair, variants={"res_lstm_activations": OTHERS, "res_lstm_square": SQUARE}),
    "scrn": Entry(
        scrn,
        lambda params, H: (np.zeros(H), np.zeros(4)),
        {"context_size": 4},
        {"scrn_options": {"alpha": 0.4, "activation": "tanh"}},
    ),
    "tgru": Entry(tgru, lambda params, H: (np.zeros(H), np.zeros(3 * H)), variants={"tgru_activations": OTHERS}),
    "tlstm": Entry(
        tlstm,
        lambda params, H: (np.zeros(H), np.zeros(H), np.zeros(3 * H)),
        variants={"tlstm_activations": OTHERS},
    ),
    "unicornn": Entry(
        unicornn, pair, variants={"unicornn_options": {"dt": 0.4, "alpha": 1.3, "activation": "soft_sign"}}
    ),
}
