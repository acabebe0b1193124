"""Networks under `vmap`: large ones run one after the other on a CPU, and all of it is as for each by itself."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import assert_close, double, loop, noisy_params, tolerance, variant

import jaxrnn
from jaxrnn.engines._deferred import engine

N, T, B, D, NAME = 7, 5, 2, 3, "lstm_projection_peepholes"
EPS = np.finfo(float).eps


@pytest.mark.parametrize("least", [1, 10**9], ids=["in turn", "side by side"])
@pytest.mark.full
def test_networks(least, monkeypatch, key, rng):
    """Losses are those of loops in NumPy, gradients and Hessians along a direction are differences."""
    monkeypatch.setattr(engine, "NETWORK", least)
    monkeypatch.setattr(engine, "KERNEL", least)
    jax.clear_caches()  # else programs made for the other
    cell = variant(NAME)
    members = [noisy_params(cell, k, D, "float64") for k in jax.random.split(key, N)]
    params = jax.tree.map(lambda *a: jnp.stack(a), *members)
    xs = rng.standard_normal((N, T, B, D))
    weights = rng.standard_normal((T, B, *cell.outputs(members[0]).shape))
    some = jax.tree.map(lambda a: rng.standard_normal(a.shape), params)
    length = np.sqrt(inner(some, some))
    direction = jax.tree.map(lambda a: a / length, some)

    def loss(p, x):
        return (weights * jnp.sin(jaxrnn.unroll(cell, p, None, x)[1])).sum()

    def by_numpy(p, x):
        start = tuple(np.zeros(a.shape) for a in jax.tree.leaves(cell.start(p)))
        return (weights * np.sin(reference.run(loop(NAME), double(p), start, None, x)[1])).sum()

    def slope(p, x, v):
        return inner(jax.grad(loss)(p, x), v)

    values = jax.jit(jax.vmap(loss))
    slopes = jax.jit(jax.vmap(slope))
    bends = jax.jit(jax.vmap(lambda p, x, v: inner(jax.grad(slope)(p, x, v), v)))
    assert (N in lengths(values.trace(params, xs).jaxpr.jaxpr)) == (least == 1)
    assert (N in lengths(slopes.trace(params, xs, direction).jaxpr.jaxpr)) == (least == 1)

    expected = np.array([by_numpy(p, x) for p, x in zip(members, xs, strict=True)])
    assert_close(values(params, xs), expected, tolerance("float64", T))
    h = EPS ** (1 / 3)  # where truncation h² and rounding eps/h meet
    ends = [jax.tree.map(lambda a, v, s=s: a + s * h * v, params, direction) for s in (1, -1)]
    by_hand = [[by_numpy(jax.tree.map(lambda a, i=i: a[i], p), xs[i]) for i in range(N)] for p in ends]
    assert_close(slopes(params, xs, direction), np.subtract(*by_hand) / (2 * h), 100 * EPS ** (2 / 3))
    difference = np.subtract(*(slopes(p, xs, direction) for p in ends)) / (2 * h)
    assert_close(bends(params, xs, direction), difference, 100 * EPS ** (2 / 3))


def inner(a, b):
    return sum((x * y).sum() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def lengths(jaxpr):
    """Of every scan of a program, those within others too."""
    for e in jaxpr.eqns:
        if e.primitive.name == "scan":
            yield e.params["length"]
        for value in jax.tree.leaves(
            list(e.params.values()), is_leaf=lambda a: hasattr(a, "jaxpr") or hasattr(a, "eqns")
        ):
            within = getattr(value, "jaxpr", value)
            if hasattr(within, "eqns"):
                yield from lengths(within)
