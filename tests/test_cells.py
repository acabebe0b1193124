"""The conformance table: every cell, every option and every wrapper, put the same questions."""

from __future__ import annotations

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax import lax
from support import (
    CORE,
    VARIANTS,
    assert_close,
    carry_sizes,
    double,
    leaves_close,
    loop,
    normal_like,
    problem,
    table,
    tolerance,
    variant,
)

import jaxrnn
from jaxrnn import learned_carry, stack, with_mask, with_reset

T, BATCH = 6, (16,)
# Each type with another number of batch axes, so that all of them are run without compiling all pairs.
BATCHES = {"float64": (2, 3), "float32": (2,), "bfloat16": (), "float16": (3,)}

# Cells made of cells, as functions of the types, so that they are made anew each time.
WRAPPED = {
    "stack": lambda **o: stack(variant("lstm_peepholes", **o), variant("gru", **o), variant("gru_reset_before", **o)),
    "stack_one": lambda **o: stack(variant("lstm_projection", **o)),
    "learned_carry": lambda **o: learned_carry(variant("lstm", **o)),
    "learned_carry_stack": lambda **o: learned_carry(stack(variant("gated", **o), variant("lstm", **o))),
    "stack_learned_carry": lambda **o: stack(variant("elman", **o), learned_carry(variant("gru", **o))),
    "with_reset": lambda **o: with_reset(variant("gru_reset_before", **o)),
    "with_mask": lambda **o: with_mask(variant("lstm_projection", **o)),
    "with_reset_mask": lambda **o: with_reset(with_mask(variant("lstm", **o))),
    "with_mask_reset_stack": lambda **o: with_mask(with_reset(stack(variant("gru", **o), variant("lstm", **o)))),
    "with_reset_learned_carry": lambda **o: with_reset(learned_carry(variant("gated", **o))),
}
MAKERS = {**{name: functools.partial(variant, name) for name in VARIANTS}, **WRAPPED}

variants = pytest.mark.parametrize("name", VARIANTS)
all_cells = pytest.mark.parametrize("name", MAKERS)
dtypes = pytest.mark.parametrize("dtype", BATCHES)

run = jax.jit(jaxrnn.unroll, static_argnums=0)


@variants
@pytest.mark.parametrize("dtype", table(BATCHES, {"float64"}))
@pytest.mark.optimized
def test_value(name, dtype, key):
    """A cell equals its NumPy loop on the numbers that it is given, in each type and with any number of batch axes."""
    cell = variant(name)
    params, carry, xs = problem(cell, key, T, BATCHES[dtype], dtype=dtype)
    actual = run(cell, params, carry, xs)
    expected = reference.run(loop(name), double(params), double(cell.start(params)), *map(double, (carry, xs)))
    leaves_close(actual, expected, tolerance(dtype, T))


@variants
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_initial_carry(name, batch, key):
    """A row begins with zeros."""
    cell = variant(name)
    carry = cell.initial_carry(problem(cell, key)[0], batch)
    leaves_close(carry, tuple(np.zeros((*batch, size)) for size in carry_sizes(name)), 0.0)


def test_every_cell_has_a_reference():
    assert set(reference.STEPS) == {factory for factory, _ in VARIANTS.values()}
    assert not set(reference.STEPS) & set(reference.CATALOGUE)
    assert set(reference.STEPS) | set(reference.CATALOGUE) == set(jaxrnn.CELLS)


@pytest.mark.parametrize("name", table(MAKERS, {*CORE, "lstm_clip_coupled_projection_peepholes", *WRAPPED}))
@pytest.mark.optimized
def test_gradients(name, key):
    """Every entry of params counts, and gradients are finite differences, along a random direction of each argument."""
    cell = MAKERS[name]()
    keys = jax.random.split(key, 5)
    arguments = problem(cell, keys[0], 8, BATCH, dtype="float64")
    directions = [normal_like(k, argument) for k, argument in zip(keys[1:4], arguments, strict=True)]
    weights = normal_like(keys[4], jax.eval_shape(functools.partial(jaxrnn.unroll, cell), *arguments))

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def loss(params, shifts):
        moved = [move(*each) for each in zip((params, *arguments[1:]), shifts, directions, strict=True)]
        # The carry counts from the cell's own, so that a learned one has a gradient too.
        moved[1] = jax.tree.map(jnp.add, cell.initial_carry(moved[0], BATCH), moved[1])
        return jnp.vdot(
            *(
                jnp.concatenate([a.ravel() for a in jax.tree.leaves(tree)])
                for tree in (weights, jaxrnn.unroll(cell, *moved))
            )
        )

    value, (grads, slopes) = loss(arguments[0], np.zeros(3))
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        assert np.all(np.abs(g) > 0), f"params{jax.tree_util.keystr(path)} has entries without a gradient: {g}"

    # Central differences with the step where truncation h² and rounding eps/h meet: both are then eps^(2/3).
    eps = np.finfo(np.float64).eps
    h = eps ** (1 / 3)
    for i, argument in enumerate(("params", "carry", "xs")):
        up, down = (float(loss(arguments[0], sign * h * np.eye(3)[i])[0]) for sign in (1, -1))
        error = abs((up - down) / (2 * h) - float(slopes[i])) / max(1, abs(float(value)), abs(float(slopes[i])))
        assert error <= 100 * eps ** (2 / 3), argument


def move(tree, shift, direction):
    """A pytree moved by `shift` along a direction of length 1, as far as it can be: flags stay."""
    length = jnp.sqrt(sum(jnp.sum(d**2) for d in jax.tree.leaves(direction) if d.dtype != bool))
    return jax.tree.map(lambda a, d: a if a.dtype == bool else a + shift / length * d, tree, direction)


ASKED = [(way, dtype) for way in ("dtype", "params") for dtype in BATCHES]


@all_cells
@pytest.mark.parametrize(("way", "dtype"), table(ASKED, {("dtype", "bfloat16"), ("params", "float64")}, "-".join))
def test_carry_types_are_closed(name, dtype, way, key):
    """The carry that comes back has the types of the one that went in, which are the type computed in."""
    cell = MAKERS[name](dtype=dtype) if way == "dtype" else MAKERS[name]()
    params, carry, xs = problem(cell, key, T, (2,), dtype=None if way == "dtype" else dtype)
    assert {a.dtype for a in jax.tree.leaves(carry)} == {jnp.dtype(dtype)}
    x = jax.tree.map(lambda a: a[0], xs)
    after, y = jax.eval_shape(cell.step, params, carry, x)
    assert (kind(after), y.dtype) == (kind(carry), jnp.dtype(dtype))
    after, ys = jax.eval_shape(functools.partial(jaxrnn.unroll, cell), params, None, xs)
    assert (kind(after), ys.dtype) == (kind(carry), jnp.dtype(dtype))


def kind(tree):
    return jax.tree.map(lambda a: (a.shape, a.dtype, a.weak_type), tree, is_leaf=lambda a: hasattr(a, "dtype"))


@variants
@dtypes
def test_drive_type(name, dtype, key):
    """What is stored for all of T·B between the drive and the loop is in the type computed in, not a wider one."""
    cell = variant(name, dtype=dtype)
    params, _, xs = problem(cell, key, T, (2,))
    assert jax.eval_shape(cell.drive, params, xs).dtype == dtype


@pytest.mark.parametrize(
    "name",
    table(
        [name for name, (f, _) in VARIANTS.items() if f == "lstm"], {"lstm", "lstm_projection_peepholes", "lstm_clip"}
    ),
)
def test_cell_dtype(name, key):
    """An LSTM keeps c in float32 beside h in bfloat16, and is then the more exact."""
    half, kept = variant(name, dtype="bfloat16"), variant(name, dtype="bfloat16", cell_dtype="float32")
    params, carry, xs = problem(kept, key, 40, (8,))
    assert [a.dtype.name for a in carry] == ["bfloat16", "float32"]
    assert kind(jax.eval_shape(kept.step, params, carry, xs[0])[0]) == kind(carry)
    after, ys = run(kept, params, None, xs)
    assert [a.dtype.name for a in (*after, ys)] == ["bfloat16", "float32", "bfloat16"]
    rounded = jax.tree.map(lambda a: a.astype("bfloat16"), (params, xs))
    expected, _ = reference.run(loop(name), double(rounded[0]), double(kept.start(params)), None, double(rounded[1]))
    error, error_half = (np.abs(double(run(cell, params, None, xs)[0].c) - expected[1]).mean() for cell in (kept, half))
    assert error < error_half


@pytest.mark.parametrize("name", table(MAKERS, {*WRAPPED, "lstm_projection", "gru", "cornn_options"}))
def test_one_trace(name, key):
    """Made again with the same options a cell does not compile again, nor does a carry that is handed on."""
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def counted(cell, params, carry, xs):
        traces.append(cell)
        return jaxrnn.unroll(cell, params, carry, xs)

    params, _, xs = problem(MAKERS[name](), key, T, (2,))
    carry = MAKERS[name]().initial_carry(params, (2,))
    for _ in range(3):
        carry, _ = counted(MAKERS[name](), params, carry, xs)
    assert len(traces) == 1


@all_cells
@pytest.mark.full
def test_step_in_a_scan_is_unroll(name, key):
    """`functools.partial(cell.step, params)` is a scan body, and gives what unroll gives."""
    cell = MAKERS[name]()

    @jax.jit
    def both(params, carry, xs):
        by_step = lax.scan(functools.partial(cell.step, params), carry, xs)
        return jaxrnn.unroll(cell, params, carry, xs), by_step

    assert_close(*both(*problem(cell, key, T, (2, 3), dtype="float64")), tolerance("float64", T))


@all_cells
def test_a_cell_is_a_value(name):
    """Made twice it is equal and hashes alike, prints as the call that makes it, and survives pickle."""
    cell, again = MAKERS[name](), MAKERS[name]()
    assert cell is not again
    assert cell == again
    assert hash(cell) == hash(again)
    assert cell != MAKERS[name](param_dtype="float16")
    assert eval(repr(cell), vars(jaxrnn) | vars(jaxrnn.initializers)) == cell
    assert pickle.loads(pickle.dumps(cell)) == cell
    assert {cell: "found"}[again] == "found"


@variants
def test_name_and_options_are_read_back(name):
    """A saved model can rebuild its cell from the cell's name and options."""
    factory, options = VARIANTS[name]
    cell = variant(name, dtype="bfloat16")
    assert cell.name == factory
    expected = {"hidden_size": 5, **options, "dtype": jnp.dtype("bfloat16"), "param_dtype": jnp.dtype("float32")}
    assert {option: cell.options[option] for option in expected} == expected
    assert jaxrnn.CELLS[cell.name](**cell.options) == cell
    assert cell != jaxrnn.CELLS[factory](**{**cell.options, "hidden_size": 6})


def test_spellings_of_one_option_are_one_cell():
    """A dtype or an activation by name and by object, positional and by keyword."""
    assert jaxrnn.lstm(5, activation=jnp.tanh, dtype=jnp.bfloat16) == jaxrnn.lstm(hidden_size=5, dtype="bfloat16")
    assert jaxrnn.lstm(5, gate_activation=jax.nn.sigmoid) == jaxrnn.lstm(5)
    assert repr(jaxrnn.lstm(5, cell_clip=0.5, dtype=jnp.float16)) == "lstm(5, cell_clip=0.5, dtype='float16')"
    assert jaxrnn.lstm(5) != jaxrnn.gru(5)
