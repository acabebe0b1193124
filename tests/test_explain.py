"""`explain`: what it says of a program, against formulas and against what the engines are."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import pytest
from sequences import CASES
from support import as_row

import jaxrnn
from jaxrnn.engines import checkpointed, deferred, scan

T, B, D, H = 24, 4, 3, 5
GATES = {"elman": 1, "gru": 3, "lstm": 4, "gru_reset_before": 3}


def shapes(cell, T=T, B=B, D=D):
    """Nothing but shapes: (params, xs)."""
    params = jax.eval_shape(lambda key: cell.init(key, D), jax.random.key(0))
    return params, jax.ShapeDtypeStruct((T, B, D), "float32")


@pytest.mark.parametrize("engine", [scan, deferred])
@pytest.mark.parametrize("name", GATES)
def test_operations(name, engine):
    """2 B T (D + H) G H forward, and twice that again for the gradients of both factors of each product."""
    cell = jaxrnn.CELLS[name](H)
    params, xs = shapes(cell)
    said = jaxrnn.explain(cell, params, None, xs, engine=engine)
    forward = 2 * B * T * (D + H) * GATES[name] * H
    assert (said.forward_flops, said.gradient_flops) == (forward, 3 * forward)
    assert [(layer.name, layer.engine) for layer in said.layers] == [(repr(cell), engine.__name__)]


def test_stack():
    """A line for each layer, with its own engine; the operations are the sum."""
    cell = jaxrnn.stack(jaxrnn.lstm(H), CASES["plain"].cell, jaxrnn.gru(7))
    params, xs = shapes(cell)
    said = jaxrnn.explain(cell, params, None, xs)
    assert [(layer.name, layer.engine) for layer in said.layers] == [
        ("layer_0", "deferred"),
        ("layer_1", "scan"),
        ("layer_2", "deferred"),
    ]
    assert "plain step" in said.layers[1].reason
    assert said.forward_flops == 2 * B * T * ((D + H) * 4 * H + (H + 5) * 5 + (5 + 7) * 3 * 7)
    lines = str(said).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("layer_0: engines.deferred (")


def test_engine_that_was_asked_for():
    """With its options; rows of every kind; the arguments may also be arrays."""
    cell = jaxrnn.gru(H)
    params, xs = cell.init(jax.random.key(0), D), jnp.ones((T, B, D), "float32")
    lengths = jnp.array([3, 5, 24, 1])
    more = {"lengths": lengths, "mask": jnp.arange(T)[:, None] < lengths[None], "reset": jnp.zeros((T, B), bool)}
    carry = cell.initial_carry(params, (B,))
    engine = functools.partial(checkpointed, segment=6)
    said = jaxrnn.explain(cell, params, carry, xs, **more, reverse=True, engine=engine)
    assert said.layers[0].engine == "checkpointed(segment=6)"
    assert said.forward_flops == 2 * B * T * (D + H) * 3 * H
    again = T // 6 * 2 * B * H * 3 * H  # in each segment a step from the start, for what a reset makes vain
    assert said.gradient_flops == 4 * said.forward_flops + again  # the forward pass is run twice


def test_memory():
    """What checkpoints save is seen: O(sqrt T) in place of O(T)."""
    cell = jaxrnn.lstm(16)
    params, xs = shapes(cell, T=1024)
    plain, saving = (jaxrnn.explain(cell, params, None, xs, engine=engine) for engine in (scan, checkpointed))
    assert plain.gradient_bytes > 1024 * B * 16 * 4  # at least one state of each step
    assert 0 < saving.gradient_bytes < plain.gradient_bytes / 3


def test_cell_without_products():
    """And of a plain step."""
    step = lambda params, carry, x: (carry * as_row(params["decay"], x) + x, carry)  # noqa: E731
    cell = jaxrnn.Cell(lambda key, size: {"decay": jnp.ones(size)}, lambda params: 0 * params["decay"], plain_step=step)
    params = {"decay": jax.ShapeDtypeStruct((D,), "float32")}
    carry = jax.ShapeDtypeStruct((B, D), "float32")
    said = jaxrnn.explain(cell, params, carry, jax.ShapeDtypeStruct((T, B, D), "float32"))
    assert (said.forward_flops, said.gradient_flops) == (0, 0)
    assert said.layers[0].engine == "scan"


def test_faults_are_those_of_unroll():
    params, _ = shapes(jaxrnn.gru(H))
    with pytest.raises(ValueError, match="xs: expected"):
        jaxrnn.explain(jaxrnn.gru(H), params, None, jax.ShapeDtypeStruct((T, B, D + 1), "float32"))
