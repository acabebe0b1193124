"""What the tests of wrong calls share: the parts of a right call, and the comparison of a whole message."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

import jaxrnn

T, B, D, H = 5, 2, 3, 4
GRU, LSTM, HALF, STACK = jaxrnn.gru(H), jaxrnn.lstm(H), jaxrnn.gru(H, dtype="bfloat16"), jaxrnn.stack(jaxrnn.gru(H))
PAIR = jaxrnn.with_reset(GRU)
LEARNED = jaxrnn.learned_carry(GRU)


class Given(NamedTuple):
    """What a right call would be made of."""

    key: Any
    params: Any
    lstm_params: Any
    carry: Any  # [B, H]
    lstm_carry: Any
    xs: Any  # [T, B, D]
    flags: Any  # [T, B] bool
    lengths: Any  # [B] int


def given() -> Given:
    key = jax.random.key(0)
    params, lstm_params = GRU.init(key, D), LSTM.init(key, D)
    return Given(
        key,
        params,
        lstm_params,
        GRU.initial_carry(params, (B,)),
        LSTM.initial_carry(lstm_params, (B,)),
        jnp.ones((T, B, D), "float32"),
        jnp.ones((T, B), bool),
        jnp.full((B,), T, "int32"),
    )


def refuses(error, message, call, *args):
    """The call raises just this type with just this message."""
    with pytest.raises(error) as raised:
        call(*args)
    assert type(raised.value) is error
    assert str(raised.value) == message


def refuses_traced(error, message, call):
    """By shapes and types alone, as under jit: nothing is computed. With the values at hand the words are the same."""
    refuses(error, message, jax.eval_shape, call, jax.eval_shape(given))
    refuses(error, message, call, given())
