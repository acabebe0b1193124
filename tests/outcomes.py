"""A drawn call, done by jaxrnn and by the loops of trees.py: `judge` raises AssertionError where they differ.

Derivatives are compared along one random direction, with central differences of the loops: a gradient by its product
with the direction, a tangent entry by entry.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import DERIVATIVES, Case
from jax import lax
from orders import inner
from problems import Problem, types_of
from support import tolerance
from trees import made, nodes

import jaxrnn

EPS = float(np.finfo(np.float64).eps)


def refused(case: Case) -> str | None:
    """How the error begins that such a call is answered with; None: it has a right answer."""
    if any(node[0] == "cell" and node[2] == 0 for node in nodes(case.tree)):
        return "hidden_size: "
    return "input_size: " if case.D == 0 else None


def judge(case: Case) -> str:
    """Whether jaxrnn is right, or refuses what is to be refused: "values", "derivative" or "refused"."""
    with jax.enable_x64(case.x64):
        beginning = refused(case)
        if beginning is None:
            return _judge(case)
        with pytest.raises((ValueError, TypeError), match=f"^{beginning}"):
            made(case.tree, **types_of(case)).init(jax.random.key(0), case.D)
        return "refused"


def _judge(case: Case) -> str:
    problem = Problem(case)
    actual = by_jaxrnn(problem)
    tol = tolerance(problem.coarsest, max(1, case.T) * len(nodes(case.tree)))
    close(actual["outcome"], problem.joined(problem.expected), tol, "outcome")
    check_types(problem, actual["outcome"])
    if case.how not in DERIVATIVES:
        return "values"
    # Where truncation h² and rounding eps/h meet. A kink within h is passed over with a smaller one.
    for h in EPS ** (1 / 3), EPS ** (1 / 3) / 64:
        ends = [problem.loops(sign * h) for sign in (1, -1)]
        slopes = [[(a - b) / (2 * h) for a, b in zip(*pair, strict=True)] for pair in zip(*ends, strict=True)]
        off = 100 * EPS ** (2 / 3) if h > 1e-6 else 100 * EPS / h
        try:
            compare_slopes(problem, actual, slopes, 2 * tol + off)
            return "derivative"
        except AssertionError:
            if h < 1e-6:
                raise
    raise AssertionError("not reached")


def compare_slopes(problem: Problem, actual: dict[str, Any], slopes: list[Any], tol: float) -> None:
    if "tangent" in actual:
        close(actual["tangent"], problem.joined(slopes), tol, "tangent")
        return
    ws = problem.weights
    expected = [
        sum(np.sum(w * s) for w, s in zip(each, slope, strict=True)) for each, slope in zip(ws, slopes, strict=True)
    ]
    # The gradient of each member, or of all of them where one loss was taken.
    many = problem.case.how in ("vmap of grad", "scan of grad")
    found = [problem.along(actual["gradient"], e if many else None) for e in range(problem.members if many else 1)]
    expected = expected if many else [sum(expected)]
    for (product, scale, rounded), e in zip(found, expected, strict=True):
        assert np.isfinite(product), "gradient: not finite"
        off, allowed = abs(product - e), tol * max(1.0, scale) + rounded
        assert off <= allowed, f"gradient: {product} along the direction, expected {e}, tolerance {allowed:.3g}"


def close(actual: list[Any], expected: list[Any], tol: float, name: str) -> None:
    assert len(actual) == len(expected), f"{name}: {len(actual)} leaves, expected {len(expected)}"
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        a = np.asarray(a, np.float64)
        assert a.shape == e.shape, f"{name} {i}: shape {a.shape}, expected {e.shape}"
        assert np.isfinite(a).all(), f"{name} {i}: not finite"
        error = np.abs(a - e).max(initial=0.0) / max(1.0, np.abs(e).max(initial=0.0))
        assert error <= tol, f"{name} {i}: off by {error:.3g}, tolerance {tol:.3g}"


def check_types(problem: Problem, outcome: list[Any]) -> None:
    """The carry comes back in the types that it went in with."""
    start = jax.tree.leaves(problem.carry_like)
    assert [a.dtype for a in outcome[: len(start)]] == [a.dtype for a in start], "the carry has other types"


def own_engine(cell, params, carry, xs):
    """As a user writes one."""
    return lax.scan(functools.partial(cell.step, params), carry, xs)


def outcome(problem, part):
    """The leaves of (carry, ys) of one member."""
    given = problem.static | part
    xs = (given["xs"], given["flag"]) if "flag" in given else given["xs"]
    rows = {name: given[name] for name in ("lengths", "mask", "reset") if name in given}
    unroll = functools.partial(jaxrnn.unroll, problem.cell, given["params"], reverse=problem.case.reverse)
    carry, ys = unrolled(problem, unroll, given.get("carry"), xs, rows)
    if problem.case.tree[0] == "with_mask":  # whose y says nothing there
        ys = jax.tree.map(lambda y: jnp.where(jnp.expand_dims(given["flag"], range(xs[1].ndim, y.ndim)), y, 0), ys)
    return jax.tree.leaves((carry, ys))


def unrolled(problem, unroll, carry, xs, rows):
    kind, *options = problem.case.engine or (None,)
    engine = {
        None: None,
        "own": own_engine,
        "scan": lambda *args: jaxrnn.engines.scan(*args, unroll=options[0]),
        "deferred": lambda *args: jaxrnn.engines.deferred(*args, chunk=options[0]),
        "checkpointed": lambda *args: jaxrnn.engines.checkpointed(*args, segment=options[0]),
    }[kind]
    if "windows" not in problem.case.how or problem.case.T == 0 or "bidirectional" in str(problem.case.tree):
        return unroll(carry, xs, **rows, engine=engine)
    return windows(problem, functools.partial(unroll, engine=engine), carry, xs, rows)


def windows(problem, unroll, carry, xs, rows):
    """Two steps at a time, each from the carry of those before."""
    if carry is None:
        carry = problem.cell.initial_carry(unroll.args[1], problem.case.batch)
    count = problem.case.T // 2
    rows = {name: a if hasattr(a, "dtype") else np.asarray(a, int) for name, a in rows.items()}
    cut = jax.tree.map(lambda a: a.reshape(count, 2, *a.shape[1:]), (xs, {**rows, "lengths": None}))
    firsts = 2 * jnp.arange(count, dtype=jnp.int32)

    def window(carry, given):
        (xs, flags), first = given
        if "lengths" in rows:
            flags = {**flags, "lengths": jnp.clip(jnp.asarray(rows["lengths"]).astype(jnp.int32) - first, 0, 2)}
        return unroll(carry, xs, **flags)

    carry, ys = lax.scan(window, carry, (cut, firsts), reverse=problem.case.reverse)
    return carry, jax.tree.map(lambda y: y.reshape(problem.case.T, *y.shape[2:]), ys)


def by_jaxrnn(problem):
    """{"outcome": leaves, and "gradient" or "tangent"}, as NumPy."""
    how, part, direction = problem.case.how, problem.parts[0], problem.directions[0]
    f = functools.partial(outcome, problem)
    args = (problem.stacked(problem.parts), problem.weights_along(0))
    at = {name: problem.axis(name) for name in part}
    over = jax.vmap(f, (at,), problem.case.axes[4])

    def gradient(f, part, weights):
        moving = {name: part[name] for name in problem.moving}

        def loss(moving):
            out = f(part | moving)
            return inner(weights, out), out

        (_, out), grads = jax.value_and_grad(loss, has_aux=True)(moving)
        return {"outcome": out, "gradient": grads}

    def forward(part, direction):
        moving = {name: part[name] for name in problem.moving}
        at = lambda moving: f(part | moving)  # noqa: E731
        if how == "jvp":
            out, tangent = jax.jvp(at, (moving,), (direction,))
        elif how == "linearize":
            out, linear = jax.linearize(at, moving)
            tangent = linear(direction)
        else:
            along = lambda s: at(jax.tree.map(lambda a, d: a + s.astype(a.dtype) * d, moving, direction))  # noqa: E731
            out, tangent = at(moving), jax.jacfwd(along)(jnp.zeros((), problem.weights[0][0].dtype))
        return {"outcome": out, "tangent": tangent}

    def pulled(part, weights):
        moving = {name: part[name] for name in problem.moving}
        out, back = jax.vjp(lambda moving: f(part | moving), moving)
        (grads,) = back([w.astype(a.dtype) for w, a in zip(weights, out, strict=True)])
        return {"outcome": out, "gradient": grads}

    def members(part, weights):
        return jax.vmap(functools.partial(gradient, f), (at, 0))(part, weights)

    def one_by_one(part, weights):
        def turn(_, given):
            return None, gradient(f, {**part, **given[0]}, given[1])

        return lax.scan(turn, None, (problem.mapped(part), weights))[1]

    run, given = {
        "called": (lambda part: {"outcome": f(part)}, (part,)),
        "jit of remat": (lambda part: {"outcome": jax.checkpoint(f)(part)}, (part,)),
        "jit of vmap": (lambda part: {"outcome": over(part)}, args[:1]),
        "grad of remat": (functools.partial(gradient, jax.checkpoint(f)), (part, problem.weights[0])),
        "grad of vmap": (functools.partial(gradient, over), (args[0], problem.weights_along(problem.case.axes[4]))),
        "vmap of grad": (members, args),
        "scan of grad": (one_by_one, (problem.stacked(problem.parts, 0), args[1])),
        "vjp": (pulled, (part, problem.weights[0])),
        **dict.fromkeys(("jvp", "linearize", "jacfwd"), (forward, (part, direction))),
        **dict.fromkeys(("grad", "value_and_grad", "grad of windows"),
                        (functools.partial(gradient, f), (part, problem.weights[0]))),
    }.get(how, (lambda part: {"outcome": f(part)}, (part,)))  # fmt: skip
    if how == "called":
        return jax.device_get(run(*given))
    traces = []

    def counted(*args):
        traces.append(1)
        return run(*args)

    program = jax.jit(counted)
    program(*given)
    again = jax.device_get(program(*given))
    assert len(traces) == 1, "traced twice for the same shapes and types"
    return again
