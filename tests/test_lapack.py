"""Matrices are decomposed one after another: jaxlib 0.10 on a CPU can wait for ever for batches of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn._core.lapack import one_by_one

# What jaxlib hands to LAPACK by way of its threads.
DECOMPOSITIONS = {"geqrf", "householder_product", "orgqr", "qr", "lu", "svd", "eig", "eigh", "cholesky"}
H, ROWS = 5, 3


def inner(value):
    """The programs within an equation's parameter."""
    values = value if isinstance(value, tuple | list) else [value]
    return [getattr(v, "jaxpr", v) for v in values if hasattr(getattr(v, "jaxpr", v), "eqns")]


def decomposed(program):
    """(the primitive, the shape it gets) of every decomposition in a program, at any depth."""
    for equation in program.eqns:
        if equation.primitive.name in DECOMPOSITIONS:
            yield equation.primitive.name, equation.invars[0].aval.shape
        for value in equation.params.values():
            for deeper in inner(value):
                yield from decomposed(deeper)


def drawn(keys):
    return jax.vmap(lambda key: jaxrnn.stack(jaxrnn.lstm(H), jaxrnn.gru(H)).init(key, H))(keys)


def exponents(keys):
    cell = jaxrnn.gru(H)
    xs = jax.vmap(lambda key: jax.random.normal(key, (4, 2)), out_axes=1)(keys)
    return jaxrnn.diagnostics.lyapunov_exponents(cell, cell.init(jax.random.key(0), 2), None, xs).exponents


def constrained(keys):
    kernels = {str(i): {"recurrent_kernel": jax.random.normal(keys[i], (2, H, 4 * H))} for i in range(2)}
    return jaxrnn.constraints.spectral(0.5).update(kernels, jaxrnn.constraints.spectral(0.5).init(kernels), kernels)


@pytest.mark.parametrize("program", [drawn, exponents, constrained], ids=lambda f: f.__name__)
def test_no_batch_is_decomposed(program):
    found = list(decomposed(jax.make_jaxpr(program)(jax.random.split(jax.random.key(0), ROWS)).jaxpr))
    assert found and all(len(shape) == 2 for _, shape in found), found


def test_fixed_points_are_solved_for_one_by_one():
    from jaxrnn.diagnostics._fixed_points import _descend

    cell = jaxrnn.gru(H)
    params = cell.init(jax.random.key(0), 2)
    starts = cell.initial_carry(params, (ROWS,))
    program = jax.make_jaxpr(lambda starts, x: _descend(cell, params, starts, x, (ROWS,), 9))(starts, jnp.zeros(2))
    found = list(decomposed(program.jaxpr))
    assert found and all(len(shape) == 2 for _, shape in found), found


def test_the_search_sees_a_batch():
    """What the tests above look for is found where it is."""
    found = decomposed(jax.make_jaxpr(jax.jit(jnp.linalg.qr))(jnp.ones((ROWS, H, H))).jaxpr)
    assert any(len(shape) == 3 for _, shape in found)


def test_drawn_under_vmap_as_one_by_one():
    keys = jax.random.split(jax.random.key(3), ROWS)
    draw = jaxrnn.initializers.orthogonal(1.5)
    together = jax.jit(jax.vmap(lambda key: draw(key, (H, H), "float64")))(keys)
    for matrix, key in zip(together, keys, strict=True):
        np.testing.assert_array_equal(matrix, draw(key, (H, H), "float64"))
        np.testing.assert_allclose(matrix @ matrix.T, 1.5**2 * np.eye(H), atol=1e-14)


def test_one_by_one_is_numpys():
    """Matrices [..., N, M], under vmap too, and a second argument."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, ROWS, H, H)), rng.normal(size=(2, ROWS, H))
    singular = one_by_one(lambda m: jnp.linalg.svd(m, compute_uv=False))
    np.testing.assert_allclose(singular(jnp.asarray(a)), np.linalg.svd(a, compute_uv=False), rtol=1e-12)
    solved = jax.vmap(jax.vmap(one_by_one(jnp.linalg.solve)))(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(solved, np.linalg.solve(a, b[..., None])[..., 0], rtol=1e-9)
