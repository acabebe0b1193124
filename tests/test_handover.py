"""A cell does what it is written to do, whatever engine runs it: what the default cannot keep it hands to the scan."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax import lax
from support import assert_close, double, problem, table, tolerance, weighed

import jaxrnn
from jaxrnn import Stage, engines, taps

T, B, D, H = 13, 2, 3, 4
TOL = tolerance("float64", 2 * T)
OTHERS = {"default": None, "deferred": engines.deferred, "checkpointed": engines.checkpointed}
others = pytest.mark.parametrize("engine", OTHERS.values(), ids=OTHERS)


def after_update(f):
    """An Elman cell with f(h) after its update: a user's, made by hand."""
    cell = jaxrnn.elman(H)
    recur, update, _ = cell.stages[0]
    stage = Stage(recur, lambda *args: jax.tree.map(f, update(*args)))
    return dataclasses.replace(cell, stages=(stage,))


def halving(h):
    return lax.while_loop(lambda a: (jnp.abs(a) > 10).any(), lambda a: a / 2, h)


def outside(h):
    return jax.pure_callback(np.asarray, jax.ShapeDtypeStruct(h.shape, h.dtype), h)


@jax.custom_vjp
def own_rule(h):
    return h


own_rule.defvjp(lambda h: (h, None), lambda _, ct: (2 * ct,))

SAME = {  # as values, all of them change nothing
    "while_loop": halving,
    "pure_callback": outside,
    "cond": lambda h: lax.cond(h.sum() > 1e9, lambda a: 2 * a, lambda a: a, h),
    "custom_vjp": own_rule,
    "checkpoint": jax.checkpoint(lambda h: h),
    "scan": lambda h: lax.scan(lambda a, _: (a, None), h, length=2)[0],
}


@others
@pytest.mark.parametrize("name", SAME)
def test_what_scan_runs_forward(name, engine, key):
    cell = after_update(SAME[name])
    params, carry, xs = problem(jaxrnn.elman(H), key, T, (B,), D, dtype="float64")
    found = jaxrnn.unroll(cell, params, carry, xs, engine=engine)
    expected = reference.run(reference.elman, *double((params, (np.zeros(H),), tuple(carry), xs)))
    assert_close(jax.tree.leaves(found), jax.tree.leaves(expected), TOL)


@pytest.mark.parametrize("name", table(["cond", "custom_vjp", "checkpoint", "scan"], {"cond", "custom_vjp"}))
@others
def test_what_scan_reverses(name, engine, key):
    cell = after_update(SAME[name])
    arguments = problem(jaxrnn.elman(H), key, T, (B,), D, dtype="float64")
    by = [
        jax.jit(jax.grad(lambda a, e=e: weighed(jaxrnn.unroll(cell, *a, engine=e))))(arguments)
        for e in (engine, engines.scan)
    ]
    assert_close(*by, TOL)


@pytest.mark.parametrize("name", ["while_loop", "pure_callback"])
@others
def test_what_cannot_be_reversed_says_so(name, engine, key):
    """In JAX's own words, as from the scan."""
    cell = after_update(SAME[name])
    params, carry, xs = problem(jaxrnn.elman(H), key, T, (B,), D, dtype="float64")
    with pytest.raises(ValueError, match=r"Reverse-mode differentiation|Pure callbacks do not support"):
        jax.grad(lambda p: weighed(jaxrnn.unroll(cell, p, carry, xs, engine=engine)))(params)


EFFECTS = {
    "debug.callback": lambda seen: lambda h: (jax.debug.callback(seen.append, h[0, 0]), h)[1],
    "io_callback": lambda seen: lambda h: (jax.experimental.io_callback(seen.append, None, h[0, 0]), h)[1],
    "io_callback, ordered": lambda seen: (
        lambda h: (
            jax.experimental.io_callback(seen.append, None, h[0, 0], ordered=True),
            h,
        )[1]
    ),
}


@pytest.mark.parametrize("name", EFFECTS)
@others
def test_effects_are_kept(name, engine, key):
    """Each step once, with the number that it has."""
    seen: list = []
    cell = after_update(EFFECTS[name](seen))
    params, carry, xs = problem(jaxrnn.elman(H), key, T, (B,), D, dtype="float64")
    _, ys = jaxrnn.unroll(cell, params, carry, xs, engine=engine)
    jax.effects_barrier()
    np.testing.assert_array_equal(sorted(map(float, seen)), np.sort(ys[:, 0, 0]))


def test_a_print_in_a_gradient(key):
    seen: list = []
    cell = after_update(EFFECTS["debug.callback"](seen))
    params, carry, xs = problem(jaxrnn.elman(H), key, T, (B,), D, dtype="float64")
    grads = jax.jit(jax.grad(lambda p: weighed(jaxrnn.unroll(cell, p, carry, xs))))(params)
    jax.effects_barrier()
    assert len(seen) == T
    assert_close(grads, jax.grad(lambda p: weighed(jaxrnn.unroll(jaxrnn.elman(H), p, carry, xs)))(params), TOL)


@others
def test_an_array_that_a_cell_closes_over_has_its_gradient(engine, key):
    params, carry, xs = problem(jaxrnn.elman(H), key, T, (B,), D, dtype="float64")
    scale = jnp.linspace(0.5, 1.0, H)

    def loss(scale):
        return weighed(jaxrnn.unroll(after_update(lambda h: scale[None] * h), params, carry, xs, engine=engine))

    grads = [jax.grad(loss)(scale), jax.jit(jax.grad(loss))(scale)]
    h = 1e-5  # central differences: h² and eps/h, with third derivatives of T steps before them
    lines = [(loss(scale + h * e) - loss(scale - h * e)) / (2 * h) for e in np.eye(H)]
    for found in grads:
        np.testing.assert_allclose(found, lines, rtol=1e-6)


@others
def test_a_collective_over_a_vmapped_axis(engine, key):
    """The mean over rows in each step, value and gradient, as a batch that takes the mean itself."""
    cell = after_update(lambda h: lax.pmean(h, "rows"))
    together = after_update(lambda h: jnp.broadcast_to(h.mean(0, keepdims=True), h.shape))
    params, _, xs = problem(jaxrnn.elman(H), key, T, (B,), D, dtype="float64")

    def rows(params):
        one = lambda x: jaxrnn.unroll(cell, params, None, x, engine=engine)[1]  # noqa: E731
        return jax.vmap(one, in_axes=1, out_axes=1, axis_name="rows")(xs)

    def batch(params):
        return jaxrnn.unroll(together, params, None, xs, engine=engines.scan)[1]

    def gradient(f):
        return jax.grad(lambda p: weighed(f(p)))

    assert_close(rows(params), batch(params), TOL)
    assert_close(gradient(rows)(params), gradient(batch)(params), TOL)


@others
def test_a_tap_leaves_nothing_behind(engine, key):
    """A plain run after a tapped one of the same cell and shapes is plain, and the other way round."""
    cell = jaxrnn.gru(H)
    arguments = problem(cell, key, T, (B,), D, dtype="float64")
    run = lambda: jaxrnn.unroll(cell, *arguments, engine=engine)[1]  # noqa: E731
    with taps.tapped({"candidate": jnp.zeros_like}):
        tapped = run()
    plain = run()
    with taps.tapped({"candidate": jnp.zeros_like}):
        again = run()
    params, carry, xs = arguments
    expected = reference.run(reference.gru, *double((params, (np.zeros(H),), tuple(carry), xs)))[1]
    assert_close(plain, expected, TOL)
    assert_close(again, tapped, 0.0)
    assert np.abs(tapped - plain).max() > 0.1


@pytest.mark.parametrize("gradient", [False, True])
def test_named_scopes_reach_the_program(gradient, key):
    def named(h):
        with jax.named_scope("a_scope_of_mine"):
            return jnp.sin(h)

    params, carry, xs = problem(jaxrnn.elman(H), key, T, (B,), D, dtype="float64")
    run = lambda p: weighed(jaxrnn.unroll(after_update(named), p, carry, xs))  # noqa: E731
    text = jax.jit(jax.grad(run) if gradient else run).lower(params).as_text(debug_info=True)
    assert "a_scope_of_mine" in text


def test_explain_says_why(key):
    params, carry, xs = problem(jaxrnn.elman(H), key, T, (B,), D)
    said = {
        name: jaxrnn.explain(after_update(f), params, carry, xs).layers[0]
        for name, f in {"print": EFFECTS["debug.callback"]([]), "plain": lambda h: h}.items()
    }
    assert said["print"].engine == "scan" and "effects" in said["print"].reason
    assert said["plain"].engine == "deferred"
    asked = jaxrnn.explain(after_update(EFFECTS["debug.callback"]([])), params, carry, xs, engine=engines.checkpointed)
    assert asked.layers[0].engine == "scan" and asked.layers[0].reason.startswith("checkpointed hands it on")
    reason = engines.handover(after_update(halving), params, carry, xs[0])
    assert reason is not None and "reverse of its step" in reason
