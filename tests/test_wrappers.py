"""Wrappers, and a step by hand, against the same NumPy loops; the table of test_cells.py asks them the rest."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import CORE, assert_close, double, leaves_close, loop, problem, table, tolerance, variant, weighed

import jaxrnn
from jaxrnn import learned_carry, stack, with_mask, with_reset

D = 3

T = 6

run = jax.jit(jaxrnn.unroll, static_argnums=0, static_argnames="reverse")


def flags_and_lengths(rng, batch):
    """Each drawn so that rows of every kind are there: a mask, resets, and lengths from 0 to T."""
    return {
        "mask": rng.random((T, *batch)) < 0.7,
        "reset": rng.random((T, *batch)) < 0.3,
        "lengths": rng.permutation(np.resize(np.arange(T + 1), batch)),
    }


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("layers", [("lstm_peepholes", "gru", "gru_reset_before"), ("lstm_projection", "elman")])
def test_stack_value(layers, reverse, key, rng):
    """A stack is its layers one after another, step by step, also where rows end, skip and restart."""
    cell = stack(*map(variant, layers))
    params, carry, xs = problem(cell, key, T, (8,), dtype="float64")
    ragged = flags_and_lengths(rng, (8,))
    ragged["mask"] &= np.arange(T)[:, None] < ragged["lengths"]
    actual = jax.jit(functools.partial(jaxrnn.unroll, cell, reverse=reverse))(params, carry, xs, **ragged)
    arrays = map(double, (params, cell.start(params), carry, xs))
    expected = reference.run(reference.stack(*map(loop, layers)), *arrays, **ragged, reverse=reverse)
    leaves_close(actual, expected, tolerance("float64", len(layers) * T))


@pytest.mark.parametrize("name", ["lstm_projection", "gru_reset_before"])
def test_learned_carry_value(name, key, rng):
    """Every fresh row and every reset begins with the carry in params, which `init` takes from the cell."""
    cell = learned_carry(variant(name))
    made = cell.init(key, 3)
    assert_close(made["initial_carry"], variant(name).start(made["cell"]), 0.0)
    params, _, xs = problem(cell, key, T, (4,), dtype="float64")
    reset = flags_and_lengths(rng, (4,))["reset"]
    actual = jax.jit(functools.partial(jaxrnn.unroll, cell))(params, None, xs, reset=reset)
    plain = double(params)
    expected = reference.run(loop(name), plain["cell"], plain["initial_carry"], None, double(xs), reset=reset)
    leaves_close(actual, expected, tolerance("float64", T))


def leaky(**more):
    """A cell by hand, one plain step with a bare array as its carry and another y, that starts from its params."""

    def init(key, input_size):
        return {"kernel": jax.random.normal(key, (input_size, 5), "float32"), "begin": jnp.ones(5, "float32")}

    def step(params, h, x):
        h = 0.5 * h + jnp.tanh(x @ params["kernel"])
        return h, h[..., :4] ** 2

    return jaxrnn.Cell(init, lambda params: params["begin"], plain_step=step, **more)


def leaky_loop(params, h, x):
    h = 0.5 * h + np.tanh(x @ params["kernel"])
    return h, h[:4] ** 2


def leaky_input(params):
    return jax.ShapeDtypeStruct(params["kernel"].shape[:1], params["kernel"].dtype)


@pytest.mark.parametrize("given", [{}, {"input": leaky_input}], ids=["bare", "with_input"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_plain_step(given, reverse, key, rng):
    """A cell that is only a step goes through unroll with everything that unroll can do."""
    cell = leaky(**given)
    params, carry, xs = problem(cell, key, T, (2, 4), dtype="float64")
    ragged = flags_and_lengths(rng, (2, 4))
    ragged["mask"] &= np.arange(T)[:, None, None] < ragged["lengths"]
    actual = jax.jit(functools.partial(jaxrnn.unroll, cell, reverse=reverse))(params, carry, xs, **ragged)
    arrays = map(double, (params, params["begin"], carry, xs))
    expected = reference.run(leaky_loop, *arrays, **ragged, reverse=reverse)
    leaves_close(actual, expected, tolerance("float64", T))


def test_a_plain_step_in_a_stack(key):
    cell = stack(variant("lstm"), leaky(input=leaky_input), variant("gru"))
    params, carry, xs = problem(cell, key, T, (4,), dtype="float64")
    expected = reference.run(
        reference.stack(loop("lstm"), leaky_loop, loop("gru")), *map(double, (params, cell.start(params), carry, xs))
    )
    leaves_close(run(cell, params, carry, xs), expected, tolerance("float64", 3 * T))


def test_a_cell_made_by_hand_is_only_itself():
    cell = leaky()
    assert repr(cell) == "<Cell made by hand>"
    assert cell != leaky()
    assert {cell: "found"}[cell] == "found"
    assert not cell.has_parts
    with pytest.raises(ValueError, match="either drive and stages, or plain_step"):
        jaxrnn.Cell(cell.init, cell.start)


INNER = {
    **{name: (functools.partial(variant, name), loop(name)) for name in (*CORE, "lstm_projection")},
    "stack": (
        lambda: stack(variant("lstm"), variant("gru")),
        reference.stack(loop("lstm"), loop("gru")),
    ),
}


inner = pytest.mark.parametrize("name", table(INNER, {"elman", "lstm_projection", "gru_reset_before", "lem", "stack"}))


@inner
def test_flags_beside_x(name, key, rng):
    """with_reset and with_mask, one around the other: the outer flag counts first."""
    make, step = INNER[name]
    cell = make()
    params, carry, xs = problem(cell, key, T, (6,), dtype="float64")
    draws = flags_and_lengths(rng, (6,))
    mask, reset = draws["mask"], draws["reset"]
    arrays = [*map(double, (params, cell.start(params), carry, xs))]
    for wrapped, inputs, counted in (
        (with_reset(with_mask(cell)), ((xs, mask), reset), reset),
        (with_mask(with_reset(cell)), ((xs, reset), mask), reset & mask),
    ):
        assert wrapped.has_parts == cell.has_parts
        after, ys = run(wrapped, params, carry, jax.tree.map(jnp.asarray, inputs))
        expected, expected_ys = reference.run(step, *arrays, mask=mask, reset=counted)
        ys = jnp.where(mask[..., None], ys, 0)  # what y is where the carry is held is another test
        leaves_close((after, ys), (expected, expected_ys), tolerance("float64", T))


@pytest.mark.parametrize("name", [*CORE, "lstm_projection"])
def test_a_held_carry_shows_its_own_y(name, key):
    """Where with_mask holds the carry, y is the output of that carry, and not of the step that was not taken."""
    cell = with_mask(variant(name))
    params, carry, (x, _) = problem(cell, key, 1, (6,), dtype="float64")
    after, y = cell.step(params, carry, (x[0], jnp.zeros(6, bool)))
    assert_close((after, y), (carry, carry.h), 0.0)


@inner
def test_reset_forgets_nan(name, key):
    """A restart is a selection: NaN in the old carry reaches neither the values nor the gradients."""
    cell = with_reset(INNER[name][0]())
    params, carry, (xs, _) = problem(cell, key, 2, (6,), dtype="float64")
    broken = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), carry)
    reset = jnp.array([[True], [False]]).repeat(6, axis=1)

    @jax.jit
    def loss(params, carry):
        return weighed(jaxrnn.unroll(cell, params, carry, (xs, reset)))

    expected = jax.grad(loss, argnums=(0, 1))(params, carry)
    assert_close(jax.grad(loss, argnums=(0, 1))(params, broken), expected, 0.0)
    assert_close(expected[1], jax.tree.map(jnp.zeros_like, carry), 0.0)


def test_learned_carry_is_stored_as_the_params_are(key):
    """bfloat16 is what the cell computes in; what is learned is float32, and the carry's type is still closed."""
    cell = learned_carry(jaxrnn.lstm(4, dtype="bfloat16"))
    params = cell.init(key, D)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float32"}
    assert {a.dtype.name for a in cell.initial_carry(params, (2,))} == {"bfloat16"}


def test_a_reset_seen_from_behind_stays_in_its_row(key):
    """Right to left, a reset at a row's last step parts nothing off it: the left-to-right member ends where it is."""
    cell = jaxrnn.bidirectional(variant("gru"), variant("gru"))
    params, _, xs = problem(cell, key, T, (2,), dtype="float64")
    lengths = np.array([4, T])
    reset = np.zeros((T, 2), bool)
    reset[3, 0] = reset[T - 1, 1] = True
    plain, _ = run(cell, params, None, xs, lengths=lengths, reverse=True)
    carry, _ = run(cell, params, None, xs, lengths=lengths, reset=jnp.asarray(reset), reverse=True)
    assert np.abs(plain["backward"].h).max() > 0.01
    assert_close(carry, plain, tolerance("float64", T))


@pytest.mark.parametrize(
    "wrap",
    [lambda c: jaxrnn.recurrent_dropout(c, 0.0), lambda c: jaxrnn.weight_drop(c, 0.0)],
    ids=["dropout", "weights"],
)
def test_a_rate_of_nothing_draws_nothing(wrap, key):
    """The program of a rate of 0 does not look at the key."""
    cell = wrap(variant("lstm"))
    params, carry, xs = problem(cell, key, T, (2,))
    drawn = jax.make_jaxpr(lambda key: jaxrnn.unroll(cell, params, carry, xs, key=key))(key)
    assert "random_bits" not in str(drawn) and "threefry" not in str(drawn)
