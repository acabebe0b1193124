"""What cells start from by default, where a paper says so, and what it says for long sequences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from test_initializers import DRAWS, D, H, assert_distributed, blocks, many

import jaxrnn


def test_forget_bias_is_one(key):
    """By default an LSTM starts with b_f = 1 and the other biases 0, with or without an input gate."""
    for cell in jaxrnn.lstm(H), jaxrnn.lstm(H, coupled=True), jaxrnn.multiplicative_lstm(H):
        for gate, bias in blocks(cell.init(key, D), "bias", cell.gates).items():
            np.testing.assert_array_equal(bias, np.full(H, float(gate == "f")))


def test_transform_bias_is_minus_two(key):
    """A recurrent highway network starts with b_t = -2 at every depth, and the other biases 0."""
    cell = jaxrnn.recurrent_highway(H, depth=4)
    biases = blocks(cell.init(key, D), "bias", cell.gates)
    np.testing.assert_array_equal(biases["t"], np.full((4, H), -2.0))
    np.testing.assert_array_equal(biases["n"], np.zeros((4, H)))


def test_recurrent_weights_of_an_indrnn(key):
    """Uniform in [0, 1], all of it."""
    assert_distributed(many(jaxrnn.indrnn(H), key)["recurrent_weight"], stats.uniform(0, 1))


@pytest.mark.parametrize("lowest", [0.0, 2 ** (-1 / 3)])
def test_recurrent_weights_of_an_indrnn_for_T_steps(lowest, key):
    """Uniform up to 2^(1/T), here T = 3, from 0 or from 2^(-1/T); as an option it is read back and made again."""
    highest = 2 ** (1 / 3)
    cell = jaxrnn.indrnn(H, recurrent_init=jaxrnn.indrnn_uniform(lowest, highest))
    weights = many(cell, key)["recurrent_weight"]
    assert weights.shape == (DRAWS, H)
    assert_distributed(weights, stats.uniform(lowest, highest - lowest))
    assert jaxrnn.from_config(jaxrnn.to_config(cell)) == cell


def test_what_an_indrnn_draws_in_half_types_is_rounded(key):
    draw = jaxrnn.indrnn_uniform()
    np.testing.assert_array_equal(draw(key, (1, 30), "bfloat16"), draw(key, (1, 30), "float32").astype("bfloat16"))
