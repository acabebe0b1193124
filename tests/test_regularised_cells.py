"""Dropout against NumPy loops that apply, by the published formulas, the masks that were drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from observed import multiplier, observed, run
from reference import sigmoid
from support import assert_close, double, leaves_close, problem, tolerance, variant

import jaxrnn

T, B, H = 6, 8, 5
TOL = tolerance("float64", T)
RATE = 0.4

# A step of each cell with a multiplier on what each recurrent product reads, and one on each candidate.


def lstm(p, s, x, reads, lets):
    h, c = s
    i, f, g, o = np.split(x @ p["kernel"] + (reads[0] * h) @ p["recurrent_kernel"] + p["bias"], 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * lets[0] * np.tanh(g)
    return (sigmoid(o) * np.tanh(c), c)


def gru(p, s, x, reads, lets):
    (h,) = s
    x_r, x_z, x_n = np.split(x @ p["kernel"] + p["bias"], 3, -1)
    h_r, h_z, h_n = np.split((reads[0] * h) @ p["recurrent_kernel"] + p["recurrent_bias"], 3, -1)
    z, n = sigmoid(x_z + h_z), np.tanh(x_n + sigmoid(x_r + h_r) * h_n)
    return ((1 - z) * lets[0] * n + z * h,)


def gru_reset_before(p, s, x, reads, lets):
    (h,) = s
    x_r, x_z, x_n = np.split(x @ p["kernel"] + p["bias"], 3, -1)
    U_r, U_z, U_n = np.split(p["recurrent_kernel"], 3, -1)
    r, z = sigmoid(x_r + (reads[0] * h) @ U_r), sigmoid(x_z + (reads[0] * h) @ U_z)
    n = np.tanh(x_n + (reads[1] * (r * h)) @ U_n)
    return ((1 - z) * lets[0] * n + z * h,)


def gated(p, s, x, reads, lets):
    (h,) = s
    g, n = np.split(x @ p["kernel"] + (reads[0] * h) @ p["recurrent_kernel"] + p["bias"], 2, -1)
    return ((1 - sigmoid(g)) * h + sigmoid(g) * lets[0] * np.tanh(n),)


def recurrent_highway(p, s, x, reads, lets):
    (h,) = s
    for k, (U, b) in enumerate(zip(p["recurrent_kernel"], p["bias"], strict=True)):
        t, n = np.split((reads[k] * h) @ U + b + (x @ p["kernel"] if k == 0 else 0), 2, -1)
        h = (1 - sigmoid(t)) * h + sigmoid(t) * lets[k] * np.tanh(n)
    return (h,)


class Masked(NamedTuple):
    step: Any
    products: int
    candidates: int


CELLS = {
    "lstm": Masked(lstm, 1, 1),
    "gru": Masked(gru, 1, 1),
    "gru_reset_before": Masked(gru_reset_before, 2, 1),
    "gated": Masked(gated, 1, 1),
    "recurrent_highway": Masked(recurrent_highway, 3, 3),
}


def masked_loop(name, params, carry, xs, reads=None, lets=None):
    """Leaves [carry..., ys] of a loop in float64; multipliers [T, B, H], one for each product and each candidate."""
    step, products, candidates = CELLS[name]
    reads = [np.ones((len(xs), 1, 1))] * products if reads is None else reads
    lets = [np.ones((len(xs), 1, 1))] * candidates if lets is None else lets
    assert (len(reads), len(lets)) == (products, candidates)
    s, params, ys = tuple(double(carry)), double(params), []
    for t, x in enumerate(double(xs)):
        s = step(params, s, x, [m[t] for m in reads], [m[t] for m in lets])
        ys.append(s[0])
    return [*s, np.stack(ys)]


NOISY = {
    "dropout": lambda cell, rate: jaxrnn.dropout(cell, input=rate, output=rate),
    "dropout_sequence": lambda cell, rate: jaxrnn.dropout(cell, input=rate, output=rate, per="sequence"),
    "variational_dropout": lambda cell, rate: jaxrnn.variational_dropout(cell, input=rate, recurrent=rate, output=rate),
    "candidate": jaxrnn.recurrent_dropout,
    "carry_sequence": lambda cell, rate: jaxrnn.recurrent_dropout(cell, rate, on="carry", per="sequence"),
    "weight_drop": jaxrnn.weight_drop,
}


@pytest.mark.parametrize("name", NOISY)
def test_without_a_key_it_is_the_bare_cell(name, key):
    """Bit for bit, over time and by step; with a key it is not; with a key and rate 0 it is again, to rounding."""
    bare = variant("lstm")
    params, carry, xs = problem(bare, key, T, (B,), dtype="float64")
    expected = run(bare, params, carry, xs)
    cell = NOISY[name](bare, RATE)
    assert_close(run(cell, params, carry, xs), expected, 0.0)
    assert_close(cell.step(params, carry, xs[0]), bare.step(params, carry, xs[0]), 0.0)
    (_, noisy), _ = observed(cell, params, carry, xs, key)
    assert np.abs(noisy - expected[1]).max() > 0.01
    assert_close(observed(NOISY[name](bare, 0), params, carry, xs, key)[0], expected, TOL)


def test_a_stack_without_a_key_has_no_dropout(key):
    layers = variant("lstm"), variant("gru")
    params, carry, xs = problem(jaxrnn.stack(*layers), key, T, (B,), dtype="float64")
    expected = run(jaxrnn.stack(*layers), params, carry, xs)
    assert_close(run(jaxrnn.stack(*layers, dropout=RATE), params, carry, xs), expected, 0.0)


@pytest.mark.parametrize("per", ["step", "sequence"])
@pytest.mark.parametrize("on", ["candidate", "carry"])
@pytest.mark.parametrize("name", CELLS)
def test_recurrent_dropout(name, on, per, key):
    """Semeniuta et al. 2016: c' = f c + i m g, and its like; on the carry, h is masked in products only."""
    cell = jaxrnn.recurrent_dropout(variant(name), RATE, on=on, per=per)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    actual, (call,) = observed(cell, params, carry, xs, key)
    assert_close(call.inputs, xs, 0.0)
    assert all((mask == mask[0]).all() == (per == "sequence") for mask in call.masks)
    drawn = [mask / (1 - RATE) for mask in call.masks]
    expected = masked_loop(name, params, carry, xs, **{"candidate": {"lets": drawn}, "carry": {"reads": drawn}}[on])
    leaves_close(actual, expected, TOL)


@pytest.mark.parametrize("per", ["step", "sequence"])
def test_dropout(per, key):
    """On x before the cell and on y after it, not on the carry."""
    cell = jaxrnn.dropout(variant("lstm"), input=RATE, output=0.3, per=per)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    (after, ys), (call,) = observed(cell, params, carry, xs, key)
    m, m_out = multiplier(call.inputs, xs, RATE), multiplier(ys, call.ys, 0.3)
    for mask in m, m_out:
        assert (mask == mask[0]).all() == (per == "sequence")
    *state, bare = masked_loop("lstm", params, carry, xs * m)
    leaves_close((after, ys), [*state, bare * m_out], TOL)


@pytest.mark.parametrize("name", CELLS)
def test_variational_dropout(name, key):
    """Gal and Ghahramani 2016: a mask of x, of h in products and of y, each the same at every step."""
    cell = jaxrnn.variational_dropout(variant(name), input=0.3, recurrent=RATE, output=0.2)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    (after, ys), (call,) = observed(cell, params, carry, xs, key)
    m, m_out = multiplier(call.inputs, xs, 0.3), multiplier(ys, call.ys, 0.2)
    assert (m == m[0]).all() and (m_out == m_out[0]).all()
    assert call.masks and all((mask == mask[0]).all() for mask in call.masks)
    *state, bare = masked_loop(name, params, carry, xs * m, reads=[mask / (1 - RATE) for mask in call.masks])
    leaves_close((after, ys), [*state, bare * m_out], TOL)


@pytest.mark.parametrize("name", CELLS)
def test_weight_drop(name, key):
    """Merity et al. 2017: one mask of the recurrent kernel for the whole call; no other parameter is touched."""
    cell = jaxrnn.weight_drop(variant(name), RATE)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    actual, (call,) = observed(cell, params, carry, xs, key)
    dropped = params["recurrent_kernel"] * multiplier(call.params["recurrent_kernel"], params["recurrent_kernel"], RATE)
    leaves_close(actual, masked_loop(name, {**params, "recurrent_kernel": dropped}, carry, xs), TOL)


def test_weight_drop_finds_each_member_of_a_composition(key):
    """Every layer has a mask of its own, and other names are found too."""
    cell = jaxrnn.weight_drop(
        jaxrnn.stack(variant("lstm"), variant("lstm")), RATE, names=("recurrent_kernel", "kernel")
    )
    params, carry, xs = problem(cell, key, T, (B,), D=H, dtype="float64")
    (after, ys), calls = observed(cell, params, carry, xs, key)
    masks, layers = [], ("layer_0", "layer_1")
    for layer, call in zip(layers, calls, strict=True):
        own = dict(params[layer])
        for name in "kernel", "recurrent_kernel":
            masks.append(multiplier(call.params[name], own[name], RATE))
            own[name] *= masks[-1]
        *state, xs = masked_loop("lstm", own, carry[layer], xs)
        leaves_close(after[layer], state, TOL)
    assert_close(ys, xs, 2 * TOL)
    assert all((a != b).any() for i, a in enumerate(masks) for b in masks[:i])


def test_stack_dropout(key):
    """Between layers, afresh at each step; the first layer sees x whole and the last layer's y is whole."""
    cell = jaxrnn.stack(variant("lstm"), variant("gru"), variant("gated"), dropout=RATE)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    (after, ys), calls = observed(cell, params, carry, xs, key)
    assert_close(calls[0].inputs, xs, 0.0)
    assert_close(calls[2].ys, ys, 0.0)
    masks = []
    for i, name in enumerate(["lstm", "gru", "gated"]):
        if i:
            masks.append(multiplier(calls[i].inputs, calls[i - 1].ys, RATE))
            assert (masks[-1] != masks[-1][0]).any()
            xs = xs * masks[-1]
        *state, xs = masked_loop(name, params[f"layer_{i}"], carry[f"layer_{i}"], xs)
        leaves_close(after[f"layer_{i}"], state, 3 * TOL)
    assert_close(ys, xs, 3 * TOL)
    assert (masks[0] != masks[1]).any()


def test_stack_dropout_with_skip_connections(key):
    """The stack's y is that of all layers whole; what the next layer reads of it is not."""
    cell = jaxrnn.stack(variant("lstm"), variant("gru"), dropout=RATE, skip=True)
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    (_, ys), calls = observed(cell, params, carry, xs, key)
    below = np.asarray(calls[0].ys)
    assert_close(ys[..., : below.shape[-1]], below, 0.0)
    assert_close(ys[..., below.shape[-1] :], calls[1].ys, 0.0)
    read = calls[1].inputs
    assert_close(read[..., : xs.shape[-1]], xs, 0.0)
    multiplier(read[..., xs.shape[-1] :], below, RATE)


def test_the_product_of_a_projection_is_whole(key):
    """It leads to no other step: what is masked is the h of before, [P], and nothing of the H units it is made from."""
    cell = jaxrnn.recurrent_dropout(jaxrnn.lstm(5, projection=2), RATE, on="carry")
    params, carry, xs = problem(cell, key, T, (B,), dtype="float64")
    _, (call,) = observed(cell, params, carry, xs, key)
    assert [mask.shape for mask in call.masks] == [(T, B, 2)]
