"""Parity with Haiku.

Its LSTM takes [x, h], gates i, g, f, o, and adds 1 to f in the forward pass. Its GRU, gates z, r, n, resets before the
product, and its z lets the new in. Its VanillaRNN is a ReLU.
"""

import jax
import jax.numpy as jnp
import pytest
from sides import B, D, H, T, assert_same, both_dtypes, with_gradients

import jaxrnn
from jaxrnn import ElmanCarry, GRUCarry, LSTMCarry

hk = pytest.importorskip("haiku", reason="dm-haiku is not installed")


def elman_one_bias(w):
    i, h = w["linear"], w["linear_1"]
    return {"kernel": i["w"], "recurrent_kernel": h["w"], "bias": i["b"]}


def elman_two_biases(w):
    i, h = w["linear"], w["linear_1"]
    return {"kernel": i["w"], "recurrent_kernel": h["w"], "bias": i["b"] + h["b"]}


def lstm(w):
    def ifgo(a):
        i, g, f, o = jnp.split(a, 4, axis=-1)
        return jnp.concatenate([i, f, g, o], axis=-1)

    kernel, bias = ifgo(w["linear"]["w"]), ifgo(w["linear"]["b"])
    return {"kernel": kernel[:-H], "recurrent_kernel": kernel[-H:], "bias": bias.at[H : 2 * H].add(1)}


def gru(w):
    def rzn(a):
        z, r, n = jnp.split(a, 3, axis=-1)
        return jnp.concatenate([r, -z, n], axis=-1)  # Haiku's z lets the new in: 1 - sigmoid(a) = sigmoid(-a)

    return {"kernel": rzn(w[""]["w_i"]), "recurrent_kernel": rzn(w[""]["w_h"]), "bias": rzn(w[""]["b"])}


row = jax.ShapeDtypeStruct((B, H), float)
relu = jaxrnn.elman(H, activation="relu")
PAIRS = {
    "relu_one_bias": (lambda: hk.VanillaRNN(H, double_bias=False, name="core"), relu, elman_one_bias, ElmanCarry(row)),
    "relu_two_biases": (lambda: hk.VanillaRNN(H, name="core"), relu, elman_two_biases, ElmanCarry(row)),
    "lstm": (lambda: hk.LSTM(H, name="core"), jaxrnn.lstm(H), lstm, LSTMCarry(row, row)),
    "gru": (lambda: hk.GRU(H, name="core"), jaxrnn.gru_reset_before(H), gru, GRUCarry(row)),
}


def check(name, rng, dtype, *, reset=None, reverse=False):
    core, cell, params, carry = PAIRS[name]

    def unroll(carry, xs):
        initial = hk.LSTMState(carry.h, carry.c) if isinstance(carry, LSTMCarry) else carry.h
        if reset is None:
            ys, last = hk.dynamic_unroll(core(), xs, initial, reverse=reverse)
        else:
            ys, last = hk.dynamic_unroll(hk.ResetCore(core(), name="reset"), (xs, reset), initial, reverse=reverse)
        return LSTMCarry(h=last.hidden, c=last.cell) if isinstance(carry, LSTMCarry) else type(carry)(last), ys

    peer = hk.without_apply_rng(hk.transform(unroll))

    def theirs(weights, carry, xs):
        return peer.apply({f"core/{module}".rstrip("/"): w for module, w in weights.items()}, carry, xs)

    def ours(weights, carry, xs):
        return jaxrnn.unroll(cell, params(weights), carry, xs, reset=reset, reverse=reverse)

    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, dtype), (carry, jax.ShapeDtypeStruct((T, B, D), dtype)))
    made = jax.eval_shape(peer.init, jax.random.key(0), *like)
    weights = {module.removeprefix("core").removeprefix("/"): w for module, w in made.items()}
    assert_same(rng, ours, with_gradients(theirs), weights, carry, dtype)


@both_dtypes
@pytest.mark.parametrize("name", PAIRS)
def test_sequence(name, rng, dtype):
    check(name, rng, dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_resets(name, reverse, rng):
    """hk.ResetCore restarts a row from zeros before the step, as `reset` does."""
    reset = rng.random((T, B)) < 0.4
    check(name, rng, "float64", reset=reset, reverse=reverse)
