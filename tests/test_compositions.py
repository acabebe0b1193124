"""Every composition of the table, with rows of every kind: by every engine, step by step, in pieces, and as a value."""

from __future__ import annotations

import functools
import json
import pickle

import compositions
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from compositions import ROWS, D, few, made, names_in
from sequences import weighted, weights_for
from support import assert_close, double, leaves_close, loop, problem, table, tolerance

import jaxrnn
from jaxrnn import engines

T, B = 5, 3
TOL = tolerance("float64", 4 * T)  # up to four layers, one after another
ENGINES = (
    engines.scan,
    functools.partial(engines.deferred, chunk=2),
    functools.partial(engines.checkpointed, segment=2),
)
LENGTHS = np.array([T, 0, 3])
# Of the row with all of T a step in the middle is skipped; one restarts in the middle, one at a step that is skipped.
MASK = (np.arange(T)[:, None] < LENGTHS) & ~((np.arange(T)[:, None] == 3) & (np.arange(B) == 0))
RESET = (np.arange(T)[:, None] == np.array([3, 1, 2])) | (np.arange(T)[:, None] == np.array([1, 4, 4]))
RAGGED = {"lengths": LENGTHS, "mask": MASK, "reset": RESET}

rows = pytest.mark.parametrize("name", ROWS)
QUICK = {"clip_gradient", "highway", "layer_norm", "recurrent_dropout, carry", "variational_dropout", "weight_norm",
         "zoneout", "bidirectional", "stack, dropout"}  # fmt: skip
rows_and_cells = pytest.mark.parametrize(
    ("name", "inner"),
    table([(name, cell) for name in ROWS for cell in few(name)], {(name, few(name)[0]) for name in QUICK}, "-".join),
)


def given(cell, key, dtype="float64"):
    return problem(cell, key, T, (B,), D, dtype=dtype)


def with_grads(cell, weights, params, carry, xs, **options):
    """What unroll gives, and the gradients of a weighted sum of all of it for params, carry and xs; of flags 0."""

    def loss(*arguments):
        outcome = jaxrnn.unroll(cell, *arguments, **options)
        return weighted(weights, outcome), outcome

    grads, outcome = jax.grad(loss, argnums=(0, 1, 2), has_aux=True, allow_int=True)(params, carry, xs)
    return outcome, jax.tree.map(lambda g: jnp.zeros(g.shape) if g.dtype == jax.dtypes.float0 else g, grads)


def nan_in_padding(xs):
    """NaN where no step is taken."""

    def one(a):
        return a if a.dtype == bool else jnp.where(MASK.reshape(T, B, *[1] * (a.ndim - 2)), a, jnp.nan)

    return jax.tree.map(one, xs)


@rows_and_cells
@pytest.mark.optimized
def test_engines_keys_and_padding(name, inner, key, rng):
    """One program, run right to left with a key, with another, and with NaN where no step is taken.

    The default engine gives the scan's values and gradients. Another key is other noise, where there is noise, and else
    nothing. Nothing of a step that is not taken is seen.
    """
    cell = made(name, inner)
    params, carry, xs = given(cell, key)
    weights, noise, other = weights_for(rng, cell, params, carry, xs), *jax.random.split(key)

    @jax.jit
    def run(xs, noise):
        run = functools.partial(with_grads, cell, weights, params, carry, xs, **RAGGED, reverse=True, key=noise)
        return run(engine=None), run(engine=engines.scan)

    by_default, by_scan = run(xs, noise)
    assert_close(by_default, by_scan, TOL)
    assert_close(run(nan_in_padding(xs), noise), (by_default, by_scan), 0.0)
    ((after, ys), _), _ = run(xs, other)
    same = jax.tree.map(np.array_equal, (after, ys), by_default[0])
    assert all(jax.tree.leaves(same)) != ROWS[name].noise

    (after, ys), (_, to_carry, to_xs) = by_default
    skipped = jax.tree.map(lambda a: a[~MASK], (ys, to_xs))
    assert_close(skipped, jax.tree.map(jnp.zeros_like, skipped), 0.0)
    none = jax.tree.map(lambda a: a[1], (after, to_carry))  # the row without a step
    assert_close(none, jax.tree.map(lambda a: a[1], (carry, weights[0])), 0.0)


CHECKPOINTED = ("clip_gradient", "layer_norm", "recurrent_dropout, carry", "stack of bidirectional", "zoneout")


@pytest.mark.parametrize("name", table(CHECKPOINTED, {"recurrent_dropout, carry"}))
def test_checkpointed(name, key, rng):
    """And deferred in pieces that leave a rest."""
    cell = made(name)
    arguments = given(cell, key)
    weights = weights_for(rng, cell, *arguments)
    scan, *others = jax.jit(
        lambda *arguments: [with_grads(cell, weights, *arguments, **RAGGED, key=key, engine=e) for e in ENGINES]
    )(*arguments)
    for outcome in others:
        assert_close(outcome, scan, TOL)


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        pytest.param(name, cell, id=f"{name}-{cell}", marks=() if cell == few(name)[0] else pytest.mark.full)
        for name, row in ROWS.items()
        for cell in (row.cells if name == "clip_carry" else row.cells[:1] if row.noise else few(name))
        if row.loop
    ],
)
def test_values(name, inner, key):
    """At evaluation, in both directions, against loops in NumPy."""
    cell, step = made(name, inner), ROWS[name].loop(loop(inner))
    params, carry, xs = given(cell, key)
    directions = (False, True)
    run = jax.jit(lambda *a: [jaxrnn.unroll(cell, *a, **RAGGED, reverse=r, engine=engines.scan) for r in directions])
    arrays = double((params, cell.start(params), carry, xs))
    for actual, reverse in zip(run(params, carry, xs), directions, strict=True):
        leaves_close(actual, reference.run(step, *arrays, **RAGGED, reverse=reverse), TOL)


@pytest.mark.parametrize("name", table(ROWS, {"stack", "deep_transition", "residual", "learned_carry"}))
def test_step_by_step(name, key):
    """`step` is unroll at evaluation, also with a key where it has no noise; what runs backwards refuses.

    From any carry: so an unroll that is cut in two goes on where it was.
    """
    row, cell = ROWS[name], made(name)
    params, carry, xs = given(cell, key)
    if row.steps:
        whole = jax.jit(functools.partial(jaxrnn.unroll, cell, key=None if row.noise else key))(params, carry, xs)
        step, ys = jax.jit(cell.step), []
        for t in range(T):
            carry, y = step(params, carry, jax.tree.map(lambda a: a[t], xs))  # noqa: B023 - used at once
            ys.append(y)
        assert_close((carry, jax.tree.map(lambda *a: np.stack(a), *ys)), whole, TOL)
    else:
        with pytest.raises(TypeError, match=r"runs backwards.* needs the whole sequence; use jaxrnn\.unroll"):
            cell.step(params, carry, jax.tree.map(lambda a: a[0], xs))


@rows
def test_it_says_what_it_is_like(name, key):
    """Its start, input and outputs are those of what it does; parts are kept by those that are pointwise."""
    row, cell = ROWS[name], made(name)
    assert cell.has_parts == row.parts
    params, carry, xs = given(cell, key)
    after, ys = jax.eval_shape(functools.partial(jaxrnn.unroll, cell), params, carry, xs)
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[2:], a.dtype), ys)
    assert cell.outputs(params, jax.tree.map(lambda a: a[0, 0], xs)) == one
    like = jax.eval_shape(functools.partial(cell.initial_carry, batch_shape=(B,)), params)
    assert jax.tree.structure(like) == jax.tree.structure(after)
    assert jax.tree.leaves(like) == jax.tree.leaves(after)


@rows
def test_it_is_a_value(name):
    """Equal to another made alike, read back from what it prints, from JSON and from a pickle; not the bare cell."""
    cell, again = made(name), made(name)
    assert cell == again and hash(cell) == hash(again) and repr(cell) == repr(again)
    assert eval(repr(cell), vars(compositions) | vars(jaxrnn)) == cell
    assert pickle.loads(pickle.dumps(cell)) == cell
    assert cell != made(name, "gru") and cell != jaxrnn.lstm(5)
    if "time_distributed" in names_in(cell) or "own merge" in name:  # a function of one's own
        with pytest.raises(TypeError, match="cannot be saved as an option"):
            jaxrnn.to_config(cell)
    else:
        assert jaxrnn.from_config(json.loads(json.dumps(jaxrnn.to_config(cell)))) == cell


def test_every_wrapper_has_a_row():
    """Alone, and it is the row's own: a wrapper that is added to the package is missing here."""
    outermost = {made(name).name for name in compositions.SINGLE | compositions.JOINED}
    inside = set().union(*(names_in(made(name)) for name in ROWS))
    ours = set(jaxrnn.wrappers.__all__) - {"hgrn_stack"}  # which is given no cells
    assert ours <= inside
    assert ours - outermost == {"time_distributed"}  # which has no carry: a layer of a stack
    assert {name for name, f in vars(jaxrnn.wrappers).items() if hasattr(f, "is_factory")} == set(
        jaxrnn.wrappers.__all__
    )
