"""Parity with flax.nnx: carry (c, h), LSTM bias on the recurrent side, and a GRU without b_hn.

The recurrent Dense of nnx.GRUCell has no bias (google/flax#5594), so d_n of `gru` is 0 here: the GRU is compared for
what nnx can express. A version of flax that has the bias is compared in full.
"""

import jax
import jax.numpy as jnp
import pytest
from sides import LENGTHS, VALID, B, D, H, assert_same, both_dtypes, with_gradients, zeros_outside

import jaxrnn
from jaxrnn import ElmanCarry, GRUCarry, LSTMCarry

nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")


def elman(w):
    i, h = w["dense_i"], w["dense_h"]
    return {"kernel": i["kernel"], "recurrent_kernel": h["kernel"], "bias": i["bias"]}


def lstm(w):
    i, h = ["ii", "if_", "ig", "io"], ["hi", "hf", "hg", "ho"]
    return {
        "kernel": jnp.concatenate([w[name]["kernel"] for name in i], axis=-1),
        "recurrent_kernel": jnp.concatenate([w[name]["kernel"] for name in h], axis=-1),
        "bias": jnp.concatenate([w[name]["bias"] for name in h]),
    }


def optimized_lstm(w):  # i, f, g, o side by side
    i, h = w["dense_i"], w["dense_h"]
    return {"kernel": i["kernel"], "recurrent_kernel": h["kernel"], "bias": h["bias"]}


def gru(w):  # r, z, n side by side
    i, h = w["dense_i"], w["dense_h"]
    recurrent_bias = h.get("bias", jnp.zeros_like(i["bias"]))
    return {"kernel": i["kernel"], "recurrent_kernel": h["kernel"], "bias": i["bias"], "recurrent_bias": recurrent_bias}


row = jax.ShapeDtypeStruct((B, H), float)
PAIRS = {
    "tanh": (nnx.SimpleCell, {}, jaxrnn.elman(H), elman, ElmanCarry(row)),
    "relu": (nnx.SimpleCell, {"activation_fn": nnx.relu}, jaxrnn.elman(H, activation="relu"), elman, ElmanCarry(row)),
    "lstm": (nnx.LSTMCell, {}, jaxrnn.lstm(H), lstm, LSTMCarry(row, row)),
    "optimized_lstm": (nnx.OptimizedLSTMCell, {}, jaxrnn.lstm(H), optimized_lstm, LSTMCarry(row, row)),
    "gru_without_b_hn": (nnx.GRUCell, {}, jaxrnn.gru(H), gru, GRUCarry(row)),
}


def check(name, rng, dtype, *, lengths=None, reverse=False):
    make, options, cell, params, carry = PAIRS[name]
    peer_cell = make(D, H, dtype=dtype, param_dtype=dtype, rngs=nnx.Rngs(0), **options)
    peer = nnx.RNN(peer_cell, time_major=True, return_carry=True, reverse=reverse, keep_order=True)
    graph, state, rest = nnx.split(peer, nnx.Param, ...)

    def theirs(weights, carry, xs):
        is_lstm = isinstance(carry, LSTMCarry)
        initial = (carry.c, carry.h) if is_lstm else carry.h
        filled = jax.tree.map(lambda a: a, state)  # a copy
        nnx.replace_by_pure_dict(filled, {"cell": weights})
        last, ys = nnx.merge(graph, filled, rest)(xs, initial_carry=initial, seq_lengths=lengths)
        carry = LSTMCarry(h=last[1], c=last[0]) if is_lstm else type(carry)(last)
        return carry, ys if lengths is None else zeros_outside(VALID, ys)

    def ours(weights, carry, xs):
        return jaxrnn.unroll(cell, params(weights), carry, xs, lengths=lengths, reverse=reverse)

    assert_same(rng, ours, with_gradients(theirs), nnx.to_pure_dict(state)["cell"], carry, dtype)


@both_dtypes
@pytest.mark.parametrize("name", PAIRS)
def test_sequence(name, rng, dtype):
    check(name, rng, dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru_without_b_hn"])
def test_ragged_rows(name, reverse, rng):
    """Rows of length 1 to T: nnx's carry of an empty row is that of the whole padded row."""
    check(name, rng, "float64", lengths=LENGTHS, reverse=reverse)
