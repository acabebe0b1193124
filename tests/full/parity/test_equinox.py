"""Parity with Equinox: cells without a batch axis, y = W x; LSTM i, f, g, o; GRU r, z, n with b_hn as `bias_n`."""

import jax
import jax.numpy as jnp
import pytest
from sides import B, D, H, assert_same, both_dtypes, with_gradients

import jaxrnn
from jaxrnn import GRUCarry, LSTMCarry

eqx = pytest.importorskip("equinox", reason="equinox is not installed")


def lstm(w):
    return {"kernel": w["weight_ih"].T, "recurrent_kernel": w["weight_hh"].T, "bias": w["bias"]}


def gru(w):
    zero = jnp.zeros_like(w["bias_n"])
    return {
        "kernel": w["weight_ih"].T,
        "recurrent_kernel": w["weight_hh"].T,
        "bias": w["bias"],
        "recurrent_bias": jnp.concatenate([zero, zero, w["bias_n"]]),
    }


row = jax.ShapeDtypeStruct((B, H), float)
PAIRS = {
    "lstm": (eqx.nn.LSTMCell, jaxrnn.lstm(H), lstm, LSTMCarry(row, row)),
    "gru": (eqx.nn.GRUCell, jaxrnn.gru(H), gru, GRUCarry(row)),
}


@both_dtypes
@pytest.mark.parametrize("name", PAIRS)
def test_sequence(name, rng, dtype):
    make, cell, params, carry = PAIRS[name]
    peer = make(D, H, dtype=dtype, key=jax.random.key(0))
    names = ["weight_ih", "weight_hh", "bias", *(["bias_n"] if name == "gru" else [])]

    def arrays(module):
        return [getattr(module, name) for name in names]

    def theirs(weights, carry, xs):
        module = eqx.tree_at(arrays, peer, [weights[name] for name in names])

        def step(carry, x):
            if isinstance(carry, LSTMCarry):
                carry = LSTMCarry(*jax.vmap(module)(x, (carry.h, carry.c)))
            else:
                carry = GRUCarry(jax.vmap(module)(x, carry.h))
            return carry, carry.h

        return jax.lax.scan(step, carry, xs)

    def ours(weights, carry, xs):
        return jaxrnn.unroll(cell, params(weights), carry, xs)

    assert len(jax.tree.leaves(peer)) == len(names), "a weight of the peer would be left out"
    assert_same(rng, ours, with_gradients(theirs), dict(zip(names, arrays(peer), strict=True)), carry, dtype)
