"""Cells beside torchrecurrent's of the same name: the outputs of a sequence, from its own random parameters.

Where it deviates from the paper and that can be undone, the row undoes it and says how. Three are left out: its NAS
adds the two products that the authors multiply, its SCRN reads its last output in place of its hidden state, and its
original LSTM squashes by tanh where the paper has 4 sigmoid - 2 and 2 sigmoid - 1.
"""

import numpy as np
import pytest
from sides import B, D, H, T
from support import assert_close, tolerance

import jaxrnn

torch = pytest.importorskip("torch", reason="torch is not installed")
peer = pytest.importorskip("torchrecurrent", reason="torchrecurrent is not installed")


def blocks(a, *order):
    """The blocks [..., H] of an array in this order."""
    return np.concatenate([np.split(a, a.shape[-1] // H, axis=-1)[n] for n in order], axis=-1)


def dense(w, order, recurrent=None, bias=None):
    """kernel and recurrent_kernel with their blocks in our order.

    recurrent: that of the recurrent kernel, if it is another. bias: for each of our blocks theirs of bias_ih and of
    bias_hh, None where there is none.
    """
    recurrent = order if recurrent is None else recurrent
    pairs = zip(order, recurrent, strict=True) if bias is None else bias
    none = np.zeros(H)

    def block(name, n):
        return none if n is None else blocks(w[name], n)

    return {
        "kernel": blocks(w["weight_ih"].T, *order),
        "recurrent_kernel": blocks(w["weight_hh"].T, *recurrent),
        "bias": np.concatenate([block("bias_ih", a) + block("bias_hh", b) for a, b in pairs]),
    }


def skew(w):
    """Theirs multiplies h by (W - Wᵀ)ᵀ, from the left."""
    return (w["weight_hh"].T - w["weight_hh"])[np.triu_indices(H, 1)]


def without(params, name, **more):
    return {key: value for key, value in params.items() if key != name} | more


def typed(w):
    kernel = np.concatenate([w["weight_ih"].T, w["weight_hh"].T], -1)
    return {"kernel": kernel, "bias": w["bias_ih"] + w["bias_hh"]}


def gated_antisymmetric(w):  # their gate does not see bias_hh
    bias = w["bias_ih"] + np.concatenate([np.zeros(H), w["bias_hh"]])
    return {"kernel": w["weight_ih"].T, "recurrent_weight": skew(w), "bias": bias}


ONCE = {"recurrent_bias": False}  # both biases, where the paper has one or none

# name -> (their class, its options, our options, their weights as our params)
CELLS = {
    "antisymmetric_rnn": (
        "AntisymmetricRNN",
        {"epsilon": 0.3, "gamma": 0.2},
        {"epsilon": 0.3, "gamma": 0.2},
        lambda w: without(dense(w, [0]), "recurrent_kernel", recurrent_weight=skew(w)),
    ),
    "gated_antisymmetric_rnn": (
        "GatedAntisymmetricRNN",
        {"epsilon": 0.3, "gamma": 0.2},
        {"epsilon": 0.3, "gamma": 0.2},
        gated_antisymmetric,
    ),
    "atr": ("ATR", ONCE, {}, lambda w: dense(w, [0])),
    "brc": (
        "BR",
        {},
        {},
        lambda w: {
            "kernel": w["weight_ih"].T,
            "recurrent_weight": w["weight_hh"],
            "bias": w["bias_ih"] + np.concatenate([w["bias_hh"], np.zeros(H)]),
        },
    ),
    "nbrc": ("NBR", {}, {}, lambda w: dense(w, [0, 1, 2], [0, 1], [(0, 0), (1, 1), (2, None)])),
    "cfn": ("CFN", {}, {}, lambda w: dense(w, [0, 1, 2], [0, 1], [(0, 0), (1, 1), (2, None)])),
    "fast_rnn": ("FastRNN", {}, {}, lambda w: dense(w, [0]) | {"alpha": w["alpha"], "beta": w["beta"]}),
    "fast_grnn": (  # their nonlinearity is that of the gate, tanh by default
        "FastGRNN",
        {"nonlinearity": "sigmoid"},
        {},
        lambda w: dense(w, [0], [0], [(0, 0), (1, 1)]) | {"zeta": w["zeta"], "nu": w["nu"]},
    ),
    "intersection_rnn": ("IntersectionRNN", {}, {}, lambda w: dense(w, [0, 1, 2, 3])),
    "li_gru": ("LiGRU", {}, {}, lambda w: dense(w, [0, 1])),
    "light_ru": ("LightRU", {}, {}, lambda w: dense(w, [1, 0], [0], [(1, 0), (0, None)])),
    "minimal_rnn": (
        "MinimalRNN",
        {},
        {},
        lambda w: dense(w, [0], [0], [(None, 0), (0, None)]) | {"latent_kernel": w["weight_mm"].T},
    ),
    "mi_ru1": ("MiRU1", {"update_coefficient": 0.3}, {"update_coefficient": 0.3}, lambda w: dense(w, [0, 1])),
    "mi_ru2": (
        "MiRU2",
        {"update_coefficient": 0.3, "reset_coefficient": 0.8},
        {"update_coefficient": 0.3, "reset_coefficient": 0.8},
        lambda w: dense(w, [0]),
    ),
    "mclstm": ("MCLSTM", {}, {}, lambda w: dense(w, [1, 0, 4, 2, 3])),
    "wmclstm": (  # without the bias within its inner tanh
        "WMCLSTM",
        {"memory_bias": False},
        {},
        lambda w: dense(w, [0, 1, 2, 3]) | {"memory_kernel": w["weight_mh"].T},
    ),
    "mut1": (  # its tanh of a product with x is ours where D is not H, but for the bias of that product
        "MUT1",
        {"unbiased": 2},
        {},
        lambda w: dense(w, [1, 0], [0, 1], [(1, 0), (None, 1), (0, None)]) | {"shortcut": blocks(w["weight_ih"].T, 2)},
    ),
    "mut2": (  # its r has a product with x, as ours where D is not H
        "MUT2",
        {},
        {},
        lambda w: dense(w, [0, 2], [1, 0, 2], [(1, 1), (0, 0), (2, 2)]) | {"shortcut": blocks(w["weight_ih"].T, 1)},
    ),
    "mut3": ("MUT3", {}, {}, lambda w: dense(w, [1, 0, 2])),
    "ran": ("RAN", {}, {}, lambda w: dense(w, [1, 2, 0], [0, 1], [(0, 0), (1, 1), (None, None)])),
    "res_lstm": (  # its W_r x is ours where D is not H
        "ResLSTM",
        {},
        {},
        lambda w: (
            dense(w, [0, 1, 2, 3])
            | {"peephole": w["weight_ph"], "projection": w["weight_proj"].T, "shortcut": w["weight_res"].T}
        ),
    ),
    "sgrn": ("SGRN", ONCE, {}, lambda w: dense(w, [0])),
    "sgu": (  # PyTorch's hard sigmoid has a sixth in float32, whatever it computes in
        "SGU",
        {**ONCE, "gate_nonlinearity": "sigmoid"},
        {"gate_activation": "sigmoid"},
        lambda w: dense(w, [1, 0]),
    ),
    "dsgu": (
        "DSGU",
        {**ONCE, "gate_nonlinearity": "sigmoid"},
        {"gate_activation": "sigmoid"},
        lambda w: dense(w, [1, 0]) | {"output_kernel": w["weight_ho"].T},
    ),
    "star": ("STAR", {}, {}, lambda w: dense(w, [1, 0], [0], [(1, 0), (0, None)])),
    "tau_gru": ("tauGRU", {"delay": 2}, {"delay": 2}, lambda w: dense(w, [0, 2, 3, 1])),
    "trnn": (
        "TRNN",
        {},
        {},
        lambda w: {"kernel": blocks(w["weight_ih"].T, 1, 0), "bias": blocks(w["bias_ih"], 1, 0)},
    ),
    "tgru": ("TGRU", {}, {}, typed),
    "tlstm": ("TLSTM", {}, {}, typed),
    "unicornn": (
        "UnICORNN",
        {"dt": 0.3, "alpha": 0.7},
        {"dt": 0.3, "alpha": 0.7},
        lambda w: {
            "kernel": w["weight_ih"].T,
            "recurrent_weight": w["weight_hh"],
            "control": w["weight_ch"],
            "bias": w["bias_ih"] + w["bias_hh"],
        },
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_values(name, rng):
    kind, options, own, convert = CELLS[name]
    options, size = dict(options), H if kind == "IntersectionRNN" else D
    unbiased = options.pop("unbiased", None)
    made = getattr(peer, kind)(size, H, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.from_numpy(0.5 * rng.standard_normal(tuple(parameter.shape))))
        if unbiased is not None:
            made.cells[0].bias_ih[unbiased * H : (unbiased + 1) * H] = 0
    w = {name.removeprefix("cells.0."): t.numpy() for name, t in made.state_dict().items()}
    xs = rng.standard_normal((T, B, size))
    with torch.no_grad():
        expected = made(torch.from_numpy(xs))[0].numpy()
    cell = jaxrnn.CELLS[name](H, **own)
    _, ys = jaxrnn.unroll(cell, convert(w), None, xs)
    assert_close(ys, expected, tolerance("float64", T))
    assert np.abs(expected).max() > 0.01
