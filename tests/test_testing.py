"""`check_cell` lets cells of ours pass, and names what is wrong with somebody else's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import own_cells
import pytest
from carries import CELLS
from own_cells import OWN, STAGE, State, features, init, start, update
from support import as_row, table

import jaxrnn
from jaxrnn import Cell, Stage, testing

FINE = {
    "lstm": jaxrnn.lstm(4, peepholes=True),
    "indrnn": jaxrnn.indrnn(4),
    "stack": jaxrnn.stack(jaxrnn.gru(3), jaxrnn.learned_carry(jaxrnn.lem(4))),
    "precision": jaxrnn.precision(jaxrnn.gru(3), compute_dtype="float32", carry_dtype="float32"),
    "plain step": Cell(
        init(), start, features, plain_step=Cell(init(), start, features, own_cells.drive, (STAGE,)).step
    ),
    **{name: case.cell for name, case in CELLS.items()},
}


@pytest.mark.parametrize("name", table(FINE, ("complex",)))
def test_passes(name):
    dead = ("params.recurrent_kernel",) if name == "clock" else ()  # units that step too rarely for six steps
    report = testing.check_cell(FINE[name], exact=name != "image", dead=dead)
    text = str(report)
    assert ("exact=False" in text) == (name == "image")
    assert all(line in text for line in report.checked + report.unchecked)
    assert len(report.checked) >= 15
    assert ("plain step" in text.partition("not checked:")[2]) == (name == "plain step")


@pytest.mark.full
def test_a_cell_of_the_whole_sequence():
    """What needs a step is not checked, and the report says so."""
    report = testing.check_cell(jaxrnn.bidirectional(jaxrnn.elman(2), jaxrnn.elman(3)))
    assert any("whole sequence" in line for line in report.unchecked)


def wrong(*, drive=own_cells.drive, recur=own_cells.recur, update=update, **options):
    return Cell(init(), start, features, drive, (Stage(recur, update),), **options)


def test_what_is_no_value_and_drifts():
    """Both failures are in one message."""

    def drifts(params, s, u, v):
        return State(s.h.astype(jnp.float32) / 2 + jnp.tanh(u + v).astype(jnp.float32))

    with pytest.raises(AssertionError, match=r"fails 2 checks") as caught:
        testing.check_cell(lambda: wrong(update=drifts))
    assert "decorate with jaxrnn.factory" in str(caught.value)
    assert "carry.h came as bfloat16(2, 3, 4) and is returned as float32(2, 3, 4)" in str(caught.value)


def test_an_option_that_cannot_be_compared():
    @jaxrnn.factory
    def mine(size: int, table=()) -> Cell:
        return wrong()

    with pytest.raises(AssertionError, match="every option must be hashable"):
        testing.check_cell(lambda: mine(4, table=np.ones(3)))
    with pytest.raises(TypeError, match="a function"):
        testing.check_cell(jaxrnn.lstm)


def test_an_unused_bias_mixed_rows_and_a_wrong_gradient():
    def mixes(params, s, u, v):
        h = jnp.tanh(u + v)
        others = h.mean(-2, keepdims=True) if h.ndim > 1 else 0 * h
        return State(0.9 * jax.lax.stop_gradient(s.h) + 0.1 * (h - others))

    def no_bias(params, x):
        return x @ params["kernel"]

    message = failure(wrong(drive=no_bias, update=mixes))
    assert "params.bias (100% of its entries)" in message
    assert "- the gradient of carry is that of finite differences: a slope of" in message
    assert "- rows one by one, without batch axes, under vmap, equal rows in a batch: " in message


def test_time_that_shifts_in_one_engine_and_a_slope_that_is_nan():
    def shifts(params, x):
        k = x @ params["kernel"]
        k = k / jnp.sqrt(jnp.square(k).sum(-1, keepdims=True))  # 0 / 0 where x is 0
        u = k + as_row(params["bias"], k)
        return jnp.roll(u, 1, 0) if u.ndim == 4 else u

    message = failure(wrong(drive=shifts))
    assert "- engines.deferred equals a loop of `step`: " in message
    assert "- engines.scan equals a loop" not in message
    assert "- gradients of engines.scan are finite, whatever is in the padding: that of params." in message


def failure(cell):
    with pytest.raises(AssertionError) as caught:
        testing.check_cell(cell)
    return str(caught.value)


@pytest.mark.full
def test_integers_among_the_inputs():
    """Inputs of one's own, for a cell that reads symbols."""
    rng = np.random.default_rng(0)
    xs = {
        "token": np.indices((6, 2, 3), np.int32).sum(0) % own_cells.SYMBOLS,
        "x": rng.standard_normal((6, 2, 3, 3)),
    }
    assert "equals a loop" in str(testing.check_cell(OWN["tokens"], xs=xs))
