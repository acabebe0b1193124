"""Cells whose weights have a structure: products of x and h, low rank, signs, rotations, spikes."""

from __future__ import annotations

import numpy as np

from reference.parts import ACTIVATIONS, Entry, columns

FUNCTIONS = {"abs": np.abs, "softplus": lambda z: np.log1p(np.exp(z)), **ACTIVATIONS}


def jordan(params, carry, x, output_size=None, decay=0.0, activation="tanh", output_activation="identity"):
    """Jordan 1986: the state units sum up past outputs, each step keeping `decay` of what they hold."""
    y, state = carry
    hidden = ACTIVATIONS[activation](x @ params["kernel"] + params["bias"] + state @ params["recurrent_kernel"])
    y = ACTIVATIONS[output_activation](params["output_kernel"].T @ hidden + params["output_bias"])
    return (y, decay * state + y), y


def second_order(params, carry, x, activation="sigmoid"):
    """Giles et al. 1992, equation 1: S_i = g(sum W_ijk S_j I_k), with a bias."""
    (state,) = carry
    H = len(state)
    W = params["kernel"].reshape(H, len(x), H)  # j, k, i
    sums = np.zeros(H)
    for k, symbol in enumerate(x):
        for j in range(H):
            sums += W[j, k] * state[j] * symbol
    h = ACTIVATIONS[activation](sums + params["bias"])
    return (h,), h


def integrated(params, gates, gate, x, h):
    """Wu et al. 2016, equation 4: alpha * Wx * Uz + beta1 * Uz + beta2 * Wx + b, for one gate."""
    names = ("kernel", "recurrent_kernel", "alpha", "beta_1", "beta_2", "bias")
    W, U, alpha, beta_1, beta_2, b = (columns(params[name], gates)[gate] for name in names)
    Wx, Uz = W.T @ x, U.T @ h
    return alpha * Wx * Uz + beta_1 * Uz + beta_2 * Wx + b


def multiplicative_integration_rnn(params, carry, x, activation="tanh"):
    """Wu et al. 2016, an RNN with MI."""
    (h,) = carry
    h = ACTIVATIONS[activation](integrated(params, "h", "h", x, h))
    return (h,), h


def multiplicative_integration_lstm(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """The same in each gate of an LSTM."""
    h, c = carry
    i, f, g, o = (integrated(params, "ifgo", gate, x, h) for gate in "ifgo")
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    c = sigma(i) * phi(g) + sigma(f) * c
    h = phi(c) * sigma(o)
    return (h, c), h


def multiplicative_integration_gru(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """The same in each gate of a GRU that resets before the product."""
    (h,) = carry
    r, z = (ACTIVATIONS[gate_activation](integrated(params, "rzn", gate, x, h)) for gate in "rz")
    new = ACTIVATIONS[activation](integrated(params, "rzn", "n", x, r * h))
    h = new + z * (h - new)
    return (h,), h


def low_rank_rnn(params, carry, x, rank=1, dt=1.0, tau=5.0, disorder=0.0, seed=0, activation="tanh"):
    """Mastrogiuseppe and Ostojic 2018, equation 1, by Euler's method: J = g chi + sum of m nᵀ / N."""
    (h,) = carry
    N = len(h)
    chi = np.random.RandomState(seed).standard_normal((N, N)) / N**0.5
    J = disorder * chi.T  # J_ij is from j to i
    for r in range(rank):
        J = J + np.outer(params["recurrent_kernel"][r], params["select"][:, r]) / N
    change = -h + J @ ACTIVATIONS[activation](h) + params["kernel"].T @ x + params["bias"]
    h = h + dt * change / tau
    return (h,), ACTIVATIONS[activation](h)


def dale_rnn(
    params,
    carry,
    x,
    excitatory=0.8,
    self_connections=False,
    dt=1.0,
    tau=5.0,
    activation="relu",
    magnitude="relu",
):
    """Song, Yang and Wang 2016, equations 3 and 8, without noise: W = |W| D, columns of one sign each."""
    (h,) = carry
    N, alpha = len(h), dt / tau
    off, W = iter(params["recurrent_kernel"].ravel()), np.zeros((N, N))
    for j in range(N):  # from j
        for i in range(N):  # to i
            if i != j or self_connections:
                W[i, j] = FUNCTIONS[magnitude](next(off))
    D = np.diag([1] * round(excitatory * N) + [-1] * (N - round(excitatory * N)))
    r = FUNCTIONS[activation](h)
    h = (1 - alpha) * h + alpha * (W @ D @ r + params["kernel"].T @ x + params["bias"])
    return (h,), FUNCTIONS[activation](h)


def from_skew(params, H):
    """A = S - Sᵀ, number by number."""
    A, free = np.zeros((H, H)), iter(params["skew"])
    for i in range(H):
        for j in range(i + 1, H):
            A[i, j] = next(free)
            A[j, i] = -A[i, j]
    return A


def modrelu(z, b):
    """Arjovsky et al. 2016, equation 8, also for real z."""
    return np.where(abs(z) + b >= 0, (abs(z) + b) * z / abs(z), 0)


def turned(params, h, x, W, activation):
    """W h + V x through an activation, with modReLU's bias inside of it."""
    z = W @ h + params["kernel"].T @ x
    b = params["bias"]
    h = modrelu(z, b) if activation == "modrelu" else ACTIVATIONS[activation](z + b)
    return (h,), h


def orthogonal_rnn(params, carry, x, activation="modrelu"):
    """Lezcano-Casado and Martínez-Rubio 2019, equation 1; the exponential by its eigenvalues, which are imaginary."""
    (h,) = carry
    values, vectors = np.linalg.eigh(1j * from_skew(params, len(h)))
    B = (vectors * np.exp(-1j * values) @ vectors.conj().T).real
    return turned(params, h, x, B.T, activation)


def scaled_cayley(params, carry, x, negative=None, activation="modrelu"):
    """Helfrich et al. 2018, equations 5 and 7."""
    (h,) = carry
    A, one = from_skew(params, len(h)), np.eye(len(h))
    D = np.eye(len(h))
    for i in range(len(h) // 2 if negative is None else negative):
        D[i, i] = -1
    return turned(params, h, x, np.linalg.inv(one + A) @ (one - A) @ D, activation)


def unitary_rnn(params, carry, x, seed=0):
    """Arjovsky et al. 2016, equations 6 to 8, with matrices in full."""
    (h,) = carry
    N = len(h)
    D = [np.diag(np.exp(1j * angles)) for angles in params["angles"]]
    v = [reflection[:N] + 1j * reflection[N:] for reflection in params["reflections"]]
    R = [np.eye(N) - 2 * np.outer(a, a.conj()) / np.vdot(a, a) for a in v]
    F = np.exp(-2j * np.pi * np.outer(np.arange(N), np.arange(N)) / N) / N**0.5
    permutation = np.eye(N)[np.random.RandomState(seed).permutation(N)]
    W = D[2] @ R[1] @ F.conj().T @ D[1] @ permutation @ R[0] @ F @ D[0]
    V = params["kernel"][:, :N] + 1j * params["kernel"][:, N:]
    h = modrelu(W @ h + V.T @ x, params["bias"])
    return (h,), np.concatenate([h.real, h.imag])


def two(params, H):
    return np.zeros(H), np.zeros(H)


GATED = {"activation": "soft_sign", "gate_activation": "hard_sigmoid"}
CELLS = {
    "jordan": Entry(
        jordan,
        lambda params, H: (np.zeros_like(params["output_bias"]),) * 2,
        variants={
            "jordan_options": {
                "output_size": 2,
                "decay": 0.4,
                "activation": "soft_sign",
                "output_activation": "sigmoid",
            }
        },
    ),
    "second_order": Entry(
        second_order,
        lambda params, H: (np.eye(H)[0],),
        variants={"second_order_sign": {"activation": "soft_sign"}},
    ),
    "multiplicative_integration_rnn": Entry(
        multiplicative_integration_rnn, variants={"multiplicative_integration_rnn_sign": {"activation": "soft_sign"}}
    ),
    "multiplicative_integration_lstm": Entry(
        multiplicative_integration_lstm, two, variants={"multiplicative_integration_lstm_activations": GATED}
    ),
    "multiplicative_integration_gru": Entry(
        multiplicative_integration_gru, variants={"multiplicative_integration_gru_activations": GATED}
    ),
    "low_rank_rnn": Entry(
        low_rank_rnn,
        variants={
            "low_rank_rnn_options": {"rank": 2, "dt": 0.5, "tau": 2.0, "activation": "soft_sign"},
            "low_rank_rnn_disorder": {"rank": 2, "disorder": 0.8, "seed": 3},
        },
    ),
    "dale_rnn": Entry(
        dale_rnn,
        options={"magnitude": "abs", "activation": "softplus"},  # relu has no gradient below 0
        variants={
            "dale_rnn_options": {
                "excitatory": 0.6,
                "self_connections": True,
                "dt": 0.5,
                "tau": 2.0,
                "activation": "tanh",
                "magnitude": "softplus",
            }
        },
    ),
    "orthogonal_rnn": Entry(orthogonal_rnn, variants={"orthogonal_rnn_tanh": {"activation": "tanh"}}),
    "scaled_cayley": Entry(
        scaled_cayley, variants={"scaled_cayley_options": {"negative": 4, "activation": "soft_sign"}}
    ),
    "unitary_rnn": Entry(
        unitary_rnn, lambda params, H: (np.zeros(H, complex),), variants={"unitary_rnn_seed": {"seed": 4}}
    ),
}
