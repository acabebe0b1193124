"""The cells that every test of the library is put to, one by one."""

from __future__ import annotations

import numpy as np

from reference.parts import ACTIVATIONS, columns


def elman(params, carry, x, activation="tanh"):
    """Elman 1990, with a bias: h' = activation(W x + U h + b)."""
    (h,) = carry
    h = ACTIVATIONS[activation](x @ params["kernel"] + h @ params["recurrent_kernel"] + params["bias"])
    return (h,), h


def gated(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """One gate: g opens to the new, h' = (1 - g) h + g n."""
    (h,) = carry
    W, U, b = (columns(params[name], "gn") for name in ("kernel", "recurrent_kernel", "bias"))
    g = ACTIVATIONS[gate_activation](x @ W["g"] + h @ U["g"] + b["g"])
    n = ACTIVATIONS[activation](x @ W["n"] + h @ U["n"] + b["n"])
    h = h + g * (n - h)
    return (h,), h


def janet(params, carry, x, beta=1.0, activation="tanh", gate_activation="sigmoid"):
    """An LSTM's forget gate alone; the new comes in by how open it would be with beta less."""
    (c,) = carry
    W, U, b = (columns(params[name], "fn") for name in ("kernel", "recurrent_kernel", "bias"))
    s, n = (x @ W[k] + c @ U[k] + b[k] for k in "fn")
    sigma = ACTIVATIONS[gate_activation]
    c = sigma(s) * c + (1 - sigma(s - beta)) * ACTIVATIONS[activation](n)
    return (c,), c


def lstm(
    params,
    carry,
    x,
    *,
    peepholes=False,
    coupled=False,
    projection=None,
    cell_clip=None,
    activation="tanh",
    gate_activation="sigmoid",
    output_activation=None,
):
    """Greff et al. 2017, section 2 (their z is g here) and its variants; projection and clip of Sak et al. 2014."""
    h, c = carry
    gates = "fgo" if coupled else "ifgo"
    W, U, b = (columns(params[name], gates) for name in ("kernel", "recurrent_kernel", "bias"))
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    psi = ACTIVATIONS[output_activation or activation]
    zero = {gate: np.zeros_like(c) for gate in "ifo"}
    p = columns(params["peephole"], gates.replace("g", "")) if peepholes else zero

    f = sigma(x @ W["f"] + h @ U["f"] + p["f"] * c + b["f"])
    i = 1 - f if coupled else sigma(x @ W["i"] + h @ U["i"] + p["i"] * c + b["i"])
    g = phi(x @ W["g"] + h @ U["g"] + b["g"])
    c = i * g + f * c
    if cell_clip is not None:
        c = np.minimum(np.maximum(c, -cell_clip), cell_clip)
    o = sigma(x @ W["o"] + h @ U["o"] + p["o"] * c + b["o"])
    h = o * psi(c)
    if projection is not None:
        h = h @ params["projection"]
        assert h.shape == (projection,)
    return (h, c), h


def gru(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Cho et al. 2014, first version: the reset gate acts on the product, whose bias is d."""
    (h,) = carry
    W, U, b, d = (columns(params[name], "rzn") for name in ("kernel", "recurrent_kernel", "bias", "recurrent_bias"))
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    r = sigma(x @ W["r"] + b["r"] + h @ U["r"] + d["r"])
    z = sigma(x @ W["z"] + b["z"] + h @ U["z"] + d["z"])
    n = phi(x @ W["n"] + b["n"] + r * (h @ U["n"] + d["n"]))
    h = z * h + (1 - z) * n
    return (h,), h


def gru_reset_before(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Cho et al. 2014, third version: the reset gate acts on h, before the product."""
    (h,) = carry
    W, U, b = (columns(params[name], "rzn") for name in ("kernel", "recurrent_kernel", "bias"))
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    r = sigma(x @ W["r"] + h @ U["r"] + b["r"])
    z = sigma(x @ W["z"] + h @ U["z"] + b["z"])
    n = phi(x @ W["n"] + (r * h) @ U["n"] + b["n"])
    h = z * h + (1 - z) * n
    return (h,), h


def mgu(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Zhou et al. 2016: one gate f, which resets h before the product and lets the candidate in."""
    (h,) = carry
    W, U, b = (columns(params[name], "fn") for name in ("kernel", "recurrent_kernel", "bias"))
    f = ACTIVATIONS[gate_activation](x @ W["f"] + h @ U["f"] + b["f"])
    candidate = ACTIVATIONS[activation](x @ W["n"] + (f * h) @ U["n"] + b["n"])
    h = (1 - f) * h + f * candidate
    return (h,), h


def mgu_reset_after(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """One gate f, which resets the product, whose bias is d, and keeps the old state."""
    (h,) = carry
    W, U, b = (columns(params[name], "fn") for name in ("kernel", "recurrent_kernel", "bias"))
    f = ACTIVATIONS[gate_activation](x @ W["f"] + h @ U["f"] + b["f"])
    n = ACTIVATIONS[activation](x @ W["n"] + b["n"] + f * (h @ U["n"] + params["recurrent_bias"]))
    h = f * h + (1 - f) * n
    return (h,), h


def multiplicative_lstm(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Krause et al. 2016: an LSTM that sees m where it saw h; with a bias in each product with x."""
    h, c = carry
    W, U, b = (columns(params[name], "mifgo") for name in ("kernel", "recurrent_kernel", "bias"))
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    m = (x @ W["m"] + b["m"]) * (h @ U["m"])
    i = sigma(x @ W["i"] + m @ U["i"] + b["i"])
    f = sigma(x @ W["f"] + m @ U["f"] + b["f"])
    o = sigma(x @ W["o"] + m @ U["o"] + b["o"])
    c = f * c + i * phi(x @ W["g"] + m @ U["g"] + b["g"])
    h = o * phi(c)
    return (h, c), h


def recurrent_highway(params, carry, x, depth=3, activation="tanh", gate_activation="sigmoid"):
    """Zilly et al. 2017, equations 6 to 9, with c = 1 - t: x is seen by the first of the layers within a step."""
    (s,) = carry
    W = columns(params["kernel"], "tn")
    assert len(params["recurrent_kernel"]) == len(params["bias"]) == depth
    for layer, (kernel, bias) in enumerate(zip(params["recurrent_kernel"], params["bias"], strict=True)):
        R, b = columns(kernel, "tn"), columns(bias, "tn")
        transform, new = s @ R["t"] + b["t"], s @ R["n"] + b["n"]
        if layer == 0:
            transform, new = transform + x @ W["t"], new + x @ W["n"]
        t = ACTIVATIONS[gate_activation](transform)
        s = ACTIVATIONS[activation](new) * t + s * (1 - t)
    return (s,), s


def lem(params, carry, x, dt=1.0, activation="tanh", gate_activation="sigmoid"):
    """Rusch et al. 2022, equation 3; y there is h here."""
    y, z = carry
    V, W, b = (columns(params[name], "dezh") for name in ("kernel", "recurrent_kernel", "bias"))
    sigma, sigma_hat = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    step = dt * sigma_hat(W["d"].T @ y + V["d"].T @ x + b["d"])
    step_bar = dt * sigma_hat(W["e"].T @ y + V["e"].T @ x + b["e"])
    z = (1 - step) * z + step * sigma(W["z"].T @ y + V["z"].T @ x + b["z"])
    y = (1 - step_bar) * y + step_bar * sigma(W["h"].T @ z + V["h"].T @ x + b["h"])
    return (y, z), y


def indrnn(params, carry, x, activation="relu"):
    """Li et al. 2018, equation 2, unit by unit."""
    (h,) = carry
    units = zip(params["kernel"].T, params["recurrent_weight"], h, params["bias"], strict=True)
    h = ACTIVATIONS[activation](np.array([w @ x + u * old + b for w, u, old, b in units]))
    return (h,), h


def cornn(params, carry, x, dt=0.042, gamma=2.7, epsilon=4.7, activation="tanh"):
    """Rusch and Mishra 2021, equation 3, damped by the old z; y there is h here."""
    y, z = carry
    W, W_z = np.split(params["recurrent_kernel"], 2)
    force = ACTIVATIONS[activation](y @ W + z @ W_z + x @ params["kernel"] + params["bias"])
    z = z + dt * force - dt * gamma * y - dt * epsilon * z
    y = y + dt * z
    return (y, z), y


STEPS = {
    "elman": elman,
    "gated": gated,
    "lstm": lstm,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
    "mgu": mgu,
    "mgu_reset_after": mgu_reset_after,
    "multiplicative_lstm": multiplicative_lstm,
    "recurrent_highway": recurrent_highway,
    "lem": lem,
    "indrnn": indrnn,
    "cornn": cornn,
    "janet": janet,
}
