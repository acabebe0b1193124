"""What stands before, after or beside a cell, and several cells in a step, against loops over the reference's steps."""

from __future__ import annotations

import functools

import compositions
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from observed import run
from reference import sigmoid
from support import as_row, assert_close, double, leaves_close, loop, problem, tolerance, variant

import jaxrnn

T, B, H = 6, 3, 5
TOL = tolerance("float64", 2 * T)


def first_row(carry):
    return jax.tree.map(lambda a: np.asarray(a)[0], carry)


def by_reference(step, params, carry, xs):
    """(carry, ys) of a step of the reference over all rows."""
    return reference.run(step, double(params), first_row(carry), double(carry), double(xs))


def halves(params, x):
    """Of size H from size H, without a symmetry that would hide an order."""
    return jnp.tanh(x * as_row(params["scale"], x)) + as_row(params["shift"], x)


def halves_init(key, input_size):
    return {"scale": jnp.ones(input_size, "float32"), "shift": jnp.zeros(input_size, "float32")}


def highway(params, y, x):
    t = sigmoid(x @ params["kernel"] + params["bias"])
    return t * y + (1 - t) * x


# name -> (wrapper, where the cell's own params are, the function before it, the function after it of y and x)
JOINS = {
    "residual": (jaxrnn.residual, lambda p: p, lambda p, x: x, lambda p, y, x: y + x),
    "highway": (jaxrnn.highway, lambda p: p["cell"], lambda p, x: x, highway),
    "projection": (
        functools.partial(jaxrnn.projection, size=4),
        lambda p: p["cell"],
        lambda p, x: x,
        lambda p, y, x: y @ p["kernel"] + p["bias"],
    ),
    "bottleneck": (
        functools.partial(jaxrnn.bottleneck, size=2),
        lambda p: p["cell"],
        lambda p, x: x @ p["kernel"],
        lambda p, y, x: y,
    ),
    "time_distributed_below": (
        lambda cell: jaxrnn.stack(jaxrnn.time_distributed(halves, halves_init), cell, names=("f", "cell")),
        lambda p: p["cell"],
        lambda p, x: np.tanh(x * p["f"]["scale"]) + p["f"]["shift"],
        lambda p, y, x: y,
    ),
    "time_distributed_above": (
        lambda cell: jaxrnn.stack(cell, jaxrnn.time_distributed(halves, halves_init), names=("cell", "f")),
        lambda p: p["cell"],
        lambda p, x: x,
        lambda p, y, x: np.tanh(y * p["f"]["scale"]) + p["f"]["shift"],
    ),
}


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before"])
@pytest.mark.parametrize("join", JOINS)
def test_join(join, name, key):
    """Over time and by step, with every parameter at random."""
    wrap, own, before, after = JOINS[join]
    cell = wrap(variant(name))
    params, carry, xs = problem(cell, key, T, (B,), H, dtype="float64")
    p, x = double(params), double(xs)
    inner = carry["cell"] if isinstance(carry, dict) else carry
    expected, ys = by_reference(loop(name), own(p), inner, before(p, x))
    ys = after(p, ys, x)
    actual, actual_ys = run(cell, params, carry, xs)
    leaves_close((actual, actual_ys), (expected, ys), TOL)
    stepped = carry
    for t in range(T):
        stepped, y = cell.step(params, stepped, xs[t])
        assert_close(y, ys[t], TOL)
    leaves_close(stepped, expected, TOL)


def test_highway_begins_by_letting_x_pass(key):
    params = jaxrnn.highway(variant("gru"), gate_bias=-3.0).init(key, H)
    assert_close(params["bias"], np.full(H, -3.0), 0.0)


@pytest.mark.parametrize("names", [("gru", "gru"), ("lstm", "lstm", "lstm"), ("gru_reset_before", "gru")])
def test_deep_transition(names, key):
    """Pascanu et al. 2014: one after another on one carry, all but the first without an input, so with no kernel."""
    cell = jaxrnn.deep_transition(*map(variant, names))
    params, carry, xs = problem(cell, key, T, (B,), 3, dtype="float64")
    assert params["cell_0"]["kernel"].shape[0] == 3
    assert all("kernel" not in params[f"cell_{k}"] for k in range(1, len(names)))  # not [0, G·H] either

    def step(params, carry, x):
        for k, name in enumerate(names):
            # Bare of a kernel: an x of size 0 adds nothing to the gates.
            own = reference.with_kernel(params[f"cell_{k}"])
            carry, y = loop(name)(own, carry, np.zeros(0) if k else x)
        return carry, y

    expected = by_reference(step, params, carry, xs)
    leaves_close(run(cell, params, carry, xs), expected, len(names) * TOL)
    after, _ = by_reference(step, params, carry, xs[:1])
    leaves_close(cell.step(params, carry, xs[0]), (after, expected[1][0]), TOL)


def test_params_of_version_0_1_are_read(key):
    """They had kernels [0, G·H] where there is no input; the others are the same, and so is what comes out."""
    for cell, path in (
        (jaxrnn.deep_transition(variant("gru"), variant("gru")), ("cell_1",)),
        (jaxrnn.fast_slow(*map(variant, ("gru",) * 3), slow=variant("gru")), ("fast_2",)),
        (jaxrnn.layer_norm(variant("gru")), None),
    ):
        made = cell if path else jaxrnn.deep_transition(cell, cell)
        path = path or ("cell_1", "cell")
        params, carry, xs = problem(made, key, 3, (B,), 3)
        old = jax.tree.map(lambda a: a, params)
        inner = old
        for name in path:
            inner = inner[name]
        assert "kernel" not in inner
        inner["kernel"] = jnp.zeros((0, 3 * H), "float32")
        assert_close(jaxrnn.unroll(made, old, carry, xs), jaxrnn.unroll(made, params, carry, xs), 0.0)


@pytest.mark.parametrize("name", compositions.ROWS)
def test_no_array_is_empty(name):
    """Of params and carries, by their shapes: orbax refuses to save one."""
    row = compositions.ROWS[name]
    cell = row.make(variant(row.cells[0]))
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), H))
    leaves = jax.tree.leaves((params, jax.eval_shape(cell.start, params)))
    assert leaves and all(a.size for a in leaves)


@pytest.mark.parametrize(
    ("fast", "slow"), [(("lstm", "lstm"), "gru"), (("gru", "gru_reset_before", "gru"), "lstm"), (("mgu",) * 3, "mgu")]
)
def test_fast_slow(fast, slow, key):
    """Mujika et al. 2017: the slow cell reads the first fast one, the second fast one the slow, the third nothing."""
    cell = jaxrnn.fast_slow(*map(variant, fast), slow=variant(slow))
    params, carry, xs = problem(cell, key, T, (B,), 3, dtype="float64")

    def step(params, carry, x):
        h, y = loop(fast[0])(params["fast_0"], carry["fast"], x)
        g, read = loop(slow)(params["slow"], carry["slow"], y)
        for k, name in enumerate(fast[1:], 1):
            h, y = loop(name)(reference.with_kernel(params[f"fast_{k}"]), h, read)
            read = np.zeros(0)
        return {"fast": h, "slow": g}, y

    expected = by_reference(step, params, carry, xs)
    leaves_close(run(cell, params, carry, xs), expected, 2 * len(fast) * TOL)
    leaves_close(jaxrnn.unroll(cell, params, carry, xs), expected, 2 * len(fast) * TOL)
    after, _ = by_reference(step, params, carry, xs[:1])
    leaves_close(cell.step(params, carry, xs[0]), (after, expected[1][0]), TOL)


@pytest.mark.parametrize("name", ["lstm_projection_peepholes", "gru", "cornn"])
def test_emit_carry(name, key):
    """y, and beside it the carries of all steps: those of stepping."""
    cell = jaxrnn.emit_carry(variant(name))
    params, carry, xs = problem(cell, key, T, (B,), 3, dtype="float64")
    after, (ys, carries) = run(cell, params, carry, xs)
    ends = [by_reference(loop(name), params, carry, xs[: t + 1])[0] for t in range(T)]
    expected_ys = by_reference(loop(name), params, carry, xs)[1]
    leaves_close((after, ys), (*ends[-1], expected_ys), TOL)
    leaves_close(carries, [np.stack(fields) for fields in zip(*ends, strict=True)], TOL)
    stepped, (y, shown) = cell.step(params, carry, xs[0])
    leaves_close((stepped, y, shown), (*ends[0], expected_ys[0], *ends[0]), TOL)


def test_emit_carry_of_ragged_rows(key):
    """As ys, the carries are 0 past the end of a row; the last valid one is what comes back."""
    lengths = np.array([T, 0, 2])
    cell = jaxrnn.emit_carry(jaxrnn.lstm(H))
    params, carry, xs = problem(cell, key, T, (B,), 3, dtype="float64")
    after, (_, carries) = run(cell, params, carry, xs, lengths=lengths)
    ends = [
        reference.run(
            reference.lstm,
            double(params),
            first_row(carry),
            tuple(double(carry)),
            double(xs),
            lengths=np.minimum(lengths, t),
        )[0]
        for t in range(1, T + 1)
    ]
    there = (np.arange(T)[:, None] < lengths)[..., None]
    leaves_close(carries, [there * np.stack(fields) for fields in zip(*ends, strict=True)], TOL)
    leaves_close(after, ends[-1], TOL)
