"""Rows over devices: as on one in values and all derivatives; one sum over devices; when it steps aside, and why.

That its values are those of the reference loops, tests/test_engines.py shows: it is one of the engines there.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eight_devices import collectives
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from support import assert_close, problem, table, tolerance, weighed

import jaxrnn
from jaxrnn import engines
from jaxrnn._core.devices import AXIS, row_mesh
from jaxrnn.engines import over_devices

T, B, D = 6, 5, 3
TOL = tolerance("float64", T)
INNER = jaxrnn.stack(jaxrnn.lstm(5, peepholes=True), jaxrnn.bidirectional(jaxrnn.gru(2), jaxrnn.elman(3)))
# Noise in the inputs of a step, in the params (of rows, and of all), and outside of the loop.
CELL = jaxrnn.variational_dropout(jaxrnn.zoneout(INNER, h=0.2), input=0.2, recurrent=0.3)
ENGINES = {"default": None, **{name: getattr(engines, name) for name in ("scan", "checkpointed")}}


def loss_by(engine, key, rows):
    def loss(params, carry, xs):
        lengths, reset = rows
        how = {"lengths": lengths, "reset": reset, "engine": engine, "key": key}
        return weighed(jaxrnn.unroll(CELL, params, carry, xs, **how))

    return loss


@pytest.mark.parametrize("name", table(ENGINES, ["scan"]))
def test_as_on_one_device(name, key, rng):
    """Gradients, and a product with the second derivative: noise, ragged rows and resets, 5 rows on 2 devices."""
    given = problem(CELL, key, T, (B,), D, dtype="float64")
    rows = rng.permutation(np.arange(B) % (T + 1)), rng.random((T, B)) < 0.3
    along = problem(CELL, jax.random.key(1), T, (B,), D, dtype="float64")

    def both(engine):
        gradient = jax.value_and_grad(loss_by(engine, key, rows), (0, 1, 2))
        return jax.jit(lambda *given: jax.jvp(gradient, given, along))(*given)

    assert_close(both(over_devices(ENGINES[name])), both(engines.scan), 20 * TOL)


def test_under_transformations(key):
    """vmap over params and over rows, a gradient through jax.checkpoint, and a carry that runs on."""
    cell = jaxrnn.gru(4)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    many = jax.tree.map(lambda a: jnp.stack([a, 2 * a, -a]), (params, xs))

    @jax.jit
    def run(params, carry, xs, many):
        def outcome(engine):
            def f(params, xs):
                middle, first = jaxrnn.unroll(cell, params, carry, xs[:2], engine=engine)
                return first, jaxrnn.unroll(cell, params, middle, xs[2:], engine=engine)

            each = jax.vmap(f, (0, None))(many[0], xs), jax.vmap(f, (None, 0))(params, many[1])
            return each, jax.grad(jax.checkpoint(lambda p: weighed(f(p, xs))))(params)

        return outcome(over_devices()), outcome(engines.scan)

    assert_close(*run(params, carry, xs, many), TOL)


def placed(tree, mesh, *spec):
    return jax.tree.map(lambda a: jax.device_put(a, NamedSharding(mesh, P(*spec))), tree)


@pytest.mark.parametrize("name", table(["default", "scan", "placed"], ["scan"]))
def test_one_sum_over_devices(name, key):
    """In the compiled gradient: none in a loop. `placed`: no engine is named, and arrays are where `fit` puts them."""
    cell = jaxrnn.stack(jaxrnn.lstm(5, peepholes=True), jaxrnn.gru(4))
    params, carry, xs = problem(cell, key, 40, (4,), D, dtype="float64")
    engine = over_devices(ENGINES.get(name))
    mesh = row_mesh(jax.local_devices())
    if name == "placed":
        cell, engine = jaxrnn.recurrent_dropout(cell, 0.3, on="carry", per="sequence"), None
    given = placed(params, mesh), placed(carry, mesh, AXIS), placed(xs, mesh, None, AXIS)

    def loss(engine):
        return jax.jit(jax.grad(lambda *a: weighed(jaxrnn.unroll(cell, *a, engine=engine, key=key)), (0, 2)))

    compiled = loss(engine).lower(*given).compile()
    inside, total = collectives(compiled)
    assert inside == 0 < total
    assert_close(compiled(*given), loss(engines.scan)(params, carry, xs), 10 * TOL)


def test_a_plain_cell_where_arrays_are_placed(key):
    """A cell that is not in parts: its gradients, too, are summed once, and `explain` says how it runs."""
    inner = jaxrnn.gru(4)
    cell = jaxrnn.Cell(inner.init, inner.start, plain_step=inner.step)
    params, carry, xs = problem(inner, key, 40, (4,), D, dtype="float64")
    mesh = row_mesh(jax.local_devices())
    given = placed(params, mesh), placed(carry, mesh, AXIS), placed(xs, mesh, None, AXIS)
    gradient = jax.jit(jax.grad(lambda *a: weighed(jaxrnn.unroll(cell, *a))))
    compiled = gradient.lower(*given).compile()
    assert collectives(compiled)[0] == 0
    assert_close(compiled(*given), gradient(params, carry, xs), TOL * 10)
    said = jaxrnn.explain(cell, *given).layers[0]
    assert (said.engine, said.reason[:33]) == ("scan", "rows over 2 devices, 2 on each; t")


def aside(engine, cell, params, carry, xs):
    """What is said, after it was seen that the outcome is that of one device."""
    assert_close(engine(cell, params, carry, xs), engines.scan(cell, params, carry, xs), TOL)
    return engine.said(cell, params, carry, xs)


def test_steps_aside(key):
    """One after another: each time the engine runs as if by itself, and says why."""
    cell, (first, second) = jaxrnn.gru(4), jax.local_devices()
    given = params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    one = jax.tree.map(lambda a: a[:1], carry), xs[:, :1]
    none = jax.tree.map(lambda a: a[0], carry), xs[:, 0]
    assert aside(over_devices(), cell, *given) == "rows over 2 devices, 3 on each"
    assert aside(over_devices(devices=[second, first]), cell, *given) == "rows over 2 devices, 3 on each"
    assert "one device: there is one" in aside(over_devices(devices=1), cell, *given)
    assert "has 1 rows, fewer than the 2" in aside(over_devices(), cell, params, *one)
    assert "no batch axis" in aside(over_devices(), cell, params, *none)
    assert f"committed to {[str(second)]}" in aside(over_devices(), cell, *placed_on(second, given))
    assert "rows over 2" in aside(over_devices(), cell, *placed(given, row_mesh([first, second])))
    mesh = jax.make_mesh((2,), ("mine",), axis_types=(AxisType.Auto,))
    assert "a mesh of the user's" in aside(over_devices(), cell, *placed(given, mesh))
    with jax.set_mesh(mesh):
        assert "under a mesh of jax.set_mesh" in aside(over_devices(), cell, *given)
    each = jax.shard_map(lambda *a: over_devices()(cell, *a), mesh=mesh, in_specs=(P(), P(), P()), out_specs=(P(), P()))
    assert_close(each(*given), engines.scan(cell, *given), TOL)
    symbolic = jax.export.symbolic_shape("b")
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct((*symbolic, *a.shape[1:]), a.dtype), carry)
    x = jax.ShapeDtypeStruct((T, *symbolic, D), xs.dtype)
    program = jax.export.export(jax.jit(lambda c, x: over_devices()(cell, params, c, x)))(like, x)
    assert program.nr_devices == 1


def placed_on(device, tree):
    return jax.tree.map(lambda a: jax.device_put(a, device), tree)


def test_taps_see_all_rows(key):
    """A look inside needs values that leave the loop: the engine steps aside."""
    cell = jaxrnn.gru(4)
    params, carry, xs = problem(cell, key, T, (B,), D, dtype="float64")
    by = [jaxrnn.diagnostics.gate_trace(cell, params, carry, xs, engine=e) for e in (over_devices(), engines.scan)]
    assert_close(*by, TOL)


def test_explained(key):
    """For each layer; the operations are those of all devices together."""
    cell = jaxrnn.stack(jaxrnn.lstm(5), jaxrnn.gru(4))
    params, carry, xs = problem(cell, key, T, (4,), D)
    said, alone = (
        jaxrnn.explain(cell, params, carry, xs, engine=e) for e in (over_devices(engines.scan), engines.scan)
    )
    assert [(layer.engine, layer.reason[:30]) for layer in said.layers] == [
        ("scan", "rows over 2 devices, 2 on each")
    ] * 2
    assert (said.forward_flops, said.gradient_flops) == (alone.forward_flops, alone.gradient_flops)


def test_errors():
    with pytest.raises(ValueError, match=r"devices: expected an int of at least 1, got 0"):
        over_devices(devices=0)
    with pytest.raises(ValueError, match=r"devices: expected at least one, got none"):
        over_devices(devices=())
    with pytest.raises(ValueError, match=r"at most 2, which JAX has in this process, got 3; .*cores_as_devices\(3\)"):
        over_devices(devices=3).chosen()
    with pytest.raises(TypeError, match=r"engine: expected one of jaxrnn.engines or None, got 'scan'"):
        over_devices("scan")
