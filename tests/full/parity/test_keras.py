"""Parity with Keras on JAX.

Sequences are [B, T, D]. LSTM gates are i, f, c, o. GRU gates are z, r, h, with two biases if reset_after, else one.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sides import B, D, H, T, assert_same, both_dtypes, with_gradients

import jaxrnn
from jaxrnn import ElmanCarry, GRUCarry, LSTMCarry

keras = pytest.importorskip("keras", reason="keras is not installed")
if keras.backend.backend() != "jax":
    pytest.skip("KERAS_BACKEND is not jax: no gradients through jax.vjp", allow_module_level=True)


def one_bias(w):
    return dict(zip(["kernel", "recurrent_kernel", "bias"], w, strict=True))


def rzn(a):
    z, r, n = jnp.split(a, 3, axis=-1)
    return jnp.concatenate([r, z, n], axis=-1)


def gru_reset_after(w):
    kernel, recurrent_kernel, (bias, recurrent_bias) = w
    return {
        "kernel": rzn(kernel),
        "recurrent_kernel": rzn(recurrent_kernel),
        "bias": rzn(bias),
        "recurrent_bias": rzn(recurrent_bias),
    }


def gru_reset_before(w):
    return one_bias([rzn(a) for a in w])


row = jax.ShapeDtypeStruct((B, H), float)
layers = keras.layers
PAIRS = {
    "tanh": (layers.SimpleRNN, {}, jaxrnn.elman(H), one_bias, ElmanCarry(row)),
    "relu": (layers.SimpleRNN, {"activation": "relu"}, jaxrnn.elman(H, activation="relu"), one_bias, ElmanCarry(row)),
    "lstm": (layers.LSTM, {}, jaxrnn.lstm(H), one_bias, LSTMCarry(row, row)),
    "gru": (layers.GRU, {"reset_after": True}, jaxrnn.gru(H), gru_reset_after, GRUCarry(row)),
    "gru_reset_before": (
        layers.GRU,
        {"reset_after": False},
        jaxrnn.gru_reset_before(H),
        gru_reset_before,
        GRUCarry(row),
    ),
}
# Keras 3.15's own tanh, the default, returns float32 for float64.
TANH = {"activation": jnp.tanh}


def check(name, rng, dtype, *, mask=None, reverse=False):
    make, options, cell, params, carry = PAIRS[name]
    # zero_output_for_mask: else a masked step repeats the output before it
    options = {"return_sequences": True, "return_state": True, "zero_output_for_mask": True, **TANH, **options}
    layer = make(H, go_backwards=reverse, dtype=dtype, **options)
    layer.build((B, T, D))

    def theirs(weights, carry, xs):
        fixed = [v.value for v in layer.non_trainable_variables]
        rows = None if mask is None else mask.T
        (ys, *last), _ = layer.stateless_call(weights, fixed, xs.swapaxes(0, 1), initial_state=list(carry), mask=rows)
        ys = ys.swapaxes(0, 1)
        return type(carry)(*last), jnp.flip(ys, 0) if reverse else ys  # Keras leaves them in the order of its steps

    def ours(weights, carry, xs):
        return jaxrnn.unroll(cell, params(weights), carry, xs, mask=mask, reverse=reverse)

    weights = [jax.ShapeDtypeStruct(v.shape, dtype) for v in layer.trainable_variables]
    assert_same(rng, ours, with_gradients(theirs), weights, carry, dtype)


@both_dtypes
@pytest.mark.parametrize("name", PAIRS)
def test_sequence(name, rng, dtype):
    check(name, rng, dtype)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_any_mask(name, reverse, rng):
    """Keras takes any pattern of masked steps; one row here is masked throughout."""
    mask = rng.random((T, B)) < 0.6
    mask[:, 1] = False
    check(name, rng, "float64", mask=mask, reverse=reverse)


def test_unit_forget_bias():
    """Keras's unit_forget_bias is a bias of 1 to begin with, not a 1 added in the step: so is forget_bias=1."""
    layer = keras.layers.LSTM(H, unit_forget_bias=True)
    layer.build((B, T, D))
    np.testing.assert_array_equal(jaxrnn.lstm(H).init(jax.random.key(0), D)["bias"], layer.cell.bias.value)
