"""The cells of the catalogue: values of ragged, masked, restarted rows and gradients, against loops from the papers."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from sequences import rows
from support import assert_close, double, normal_like, problem, table, tolerance

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
QUICK = [(name, entry.timed) for name, entry in reference.CATALOGUE.items()]


@pytest.mark.parametrize(("row", "timed"), table(WAYS, QUICK, lambda way: way[0] + ", with dt" * way[1]))
def test_values_and_gradients(row, timed, key, rng):
    """Outputs, carries, and slopes along random directions, which are finite differences of the NumPy loop's."""
    cell, entry = made(row)
    options = {name: value for name, value in ROWS[row][1].items() if name != "hidden_size"}
    step, steps = functools.partial(entry.step, **options), entry.steps
    params, carry, xs = problem(cell, key, steps, BATCH, dtype="float64")
    params = entry.domain(params)
    if entry.timed:
        xs = jnp.where(rng.random(xs.shape) < 0.5, jnp.nan, xs)  # a missing value
        dt = jnp.asarray(rng.exponential(1.0, (steps, *BATCH)) + 0.3)
        carry, xs = carry._replace(elapsed=abs(carry.elapsed)), (xs, dt) if timed else xs
    arguments = params, type(carry)(*entry.reached(*carry)), xs
    how = rows(rng, "lengths", "mask", "reset", time=steps, batch=BATCH)._asdict()
    weights = normal_like(key, jax.eval_shape(functools.partial(jaxrnn.unroll, cell), *arguments))

    @functools.partial(jax.jit, static_argnums=0)
    @functools.partial(jax.value_and_grad, argnums=(1, 2, 3), has_aux=True, allow_int=True)
    def ours(cell, params, carry, xs, how):
        outcome = jaxrnn.unroll(cell, params, carry, xs, **how)
        return dot(weights, outcome), outcome

    def by_loop(params, carry, xs):
        initial = entry.initial(params, cell.options["hidden_size"])
        return reference.run(step, params, initial, tuple(carry), xs, **how, batch=BATCH, hold=entry.hold)

    (_, outcome), grads = ours(cell, *arguments, how)
    exact = jax.tree.map(lambda a: np.asarray(a) if a.dtype.kind in "biu" else double(a), arguments)
    assert_close(jax.tree.leaves(outcome), jax.tree.leaves(by_loop(*exact)), tolerance("float64", steps))
    for path, g in jax.tree_util.tree_leaves_with_path(grads[0]):
        dead, name = np.asarray(g == 0).mean(), jax.tree_util.keystr(path[-1:], simple=True)
        assert dead <= entry.dead.get(name, entry.dead.get("*", 0)), (
            f"params{jax.tree_util.keystr(path)}: {dead:.0%} of its entries have no gradient"
        )
    if not entry.exact:
        return
    # Central differences with the step where truncation h² and rounding eps/h meet: both are then eps^(2/3).
    eps = float(np.finfo(np.float64).eps)
    h = eps ** (1 / 3)
    for i, name in enumerate(("params", "carry", "xs")):
        way = jax.tree.map(lambda a: direction(rng, a), exact[i])
        length = np.sqrt(sum(np.sum(np.abs(d) ** 2) for d in jax.tree.leaves(way)))
        way = jax.tree.map(lambda d, length=length: d / length if d.dtype.kind in "fc" else d, way)
        up, down = (
            float(dot(double(weights), by_loop(*exact[:i], moved(exact[i], side * h, way), *exact[i + 1 :])))
            for side in (1, -1)
        )
        slope = sum(float(np.real(np.sum(g * d))) for g, d in zip(leaves(grads[i]), leaves(way), strict=True))
        assert abs((up - down) / (2 * h) - slope) <= 100 * eps ** (2 / 3) * max(1, abs(up), abs(slope)), name


# By now, those that are affine in their carry.
AFFINE = [row for row in ROWS if made(row)[0].element is not None]


@pytest.mark.parametrize("row", AFFINE)
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


def leaves(tree):
    return [np.asarray(a) for a in jax.tree.leaves(tree) if np.asarray(a).dtype.kind in "fc"]


def direction(rng, a):
    """Normal noise like a; none for flags."""
    draws = rng.standard_normal((2, *a.shape))
    return draws[0] + 1j * draws[1] if a.dtype.kind == "c" else draws[0] if a.dtype.kind == "f" else np.zeros_like(a)


def moved(tree, distance, way):
    return jax.tree.map(lambda a, d: a + distance * d if a.dtype.kind in "fc" else a, tree, way)


def dot(weights, tree):
    """The sum of all entries but flags, each with a weight of its own; of complex ones, real and imaginary part."""
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(tree), strict=True)
    return sum(jnp.real(w * a).sum().astype(float) for w, a in pairs if a.dtype.kind in "fc")


@pytest.mark.parametrize("row", table(ROWS, ()))
def test_a_cell_is_a_value(row):
    """Made twice it is equal, prints as the call that makes it, and is rebuilt from its name and options."""
    cell, _ = made(row)
    assert cell == made(row)[0]
    assert eval(repr(cell), vars(jaxrnn) | vars(jaxrnn.initializers)) == cell
    assert jaxrnn.CELLS[cell.name](**cell.options) == cell
