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

BATCH = (2, 3)

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


@pytest.mark.parametrize(("row", "timed"), WAYS, ids=lambda value: value if isinstance(value, str) else "x, dt" * value)
def test_values_and_gradients(row, timed, key, rng):
    """Outputs, carries, and slopes along random directions, which are finite differences of the NumPy loop's."""
    cell, entry = made(row)
    options = {name: value for name, value in ROWS[row][1].items() if name != "hidden_size"}
    step, T = functools.partial(entry.step, **options), entry.steps
    arguments = problem(cell, key, T, BATCH, dtype="float64")
    if entry.timed:
        params, carry, xs = arguments
        xs = jnp.where(rng.random(xs.shape) < 0.5, jnp.nan, xs)  # a missing value
        dt = jnp.asarray(rng.exponential(1.0, (T, *BATCH)) + 0.3)
        carry = carry._replace(elapsed=abs(carry.elapsed))
        arguments = entry.domain(params), carry, (xs, dt) if timed else xs
    how = rows(rng, "lengths", "mask", "reset", time=T, batch=BATCH)._asdict()
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
    assert_close(jax.tree.leaves(outcome), jax.tree.leaves(by_loop(*exact)), tolerance("float64", T))
    for path, g in jax.tree_util.tree_leaves_with_path(grads[0]):
        dead = np.asarray(g == 0).mean()
        assert dead == 0, f"params{jax.tree_util.keystr(path)}: {dead:.0%} of its entries have no gradient"
    if not entry.exact:
        return
    # Central differences with the step where truncation h² and rounding eps/h meet: both are then eps^(2/3).
    eps = float(np.finfo(np.float64).eps)
    h = eps ** (1 / 3)
    for i, name in enumerate(("params", "carry", "xs")):
        way = jax.tree.map(
            lambda a: rng.standard_normal(a.shape) if a.dtype.kind in "fc" else np.zeros_like(a), exact[i]
        )
        up, down = (
            float(dot(double(weights), by_loop(*exact[:i], moved(exact[i], side * h, way), *exact[i + 1 :])))
            for side in (1, -1)
        )
        slope = sum(float(np.real(np.sum(g * d))) for g, d in zip(leaves(grads[i]), leaves(way), strict=True))
        assert abs((up - down) / (2 * h) - slope) <= 100 * eps ** (2 / 3) * max(1, abs(up), abs(slope)), name


def leaves(tree):
    return [np.asarray(a) for a in jax.tree.leaves(tree) if np.asarray(a).dtype.kind in "fc"]


def moved(tree, distance, way):
    return jax.tree.map(lambda a, d: a + distance * d, tree, way)


def dot(weights, tree):
    """The sum of all entries, each with a weight of its own; of a complex one, real part and imaginary part."""
    return sum(
        jnp.real(w * a).sum().astype(float)
        for w, a in zip(jax.tree.leaves(weights), jax.tree.leaves(tree), strict=True)
    )


@pytest.mark.parametrize("row", table(ROWS, ()))
def test_a_cell_is_a_value(row):
    """Made twice it is equal, prints as the call that makes it, and is rebuilt from its name and options."""
    cell, _ = made(row)
    assert cell == made(row)[0]
    assert eval(repr(cell), vars(jaxrnn) | vars(jaxrnn.initializers)) == cell
    assert jaxrnn.CELLS[cell.name](**cell.options) == cell
