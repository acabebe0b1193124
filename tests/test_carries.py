"""Carries that are no vectors go through everything: matrices, complex numbers, images, numbers and clocks."""

from __future__ import annotations

import functools
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference
from carries import CELLS, SIDES, Wave, delta, wave
from sequences import Case, rows, stacked
from support import assert_close, dot, double, leaves_close, normal_like, problem, slopes_agree, table, tolerance

import jaxrnn
from jaxrnn import engines
from jaxrnn.engines import _groups

T, BATCH, D = 5, (2,), 3
TOL = tolerance("float64", T)
ENGINES = {
    "deferred": engines.deferred,
    "checkpointed": functools.partial(engines.checkpointed, segment=2),
    "scan": engines.scan,
}


def plain(carry):
    """A carry as the reference has it: tuples for NamedTuples."""
    return {name: plain(c) for name, c in carry.items()} if isinstance(carry, dict) else tuple(carry)


def compared(case, key, rng, **options):
    """Values, last carry and gradients of `unroll` for all kinds of rows, against the loop in NumPy."""
    arguments = problem(case.cell, key, T, BATCH, D, dtype="float64")
    how = rows(rng, "lengths", "mask", "reset", time=T, batch=BATCH)._asdict()
    run = functools.partial(jaxrnn.unroll, case.cell, **options)
    weights = double(normal_like(key, jax.eval_shape(run, *arguments)))

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True, allow_int=True)
    def ours(params, carry, xs, how):
        outcome = run(params, carry, xs, **how)
        return dot(weights, outcome), outcome

    def by_loop(params, carry, xs):
        way = dict(**how, reverse=options.get("reverse", False), batch=BATCH)
        return reference.run(case.step, params, case.initial(params), plain(carry), xs, **way)

    (_, outcome), grads = ours(*arguments, how)
    exact = double(arguments)
    leaves_close(outcome, by_loop(*exact), TOL)
    slopes_agree(grads, lambda *args: dot(weights, by_loop(*args)), exact, rng)


@pytest.mark.parametrize(
    ("name", "engine", "reverse"),
    table(
        [(name, engine, reverse) for name in CELLS for engine in ENGINES for reverse in (False, True)],
        [(name, "deferred", name == "image") for name in ("image", "complex")],
        ids=lambda r: "-".join(map(str, r)),
    ),
)
def test_engines(name, engine, reverse, key, rng):
    compared(CELLS[name], key, rng, engine=ENGINES[engine], reverse=reverse)


def output(name, params, carry):
    if name == "complex":
        return (carry[0] * (params["out"][0] + 1j * params["out"][1])).real
    return carry[0] if name == "image" else carry[1]


def wrapped(name: str) -> Case:
    """A stack of the cell with zoneout and a learned carry, and the cell with a bound on its carry and a residual."""
    cell, step, initial = CELLS[name]
    h, c = (0.3, 0.0) if name == "image" else (0.0, 0.4) if name == "complex" else (0.3, 0.4)
    rates = {"matrix": (c, h), "complex": (c,), "image": (h,), "clock": (c, h, c)}[name]

    def first(params, carry, x):
        last = step(params["cell"], carry, x)[0]
        new = [p * np.asarray(a) + (1 - p) * b for p, a, b in zip(rates, carry, last, strict=True)]
        if name == "clock":
            new[2] = np.trunc(new[2])  # a whole number, rounded towards 0
        return tuple(new), output(name, params["cell"], new)

    def start(params):
        given = [a for a in params["initial_carry"] if a is not None]
        return tuple(given + list(initial(params)[len(given) :]))

    def second(params, carry, x):
        new = step(params, carry, x)[0]
        if name != "complex":
            new = tuple(np.clip(a, -0.5, 0.5) if i < 2 else a for i, a in enumerate(new))
        return new, output(name, params, new) + x

    bounded = cell if name == "complex" else jaxrnn.clip_carry(cell, 0.5)
    return stacked(
        Case(jaxrnn.learned_carry(jaxrnn.zoneout(cell, h=h, c=c)), first, start),
        Case(jaxrnn.residual(bounded), second, initial),
    )


@pytest.mark.parametrize("name", table(CELLS, ("clock", "complex")))
def test_wrappers(name, key, rng):
    compared(wrapped(name), key, rng)


@pytest.mark.parametrize("name", table(CELLS, ("image",)))
def test_bidirectional(name, key, rng):
    cell, step, initial = CELLS[name]
    both = jaxrnn.bidirectional(cell, cell)
    params, carry, xs = problem(both, key, T, BATCH, D, dtype="float64")
    how = rows(rng, "lengths", "mask", time=T, batch=BATCH)._asdict()
    got, ys = jax.jit(functools.partial(jaxrnn.unroll, both))(params, carry, xs, **how)
    parts = []
    for way, reverse in (("forward", False), ("backward", True)):
        p, c, x = double((params[way], carry[way], xs))
        parts.append(reference.run(step, p, initial(p), plain(c), x, **how, reverse=reverse, batch=BATCH))
    leaves_close(got, {way: part[0] for way, part in zip(("forward", "backward"), parts, strict=True)}, TOL)
    assert_close(ys, np.concatenate([part[1] for part in parts], -1), TOL)


def in_training(name):
    h, c = (0.5, 0.0) if name == "image" else (0.0, 0.5) if name == "complex" else (0.5, 0.5)
    return jaxrnn.zoneout(CELLS[name].cell, h=h, c=c)


@pytest.mark.parametrize("name", table(CELLS, ("complex",)))
def test_zoneout_in_training(name, key):
    """Every entry of the carry is the old one or the new one, and there are both."""
    params, carry, xs = problem(CELLS[name].cell, key, 1, (40,), D, dtype="float64")
    new, _ = jaxrnn.unroll(in_training(name), params, carry, xs, key=key)
    without, _ = jaxrnn.unroll(CELLS[name].cell, params, carry, xs)
    for a, b, old in zip(*map(jax.tree.leaves, (new, without, carry)), strict=True):
        kept = np.asarray(a == old)
        np.testing.assert_allclose(np.where(kept, b, a), b, rtol=0, atol=TOL)
        assert 0.2 < kept.mean() < 0.8


@pytest.mark.parametrize("name", table(CELLS, ("clock",)))
def test_streaming(name, key):
    """Streams that end and begin beside one another give what `unroll` gives, one by one."""
    cell = CELLS[name].cell
    params, _, xs = problem(cell, key, T, (2,), D)
    _, ys = jaxrnn.unroll(cell, params, None, xs)
    stream = jaxrnn.streaming(cell, params, streams=2)
    state = stream.start()
    for t in range(T):
        if t == 2:  # the second stream moves to a slot that was dropped, and the first starts anew
            moved = stream.carry(state, 1)
            state = stream.add(stream.add(stream.drop(state, 0), 0, moved), 1)
        order = [0, 1] if t < 2 else [1, 0]
        state, y = stream.step(state, jax.tree.map(lambda a, t=t, order=order: a[t][jnp.asarray(order)], xs))
        assert_close(y[order.index(1)], ys[t, 1], tolerance("float32", T))
    _, anew = jaxrnn.unroll(cell, params, None, xs[2:])
    assert_close(y[1], anew[-1, 0], tolerance("float32", T))


@pytest.mark.parametrize("name", table(CELLS, ("clock",)))
def test_truncated_bptt(name, key):
    """The gradient is that of losses whose carry is cut every two steps."""
    cell = CELLS[name].cell
    params, carry, xs = problem(cell, key, 4, BATCH, D, dtype="float64")

    def losses(params, carry, xs):
        carry, ys = jaxrnn.unroll(cell, params, carry, xs)
        each = jnp.square(ys).reshape(*ys.shape[:2], -1).sum(-1)
        return each, jnp.ones_like(each), carry

    def cut(params):
        first, _, held = losses(params, carry, xs[:2])
        held = jax.tree.map(lambda a: a if a.dtype == jnp.int32 else jax.lax.stop_gradient(a), held)
        second, _, end = losses(params, held, xs[2:])
        return first.sum() + second.sum(), end

    (_, end), expected = jax.jit(jax.value_and_grad(cut, has_aux=True))(params)
    (_, _, came), grads = jax.jit(jaxrnn.train.truncated_bptt(losses, 2))(params, carry, xs)
    assert_close((came, grads), (end, expected), 10 * TOL)


@pytest.mark.parametrize("name", table(CELLS, ()))
def test_checkpoints(name, key, tmp_path):
    """Params, an optimizer's state and a carry come back from disk, in their types."""
    cell = jaxrnn.learned_carry(CELLS[name].cell)
    params, carry, _ = problem(cell, key, T, BATCH, D)
    state = {"params": params, "optimizer": optax.adam(1e-3).init(params), "carry": carry}
    checkpoints = jaxrnn.train.Checkpoints(tmp_path)
    checkpoints.save(1, state)
    back = checkpoints.restore(state)
    checkpoints.close()
    assert jax.tree.map(lambda a: a.dtype, back) == jax.tree.map(lambda a: a.dtype, state)
    assert_close(back, state, 0)


def test_save(key, tmp_path):
    """A learned carry of complex numbers is in the file, in its type."""
    cell = jaxrnn.learned_carry(wave())
    params = problem(cell, key, T, BATCH, D)[0]
    jaxrnn.save(tmp_path / "wave.safetensors", cell, params)
    back = jaxrnn.load(tmp_path / "wave.safetensors", {"wave": wave})
    assert back.record == cell
    assert back.params["initial_carry"].z.dtype == jnp.complex64
    assert_close(back.params, params, 0)


def test_precision():
    """Floats are stored in half; complex numbers have no halves, and whole numbers stay."""
    for name, wanted in {
        "matrix": ["bfloat16", "bfloat16"], "complex": ["complex64"], "image": ["bfloat16"],
        "clock": ["bfloat16", "bfloat16", "int32"],
    }.items():  # fmt: skip
        cell = jaxrnn.precision(CELLS[name].cell)
        params, carry, xs = problem(cell, jax.random.key(0), T, BATCH, D)
        end, ys = jax.eval_shape(functools.partial(jaxrnn.unroll, cell), params, carry, xs)
        assert [a.dtype for a in jax.tree.leaves(end)] == [a.dtype for a in jax.tree.leaves(carry)] == wanted
        assert ys.dtype == jnp.bfloat16


def test_gate_trace(key):
    params, carry, xs = problem(delta(), key, T, BATCH, D, dtype="float64")
    [b] = jaxrnn.diagnostics.gate_trace(delta(), params, carry, xs).values()
    z = double(xs) @ double(params["kernel"])[:, -1:] + double(params["bias"])[-1:]
    assert_close(b, reference.sigmoid(z), TOL)


@pytest.mark.parametrize("name", table(CELLS, ("matrix",)))
def test_one_row_on_many_devices(name, key, monkeypatch):
    """The first axis of a matrix is no batch axis: it is not cut into groups of rows."""
    params, carry, xs = problem(CELLS[name].cell, key, T, (), D, dtype="float64")
    expected = engines.scan(CELLS[name].cell, params, carry, xs)
    monkeypatch.setattr(_groups.devices, "meshes", lambda tree: [types.SimpleNamespace(size=3, empty=False)])
    assert_close(engines.deferred(CELLS[name].cell, params, carry, xs, chunk=2), expected, TOL)


WRAPPERS = {
    "learned_carry": jaxrnn.learned_carry,
    "zoneout": lambda cell: jaxrnn.zoneout(cell, c=0.3),
    "weight_norm": lambda cell: jaxrnn.weight_norm(cell, names=("kernel",)),
    "cut_gradient": jaxrnn.cut_gradient,
    "clip": lambda cell: jaxrnn.clip_carry(cell, 0.1),
    "emit_carry": jaxrnn.emit_carry,
    "precision": lambda cell: jaxrnn.precision(cell, compute_dtype="float64"),
}


def test_elements_of_wrapped_cells(key):
    """Where a wrapper keeps the pair (a, b) of a cell that is affine in its carry, that is what its step does."""
    assert WRAPPERS["clip"](wave()).element is None
    assert WRAPPERS["learned_carry"](wave()).element is not None
    for wrapper in set(WRAPPERS) - {"clip"}:
        cell = WRAPPERS[wrapper](wave())
        if cell.element is None or cell.drive is None:
            assert cell.element is None
            continue
        params, carry, xs = problem(cell, key, 1, BATCH, D, dtype="float64")
        a, b = cell.element(params, cell.drive(params, xs[0]))
        assert_close(a.z * carry.z + b.z, cell.step(params, carry, xs[0])[0].z, TOL)


def refused(make, *words, error=TypeError):
    with pytest.raises(error, match=".*".join(map(re.escape, words))):
        make()


def test_refused(key):
    """What has no meaning for such a carry is said when it is traced, and shapes by their sizes."""
    params, carry, xs = problem(wave(), key, T, BATCH, D)
    for wrapper in (jaxrnn.clip_carry, jaxrnn.clip_gradient):
        cell = wrapper(CELLS["complex"].cell if wrapper is jaxrnn.clip_carry else with_product(), 1.0)
        args = params, carry, xs[0]
        refused(lambda cell=cell, args=args: jax.eval_shape(cell.step, *args), wrapper.__name__, "complex64")
    refused(lambda: jaxrnn.layer_norm(with_product()).init(key, D), "layer_norm", "real", "complex")
    params, carry, xs = problem(CELLS["image"].cell, key, T, BATCH, D)
    unroll = functools.partial(jaxrnn.unroll, CELLS["image"].cell, params)
    H, W = SIDES
    refused(lambda: unroll(carry, xs[..., :1, :]), f"xs: expected [T, ..., {H}, {W}, 3], got", error=ValueError)
    refused(lambda: unroll(carry._replace(h=carry.h[..., :1]), xs), f"[..., {H}, {W}, 2]", error=ValueError)


def with_product():
    """A complex cell with a recurrent product."""

    def update(params, s, u, v):
        return Wave(u + v)

    def recur(params, s):
        return jaxrnn.product(s.z, jnp.diag(params["decay"]), s.z.dtype)

    inner = wave()
    return jaxrnn.Cell(inner.init, inner.start, inner.input, inner.drive, (jaxrnn.Stage(recur, update),), inner.output)
