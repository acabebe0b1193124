"""On several devices: types that differ from device to device, rows in groups, and no collective inside a loop.

Here one device stands for several: a mesh of one has the types of `jax.shard_map`, and rows are put in groups where
types say that arrays are on more. tests/full/test_many_devices.py has eight of them, in a process of its own.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P
from support import assert_close, problem, table, tolerance, weighed

import jaxrnn
from jaxrnn import engines
from jaxrnn._core.devices import AXIS
from jaxrnn.engines import _groups
from jaxrnn.engines._groups import groups

T, B, D = 7, 6, 3
TOL = tolerance("float64", T)
CELL = jaxrnn.stack(jaxrnn.lstm(5, peepholes=True), jaxrnn.bidirectional(jaxrnn.gru(2), jaxrnn.elman(3)))
ENGINES = {name: getattr(engines, name) for name in ("deferred", "checkpointed", "scan")}
engine_cases = pytest.mark.parametrize("name", table(ENGINES, ["deferred"]))


def rows_of(rng):
    """lengths [B], mask and reset [T, B]."""
    lengths = rng.permutation(np.arange(B) % (T + 1))
    return lengths, (rng.random((T, B)) < 0.8) & (np.arange(T)[:, None] < lengths), rng.random((T, B)) < 0.3


def loss_by(engine):
    """A loss of params, carry, xs and how rows are told."""

    def loss(params, carry, xs, rows):
        lengths, mask, reset = rows
        how = {"lengths": lengths, "mask": mask, "reset": reset, "engine": engine}
        return weighed(jaxrnn.unroll(CELL, params, carry, xs, **how))

    return loss


@engine_cases
def test_shard_map_with_its_defaults(name, key, rng):
    """Rows differ from device to device and params do not, with a carry and without."""
    engine = ENGINES[name]
    mesh = jax.make_mesh((1,), ("rows",), axis_types=(AxisType.Auto,))
    params, carry, xs = problem(CELL, key, T, (B,), D, dtype="float64")
    rows, loss = rows_of(rng), loss_by(engine)

    def run(params, carry, xs, rows):
        value, grads = jax.value_and_grad(loss, (0, 2))(params, carry, xs, rows)
        return jax.lax.psum(value, "rows"), *grads

    of_rows = P("rows"), P(None, "rows"), P(None, "rows")
    for begin in (None, carry)[: 2 if engine is engines.deferred else 1]:
        specs = P(), P("rows"), P(None, "rows"), of_rows
        sharded = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=specs, out_specs=(P(), P(), P(None, "rows"))))
        value, grads = jax.jit(jax.value_and_grad(loss, (0, 2)))(params, begin, xs, rows)
        assert_close(sharded(params, begin, xs, rows), (value, *grads), TOL)


def test_an_ensemble_in_shard_map(key, rng):
    """Params differ from device to device, and xs do not."""
    mesh = jax.make_mesh((1,), ("members",), axis_types=(AxisType.Auto,))
    cell = jaxrnn.lstm(5, peepholes=True)
    params, _, xs = problem(cell, key, T, (B,), D, dtype="float64")

    def loss(params, xs):
        return weighed(jaxrnn.unroll(cell, params, None, xs))

    each = jax.vmap(jax.grad(loss), (0, None))
    sharded = jax.shard_map(each, mesh=mesh, in_specs=(P("members"), P()), out_specs=P("members"))
    members = jax.tree.map(lambda a: a[None], params)
    assert_close(jax.jit(sharded)(members, xs), jax.jit(each)(members, xs), TOL)


def loops_of(jaxpr, inside=False):
    """(equation, whether it is inside a loop) for all equations of a jaxpr, and of those within."""
    for e in jaxpr.eqns:
        yield e, inside
        for value in e.params.values():
            for inner in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from loops_of(inner, inside or e.primitive.name in ("scan", "while"))


def on_mesh(monkeypatch, devices):
    """As if arrays were on a mesh of so many devices."""
    mesh = AbstractMesh((devices,), ("rows",), axis_types=(AxisType.Auto,))
    monkeypatch.setattr(_groups.devices, "meshes", lambda tree: {mesh})


@pytest.mark.parametrize(("rows", "devices", "n"), [(6, 4, 2), (5, 2, 1)])
def test_rows_in_groups(rows, devices, n, key, rng, monkeypatch):
    """Values and gradients are those of one group; the kernels' gradients in the loops are of each group by itself."""
    cell = jaxrnn.lstm(9, peepholes=True)  # of a size that no other test compiles for one device
    params, carry, xs = problem(cell, key, T, (rows,), D, dtype="float64")

    def loss(params, carry, xs, engine):
        return weighed(jaxrnn.unroll(cell, params, carry, xs, engine=engine))

    grad = jax.grad(loss, (0, 1, 2))
    expected = grad(params, carry, xs, engines.scan)
    on_mesh(monkeypatch, devices)
    by_chunks = lambda *args: engines.deferred(*args, chunk=2)  # noqa: E731
    assert_close(grad(params, carry, xs, by_chunks), expected, TOL)
    traced = jax.make_jaxpr(lambda *args: grad(*args, by_chunks))(params, carry, xs)
    kernels = {
        e.outvars[0].aval.shape for e, inside in loops_of(traced.jaxpr) if inside and e.primitive.name == "dot_general"
    }
    assert ((n, 9, 36) if n > 1 else (9, 36)) in kernels, kernels


@engine_cases
def test_no_groups_within_shard_map(name, key, monkeypatch):
    """There each device has its own rows; with an axis left to the compiler, they are cut for that one."""
    engine = ENGINES[name]
    params, carry, xs = problem(jaxrnn.gru(4), key, T, (B,), D, dtype="float64")
    mesh = jax.make_mesh((1, 1), ("rows", "others"), axis_types=(AxisType.Auto,) * 2)
    on_mesh(monkeypatch, 2)

    def run(params, carry, xs):
        assert groups(jaxrnn.gru(4), params, carry, xs) == 1
        return jaxrnn.unroll(jaxrnn.gru(4), params, carry, xs, engine=engine)

    of_rows = P("rows"), P(None, "rows")
    for axes in ({"rows"}, {"rows", "others"}):
        sharded = jax.shard_map(run, mesh=mesh, in_specs=(P(), *of_rows), out_specs=of_rows, axis_names=axes)
        jax.eval_shape(jax.jit(sharded), params, carry, xs)


SHAPES = {"batch": "7, b, 3", "time": "T, 4, 3", "both": "T, b, 3", "time alone": "T, 3", "two axes": "T, 2, b, 3"}
EXPORTS = [pytest.param(None, SHAPES["both"], id="default-both")] + [
    pytest.param(engine, shape, id=f"{name}-{what}", marks=pytest.mark.full)
    for name, engine in ENGINES.items()
    for what, shape in SHAPES.items()
]


@pytest.mark.parametrize(("engine", "shape"), EXPORTS)
def test_symbolic_sizes(engine, shape, key, rng):
    """jax.export for any batch and any time: one program, which gives the values of a program for those sizes."""
    scope = jax.export.SymbolicScope()
    *lead, _ = shape = jax.export.symbolic_shape(shape, scope=scope)
    params = problem(CELL, key, T, (B,), D, dtype="float64")[0]

    def run(xs, lengths, mask, reset):
        return jaxrnn.unroll(CELL, params, None, xs, lengths=lengths, mask=mask, reset=reset, engine=engine)

    def like(*axes, dtype):
        return jax.ShapeDtypeStruct(axes, dtype)

    flags = like(*lead, dtype=bool)
    program = jax.export.export(jax.jit(run))(
        like(*shape, dtype="float64"), like(*lead[1:], dtype="int32"), flags, flags
    )
    sizes = [{"T": 9, "b": 5}.get(str(n), n) for n in shape]
    xs, lengths = rng.standard_normal(sizes), rng.integers(0, sizes[0], sizes[1:-1], "int32")
    given = xs, lengths, *(jnp.asarray(rng.random(sizes[:-1]) < 0.7) for _ in range(2))
    assert_close(program.call(*given), jax.jit(run)(*given), tolerance("float64", 9))


def test_symbolic_step(key):
    """One step for any batch, as a server would export it."""
    cell = jaxrnn.stack(jaxrnn.lstm(5), jaxrnn.gru(4, dtype="bfloat16"))
    params, carry, xs = problem(cell, key, 1, (B,), D)
    batch = jax.export.symbolic_shape("b")
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct((*batch, *a.shape[1:]), a.dtype), (carry, xs[0]))
    program = jax.export.export(jax.jit(lambda carry, x: cell.step(params, carry, x)))(*like)
    assert_close(program.call(carry, xs[0]), cell.step(params, carry, xs[0]), tolerance("bfloat16", 1))


MODELS = {
    "language_model": (jaxrnn.models.language_model(jaxrnn.gru(4), 7, 3), None, "int32", {}),
    "classifier": (jaxrnn.models.classifier(jaxrnn.lstm(4), 3, pooling="attention"), D, "float64", {}),
    "tagger": (jaxrnn.models.tagger(jaxrnn.gru(4), 3), D, "float64", {}),
    "forecaster": (jaxrnn.models.forecaster(jaxrnn.gru(4), 2), None, "float64", {"context": 3}),
}


@pytest.mark.parametrize("name", MODELS)
def test_symbolic_sizes_of_models(name, key, rng):
    """A model for any batch and any time."""
    model, size, dtype, options = MODELS[name]
    params = model.init(key) if size is None else model.init(key, size)
    features = {"forecaster": (1,), "language_model": ()}.get(name, (D,))
    lead = jax.export.symbolic_shape("T, b")

    def run(xs):
        batch = xs.shape[1:2]
        return model.apply(params, model.cell.initial_carry(params["cell"], batch), xs, **options)

    program = jax.export.export(jax.jit(run))(jax.ShapeDtypeStruct((*lead, *features), dtype))
    xs = rng.integers(0, 7, (9, 5), "int32") if dtype == "int32" else rng.standard_normal((9, 5, *features))
    assert_close(jax.tree.leaves(program.call(xs)), jax.tree.leaves(jax.jit(run)(xs)), tolerance("float32", 9))


def test_data_parallel(key):
    """A state and its windows come out as they were, on devices; what cannot be shared is said."""
    model = jaxrnn.models.language_model(jaxrnn.lstm(4), 7)
    state = jaxrnn.train.start(model, key, optax.adam(0.1), (6,))
    windows = jaxrnn.data.Streams(np.arange(50) % 7, 6, 4)
    placed, over = jaxrnn.train.data_parallel(state, windows, 1)
    assert jax.tree.structure(placed) == jax.tree.structure(state)
    assert_close(placed, state, 0)
    assert len(over) == len(windows)
    for k, window in enumerate(over):
        assert_close((window, over[k]), (windows[k], windows[k]), 0)
        assert window.tokens.sharding.spec == P(None, AXIS)
        assert window.fresh.sharding.is_fully_replicated
    assert jax.tree.leaves(placed.carry)[0].sharding.spec == P(AXIS)
    with pytest.raises(ValueError, match=r"devices: expected at most \d+, which JAX has, got 99.*cores_as_devices"):
        jaxrnn.train.data_parallel(state, windows, 99)
