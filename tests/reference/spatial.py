"""Cells whose units are on a grid."""

from __future__ import annotations

import numpy as np

from reference.parts import ACTIVATIONS, Entry, columns


def convolved(image, kernel):
    """image [*shape, N], kernel [*window, N, M] -> [*shape, M]: weight by weight, with zeros around the image.

    A window of even size reaches further to the right, as in TensorFlow's SAME.
    """
    shape, window = image.shape[:-1], kernel.shape[:-2]
    around = np.pad(image, [((w - 1) // 2, w // 2) for w in window] + [(0, 0)])
    out = np.zeros((*shape, kernel.shape[-1]))
    for offset in np.ndindex(*window):
        out += around[tuple(slice(o, o + size) for o, size in zip(offset, shape, strict=True))] @ kernel[offset]
    return out


def conv_lstm(
    params,
    carry,
    x,
    shape=(16, 16),
    kernel_size=3,
    peepholes=False,
    activation="tanh",
    gate_activation="sigmoid",
):
    """Shi et al. 2015, equation 3."""
    h, c = carry
    sums = convolved(x, params["kernel"]) + convolved(h, params["recurrent_kernel"]) + params["bias"]
    z = columns(sums, "ifgo")
    w = columns(params["peephole"], "ifo") if peepholes else dict.fromkeys("ifo", 0)
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    i, f = sigma(z["i"] + w["i"] * c), sigma(z["f"] + w["f"] * c)
    c = f * c + i * phi(z["g"])
    h = sigma(z["o"] + w["o"] * c) * phi(c)
    return (h, c), h


def conv_gru(params, carry, x, shape=(16, 16), kernel_size=3, activation="tanh", gate_activation="sigmoid"):
    """Ballas et al. 2016, equations 7 to 10, with 1 - z for their z, and biases."""
    (h,) = carry
    sigma, phi = ACTIVATIONS[gate_activation], ACTIVATIONS[activation]
    of_x = columns(convolved(x, params["kernel"]) + params["bias"], "rzn")
    of_h = columns(convolved(h, params["recurrent_kernel"]), "rzn")
    r, z = (sigma(of_x[gate] + of_h[gate]) for gate in "rz")
    new = phi(of_x["n"] + convolved(r * h, columns(params["recurrent_kernel"], "rzn")["n"]))
    h = new + z * (h - new)
    return (h,), h


def zeros(shape, fields):
    return lambda params, H: (np.zeros((*shape, H)),) * fields


# Small, as the loops are slow; the starts do not see options, so each grid has the shape of (2, 3).
def entry(name, step, fields, **more):
    return Entry(step, zeros((2, 3), fields), {"hidden_size": 2, "shape": (2, 3)}, more)


CELLS = {
    "conv_lstm": entry(
        "conv_lstm",
        conv_lstm,
        2,
        conv_lstm_peepholes={"peepholes": True, "kernel_size": (1, 2), "activation": "soft_sign"},
    ),
    "conv_gru": entry("conv_gru", conv_gru, 1, conv_gru_window={"kernel_size": (2, 1), "activation": "soft_sign"}),
}
