"""Records as values: what makes two of them one, and what does not."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn


@jaxrnn.factory
def counter(size: int = 2, *, step: object = 1) -> jaxrnn.Cell:
    """A cell whose type is that of its option."""
    return jaxrnn.Cell(
        lambda key, n: {},
        lambda params: jnp.zeros(size, jnp.asarray(step).dtype),
        plain_step=lambda p, c, x: (c + step, c),
    )


def test_types_count_in_comparisons():
    """1 == 1.0 == True, and the programs differ: `jit` must not mistake one for another."""
    cells = [counter(), counter(step=1.0), counter(step=True)]
    assert len(set(cells)) == 3
    start = jax.jit(lambda cell: cell.start({}), static_argnums=0)
    assert [start(cell).dtype.kind for cell in cells] == ["i", "f", "b"]


def test_an_int_is_a_float_where_the_default_is_one():
    assert jaxrnn.lstm(4, forget_bias=1) == jaxrnn.lstm(np.int64(4)) == jaxrnn.lstm(4)
    assert repr(jaxrnn.lstm(np.int64(4), forget_bias=2)) == "lstm(4, forget_bias=2.0)"


def test_an_int_is_a_float_where_the_annotation_is_one():
    """With a default of None, as an LSTM's clip has it."""
    assert jaxrnn.lstm(4, cell_clip=1) == jaxrnn.lstm(4, cell_clip=1.0)
    assert hash(jaxrnn.lstm(4, cell_clip=1)) == hash(jaxrnn.lstm(4, cell_clip=1.0))


@jaxrnn.factory
def bent(size: int, *, activation=jnp.tanh) -> jaxrnn.Cell:
    """A user's own, whose option is a function."""
    return jaxrnn.Cell(
        lambda key, n: {},
        lambda params: jnp.zeros(size),
        plain_step=lambda p, c, x: (activation(c + x), c),
    )


@pytest.mark.parametrize("given", [{}, {"activation": jnp.tanh}, {"activation": "tanh"}, {"activation": np.tanh}])
def test_a_function_is_handed_on_as_a_function(given):
    """Normal forms are for comparing: the body of a factory gets what it can call, also from a file."""
    cell = bent(3, **given)
    if given.get("activation") is not np.tanh:  # which has no name in jax.numpy that is it
        assert cell == bent(3) and repr(cell) == "bent(3)"
        cell = jaxrnn.from_config(jaxrnn.to_config(cell), {"bent": bent})
    after, _ = cell.plain_step({}, np.full(3, 0.3), np.full(3, 0.4))
    np.testing.assert_allclose(after, np.tanh(0.7), rtol=1e-6)


def test_a_cell_is_asked_for_in_any_spelling_of_the_annotation():
    """Also where annotations are read and not strings."""
    scope = {"jaxrnn": jaxrnn}
    code = "@jaxrnn.factory\ndef own(cell: jaxrnn.Cell, size: int) -> jaxrnn.Cell:\n    return jaxrnn.stack(cell)"
    exec(compile(code, "own", "exec", dont_inherit=True), scope)
    with pytest.raises(TypeError, match=r"cell: expected a cell such as jaxrnn.lstm\(256\), got 4"):
        scope["own"](4, 2)


def test_an_altered_record_is_another():
    cell = jaxrnn.elman(4)
    loud = dataclasses.replace(cell, output=lambda params, carry: 100 * carry.h)
    assert loud != cell and "made by hand" in repr(loud)
    params, xs = cell.init(jax.random.key(0), 3), jnp.ones((2, 3))
    run = jax.jit(lambda cell: jaxrnn.unroll(cell, params, None, xs)[1], static_argnums=0)
    assert np.allclose(run(loud), 100 * run(cell), rtol=1e-6)


def test_a_record_goes_through_jit_and_vmap_as_it_is():
    """It is a pytree without leaves: no static_argnums."""
    cell = jaxrnn.stack(jaxrnn.gru(4), jaxrnn.elman(2))
    params, xs = cell.init(jax.random.key(0), 3), jnp.ones((5, 2, 3))
    expected = jaxrnn.unroll(cell, params, None, xs)[1]
    assert np.allclose(jax.jit(jaxrnn.unroll)(cell, params, None, xs)[1], expected, atol=1e-6)
    mapped = jax.vmap(functools.partial(jaxrnn.unroll), in_axes=(None, None, None, 1), out_axes=1)
    assert np.allclose(mapped(cell, params, None, xs)[1], expected, atol=1e-6)
    assert jax.tree.leaves(cell) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jaxrnn.lstm(3, 4), r"lstm: too many positional arguments; it takes hidden_size, forget_bias, "),
        (lambda: jaxrnn.gru(units=4), r"gru: missing a required argument: 'hidden_size'; it takes hidden_size, "),
        (lambda: jaxrnn.gru(4, dtype="bf16"), r"dtype: expected a type such as 'float32' or 'bfloat16', got 'bf16'"),
        (
            lambda: jaxrnn.gru(4, kernel_init="glorot"),
            r"kernel_init: expected an initializer, .* got 'glorot'; such as jaxrnn.initializers.orthogonal\(\)",
        ),
        (
            lambda: jaxrnn.gru(4, kernel_init=jaxrnn.initializers.orthogonal),
            r"kernel_init: expected an initializer, .* write orthogonal\(\)",
        ),
        (lambda: jaxrnn.stack([jaxrnn.gru(4)]), r"stack: expected one or more cells, got .*; write stack\(\*cells\)"),
    ],
)
def test_wrong_calls_of_a_factory_name_it(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_an_initializer_may_be_a_wrapped_function():
    """What `jit` or functools.wraps made is a function as any other, and not a factory that was not called."""
    wrapped = jax.jit(lambda key, shape, dtype: jnp.full(shape, 0.5, dtype), static_argnums=(1, 2))
    params = jaxrnn.gru(4, kernel_init=wrapped).init(jax.random.key(0), 3)
    assert (np.asarray(params["kernel"]) == 0.5).all()


def test_a_plain_pair_is_told_to_be_a_carry():
    cell = jaxrnn.lstm(4)
    params = cell.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match=r"got tuple.*; write LSTMCarry\(h=..., c=...\)"):
        cell.step(params, (jnp.zeros(4), jnp.zeros(4)), jnp.zeros(3))


def test_sizes_of_another_form_are_left_to_the_cell():
    """A cell whose `init` takes two sizes, and one that reads symbols."""
    two = jaxrnn.Cell(
        lambda key, sizes: {"a": jnp.ones((sizes[0], 2)), "b": jnp.ones((sizes[1], 2))},
        lambda params: jnp.zeros(2),
        lambda params: tuple(jax.ShapeDtypeStruct(params[k].shape[:1], jnp.float32) for k in "ab"),
        plain_step=lambda p, c, x: (c + x[0] @ p["a"] + x[1] @ p["b"],) * 2,
    )
    params = two.init(None, (3, 5))
    assert jaxrnn.unroll(two, params, None, (jnp.ones((4, 3)), jnp.ones((4, 5))))[1][-1].tolist() == [32, 32]

    symbols = jaxrnn.Cell(
        lambda key, size: {"e": jnp.ones((size, 2))},
        lambda params: jnp.zeros(2),
        lambda params: jax.ShapeDtypeStruct((), jnp.int32),
        plain_step=lambda p, c, x: (c + p["e"][x],) * 2,
    )
    assert jaxrnn.unroll(symbols, symbols.init(None, 10), None, jnp.arange(6, dtype=jnp.int32))[1][-1].tolist() == [
        6,
        6,
    ]
