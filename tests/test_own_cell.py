"""A cell of a user's own through unroll: two inputs and two outputs, once in parts and once as a plain step."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from sequences import H, T, rows
from support import as_row, assert_close, noisy_params, tolerance, weighed

import jaxrnn
from jaxrnn import Cell, Stage

BATCH, SYMBOLS = (2, 3), 6
TOL = tolerance("float64", T)


def init(key, input_size):
    """The sizes are the cell's own: input_size is not asked."""
    shapes = {"kernel": (2, H), "embedding": (SYMBOLS, H), "recurrent_kernel": (H, H), "bias": (H,)}
    keys = jax.random.split(key, len(shapes))
    return {name: jax.random.normal(k, shape, "float32") for (name, shape), k in zip(shapes.items(), keys, strict=True)}


def start(params):
    return (jnp.zeros(H, params["bias"].dtype),)


def inputs(params):
    """Features [2], and a symbol [] with an embedding of its own."""
    return jax.ShapeDtypeStruct((2,), params["bias"].dtype), jax.ShapeDtypeStruct((), jnp.int32)


def drive(params, x):
    features, symbol = x
    u = features @ params["kernel"] + params["embedding"][symbol]
    return u + as_row(params["bias"], u)


def recur(params, state):
    return state[0] @ params["recurrent_kernel"]


def update(params, state, u, v):
    return (jnp.tanh(u + v),)


def output(params, carry):
    return {"double": 2 * carry[0], "first": carry[0][..., 0]}


def plain_step(params, carry, x):
    carry = update(params, carry, drive(params, x), recur(params, carry))
    return carry, output(params, carry)


CELLS = {
    "parts": Cell(init, start, inputs, drive, (Stage(recur, update),), output),
    "plain": Cell(init, start, inputs, plain_step=plain_step),
    "plain, inputs not told": Cell(init, start, plain_step=plain_step),
}
cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def loop(params, carry, x):
    """The same for the reference: x [3] is the features and the symbol, y [H + 1] the two outputs."""
    z = (
        x[:2] @ params["kernel"]
        + params["embedding"][int(x[2])]
        + carry[0] @ params["recurrent_kernel"]
        + params["bias"]
    )
    h = np.tanh(z)
    return (h,), np.append(2 * h, h[0])


@pytest.fixture
def given(key, rng):
    """params, carry, features, symbols."""
    params = jax.device_get(noisy_params(CELLS["plain"], key, 1, "float64"))
    return (
        params,
        (rng.standard_normal((*BATCH, H)),),
        rng.standard_normal((T, *BATCH, 2)),
        rng.integers(SYMBOLS, size=(T, *BATCH), dtype="int32"),
    )


@cells
@both_ways
def test_own_cell(cell, reverse, given, rng):
    """Ragged rows, masks and resets in either direction, as the reference; and what padding holds is not seen."""
    params, carry, features, symbols = given
    how = rows(rng, "lengths", "mask", "reset", batch=BATCH)

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def loss(params, carry, features, symbols, how):
        outcome = jaxrnn.unroll(cell, params, carry, (features, symbols), **how._asdict(), reverse=reverse)
        return weighed(jax.tree.map(jnp.sin, outcome)), outcome

    clean = loss(params, carry, features, symbols, how)
    (_, (after, ys)), _ = clean
    xs = np.concatenate([features, symbols[..., None]], axis=-1)
    initial = (np.zeros(H),)
    expected = reference.run(loop, params, initial, carry, xs, **how._asdict(), reverse=reverse)
    assert_close((after, np.concatenate([ys["double"], ys["first"][..., None]], axis=-1)), expected, TOL)

    dirty = loss(
        params,
        carry,
        np.where(how.valid[..., None], features, np.nan),
        np.where(how.valid, symbols, np.int32(-(2**31))),
        how,
    )
    jax.tree.map(np.testing.assert_array_equal, dirty, clean)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(dirty))


@cells
def test_own_cell_starts_by_itself(cell, given):
    """carry=None, no batch axes, in eager mode: nothing but the cell and its inputs."""
    params, _, features, symbols = given
    xs = (features[:, 0, 0], symbols[:, 0, 0])
    after, ys = jaxrnn.unroll(cell, jax.tree.map(jnp.asarray, params), None, xs)
    expected = reference.run(loop, params, (np.zeros(H),), None, np.concatenate([xs[0], xs[1][:, None]], axis=-1))
    assert_close((after, np.concatenate([ys["double"], ys["first"][:, None]], axis=-1)), expected, TOL)


def test_own_cell_in_wrappers(given, rng):
    """It stacks below a cell of ours, learns its carry, and takes part in all of unroll there."""
    params, _, features, symbols = given
    narrow = Cell(init, start, inputs, drive, (Stage(recur, update),), lambda params, carry: carry[0])
    cell = jaxrnn.stack(jaxrnn.learned_carry(narrow), jaxrnn.gru(H))
    upper = jax.device_get(noisy_params(jaxrnn.gru(H), jax.random.key(int(rng.integers(2**31))), H, "float64"))
    initial = (rng.standard_normal(H),)
    how = rows(rng, "lengths", "mask", "reset", batch=BATCH)
    run = jax.jit(functools.partial(jaxrnn.unroll, cell))
    stacked = {"layer_0": {"cell": params, "initial_carry": initial}, "layer_1": upper}
    actual = run(stacked, None, (features, symbols), **how._asdict())

    def lower(params, carry, x):
        carry, y = loop(params["cell"], carry, x)
        return carry, y[:H] / 2

    xs = np.concatenate([features, symbols[..., None]], axis=-1)
    begin = {"layer_0": initial, "layer_1": (np.zeros(H),)}
    expected = reference.run(reference.stack(lower, reference.gru), stacked, begin, None, xs, **how._asdict())
    assert_close(jax.tree.leaves(actual), jax.tree.leaves(expected), TOL)
