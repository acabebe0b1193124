"""What the engines compile to: which products, where, and how often; what is kept; where else it lowers."""

from __future__ import annotations

import functools
import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from own_cells import State
from support import VARIANTS, as_row, assert_close, problem, tolerance, variant, weighed

import jaxrnn
from jaxrnn import Stage, engines
from jaxrnn._core.loops import one_step
from jaxrnn.engines._deferred.handover import handover

partial = functools.partial
T, B, D, H = 7, 11, 3, 5  # no two are equal, and no product of two is a third's multiple: shapes tell what is what


def loss(engine, cell, params, carry, xs):
    return weighed(jax.tree.map(jnp.sin, engine(cell, params, carry, xs)))


def gradient(engine, cell):
    return jax.value_and_grad(partial(loss, engine, cell), argnums=(0, 1, 2))


def inner_jaxprs(equation):
    for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
        if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
            yield getattr(value, "jaxpr", value)


def walk(jaxpr, loops=()):
    """Every equation with the scans that it stands in, outermost first."""
    for e in jaxpr.eqns:
        yield e, loops
        inside = (*loops, e) if e.primitive.name == "scan" else loops
        for inner in inner_jaxprs(e):
            yield from walk(inner, inside)


def products(f, *arguments):
    """(rows · columns · summed, how often it runs, the shapes) of each matrix product of f."""
    found = []
    for e, loops in walk(jax.make_jaxpr(f)(*arguments).jaxpr):
        if e.primitive.name == "dot_general":
            a, b = (v.aval.shape for v in e.invars)
            (summed, _), (batch, _) = e.params["dimension_numbers"]
            assert not batch
            size = math.prod(e.outvars[0].aval.shape) * math.prod(a[i] for i in summed)
            found.append((size, math.prod(loop.params["length"] for loop in loops), a, b))
    return found


def reverse_loops(f, *arguments):
    """The shapes of what each loop backward carries."""
    for e, _ in walk(jax.make_jaxpr(f)(*arguments).jaxpr):
        if e.primitive.name == "scan" and e.params["reverse"]:
            pairs = zip(e.outvars, e.params["jaxpr"].jaxpr.outvars, strict=True)  # of the loop, and of one turn
            yield [one.aval.shape for whole, one in pairs if whole.aval.ndim == one.aval.ndim]


GATES = {"lstm": 4, "gru": 3}
cells = pytest.mark.parametrize("name", GATES)


def floor(G):
    """(size, how often) of the products that a gradient cannot do without."""
    drive, step = T * B * D * G * H, B * H * G * H
    return sorted([(drive, 1)] * 3 + [(step, T)] * 2 + [(T * step, 1)])


@cells
def test_products(name, key):
    """One for the drive, dx and dW each, one in each step forward and backward, and one for dU; a scan has others."""
    cell, G = variant(name), GATES[name]
    arguments = problem(cell, key, T, (B,), D)
    found = products(gradient(partial(engines.deferred, chunk=T), cell), *arguments)
    assert sorted((size, often) for size, often, *_ in found) == floor(G)
    assert {frozenset(shapes) for size, often, *shapes in found if often == T} == {
        frozenset([(B, H), (H, G * H)]),
        frozenset([(B, G * H), (G * H, H)]),
    }
    by_scan = products(gradient(engines.scan, cell), *arguments)
    assert {often for _, often, *_ in by_scan} == {T}
    # The forward pass alone: the drive and a product for each step, however many of them are written out.
    forward = products(partial(engines.deferred, cell), *arguments)
    assert sum(often * size for size, often, *_ in forward) == T * B * (D + H) * G * H


@pytest.mark.parametrize("width", [64, 65])
def test_a_narrow_drive_is_in_the_loop(width, key):
    """[x h] times both kernels at once, where x is narrow and no gradient is asked for; else the drive is outside."""
    cell = variant("lstm")
    params, carry, xs = problem(cell, key, T, (B,), width)
    found = products(partial(engines.deferred, cell), params, carry, xs)
    inside, outside = {(B, width + H), (width + H, 4 * H)}, {(B, H), (H, 4 * H)}
    assert (inside if width == 64 else outside) in [set(shapes) for _, _, *shapes in found]
    assert len(found) == 1 if width == 64 else len(found) > 1
    end, ys = engines.deferred(cell, params, carry, xs)
    theirs, expected = reference.run(reference.STEPS["lstm"], params, cell.initial_carry(params), carry, xs)
    assert_close(ys, expected, tolerance(ys.dtype, T))
    jax.tree.map(partial(assert_close, tol=tolerance(ys.dtype, T)), tuple(end), tuple(theirs))


@cells
def test_what_the_loop_backward_carries(name, key):
    """The carry's cotangent alone; a scan's carries a gradient of each param."""
    cell, G = variant(name), GATES[name]
    arguments = problem(cell, key, T, (B,), D)
    own = [a.shape for a in jax.tree.leaves(arguments[1])]
    assert list(reverse_loops(gradient(partial(engines.deferred, chunk=T), cell), *arguments)) == [own]
    (by_scan,) = reverse_loops(gradient(engines.scan, cell), *arguments)
    assert {(D, G * H), (H, G * H)} <= set(by_scan)


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_products_of_chunks(chunk, key):
    """In chunks there are as many multiplications, each of as many rows as a chunk has."""
    cell = variant("lstm")
    found = products(gradient(partial(engines.deferred, chunk=chunk), cell), *problem(cell, key, T, (B,), D))
    assert sum(size * often for size, often, *_ in found) == sum(size * often for size, often in floor(4))
    rows = {a[0] if len(a) == 3 else 1 for _, _, a, b in found if D in (*a, *b)}
    assert rows == {chunk, T % chunk} - {0}


def test_what_is_kept(key):
    """Of an LSTM's step: i, f, g, o or as many bytes, and h and c. Not both the gates and what leads to them."""
    cell = variant("lstm")
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float32")
    pulled = jax.eval_shape(lambda *a: jax.vjp(partial(engines.deferred, cell), *a)[1], params, carry, xs)
    given_back = sum(a.size for a in jax.tree.leaves((params, carry, xs)))
    kept = sum(a.size for a in jax.tree.leaves(pulled)) - given_back
    assert kept <= T * B * 6 * H + B * H * 4


def test_what_is_kept_is_narrow(key):
    """Of a value and what is spread from it, the one with fewer bytes, though the reverse wants the other."""

    def update(params, s, u, v):
        return State(s.h * jnp.exp(jnp.broadcast_to(u, s.h.shape)))

    features = lambda p: jax.ShapeDtypeStruct((D,), jnp.float64)  # noqa: E731
    cell = jaxrnn.Cell(None, lambda p: State(jnp.zeros(H)), features, lambda p, x: x @ p, (Stage(None, update),))
    arguments = jnp.ones((D, 1)), State(jnp.ones((B, H))), jnp.ones((T, B, D))
    pulled = jax.eval_shape(lambda *a: jax.vjp(partial(engines.deferred, cell), *a)[1], *arguments)
    kept = sum(a.size for a in jax.tree.leaves(pulled)) - sum(a.size for a in jax.tree.leaves(arguments))
    assert kept == T * B * (H + 1)


@pytest.mark.parametrize("chunk", [1, 2])
def test_narrow_params_are_summed_wide(chunk):
    """In bfloat16 ones add up to 256 and no further; the gradient of a bias at 300 steps is 300."""
    drive = lambda p, x: x + as_row(p, x)  # noqa: E731
    stages = (Stage(None, lambda p, s, u, v: State(u)),)
    features = lambda p: jax.ShapeDtypeStruct((1,), jnp.bfloat16)  # noqa: E731
    cell = jaxrnn.Cell(None, lambda p: State(jnp.zeros(1, jnp.bfloat16)), features, drive, stages)
    xs, carry, bias = jnp.zeros((300, 1), jnp.bfloat16), State(jnp.zeros(1, jnp.bfloat16)), jnp.zeros(1, jnp.bfloat16)
    run = partial(engines.deferred, cell, chunk=chunk)
    (pulled,) = jax.vjp(lambda p: run(p, carry, xs)[1], bias)[1](jnp.ones((300, 1), jnp.bfloat16))
    assert pulled.dtype == jnp.bfloat16 and pulled == 300


@pytest.mark.parametrize("engine", [engines.deferred, engines.checkpointed, engines.scan, None])
def test_equal_calls_compile_once(engine, key):
    """Equal cells made twice, other numbers, the same shapes: one trace, one compile; other shapes are another."""
    run = jax.jit(jaxrnn.unroll, static_argnames=("cell", "engine"))
    params, carry, xs = problem(variant("gru"), key, T, (B,), D)
    before = run._cache_size()  # which all jits of one function share
    for scale in (1, 2, 3):
        run(variant("gru"), params, carry, scale * xs, engine=engine)
    assert run._cache_size() == before + 1
    run(variant("gru"), params, carry, xs[1:], engine=engine)
    assert run._cache_size() == before + 2


@pytest.mark.parametrize("engine", [engines.deferred, engines.checkpointed, engines.scan])
def test_equal_calls_compile_once_without_jit(engine, key, caplog):
    """The engine is compiled as a whole, forward and backward, and not again at the next call."""
    params, carry, xs = problem(variant("gru"), key, T, (B,), D)

    def once(xs):
        engine(variant("gru"), params, carry, xs)
        jax.grad(partial(loss, engine, variant("gru")), argnums=(0, 1, 2))(params, carry, xs)

    once(xs)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        once(2 * xs)
    compiled = [record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()]
    assert [text for text in compiled if re.search("deferred|checkpointed|scan", text)] == []
    with jax.log_compiles(), caplog.at_level("WARNING"):
        once(xs[2:])
    assert any(re.search("Compiling.*(deferred|checkpointed|scan)", r.getMessage()) for r in caplog.records)


@pytest.mark.parametrize("name", ["elman", "lstm_projection_peepholes", "gru", "recurrent_highway", "indrnn"])
@pytest.mark.full
def test_lowers_for_other_devices(name, key):
    """For CUDA and TPU, from any machine: every engine's values and gradients, with masks and resets."""
    cell = variant(name, dtype="bfloat16")
    arguments = problem(cell, key, T, (B,), D)
    how = {"lengths": jnp.arange(B) % T, "reset": jnp.zeros((T, B), bool)}

    def f(arguments, how):
        def each(engine):
            unroll = partial(jaxrnn.unroll, **how, engine=engine)
            return gradient(unroll, cell)(*arguments)

        chunked = partial(engines.deferred, chunk=2)
        return [each(engine) for engine in (engines.scan, engines.deferred, chunked, engines.checkpointed)]

    exported = jax.export.export(jax.jit(f), platforms=("cuda", "tpu"))(arguments, how)
    assert exported.platforms == ("cuda", "tpu")
    assert exported.mlir_module().count("stablehlo.while") >= 8


@pytest.mark.parametrize("time", [7, 60, 1000])
def test_memory_budget(time, monkeypatch):
    """With any budget that is taken, the segments need no more than it; with less than the least that any needs, none.

    What a segment of one more step keeps, two lengths tell.
    """
    segments = []
    module = sys.modules["jaxrnn.engines._checkpointed"]
    monkeypatch.setattr(module, "_compiled", lambda cell, params, carry, xs, segment: segments.append(segment))
    cell = variant("lstm")
    params, carry, xs = problem(cell, jax.random.key(0), time, (2,), D)
    start = sum(a.nbytes for a in jax.tree.leaves(carry))

    def pulled(steps):
        f = lambda *a: jax.vjp(partial(engines.deferred, cell), *a)[1]  # noqa: E731
        return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(jax.eval_shape(f, params, carry, xs[:steps])))

    step = pulled(2) - pulled(1)
    need = {s: math.ceil(time / s) * start + s * step for s in range(1, time + 1)}
    least, most = min(need.values()), need[time]
    for memory in sorted({least - 1, *np.geomspace(least, most + 1, 40).astype(int).tolist()}):
        engine = partial(engines.checkpointed, memory=memory)
        if memory < least:
            with pytest.raises(ValueError, match=f"memory: expected at least {least} bytes for T={time}, got {memory}"):
                engine(cell, params, carry, xs)
            continue
        engine(cell, params, carry, xs)
        assert need[segments[-1]] <= memory
    assert segments[0] < segments[-1] == time or time == segments[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda *a: engines.deferred(jaxrnn.stack(jaxrnn.gru(H)), *a),
            "engines.deferred: expected a cell in three parts, got stack(gru(5)); use engines.scan",
        ),
        (lambda *a: engines.deferred(variant("gru"), *a, chunk=0), "chunk: expected an int of at least 1, got 0"),
        (
            lambda *a: engines.checkpointed(variant("gru"), *a, segment=0),
            "segment: expected an int of at least 1, got 0",
        ),
        (
            lambda *a: engines.checkpointed(variant("gru"), *a, memory=True),
            "memory: expected an int of at least 1, got True",
        ),
        (
            lambda *a: engines.checkpointed(variant("gru"), *a, segment=3, memory=9),
            "engines.checkpointed: expected segment or memory, got both; leave one out",
        ),
    ],
    ids=["plain step", "chunk", "segment", "memory", "both"],
)
def test_refusals(call, message, key):
    params, carry, xs = problem(variant("gru"), key, T, (B,), D)
    with pytest.raises(ValueError, match=re.escape(message)):
        call(params, carry, xs)


def test_memory():
    """Checkpointed keeps under a tenth of what the scan does, for a loss of the last carry."""
    cell, time = jaxrnn.lstm(16), 4096
    params = cell.init(jax.random.key(0), 1)
    carry, xs = cell.initial_carry(params, (4,)), jnp.zeros((time, 4, 1))

    def bytes_of(engine):
        f = jax.grad(lambda p: weighed(engine(cell, p, carry, xs)[0]))
        return jax.jit(f).lower(params).compile().memory_analysis().temp_size_in_bytes

    assert bytes_of(engines.checkpointed) < bytes_of(engines.scan) / 10


def test_every_cell_is_planned(key):
    """None of our cells falls back to the plain scan: that would be right, and slow, and nobody would see it."""
    left = {}
    for name in VARIANTS:
        for dtype in (None, "bfloat16"):
            cell = variant(name, **({} if dtype is None else {"dtype": dtype}))
            if cell.has_parts:
                params, carry, xs = problem(cell, key, 1, (17,), D, dtype)
                reason = handover(cell, params, carry, one_step(xs))
                left |= {} if reason is None else {(name, dtype): reason}
    assert left == {}
