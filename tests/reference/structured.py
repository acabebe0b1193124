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


def lif(params, carry, x, beta=0.9, threshold=1.0, reset="subtract", surrogate=25.0):
    """Neftci et al. 2019, with snnTorch's two kinds of reset: both follow the spike of the step before."""
    spikes, potential = carry
    current = x @ params["kernel"] + spikes @ params["recurrent_kernel"] + params["bias"]
    potential = beta * potential + current
    if reset == "subtract":
        potential = potential - spikes * threshold
    else:
        potential = potential - spikes * potential
    spikes = np.where(potential - threshold > 0, 1.0, 0.0)
    return (spikes, potential), spikes


def alif(params, carry, x, dt=1.0, tau=20.0, tau_adaptation=200.0, beta=1.8, threshold=1.0, dampening=0.3):
    """Bellec et al. 2018, equations 1 to 3, without delays and silence."""
    z, V, b = carry
    alpha, rho = np.exp(-dt / tau), np.exp(-dt / tau_adaptation)
    B = threshold + beta * b
    current = params["kernel"].T @ x + params["recurrent_kernel"].T @ z + params["bias"]
    V = alpha * V + (1 - alpha) * current - B * z
    b = rho * b + (1 - rho) * z
    B = threshold + beta * b
    z = ((V - B) / B > 0).astype(float)
    return (z, V, b), z


def echo_state(
    params,
    carry,
    x,
    spectral_radius=0.9,
    connectivity=1.0,
    leak=1.0,
    input_scale=1.0,
    bias_scale=0.0,
    seed=0,
    activation="tanh",
    dtype=None,
):
    """Jaeger et al. 2007, equation 1; the weights as the docstring says that they are drawn."""
    assert params == {}
    (h,) = carry
    H, random = len(h), np.random.RandomState(seed)
    W = random.uniform(-1, 1, (H, H))
    W[random.uniform(0, 1, (H, H)) >= connectivity] = 0
    W *= spectral_radius / max(abs(np.linalg.eigvals(W)))
    b = random.uniform(-1, 1, H) * bias_scale
    W_in = random.uniform(-1, 1, (len(x), H)) * input_scale
    h = h + leak * (ACTIVATIONS[activation](x @ W_in + h @ W + b) - h)
    return (h,), h


def goru(params, carry, x, gate_activation="sigmoid"):
    """Jing et al. 2017, section 3; z keeps the old state; with expRNN's orthogonal matrix."""
    (h,) = carry
    W, b, U = (
        columns(params["kernel"], "rzn"),
        columns(params["bias"], "rzn"),
        columns(params["recurrent_kernel"], "rz"),
    )
    sigma = ACTIVATIONS[gate_activation]
    r, z = (sigma(W[k].T @ x + U[k].T @ h + b[k]) for k in "rz")
    values, vectors = np.linalg.eigh(1j * from_skew(params, len(h)))
    B = (vectors * np.exp(-1j * values) @ vectors.conj().T).real
    new = modrelu(W["n"].T @ x + r * (B.T @ h), b["n"])
    h = new + z * (h - new)
    return (h,), h


def sub_lstm(params, carry, x, activation="sigmoid", gate_activation="sigmoid"):
    """Costa et al. 2017, equations 9 to 12: the input gate and the output gate are taken away."""
    h, c = carry
    W, U, b = (columns(params[name], "ifgo") for name in ("kernel", "recurrent_kernel", "bias"))
    i, f, z, o = (W[k].T @ x + U[k].T @ h + b[k] for k in "ifgo")
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    c = c * sigma(f) + phi(z) - sigma(i)
    h = phi(c) - sigma(o)
    return (h, c), h


def nested_lstm(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Moniz and Krueger 2018, equations 6 to 11."""
    h, c, inner_c = carry
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]

    def lstm_gates(prefix, x, h):
        names = (prefix + name for name in ("kernel", "recurrent_kernel", "bias"))
        W, U, b = (columns(params[name], "ifgo") for name in names)
        z = {k: x @ W[k] + h @ U[k] + b[k] for k in "ifgo"}
        return sigma(z["i"]), sigma(z["f"]), phi(z["g"]), sigma(z["o"])

    i, f, g, o = lstm_gates("", x, h)
    inner_i, inner_f, inner_g, inner_o = lstm_gates("inner_", i * g, f * c)
    inner_c = inner_f * inner_c + inner_i * inner_g
    c = inner_o * phi(inner_c)
    h = o * phi(c)
    return (h, c, inner_c), h


def mogrifier_lstm(params, carry, x, rounds=5, activation="tanh", gate_activation="sigmoid"):
    """Melis et al. 2020, equations 1 and 2, then an LSTM."""
    h, c = carry
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    for k in range(1, rounds + 1):
        if k % 2:
            x = 2 * sigma(params["to_x"][k // 2].T @ h) * x
        else:
            h = 2 * sigma(params["to_h"][k // 2 - 1].T @ x) * h
    W, U, b = (columns(params[name], "ifgo") for name in ("kernel", "recurrent_kernel", "bias"))
    i, f, g, o = (W[k].T @ x + U[k].T @ h + b[k] for k in "ifgo")
    c = c * sigma(f) + phi(g) * sigma(i)
    h = phi(c) * sigma(o)
    return (h, c), h


def lipschitz_rnn(params, carry, x, dt=0.1, beta=0.75, gamma=0.001, activation="tanh"):
    """Erichson et al. 2021, equations 3 and 4, by Euler's method."""
    (h,) = carry
    A, W = (
        ((1 - beta) * (M + M.T) + beta * (M - M.T) - gamma * np.eye(len(h))).T
        for M in np.split(params["recurrent_kernel"], 2, axis=1)
    )
    rate = A @ h + ACTIVATIONS[activation](W @ h + params["kernel"].T @ x + params["bias"])
    h = h + dt * rate
    return (h,), h


def delta_rnn(params, carry, x, output_activation="tanh", activation="tanh", gate_activation="sigmoid"):
    """Ororbia et al. 2017, equations 8 to 11."""
    (h,) = carry
    z = ACTIVATIONS[activation](integrated(params, "n", "n", x, h))
    r = ACTIVATIONS[gate_activation](params["kernel"].T @ x + params["gate_bias"])
    h = ACTIVATIONS[output_activation](z + r * (h - z))
    return (h,), h


def statistical_recurrent_unit(
    params,
    carry,
    x,
    scales=(0.0, 0.25, 0.5, 0.9, 0.99),
    statistics_size=None,
    summary_size=None,
    activation="relu",
):
    """Oliva et al. 2017, equations 5 to 9."""
    (averages,) = carry
    f = ACTIVATIONS[activation]
    r = f(params["recurrent_kernel"].T @ averages + params["summary_bias"])
    phi = f(params["summary_kernel"].T @ r + params["kernel"].T @ x + params["bias"])
    rows = averages.reshape(len(scales), len(phi))
    averages = np.concatenate([a * mu + (1 - a) * phi for a, mu in zip(scales, rows, strict=True)])
    return (averages,), f(params["output_kernel"].T @ averages + params["output_bias"])


def rev_gru(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """MacKay et al. 2018, equations 3 to 6."""
    h1, h2 = carry
    W, U, b = (columns(params[name], "rznsum") for name in ("kernel", "recurrent_kernel", "bias"))
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]

    def half(own, other, r, z, n):
        reset, keep = (sigma(x @ W[k] + other @ U[k] + b[k]) for k in (r, z))
        return keep * own + (1 - keep) * phi(x @ W[n] + (reset * other) @ U[n] + b[n])

    h1 = half(h1, h2, *"rzn")
    h2 = half(h2, h1, *"sum")
    return (h1, h2), np.concatenate([h1, h2])


def zeros(fields):
    return lambda params, H: (np.zeros(H),) * fields


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
    "lif": Entry(
        lif, two, exact=False, variants={"lif_hard": {"beta": 0.7, "threshold": 0.5, "reset": "zero", "surrogate": 3.0}}
    ),
    "alif": Entry(
        alif,
        zeros(3),
        exact=False,
        variants={"alif_options": {"dt": 0.7, "tau": 9.0, "tau_adaptation": 3.0, "beta": 0.4, "threshold": 0.8}},
        reached=lambda h, v, a: (h, abs(v) + 1, abs(a)),  # near to the thresholds, where gradients are not 0
    ),
    "echo_state": Entry(
        echo_state,
        options={"dtype": "float64"},  # there are no params to say it
        variants={
            "echo_state_options": {
                "spectral_radius": 1.3,
                "connectivity": 0.7,
                "leak": 0.3,
                "input_scale": 0.4,
                "bias_scale": 0.6,
                "seed": 2,
                "activation": "soft_sign",
            }
        },
    ),
    "sub_lstm": Entry(sub_lstm, two, variants={"sub_lstm_activations": GATED}),
    "nested_lstm": Entry(nested_lstm, zeros(3), variants={"nested_lstm_activations": GATED}),
    "mogrifier_lstm": Entry(
        mogrifier_lstm,
        two,
        variants={"mogrifier_lstm_round": {"rounds": 1}, "mogrifier_lstm_two": {"rounds": 2, **GATED}},
    ),
    "lipschitz_rnn": Entry(
        lipschitz_rnn,
        variants={
            "lipschitz_rnn_options": {"dt": 0.4, "beta": 0.6, "gamma": 0.3, "activation": "soft_sign"},
        },
    ),
    "delta_rnn": Entry(delta_rnn, variants={"delta_rnn_options": {"output_activation": "identity", **GATED}}),
    "statistical_recurrent_unit": Entry(
        statistical_recurrent_unit,
        lambda params, H: (np.zeros(len(params["output_kernel"])),),
        options={"activation": "tanh"},  # through relu some entries of a short test have no gradient
        variants={
            "statistical_recurrent_unit_options": {
                "scales": (0.3, 0.8),
                "statistics_size": 4,
                "summary_size": 2,
                "activation": "sigmoid",
            }
        },
    ),
    "rev_gru": Entry(
        rev_gru,
        lambda params, H: (np.zeros(H // 2),) * 2,
        options={"hidden_size": 6},
        variants={"rev_gru_activations": GATED},
    ),
    "goru": Entry(goru, variants={"goru_gates": {"gate_activation": "hard_sigmoid"}}),
}
