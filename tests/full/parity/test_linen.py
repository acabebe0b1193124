"""Parity with flax.linen: a Dense per gate, carry (c, h), LSTM bias on the recurrent side, GRU with b_hn."""

import jax
import jax.numpy as jnp
import pytest
from sides import LENGTHS, VALID, B, D, H, T, assert_same, both_dtypes, with_gradients, zeros_outside

import jaxrnn
from jaxrnn import ElmanCarry, GRUCarry, LSTMCarry

nn = pytest.importorskip("flax.linen", reason="flax is not installed")


def side_by_side(w, gates, field="kernel"):
    return jnp.concatenate([w[gate][field] for gate in gates], axis=-1)


def elman(w):
    return {"kernel": w["i"]["kernel"], "recurrent_kernel": w["h"]["kernel"], "bias": w["i"]["bias"]}


def lstm(w):
    return {
        "kernel": side_by_side(w, ["ii", "if", "ig", "io"]),
        "recurrent_kernel": side_by_side(w, ["hi", "hf", "hg", "ho"]),
        "bias": side_by_side(w, ["hi", "hf", "hg", "ho"], "bias"),
    }


def gru(w):
    b_hn = w["hn"]["bias"]
    return {
        "kernel": side_by_side(w, ["ir", "iz", "in"]),
        "recurrent_kernel": side_by_side(w, ["hr", "hz", "hn"]),
        "bias": side_by_side(w, ["ir", "iz", "in"], "bias"),
        "recurrent_bias": jnp.concatenate([jnp.zeros_like(b_hn), jnp.zeros_like(b_hn), b_hn]),
    }


row = jax.ShapeDtypeStruct((B, H), float)
PAIRS = {
    "tanh": (nn.SimpleCell(H), jaxrnn.elman(H), elman, ElmanCarry(row)),
    "relu": (nn.SimpleCell(H, activation_fn=nn.relu), jaxrnn.elman(H, activation="relu"), elman, ElmanCarry(row)),
    "lstm": (nn.LSTMCell(H), jaxrnn.lstm(H), lstm, LSTMCarry(row, row)),
    "optimized_lstm": (nn.OptimizedLSTMCell(H), jaxrnn.lstm(H), lstm, LSTMCarry(row, row)),
    "gru": (nn.GRUCell(H), jaxrnn.gru(H), gru, GRUCarry(row)),
}


def check(name, rng, dtype, *, lengths=None, reverse=False):
    peer_cell, cell, params, carry = PAIRS[name]
    peer_cell = peer_cell.clone(param_dtype=dtype)
    peer = nn.RNN(peer_cell, time_major=True, return_carry=True, reverse=reverse, keep_order=True)

    def theirs(weights, carry, xs):
        is_lstm = isinstance(carry, LSTMCarry)
        initial = (carry.c, carry.h) if is_lstm else carry.h
        last, ys = peer.apply({"params": {"cell": weights}}, xs, initial_carry=initial, seq_lengths=lengths)
        carry = LSTMCarry(h=last[1], c=last[0]) if is_lstm else type(carry)(last)
        return carry, ys if lengths is None else zeros_outside(VALID, ys)

    def ours(weights, carry, xs):
        return jaxrnn.unroll(cell, params(weights), carry, xs, lengths=lengths, reverse=reverse)

    variables = jax.eval_shape(peer.init, jax.random.key(0), jax.ShapeDtypeStruct((T, B, D), dtype))
    assert_same(rng, ours, with_gradients(theirs), variables["params"]["cell"], carry, dtype)


@both_dtypes
@pytest.mark.parametrize("name", PAIRS)
def test_sequence(name, rng, dtype):
    check(name, rng, dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_ragged_rows(name, reverse, rng):
    """Rows of length 1 to T: linen's carry of an empty row is that of the whole padded row."""
    check(name, rng, "float64", lengths=LENGTHS, reverse=reverse)


MERGES = {"concat": {}, "sum": {"merge_fn": lambda forward, backward: forward + backward}}


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_bidirectional(name, merge, rng):
    """nn.Bidirectional on ragged rows; the two directions have weights of their own."""
    peer_cell, cell, params, carry = PAIRS[name]
    kind, ways = type(carry), ("forward", "backward")
    rnns = [nn.RNN(peer_cell.clone(param_dtype="float64")) for _ in ways]
    peer = nn.Bidirectional(*rnns, **MERGES[merge], time_major=True, return_carry=True)

    def theirs(weights, carry, xs):
        initial = tuple(tuple(carry[way])[::-1] if name == "lstm" else carry[way].h for way in ways)
        last, ys = peer.apply({"params": weights}, xs, initial_carry=initial, seq_lengths=LENGTHS)
        last = {way: kind(*(a[::-1] if name == "lstm" else [a])) for way, a in zip(ways, last, strict=True)}
        return last, zeros_outside(VALID, ys)

    def ours(weights, carry, xs):
        made = {way: params(weights[f"{way}_rnn"]["cell"]) for way in ways}
        return jaxrnn.unroll(jaxrnn.bidirectional(cell, cell, merge=merge), made, carry, xs, lengths=LENGTHS)

    variables = jax.eval_shape(peer.init, jax.random.key(0), jax.ShapeDtypeStruct((T, B, D), "float64"))
    assert_same(rng, ours, with_gradients(theirs), variables["params"], dict.fromkeys(ways, carry), "float64")
