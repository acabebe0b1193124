"""The cells of the catalogue: values of ragged, masked, restarted rows and gradients, against loops from the papers."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from sequences import rows
from support import assert_close, dot, double, normal_like, problem, slopes_agree, table, tolerance

import jaxrnn

T, BATCH = 6, (2, 3)

# name of a test -> (name of the cell, options)
ROWS = {
    row: (name, {**entry.options, **options})
    for name, entry in reference.CATALOGUE.items()
    for row, options in ({name: {}} | entry.variants).items()
}


def made(row):
    """The cell of that row, made anew, and its entry."""
    name, options = ROWS[row]
    return jaxrnn.CELLS[name](**{"hidden_size": 5, **options}), reference.CATALOGUE[name]


# Each as it takes x; those that know time also with the time between steps.
WAYS = [
    (row, timed) for row, (name, _) in ROWS.items() for timed in (False, True)[: 1 + reference.CATALOGUE[name].timed]
]


def named(way):
    return way[0] + ", with dt" * way[1]


def posed(row, timed, key, rng):
    """A problem: the cell, its entry, arguments of unroll, rows of every kind, and the NumPy loop."""
    cell, entry = made(row)
    options = {name: value for name, value in ROWS[row][1].items() if name != "hidden_size"}
    params, carry, xs = problem(cell, key, entry.steps, BATCH, dtype="float64")
    params = entry.domain(params)
    if entry.timed:
        xs = jnp.where(rng.random(xs.shape) < 0.5, jnp.nan, xs)  # a missing value
        dt = jnp.asarray(rng.exponential(1.0, (entry.steps, *BATCH)) + 0.3)
        carry, xs = carry._replace(elapsed=abs(carry.elapsed)), (xs, dt) if timed else xs
    how = rows(rng, "lengths", "mask", "reset", time=entry.steps, batch=BATCH)._asdict()
    step = functools.partial(entry.step, **options)

    def by_loop(params, carry, xs):
        initial = entry.initial(params, cell.options["hidden_size"])
        return reference.run(step, params, initial, tuple(carry), xs, **how, batch=BATCH, hold=entry.hold)

    return cell, entry, (params, type(carry)(*entry.reached(*carry)), xs), how, by_loop


def exactly(arguments):
    return jax.tree.map(lambda a: np.asarray(a) if a.dtype.kind in "biu" else double(a), arguments)


run = jax.jit(jaxrnn.unroll, static_argnums=0)


@pytest.mark.parametrize("name", reference.CATALOGUE)
def test_values(name, key, rng):
    """Outputs and carries of the cell as it comes."""
    cell, entry, arguments, how, by_loop = posed(name, reference.CATALOGUE[name].timed, key, rng)
    outcome = run(cell, *arguments, **how)
    expected = by_loop(*exactly(arguments))
    assert_close(jax.tree.leaves(outcome), jax.tree.leaves(expected), tolerance("float64", entry.steps))


@pytest.mark.parametrize(("row", "timed"), table(WAYS, (), named))
def test_values_and_gradients(row, timed, key, rng):
    """With every option: outputs, carries, and slopes, which are finite differences of the NumPy loop's."""
    cell, entry, arguments, how, by_loop = posed(row, timed, key, rng)
    weights = normal_like(key, jax.eval_shape(functools.partial(jaxrnn.unroll, cell), *arguments))

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.value_and_grad, argnums=(1, 2, 3), has_aux=True, allow_int=True)
    def ours(cell, params, carry, xs, how):
        outcome = jaxrnn.unroll(cell, params, carry, xs, **how)
        return dot(weights, outcome), outcome

    (_, outcome), grads = ours(cell, *arguments, how)
    exact = exactly(arguments)
    assert_close(jax.tree.leaves(outcome), jax.tree.leaves(by_loop(*exact)), tolerance("float64", entry.steps))
    for path, g in jax.tree_util.tree_leaves_with_path(grads[0]):
        dead, name = np.asarray(g == 0).mean(), jax.tree_util.keystr(path[-1:], simple=True)
        assert dead <= entry.dead.get(name, entry.dead.get("*", 0)), (
            f"params{jax.tree_util.keystr(path)}: {dead:.0%} of its entries have no gradient"
        )
    if entry.exact:
        slopes_agree(grads, lambda *args: dot(double(weights), by_loop(*args)), exact, rng)


# By now, those that are affine in their carry.
AFFINE = [row for row in ROWS if made(row)[0].element is not None]


@pytest.mark.parametrize("row", AFFINE)
@pytest.mark.full
def test_elements_compose_to_the_carries(row, key):
    """The pairs of `element`, joined in any order, are the loop's carries: (a, b) then (c, d) is (c a, c b + d)."""
    cell, _ = made(row)
    params, carry, xs = problem(cell, key, T, BATCH, dtype="float64")

    def then(first, second):
        return (
            jax.tree.map(jnp.multiply, second[0], first[0]),
            jax.tree.map(lambda c, b, d: c * b + d, second[0], first[1], second[1]),
        )

    @jax.jit
    def both(params, carry, xs):
        pairs = cell.element(params, cell.drive(params, xs))
        full = [jax.tree.map(lambda p, s: jnp.broadcast_to(p, (T, *s.shape)).astype(s.dtype), p, carry) for p in pairs]
        a, b = jax.lax.associative_scan(then, tuple(full))
        composed = jax.tree.map(lambda a, b, s: a * s[None] + b, a, b, carry)
        return composed, jax.lax.scan(lambda s, x: (cell.step(params, s, x)[0],) * 2, carry, xs)[1]

    composed, carries = both(params, carry, xs)
    assert_close(composed, carries, tolerance("float64", T))


@pytest.mark.parametrize("row", table(ROWS, ()))
def test_a_cell_is_a_value(row):
    """Made twice it is equal, prints as the call that makes it, and is rebuilt from its name and options."""
    cell, _ = made(row)
    assert cell == made(row)[0]
    assert eval(repr(cell), vars(jaxrnn) | vars(jaxrnn.initializers)) == cell
    assert jaxrnn.CELLS[cell.name](**cell.options) == cell
