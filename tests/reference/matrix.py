"""Cells whose memory is a matrix for each head."""

from __future__ import annotations

import numpy as np

from reference.parts import Entry, columns, sigmoid


def _silu(z):
    return z * sigmoid(z)


def _heads(kernel_rows, names, x, heads):
    """x W of each block, by name, as a list over heads."""
    return {name: np.split(x @ W, heads) for name, W in columns(kernel_rows, names).items()}


def _empty(params, H, heads):
    K = H // heads
    return np.zeros((heads, K, K)), np.zeros((heads, K))


def linear_attention(params, carry, x, heads=1, epsilon=1e-6):
    """Katharopoulos et al. 2020, equations 16 to 20."""
    S, z, _ = carry
    s = _heads(params["kernel"], "qkv", x, heads)

    def phi(a):
        return np.where(a > 0, a + 1, np.exp(a))

    q, k = phi(np.array(s["q"])), phi(np.array(s["k"]))
    S, z = S + np.array([np.outer(*kv) for kv in zip(k, s["v"], strict=True)]), z + k
    y = np.concatenate([q[n] @ S[n] / (q[n] @ z[n] + epsilon) for n in range(heads)])
    return (S, z, q), y


def retention(params, carry, x, heads=1):
    """Sun et al. 2023, equation 6, turned by each step: (q e^(inθ)) · (k e^(imθ)) conjugated is q · k e^(i(n-m)θ)."""
    S, _ = carry
    s, new, queries, y = _heads(params["kernel"], "qkv", x, heads), [], [], []
    for n in range(heads):
        half = len(s["q"][n]) // 2
        q, k = (s[name][n][:half] + 1j * s[name][n][half:] for name in "qk")
        theta = 10000.0 ** (-np.arange(half) / half)
        memory = (1 - 2.0 ** (-5 - n)) * np.exp(1j * theta)[:, None] * S[n] + np.outer(k.conj(), s["v"][n])
        new.append(memory)
        queries.append(q)
        y.append((q @ memory).real)
    return (np.array(new), np.array(queries)), np.concatenate(y)


def gla(params, carry, x, heads=1, rank=16, temperature=16.0):
    """Yang et al. 2024, equation 3 and section 4.4."""
    S, _ = carry
    H = S.shape[0] * S.shape[1]
    s = _heads(params["kernel"][:, : 3 * H], "qkv", x, heads)
    low = x @ params["kernel"][:, 3 * H :]
    assert low.shape == (rank,)
    alpha = np.split(sigmoid(low @ params["gate_kernel"] + params["gate_bias"]) ** (1 / temperature), heads)
    S = np.array([np.diag(alpha[n]) @ S[n] + np.outer(s["k"][n], s["v"][n]) for n in range(heads)])
    return (S, np.array(s["q"])), np.concatenate([S[n].T @ s["q"][n] for n in range(heads)])


def hgrn2(params, carry, x, heads=1, lower_bound=0.0):
    """Qin et al. 2024, section 3."""
    S, _ = carry
    W = columns(params["kernel"], "fvq")
    gamma = params["lower_bound"] if lower_bound is None else lower_bound
    forget = np.split(gamma + (1 - gamma) * sigmoid(x @ W["f"]), heads)
    v, q = np.split(x @ W["v"], heads), np.split(_silu(x @ W["q"]), heads)
    S = np.array([np.diag(forget[n]) @ S[n] + np.outer(1 - forget[n], v[n]) for n in range(heads)])
    return (S, np.array(q)), np.concatenate([S[n].T @ q[n] for n in range(heads)])


def _delta(S, q, k, v, alpha, beta):
    """S (I - β k kᵀ) of Yang et al., whose S is this one transposed."""
    q, k = q / np.linalg.norm(q), k / np.linalg.norm(k)
    memory = alpha * S.T @ (np.eye(len(k)) - beta * np.outer(k, k)) + beta * np.outer(v, k)
    return memory.T, q, memory @ q


def delta_net(params, carry, x, heads=1):
    """Yang et al. 2024, section 2.2."""
    S, _ = carry
    H = S.shape[0] * S.shape[1]
    s, beta = _heads(params["kernel"][:, : 3 * H], "qkv", x, heads), sigmoid(x @ params["kernel"][:, 3 * H :])
    S, q, y = zip(
        *(_delta(S[n], _silu(s["q"][n]), _silu(s["k"][n]), s["v"][n], 1, beta[n]) for n in range(heads)), strict=True
    )
    return (np.array(S), np.array(q)), np.concatenate(y)


def gated_delta_net(params, carry, x, heads=1):
    """Yang et al. 2025, equation 10, with the gate of Mamba-2."""
    S, _ = carry
    H = S.shape[0] * S.shape[1]
    s = _heads(params["kernel"][:, : 3 * H], "qkv", x, heads)
    beta, dt = np.split(x @ params["kernel"][:, 3 * H :], 2)
    alpha = np.exp(-np.exp(params["log_rate"]) * np.log1p(np.exp(dt + params["step_bias"])))
    parts = (
        _delta(S[n], _silu(s["q"][n]), _silu(s["k"][n]), _silu(s["v"][n]), alpha[n], sigmoid(beta[n]))
        for n in range(heads)
    )
    S, q, y = zip(*parts, strict=True)
    return (np.array(S), np.array(q)), np.concatenate(y)


def mlstm(params, carry, x, heads=1, forget_gate="sigmoid"):
    """Beck et al. 2024, equations 19 to 27, without the stabiliser: C and n as they are, C exp(m) and n exp(m) here."""
    h, C, n, m = carry
    H = len(h)
    s = _heads(params["kernel"][:, : 4 * H], "qkvo", x, heads)
    b = {name: np.split(bias, heads) for name, bias in columns(params["bias"][: 4 * H], "qkvo").items()}
    i, f = np.split(x @ params["kernel"][:, 4 * H :] + params["bias"][4 * H :], 2)
    new = []
    for j in range(heads):
        q, k, v, o = (s[name][j] + b[name][j] for name in "qkvo")
        forget = np.exp(f[j]) if forget_gate == "exp" else sigmoid(f[j])
        key = k / np.sqrt(len(k))
        memory = forget * np.exp(m[j]) * C[j] + np.exp(i[j]) * np.outer(key, v)
        weight = forget * np.exp(m[j]) * n[j] + np.exp(i[j]) * key
        y = sigmoid(o) * (memory.T @ q) / max(abs(weight @ q), 1)
        most = max(np.log(forget) + m[j], i[j])
        new.append((y, memory / np.exp(most), weight / np.exp(most), most))
    y, *state = (np.array(part) for part in zip(*new, strict=True))
    return (y.reshape(H), *state), y.reshape(H)


TWO = {"hidden_size": 4, "heads": 2}


def _with(heads):
    return lambda params, H: _empty(params, H, heads)


CELLS = {
    "mlstm": Entry(
        mlstm,
        lambda params, H: (np.zeros(H), np.zeros((2, H // 2, H // 2)), np.zeros((2, H // 2)), np.full(2, -1e30)),
        {"hidden_size": 6, "heads": 2},
        {"mlstm_exp": {"forget_gate": "exp"}},
    ),
    "linear_attention": Entry(
        linear_attention,
        lambda params, H: (np.zeros((2, 2, 2)), np.zeros((2, 2)), np.zeros((2, 2))),
        TWO,
        reached=lambda S, z, q: (S, abs(z), q),
    ),
    "retention": Entry(
        retention,
        lambda params, H: (np.zeros((2, 2, 4), complex), np.zeros((2, 2), complex)),
        {"hidden_size": 8, "heads": 2},
    ),
    "gla": Entry(gla, _with(2), TWO, {"gla_temperature": {"temperature": 2.0, "rank": 3}}),
    "hgrn2": Entry(hgrn2, _with(2), TWO, {"hgrn2_bound": {"lower_bound": 0.3}, "hgrn2_tied": {"lower_bound": None}}),
    "delta_net": Entry(delta_net, _with(2), {"hidden_size": 6, "heads": 2}),
    "gated_delta_net": Entry(gated_delta_net, _with(2), {"hidden_size": 6, "heads": 2}),
}
