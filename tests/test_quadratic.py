"""jaxlib 0.11.1 on a CPU takes time quadratic in the length of a loop: there, every loop is to be short."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jaxlib
import pytest
from support import assert_close, problem, table, tolerance, weighed

import jaxrnn
from jaxrnn._core import loops as pieces

T = 197  # a prime: pieces of it leave a rest


@pytest.fixture
def faulty(monkeypatch):
    """The jaxlib in question; few turns, so that pieces lie within pieces also at this T. What is compiled is left."""
    jax.clear_caches()
    monkeypatch.setattr(jaxlib, "__version__", "0.11.1")
    monkeypatch.setattr(pieces, "TURNS", 6)
    yield
    jax.clear_caches()


def turns(jaxpr):
    """The turns of every loop in a program."""
    for e in jaxpr.eqns:
        if e.primitive.name == "scan":
            yield e.params["length"]
        for inner in jax.tree.leaves(list(e.params.values()), is_leaf=lambda a: hasattr(a, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from turns(inner)


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("reverse", table([False, True], {False}))
@pytest.mark.parametrize("engine", table(["scan", "deferred", "checkpointed"], {"deferred"}))
@pytest.mark.full
def test_no_loop_is_long(engine, reverse, key):
    """Values and gradients are those of `lax.scan` of the step, and no loop of the program makes more turns."""
    cell = jaxrnn.lstm(3)
    problem_ = problem(cell, key, T=T, dtype="float64")
    engine = getattr(jaxrnn.engines, engine)

    def ours(params, carry, xs):
        return jaxrnn.unroll(cell, params, carry, xs, reverse=reverse, engine=engine)

    def plain(params, carry, xs):
        return jax.lax.scan(lambda carry, x: cell.step(params, carry, x), carry, xs, reverse=reverse)

    def graded(run):
        def loss(args):
            end, ys = run(*args)
            return weighed((jnp.sin(ys), end)), (end, ys)

        return jax.value_and_grad(loss, has_aux=True)

    ours, plain = graded(ours), graded(plain)
    assert max(turns(jax.make_jaxpr(plain)(problem_).jaxpr)) == T
    assert 1 < max(turns(jax.make_jaxpr(ours)(problem_).jaxpr)) <= 1.5 * pieces.TURNS
    assert_close(jax.jit(ours)(problem_), jax.jit(plain)(problem_), tolerance("float64", T))


@pytest.mark.usefixtures("faulty")
@pytest.mark.full
def test_no_loop_is_long_that_generates():
    """Also where symbols are written."""
    step = lambda params, carry, token: (carry + token, jax.nn.one_hot((carry + 3 * token + 1) % 7, 7))  # noqa: E731

    def written(prime):
        return jaxrnn.decode.generate(step, None, jnp.int32(2), prime, T, choose=jaxrnn.decode.greedy())

    prime = jnp.array([4], "int32")
    assert max(turns(jax.make_jaxpr(written)(prime).jaxpr)) <= 1.5 * pieces.TURNS
    carry, token, expected = 2, 4, []
    for _ in range(T):
        carry, token = carry + token, (carry + 3 * token + 1) % 7
        expected.append(token)
    assert written(prime)[1].tolist() == expected


def test_other_versions_run_one_loop(monkeypatch):
    """The guard is for that version alone."""
    jax.clear_caches()
    monkeypatch.setattr(jaxlib, "__version__", "0.12.0")
    cell = jaxrnn.elman(2)
    params = cell.init(jax.random.key(0), 3)
    run = jax.make_jaxpr(lambda xs: jaxrnn.unroll(cell, params, None, xs, engine=jaxrnn.engines.scan))
    assert list(turns(run(jnp.ones((T, 3), "float32")).jaxpr)) == [T]
