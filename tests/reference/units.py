"""Cells with one state: gated units, from their papers."""

from __future__ import annotations

import numpy as np

from reference.parts import ACTIVATIONS, Entry, columns, sigmoid

OTHERS = {"activation": "soft_sign", "gate_activation": "hard_sigmoid"}


def split(params, **gates):
    """The blocks of some arrays by the letters of their gates."""
    return [columns(params[name], letters) for name, letters in gates.items()]


def antisymmetric(params, size, gamma):
    """U - Uᵀ - gamma I as the paper has it, from the entries of U above its diagonal."""
    matrix, entries = np.zeros((size, size)), iter(params["recurrent_weight"])
    for i in range(size):
        for j in range(i + 1, size):
            matrix[i, j] = next(entries)
            matrix[j, i] = -matrix[i, j]
        matrix[i, i] = -gamma
    return matrix


def antisymmetric_rnn(params, carry, x, epsilon=0.1, gamma=0.01, activation="tanh"):
    """Chang et al. 2019, equation 10."""
    (h,) = carry
    A = antisymmetric(params, len(h), gamma)
    h = h + epsilon * ACTIVATIONS[activation](h @ A + x @ params["kernel"] + params["bias"])
    return (h,), h


def gated_antisymmetric_rnn(params, carry, x, epsilon=0.1, gamma=0.01, activation="tanh", gate_activation="sigmoid"):
    """Chang et al. 2019, equations 11 and 12."""
    (h,) = carry
    V, b = split(params, kernel="zn", bias="zn")
    Ah = h @ antisymmetric(params, len(h), gamma)
    z = ACTIVATIONS[gate_activation](Ah + x @ V["z"] + b["z"])
    h = h + epsilon * z * ACTIVATIONS[activation](Ah + x @ V["n"] + b["n"])
    return (h,), h


def atr(params, carry, x, gate_activation="sigmoid"):
    """Zhang et al. 2018, equations 6 to 10: twin gates of a sum and a difference."""
    (h,) = carry
    p, q = params["kernel"].T @ x + params["bias"], params["recurrent_kernel"].T @ h
    sigma = ACTIVATIONS[gate_activation]
    h = sigma(p + q) * p + sigma(p - q) * h
    return (h,), h


def bistable(params, h, x, of_h, activation="tanh", gate_activation="sigmoid"):
    """Vecoven et al. 2021: what BRC and nBRC have in common; of_h: what a and c see of h."""
    U, b = split(params, kernel="acn", bias="acn")
    phi = ACTIVATIONS[activation]
    a = 1 + phi(x @ U["a"] + of_h["a"] + b["a"])
    c = ACTIVATIONS[gate_activation](x @ U["c"] + of_h["c"] + b["c"])
    return c * h + (1 - c) * phi(x @ U["n"] + a * h + b["n"])


def brc(params, carry, x):
    """Equation 3 of Vecoven et al. 2021, unit by unit."""
    (h,) = carry
    w = columns(params["recurrent_weight"], "ac")
    h = bistable(params, h, x, {k: w[k] * h for k in "ac"})
    return (h,), h


def nbrc(params, carry, x, **activations):
    """The same with matrices in the gates."""
    (h,) = carry
    W = columns(params["recurrent_kernel"], "ac")
    h = bistable(params, h, x, {k: W[k].T @ h for k in "ac"}, **activations)
    return (h,), h


def cfn(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Laurent and von Brecht 2017, equations 2 and 3."""
    (h,) = carry
    V, U, b = split(params, kernel="ten", recurrent_kernel="te", bias="ten")
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    theta, eta = (sigma(U[k].T @ h + V[k].T @ x + b[k]) for k in "te")
    h = theta * phi(h) + eta * phi(V["n"].T @ x + b["n"])
    return (h,), h


def fast_rnn(params, carry, x, activation="tanh"):
    """Kusupati et al. 2018, equation 2; both numbers are kept below 1 by a sigmoid."""
    (h,) = carry
    alpha, beta = sigmoid(params["alpha"][0]), sigmoid(params["beta"][0])
    new = ACTIVATIONS[activation](x @ params["kernel"] + h @ params["recurrent_kernel"] + params["bias"])
    h = alpha * new + beta * h
    return (h,), h


def fast_grnn(params, carry, x, input_rank=None, recurrent_rank=None, activation="tanh", gate_activation="sigmoid"):
    """Kusupati et al. 2018, equation 3, with W and U of low rank as in equation 4."""
    (h,) = carry
    W, U, b = params["kernel"], params["recurrent_kernel"], columns(params["bias"], "zn")
    if input_rank is not None:
        W = W @ params["kernel_right"]
    if recurrent_rank is not None:
        U = U @ params["recurrent_kernel_right"]
    zeta, nu = sigmoid(params["zeta"][0]), sigmoid(params["nu"][0])
    z = ACTIVATIONS[gate_activation](W.T @ x + U.T @ h + b["z"])
    h = (zeta * (1 - z) + nu) * ACTIVATIONS[activation](W.T @ x + U.T @ h + b["n"]) + z * h
    return (h,), h


def direct(params, x, size):
    """x where a formula adds it to a state: as it is, or through a matrix if it has another size."""
    return x if len(x) == size else params["shortcut"].T @ x


def intersection_rnn(params, carry, x, depth_activation="relu", activation="tanh", gate_activation="sigmoid"):
    """Collins et al. 2017, section 2.2.6."""
    h, _ = carry
    W, U, b = split(params, kernel="pndg", recurrent_kernel="pndg", bias="pndg")
    z = {k: W[k].T @ x + U[k].T @ h + b[k] for k in "pndg"}
    g_y, g_h = (ACTIVATIONS[gate_activation](z[k]) for k in "dg")
    y = g_y * direct(params, x, len(h)) + (1 - g_y) * ACTIVATIONS[depth_activation](z["p"])
    h = g_h * h + (1 - g_h) * ACTIVATIONS[activation](z["n"])
    return (h, y), y


def li_gru(params, carry, x, activation="relu", gate_activation="sigmoid"):
    """Ravanelli et al. 2018, equations 4, without batch normalisation."""
    (h,) = carry
    W, U, b = split(params, kernel="zn", recurrent_kernel="zn", bias="zn")
    z = ACTIVATIONS[gate_activation](W["z"].T @ x + U["z"].T @ h + b["z"])
    new = ACTIVATIONS[activation](W["n"].T @ x + U["n"].T @ h + b["n"])
    h = new + z * (h - new)
    return (h,), h


def light_ru(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Ye et al. 2024, section 3.2."""
    (h,) = carry
    W, b = split(params, kernel="fn", bias="fn")
    f = ACTIVATIONS[gate_activation](W["f"].T @ x + params["recurrent_kernel"].T @ h + b["f"])
    h = h - f * (h - ACTIVATIONS[activation](W["n"].T @ x + b["n"]))
    return (h,), h


def minimal_rnn(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Chen 2017, section 2."""
    (h,) = carry
    b = columns(params["bias"], "uz")
    z = ACTIVATIONS[activation](params["kernel"].T @ x + b["z"])
    u = params["recurrent_kernel"].T @ h + params["latent_kernel"].T @ z + b["u"]
    u = ACTIVATIONS[gate_activation](u)
    h = u * h + (1 - u) * z
    return (h,), h


def mi_ru1(params, carry, x, update_coefficient=0.5, activation="tanh", gate_activation="sigmoid"):
    """Zyarah and Kudithipudi 2025: a GRU whose update gate is a number."""
    (h,) = carry
    W, U, b = split(params, kernel="rn", recurrent_kernel="rn", bias="rn")
    r = ACTIVATIONS[gate_activation](W["r"].T @ x + U["r"].T @ h + b["r"])
    new = ACTIVATIONS[activation](W["n"].T @ x + U["n"].T @ (r * h) + b["n"])
    h = update_coefficient * h + (1 - update_coefficient) * new
    return (h,), h


def mi_ru2(params, carry, x, update_coefficient=0.5, reset_coefficient=0.5, activation="tanh"):
    """The same with numbers for both gates."""
    (h,) = carry
    seen = params["kernel"].T @ x + params["recurrent_kernel"].T @ (reset_coefficient * h) + params["bias"]
    h = update_coefficient * h + (1 - update_coefficient) * ACTIVATIONS[activation](seen)
    return (h,), h


def mut1(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Jozefowicz et al. 2015, section 3: MUT1."""
    (h,) = carry
    W, U, b = split(params, kernel="rz", recurrent_kernel="rn", bias="rnz")
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    z = sigma(W["z"].T @ x + b["z"])
    r = sigma(W["r"].T @ x + U["r"].T @ h + b["r"])
    h = phi(U["n"].T @ (r * h) + phi(direct(params, x, len(h))) + b["n"]) * z + h * (1 - z)
    return (h,), h


def mut2(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Jozefowicz et al. 2015, section 3: MUT2."""
    (h,) = carry
    W, U, b = split(params, kernel="zn", recurrent_kernel="rzn", bias="rzn")
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    z = sigma(W["z"].T @ x + U["z"].T @ h + b["z"])
    r = sigma(direct(params, x, len(h)) + U["r"].T @ h + b["r"])
    h = phi(U["n"].T @ (r * h) + W["n"].T @ x + b["n"]) * z + h * (1 - z)
    return (h,), h


def mut3(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Jozefowicz et al. 2015, section 3: MUT3."""
    (h,) = carry
    W, U, b = split(params, kernel="rzn", recurrent_kernel="rzn", bias="rzn")
    phi, sigma = ACTIVATIONS[activation], ACTIVATIONS[gate_activation]
    z = sigma(W["z"].T @ x + U["z"].T @ phi(h) + b["z"])
    r = sigma(W["r"].T @ x + U["r"].T @ h + b["r"])
    h = phi(U["n"].T @ (r * h) + W["n"].T @ x + b["n"]) * z + h * (1 - z)
    return (h,), h


def sgrn(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """IET Generation, Transmission and Distribution 2021: i = 1 - f, and one product with x for gate and new."""
    (h,) = carry
    p = params["kernel"].T @ x + params["bias"]
    i = 1 - ACTIVATIONS[gate_activation](p + params["recurrent_kernel"].T @ h)
    h = ACTIVATIONS[activation](i * p + (1 - i) * h)
    return (h,), h


def sgu(params, carry, x, activation="tanh", gate_activation="hard_sigmoid", deep=False):
    """Gao and Glowacka 2016, section 3; deep: the DSGU."""
    (h,) = carry
    W, U, b = split(params, kernel="zg", recurrent_kernel="zg", bias="zg")
    x_g = W["g"].T @ x + b["g"]
    z_g = ACTIVATIONS[activation](U["g"].T @ (x_g * h))
    out = sigmoid(params["output_kernel"].T @ (z_g * h)) if deep else np.logaddexp(0, z_g * h)
    z = ACTIVATIONS[gate_activation](W["z"].T @ x + b["z"] + U["z"].T @ h)
    h = (1 - z) * h + z * out
    return (h,), h


def dsgu(*args, **options):
    return sgu(*args, **options, deep=True)


def star(params, carry, x, activation="tanh", gate_activation="sigmoid"):
    """Turkoglu et al. 2021, equations 6 to 8."""
    (h,) = carry
    W, b = split(params, kernel="kz", bias="kz")
    phi = ACTIVATIONS[activation]
    k = ACTIVATIONS[gate_activation](W["k"].T @ x + params["recurrent_kernel"].T @ h + b["k"])
    h = phi((1 - k) * h + k * phi(W["z"].T @ x + b["z"]))
    return (h,), h


SQUARE = {"hidden_size": 3}  # as D is, so that x enters as it is
CELLS = {
    "antisymmetric_rnn": Entry(
        antisymmetric_rnn,
        variants={"antisymmetric_rnn_options": {"epsilon": 0.4, "gamma": 0.3, "activation": "soft_sign"}},
    ),
    "gated_antisymmetric_rnn": Entry(
        gated_antisymmetric_rnn, variants={"gated_antisymmetric_rnn_options": {"epsilon": 0.4, "gamma": 0.3, **OTHERS}}
    ),
    "atr": Entry(atr, variants={"atr_gates": {"gate_activation": "hard_sigmoid"}}),
    "brc": Entry(brc),
    "nbrc": Entry(nbrc, variants={"nbrc_activations": OTHERS}),
    "cfn": Entry(cfn, variants={"cfn_activations": OTHERS}),
    "fast_rnn": Entry(fast_rnn, variants={"fast_rnn_soft_sign": {"activation": "soft_sign"}}),
    "fast_grnn": Entry(
        fast_grnn,
        variants={
            "fast_grnn_ranks": {"input_rank": 2, "recurrent_rank": 4, **OTHERS},
            "fast_grnn_recurrent_rank": {"recurrent_rank": 2},
        },
        steps=16,
    ),
    "intersection_rnn": Entry(
        intersection_rnn,
        lambda params, H: (np.zeros(H), np.zeros(H)),
        variants={
            "intersection_rnn_activations": {"depth_activation": "tanh", **OTHERS},
            "intersection_rnn_square": SQUARE,
        },
        dead={"*": 0.3},  # of relu
    ),
    "li_gru": Entry(li_gru, variants={"li_gru_activations": OTHERS}, dead={"*": 0.3}),
    "light_ru": Entry(light_ru, variants={"light_ru_activations": OTHERS}),
    "minimal_rnn": Entry(minimal_rnn, variants={"minimal_rnn_activations": OTHERS}),
    "mi_ru1": Entry(mi_ru1, variants={"mi_ru1_options": {"update_coefficient": 0.3, **OTHERS}}),
    "mi_ru2": Entry(
        mi_ru2,
        variants={"mi_ru2_options": {"update_coefficient": 0.3, "reset_coefficient": 0.8, "activation": "soft_sign"}},
    ),
    "mut1": Entry(mut1, variants={"mut1_activations": OTHERS, "mut1_square": SQUARE}),
    "mut2": Entry(mut2, variants={"mut2_activations": OTHERS, "mut2_square": SQUARE}),
    "mut3": Entry(mut3, variants={"mut3_activations": OTHERS}),
    "sgrn": Entry(sgrn, variants={"sgrn_activations": OTHERS}),
    "sgu": Entry(sgu, variants={"sgu_activations": {"activation": "soft_sign", "gate_activation": "sigmoid"}}),
    "dsgu": Entry(dsgu, variants={"dsgu_activations": {"activation": "soft_sign", "gate_activation": "sigmoid"}}),
    "star": Entry(star, variants={"star_activations": OTHERS}),
}
