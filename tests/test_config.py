"""What a configuration from a file may say: listed names, bounded sizes, and nothing else."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn

LSTM = {"call": "lstm", "options": {"hidden_size": 4}}


def wrapped(times):
    config = LSTM
    for _ in range(times):
        config = {"call": "dropout", "options": {"cell": config}}
    return config


def stacked(times):
    return {"call": "stack", "options": {"cells": [LSTM] * times}}


@pytest.mark.parametrize(
    "name", ["save", "fromfile", "set_printoptions", "__class__", "vectorize", "ndarray", "einsum"]
)
@pytest.mark.parametrize("option", ["activation", "gate_activation"])
def test_only_nonlinearities_have_names(name, option):
    """Each of these is callable in jax.numpy."""
    assert callable(getattr(jnp, name))
    config = {"call": "gru", "options": {"hidden_size": 4, option: name}}
    with pytest.raises(ValueError, match=rf"{option}: expected a function or its name in jax.nn, .* got '{name}'"):
        jaxrnn.from_config(config)


def test_only_functions_of_two_arrays_merge():
    def both(merge):
        return {"call": "bidirectional", "options": {"forward": LSTM, "backward": LSTM, "merge": merge}}

    with pytest.raises(ValueError, match=r"merge: expected one of .*, got 'savez'"):
        jaxrnn.from_config(both("savez"))
    cell = jaxrnn.from_config(jaxrnn.to_config(jaxrnn.from_config(both("multiply"))))
    assert cell == jaxrnn.bidirectional(jaxrnn.lstm(4), jaxrnn.lstm(4), merge=jnp.multiply)


@pytest.mark.parametrize("named", ["jax.nn.relu", "jax.nn.gelu", "jax.numpy.sin", "jax.numpy.square", "jax.nn.swish"])
def test_a_nonlinearity_comes_back_as_the_same_function(named, rng):
    module, name = named.rsplit(".", 1)
    function = getattr({"jax.nn": jax.nn, "jax.numpy": jnp}[module], name)
    cell = jaxrnn.from_config(jaxrnn.to_config(jaxrnn.time_distributed(function)))
    x = jnp.asarray(rng.standard_normal(5), "float32")
    assert np.array_equal(cell.step({}, cell.initial_carry({}), x)[1], function(x))


def test_a_function_without_a_name_is_used_and_not_saved():
    """`jnp.tanh` has one, another library's tanh and `jnp.nan_to_num` have none."""
    with pytest.raises(TypeError, match=r"cannot be saved as an option; name a function of jax.nn"):
        jaxrnn.to_config(jaxrnn.time_distributed(np.tanh))
    cell = jaxrnn.time_distributed(jnp.nan_to_num)
    assert cell.step({}, cell.initial_carry({}), jnp.array([jnp.nan, 2]))[1].tolist() == [0, 2]
    with pytest.raises(TypeError, match=r"cannot be saved as an option; name a function of jax.nn"):
        jaxrnn.to_config(cell)


@pytest.mark.parametrize("dtype", ["O", "M8[s]", "S9", "V4", "f4,f4"])
def test_a_type_is_one_of_numbers(dtype):
    with pytest.raises(TypeError, match=r"param_dtype: expected a type such as 'float32' or 'bfloat16', got"):
        jaxrnn.from_config({"call": "lstm", "options": {"hidden_size": 4, "param_dtype": dtype}})


def test_as_deep_and_wide_as_anybody_builds():
    assert jaxrnn.from_config(wrapped(99)).name == "dropout"
    assert len(jaxrnn.from_config(stacked(999)).options["cells"]) == 999


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (wrapped(100), "config: expected at most 100 records and lists one in another, got more"),
        ([[LSTM]] * 1001, "config: expected at most 1,000 records (cells, wrappers, initializers), got more"),
        (stacked(1000), "config: expected at most 1,000 records (cells, wrappers, initializers), got more"),
        (
            {"call": "lstm", "options": {"hidden_size": 2**31}},
            "config: expected numbers up to 2,147,483,647, got 2147483648",
        ),
        (
            {"call": "recurrent_highway", "options": {"hidden_size": 4, "depth": 1001}},
            "depth: expected at most 1,000, got 1001",
        ),
        ({"call": "lstm"}, """config: expected {"call": name, "options": {...}}, got the keys ['call']"""),
        (
            {"call": "lstm", "options": [4]},
            """config: expected {"call": name, "options": {...}}, got the keys ['call', 'options']""",
        ),
    ],
)
def test_what_no_one_wrote_is_refused(config, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        jaxrnn.from_config(config)


@pytest.mark.parametrize("name", [["lstm"], None, "exec", "__class__"])
def test_only_factories_are_called(name):
    with pytest.raises(KeyError, match="is not a factory of jaxrnn"):
        jaxrnn.from_config({"call": name, "options": {}})
