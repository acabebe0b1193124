"""Nothing to do: no steps or no rows, in what the drawn calls of test_property.py do not reach. All is empty, or 0."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compositions import D, made
from jax.sharding import AbstractMesh
from support import problem, table, weighed

import jaxrnn
from jaxrnn import diagnostics, engines
from jaxrnn._core import devices

SIZES = {"no rows": (3, (0,)), "no rows of two": (3, (2, 0)), "no steps": (0, (2,)), "nothing": (0, (0,))}
sizes = pytest.mark.parametrize(("T", "batch"), SIZES.values(), ids=SIZES)


@sizes
@pytest.mark.parametrize(
    "name",
    table(
        ["layer_norm", "recurrent_dropout, carry", "variational_dropout", "weight_norm", "zoneout"],
        ["layer_norm", "variational_dropout"],
    ),
)
def test_wrappers(name, T, batch, key):
    """With noise, or without."""
    cell = made(name)
    params, carry, xs = problem(cell, key, T, batch, D)
    for noise in None, key:
        after, ys = jaxrnn.unroll(cell, params, carry, xs, key=noise)
        assert ys.shape == (T, *batch, 5)
        assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, carry)
        if T == 0:
            assert jax.tree.all(jax.tree.map(np.array_equal, after, carry))
        grads = jax.grad(lambda p, noise=noise: weighed(jaxrnn.unroll(cell, p, carry, xs, key=noise)[1]))(params)
        assert not any(np.any(g) for g in jax.tree.leaves(grads))


@sizes
def test_diagnostics(T, batch, key):
    cell = jaxrnn.lstm(4)
    params, _, xs = problem(cell, key, T, batch, D)
    norms = diagnostics.gradient_norms(cell, params, None, xs, loss=lambda carry, ys: ys.sum())
    assert {a.shape for a in norms.values()} == {(T, *batch)}
    assert diagnostics.jacobians(cell, params, None, xs).shape == (T, *batch, 8, 8)
    assert {a.shape for a in diagnostics.gate_trace(cell, params, None, xs).values()} == {(T, *batch, 4)}
    assert [layer.name for layer in jaxrnn.explain(cell, params, None, xs).layers] == ["lstm(4)"]


@pytest.mark.parametrize("batch", [(2, 0), (0,)], ids=str)
def test_devices(batch, key, monkeypatch):
    """Rows are put into groups, one for each device, and there are none."""
    cell = jaxrnn.lstm(4)
    params, carry, xs = problem(cell, key, 3, batch, D)
    monkeypatch.setattr(devices, "meshes", lambda tree: {AbstractMesh((2,), ("rows",))})
    jax.clear_caches()  # of programs for one device
    grads = jax.grad(lambda p: weighed(jaxrnn.unroll(cell, p, carry, xs, engine=engines.deferred)))(params)
    assert not any(np.any(g) for g in jax.tree.leaves(grads))
    monkeypatch.undo()
    jax.clear_caches()


@pytest.mark.parametrize("batch", [(0,), (2, 0)], ids=str)
def test_beam(batch, key):
    model = jaxrnn.models.language_model(jaxrnn.gru(4), 5)
    params = model.init(key)
    carry = model.cell.initial_carry(params["cell"], batch)
    found = jaxrnn.decode.beam(model.step, params, carry, jnp.zeros((1, *batch), int), 4, width=2)
    assert not np.size(found.tokens) and not np.size(found.scores)


@pytest.mark.parametrize("head", table(["gaussian", "quantile"], {"quantile"}))
def test_a_forecaster_without_rows(head, key):
    """Distributions of no series, and of as many steps and levels as of some."""
    model = jaxrnn.models.forecaster(jaxrnn.gru(4), 2, head=head, future_size=1)
    params = model.init(key)
    some, none = (
        model.apply(params, None, jnp.ones((5, B, 1)), future=jnp.ones((7, B, 1)), context=3)[1] for B in (6, 0)
    )
    assert jax.tree.map(jnp.shape, none) == jax.tree.map(lambda a: tuple(n * (n != 6) for n in a.shape), some)
