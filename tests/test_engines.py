"""Every engine gives what the reference loop gives and the gradients of the plain scan, for all cells and kinds of row.

That the scan's own gradients are right, the tests of unroll show: here they are only compared with.
"""

from __future__ import annotations

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from own_cells import OWN, given
from sequences import Rows, double, normal_like, row, rows, weighted, weights_for
from support import VARIANTS, assert_close, problem, table, tolerance, variant

import jaxrnn
from jaxrnn import engines
from jaxrnn._core.loops import stacks_half

partial = functools.partial
T, D = 7, 3  # a prime: pieces of 2 and 3 steps leave a rest
KINDS = ((), ("lengths",), ("mask",), ("reset",), ("lengths", "mask", "reset"))
SLICE = ("elman", "gru", "lstm_projection_peepholes", "recurrent_highway", "indrnn_tanh")
QUICK = "lstm_projection_peepholes", "gru_reset_before"
BY_ALL = ("elman", "gru", "lstm_clip_coupled_projection_peepholes", "recurrent_highway", "indrnn_tanh")


def least_memory(cell, params, carry, xs):
    """checkpointed with exactly the memory that it asks for when it is given too little."""
    with pytest.raises(ValueError, match="memory: expected at least") as caught:
        engines.checkpointed(cell, params, carry, xs, memory=1)
    needed = int(re.search(r"at least (\d+) bytes", str(caught.value))[1])
    return engines.checkpointed(cell, params, carry, xs, memory=needed)


FEW = {
    "deferred, chunk=2": partial(engines.deferred, chunk=2),
    "checkpointed, segment=3": partial(engines.checkpointed, segment=3),
    "over_devices, 5 rows on 2": engines.over_devices(partial(engines.deferred, chunk=3)),
}
ALL = FEW | {
    "deferred": engines.deferred,
    "deferred, chunk=1": partial(engines.deferred, chunk=1),
    "deferred, chunk=T": partial(engines.deferred, chunk=T),
    "deferred, chunk above T": partial(engines.deferred, chunk=T + 2),
    "checkpointed": engines.checkpointed,
    "checkpointed, segment=1": partial(engines.checkpointed, segment=1),
    "checkpointed, memory": least_memory,
    "checkpointed, much memory": partial(engines.checkpointed, memory=10**9),
}


def grads_by(engine, cell, arguments, weights, reverse=False, **rows):
    """What unroll gives, and the gradients of a weighted sum of all of it for params, carry and xs."""

    def loss(*arguments):
        outcome = jaxrnn.unroll(cell, *arguments, **rows, reverse=reverse, engine=engine)
        return weighted(weights, outcome), outcome

    grads, outcome = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)(*arguments)
    return outcome, grads


def every_kind(rng, batch=2):
    """Rows of each kind beside one another: leaves [T, kinds, batch], lengths [kinds, batch]."""
    each = [rows(rng, *kinds, time=T, batch=(batch,)) for kinds in KINDS]
    axes = Rows(lengths=0, mask=1, reset=1)
    return agreeing(Rows(*(np.stack(leaves, axis) for axis, leaves in zip(axes, zip(*each, strict=True), strict=True))))


def agreeing(how):
    """A mask that takes steps away only: with lengths that can be looked at, unroll insists on it."""
    return how._replace(mask=how.valid)


@pytest.mark.parametrize("name", table(dict.fromkeys([*QUICK, *BY_ALL, *list(VARIANTS)[::2]]), QUICK))
@pytest.mark.optimized
def test_engines(name, key, rng):
    """Plain, and with lengths, mask, reset and all of them, right to left."""
    case, engines_here = row(name), ALL if name in BY_ALL else {"deferred": engines.deferred, **FEW}
    arguments = problem(case.cell, key, T, (len(KINDS), 2), D, dtype="float64")
    weights, how = weights_for(rng, case.cell, *arguments), every_kind(rng)

    @jax.jit
    def run(arguments, how):
        return {
            n: (
                grads_by(engine, case.cell, arguments, weights),
                grads_by(engine, case.cell, arguments, weights, reverse=True, **how._asdict()),
            )
            for n, engine in {"scan": engines.scan, **engines_here}.items()
        }

    found = jax.device_get(run(arguments, how))
    params, carry, xs = double(arguments)
    loop = partial(reference.run, case.step, params, case.initial(params), carry, xs)
    values = [jax.tree.leaves(outcome) for outcome in (loop(), loop(**how._asdict(), reverse=True))]
    for n, each in found.items():
        for (outcome, grads), expected, (_, by_scan) in zip(each, values, found["scan"], strict=True):
            close(n, jax.tree.leaves(outcome), expected, tolerance("float64", T))
            close(n, grads, by_scan, tolerance("float64", 2 * T))


def close(name, actual, expected, tol):
    """`assert_close`, saying of which engine."""
    try:
        assert_close(actual, expected, tol)
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from None


@pytest.mark.parametrize("name", table(["gru", "lstm_projection_peepholes"], {"gru"}))
@pytest.mark.parametrize("kinds", [("mask",), ("reset",)], ids=["mask", "reset"])
def test_one_wrapper_alone(name, kinds, key, rng):
    """With a mask or a reset only, the cell is wrapped once, and its step is another program."""
    case = row(name)
    arguments = problem(case.cell, key, T, (2,), D, dtype="float64")
    weights, how = weights_for(rng, case.cell, *arguments), rows(rng, *kinds, time=T, batch=(2,))
    how = {kind: getattr(how, kind) for kind in kinds}
    run = jax.jit(
        lambda *a: {n: grads_by(e, case.cell, a, weights, **how) for n, e in {"scan": engines.scan, **FEW}.items()}
    )
    found = jax.device_get(run(*arguments))
    for n, each in found.items():
        close(n, each, found["scan"], tolerance("float64", 2 * T))


TYPES = {
    "float32": ("float32", None),
    "bfloat16 in float32": ("float32", "bfloat16"),
    "bfloat16": ("bfloat16", None),
}


@pytest.mark.parametrize(
    "types",
    table([(t,) for t in TYPES.values()], [(next(iter(TYPES.values())),)], lambda row: "-".join(map(str, row[0]))),
)
@pytest.mark.parametrize("name", table(SLICE, {"lstm_projection_peepholes"}))
@pytest.mark.optimized
def test_types(name, types, key, rng):
    """In narrower types: the scan in float64 on the same numbers, to their rounding; gradients have their types."""
    stored, dtype = types
    cell = variant(name, param_dtype=stored, dtype=dtype)
    arguments = problem(cell, key, T, (3,), D, dtype=stored)
    how = agreeing(rows(rng, "lengths", "mask", "reset", time=T, batch=(3,)))
    weights = jax.tree.map(lambda a: a.astype("float32"), weights_for(rng, cell, *arguments))

    @jax.jit
    def run(arguments):
        return {"deferred": grads_by(FEW["deferred, chunk=2"], cell, arguments, weights, **how._asdict())}

    wide = jax.tree.map(lambda a: a.astype("float64"), arguments)
    outcome, grads = jax.jit(lambda a: grads_by(engines.scan, variant(name), a, weights, **how._asdict()))(wide)
    assert all((np.abs(a) > 0.1).any() for a in jax.tree.leaves(grads))
    for n, (outcome_n, grads_n) in run(arguments).items():
        assert jax.tree.map(lambda a: a.dtype, grads_n) == jax.tree.map(lambda a: a.dtype, arguments)
        close(n, outcome_n, outcome, tolerance(dtype or stored, T))
        close(n, grads_n, grads, tolerance(dtype or stored, 2 * T))


@pytest.mark.parametrize("name", table(["lstm", "lstm_projection_peepholes", "gru", "elman"], {"lstm", "gru"}))
def test_half_rows_enough_for_half_products(name, key, rng):
    """In bfloat16 with rows enough for products of it: the norm of each gradient's error, and what is kept.

    17 rows: fewer than 16 are multiplied in float32. Measured errors: 0.3 to 1%.
    """
    half, wide = variant(name, dtype="bfloat16"), variant(name)
    params, carry, xs = problem(half, key, 40, (17,), D, dtype="float32")
    carry, xs = jax.tree.map(lambda a: a.astype("bfloat16"), (carry, xs))
    weights = jax.tree.map(lambda a: a.astype("float32"), weights_for(rng, half, params, carry, xs))
    double = jax.tree.map(lambda a: a.astype("float64"), (params, carry, xs))
    grads = jax.jit(lambda a: grads_by(engines.deferred, half, a, weights)[1])
    expected = jax.jit(lambda a: grads_by(engines.scan, wide, a, weights)[1])(double)
    found = grads((params, carry, xs))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.linalg.norm(a.astype("float64") - b) < 0.02 * np.linalg.norm(b)
    kept = [
        jax.eval_shape(lambda a, c=c: jax.vjp(partial(engines.deferred, c), *a)[1], b)
        for c, b in (
            (half, (params, carry, xs)),
            (wide, jax.tree.map(lambda a: a.astype("float32"), (params, carry, xs))),
        )
    ]
    of_steps = [sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(each) if a.shape[:1] == (40,)) for each in kept]
    assert of_steps[0] <= 0.51 * of_steps[1] or not stacks_half()


@pytest.mark.parametrize("batch", [(), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("time", table([0, 1, T], {0, 1}))
def test_shapes(time, batch, key, rng):
    """No batch axis, two, no rows; no steps, one step. The engines by themselves: unroll refuses what is empty."""
    cell = variant("lstm_projection_peepholes")
    arguments = problem(cell, key, time, batch, D, dtype="float64")
    weights = normal_like(rng, jax.eval_shape(partial(engines.scan, cell), *arguments))

    def grads(engine, *arguments):
        return jax.grad(lambda *a: (weighted(weights, o := engine(cell, *a)), o), (0, 1, 2), has_aux=True)(*arguments)

    found = jax.jit(lambda a: {n: grads(e, *a) for n, e in {"scan": engines.scan, **FEW}.items()})(arguments)
    for n, each in found.items():
        close(n, each, found["scan"], tolerance("float64", 2 * T))


# Cells of someone's own, and compositions of ours. Integers among their leaves have no gradient.
COMPOSED = {
    "stack": jaxrnn.stack(jaxrnn.lstm(5, peepholes=True), jaxrnn.gru(4)),
    "learned_carry": jaxrnn.learned_carry(jaxrnn.lstm(5)),
    "stack_of_learned": jaxrnn.stack(jaxrnn.learned_carry(jaxrnn.recurrent_highway(5)), jaxrnn.elman(4)),
    **OWN,
}


QUICK = {"counter", "softmax", "update reads the drive's and the product's kernels", "output has params"}


def split(tree):
    """(its leaves that have a gradient, a function that puts others in their place)."""
    leaves, structure = jax.tree.flatten(tree)
    real = [jnp.issubdtype(a.dtype, jnp.inexact) for a in leaves]

    def join(some):
        some = iter(some)
        return jax.tree.unflatten(structure, [next(some) if r else a for r, a in zip(real, leaves, strict=True)])

    return [a for r, a in zip(real, leaves, strict=True) if r], join


def losses(cell, arguments, rng, **how):
    """The leaves that are differentiated, and for each engine a loss of them, which also gives the outcome."""
    leaves, join = split(arguments)
    outcome = jax.eval_shape(partial(jaxrnn.unroll, cell), *arguments)
    weights = normal_like(rng, outcome)

    def loss(engine, leaves):
        outcome = jaxrnn.unroll(cell, *join(leaves), **how, engine=engine)
        real = [
            jnp.sin(a).astype(w.dtype) * w
            for a, w in zip(jax.tree.leaves(outcome), jax.tree.leaves(weights), strict=True)
        ]
        return sum(a.sum() for a in real), outcome

    return leaves, {n: partial(loss, e) for n, e in {"scan": engines.scan, **FEW}.items()}


@pytest.mark.parametrize("name", table(COMPOSED, QUICK))
def test_own_cells(name, key, rng):
    """Values and gradients, with rows of every kind and without."""
    cell = COMPOSED[name]
    arguments = given(cell, key, T, (4,), D)
    how = agreeing(rows(rng, "lengths", "mask", "reset", time=T, batch=(4,)))
    for rows_here in ({}, how._asdict()):
        leaves, by = losses(cell, arguments, rng, **rows_here)
        run = jax.jit(lambda a: {n: jax.grad(f, has_aux=True)(a) for n, f in by.items()})  # noqa: B023 - used at once
        found = run(leaves)
        for n, each in found.items():
            close(n, each, found["scan"], tolerance("float64", 2 * T))
    assert all((a != 0).any() for a in found["scan"][0])  # with rows: a learned carry is not seen without a reset


@pytest.mark.parametrize("name", table(["stack", "readme", "counter", "tokens", "update reads a matrix"], {"readme"}))
def test_second_derivatives(name, key, rng):
    """The Hessian times a direction: grad of grad, and jvp of grad."""
    cell = COMPOSED[name]
    leaves, by = losses(cell, given(cell, key, T, (2,), D), rng)
    by = by if name == "readme" else {n: by[n] for n in ("scan", "deferred, chunk=2")}
    direction = normal_like(rng, leaves)

    def inner(f, a):
        return sum((g * d).sum() for g, d in zip(jax.grad(f)(a), direction, strict=True))

    @jax.jit
    def second(a):
        fs = {n: lambda a, f=f: f(a)[0] for n, f in by.items()}
        backward = {n: jax.grad(partial(inner, f))(a) for n, f in fs.items()}
        return backward, {n: jax.jvp(jax.grad(f), (a,), (direction,))[1] for n, f in fs.items()}

    backward, forward = second(leaves)
    assert any((np.abs(a) > 0.1).any() for a in backward["scan"])
    for n in by:
        close(n, backward[n], backward["scan"], tolerance("float64", 4 * T))
        close(n, forward[n], backward["scan"], tolerance("float64", 4 * T))


@pytest.mark.parametrize(
    "name",
    table(["lstm_projection_peepholes", "recurrent_highway", "tokens", "output has params"], {"output has params"}),
)
def test_vmap(name, key, rng):
    """Over params, over xs, and over everything, under jit: one by one."""
    cell = OWN[name] if name in OWN else variant(name)
    members = [given(cell, k, T, (2,), D) for k in jax.random.split(key, 2)]
    every = jax.tree.map(lambda *a: jnp.stack(a), *members)
    axes = {"params": (0, None, None), "xs": (None, None, 0), "all": (0, 0, 0)}
    weights = normal_like(rng, jax.eval_shape(partial(jaxrnn.unroll, cell), *members[0]))

    def grads(engine, *arguments):
        leaves, join = split(arguments)
        return jax.grad(lambda a: weighted(weights, jaxrnn.unroll(cell, *join(a), engine=engine)))(leaves)

    def chosen(i, over):
        return [members[0 if ax is None else i][j] for j, ax in enumerate(over)]

    @jax.jit
    def run():
        outcome = {}
        for kind, over in axes.items():
            some = [first if ax is None else part for part, ax, first in zip(every, over, members[0], strict=True)]
            mapped = {n: jax.vmap(partial(grads, engine), in_axes=over)(*some) for n, engine in FEW.items()}
            outcome[kind] = mapped, [grads(engines.scan, *chosen(i, over)) for i in range(2)]
        return outcome

    for kind, (mapped, alone) in run().items():
        for n, found in mapped.items():
            for i, expected in enumerate(alone):
                close(f"{n} over {kind}", [a[i] for a in found], expected, tolerance("float64", 2 * T))
