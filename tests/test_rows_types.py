"""lengths, mask and reset of every type that can hold them; what a program is compiled for, and how often."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import CORE, assert_close, problem, variant

import jaxrnn
from jaxrnn import diagnostics

T, B = 300, 2  # more steps than an int8 or uint8 can count
LENGTHS = np.array([7, 120])
FLAGS = np.random.default_rng(0).random((T, B)) < 0.5
CELL = variant("gru")
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
run = functools.partial(jaxrnn.unroll, CELL, engine=jaxrnn.engines.scan)


@pytest.fixture(scope="module")
def asked():
    """(params, xs), and what is right."""
    params, _, xs = problem(CELL, jax.random.key(0), T, (B,))
    return (params, xs), run(params, None, xs, lengths=LENGTHS, mask=FLAGS & _inside(), reset=FLAGS)


def _inside():
    return np.arange(T)[:, None] < LENGTHS


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_integers(dtype, kind, asked):
    """Of every type: lengths, and flags in place of bools, known and traced."""
    (params, xs), expected = asked
    rows = {"lengths": LENGTHS, "mask": FLAGS & _inside(), "reset": FLAGS}
    rows = {name: kind(a.astype(dtype)) for name, a in rows.items()}
    assert_close(run(params, None, xs, **rows), expected, 0.0)
    assert_close(jax.jit(lambda rows: run(params, None, xs, **rows))(rows), expected, 0.0)


@pytest.mark.parametrize("dtype", [bool, int], ids=["bool", "int"])
def test_lists(dtype, asked):
    (params, xs), expected = asked
    flags = [(a.astype(dtype)).tolist() for a in (FLAGS & _inside(), FLAGS)]
    assert_close(run(params, None, xs, lengths=LENGTHS.tolist(), mask=flags[0], reset=flags[1]), expected, 0.0)


class Other:
    """An array of another library, as NumPy sees it."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def test_arrays_of_others(asked):
    """As inputs, carry and rows, of `unroll` and of who asks as it does."""
    (params, xs), expected = asked
    begin = CELL.initial_carry(params, (B,))
    given = jax.tree.map(Other, begin), Other(xs)
    rows = {"lengths": Other(LENGTHS), "mask": Other(FLAGS & _inside()), "reset": Other(FLAGS)}
    assert_close(run(params, *given, **rows), expected, 0.0)
    told = {name: a.values for name, a in rows.items()}
    assert jaxrnn.explain(CELL, params, *given, **rows) == jaxrnn.explain(CELL, params, begin, xs, **told)
    for f in diagnostics.gate_trace, diagnostics.jacobians:
        assert_close(f(CELL, params, *given, **rows), f(CELL, params, begin, xs, **told), 0.0)
    burnt = [jaxrnn.burn_in(CELL, params, *some, 5) for some in (given, (begin, xs))]
    assert_close(*burnt, 0.0)


@pytest.mark.parametrize("length", [3, *(np.dtype(dtype).type(3) for dtype in INTEGERS)], ids=repr)
def test_one_row(length, asked):
    """Without a batch axis it is a number."""
    (params, xs), _ = asked
    row = xs[:9, 0]
    expected = run(params, None, row, mask=np.isin(np.arange(9), [0, 2]))
    assert_close(run(params, None, row, lengths=length, mask=[1, 0, 1, 0, 0, 0, 0, 0, 0]), expected, 0.0)


def test_no_rows(asked):
    """NumPy makes floats of an empty list."""
    (params, xs), _ = asked
    carry, ys = run(params, None, xs[:4, :0], lengths=[], mask=[[], [], [], []])
    assert carry.h.shape == (0, 5) and ys.shape == (4, 0, 5)


RAGGED = {"lengths": [2, 4], "mask": [[1, 1], [0, 1], [0, 1], [0, 0]], "reset": [[0, 0], [0, 1], [0, 0], [0, 0]]}
ALIKE = {name: np.asarray(a, int if name == "lengths" else bool) for name, a in RAGGED.items()}
ASKED = {
    "burn_in": lambda *args, **rows: jaxrnn.burn_in(CELL, *args, 2, **rows),
    "explain": lambda *args, **rows: repr(jaxrnn.explain(CELL, *args, **rows)),
    "gate_trace": functools.partial(diagnostics.gate_trace, CELL),
    "gradient_norms": functools.partial(diagnostics.gradient_norms, CELL, loss=lambda carry, ys: ys.sum()),
    "jacobians": functools.partial(diagnostics.jacobians, CELL),
}


@pytest.mark.parametrize("name", ASKED)
def test_who_else_asks(name, asked):
    """All that takes the rows of `unroll` takes them in the same types."""
    (params, xs), _ = asked
    as_lists, as_arrays = (ASKED[name](params, None, xs[:4], **rows) for rows in (RAGGED, ALIKE))
    assert as_lists == as_arrays if name == "explain" else assert_close(as_lists, as_arrays, 0.0) is None


def test_a_carry_keeps_its_types_and_nothing_is_compiled_twice():
    """Of every cell and type: the carry that comes back goes in again, and finds the program that is there."""
    for name in CORE:
        for dtype in None, "bfloat16", "float64":
            cell = variant(name, dtype=dtype)
            params, carry, xs = problem(cell, jax.random.key(0), 3, (B,))
            for run_ in (cell.step, functools.partial(jaxrnn.unroll, cell)):
                traced = []
                counted = jax.jit(lambda *args, run_=run_, traced=traced: (traced.append(1), run_(*args))[1])
                x = xs[0] if run_ == cell.step else xs
                after = jax.eval_shape(run_, params, carry, x)[0]
                assert jax.tree.map(jax.typeof, carry) == jax.tree.map(jax.typeof, after), name
                if dtype is None and name in ("gru", "lstm"):  # types are all that a program is kept by
                    for _ in range(3):
                        carry, _ = counted(params, carry, x)
                    assert len(traced) == 1
