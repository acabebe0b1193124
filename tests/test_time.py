"""Time between steps: a clock under masks, ends of rows, directions, splits, stacks and streams, against loops."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference.timed import CELLS
from support import assert_close, double, problem, tolerance

import jaxrnn

T, BATCH, H = 8, (3,), 5
TOL = tolerance("float64", 2 * T)


def timed_problem(cell, key, rng):
    """(params, carry, (x, dt, observed)); the clock of no row begins below 0."""
    params, _, x = problem(cell, key, T, BATCH, dtype="float64")
    dt = jnp.asarray(rng.exponential(1.0, (T, *BATCH)) + 0.3)
    return params, None, (x, dt, jnp.asarray(rng.random(x.shape) < 0.7))


def by_loop(name, params, xs, **how):
    entry = CELLS[name]
    exact = jax.tree.map(np.asarray, xs)
    return reference.run(
        entry.step, double(params), entry.initial(double(params), H), None, exact, batch=BATCH, hold=entry.hold, **how
    )


def test_a_mask_of_observed_values_and_splits(key, rng):
    """`observed` beside x; and chunks, one ending in masked steps, whose time is for the next chunk."""
    cell = jaxrnn.gru_d(H)
    params, carry, xs = timed_problem(cell, key, rng)
    mask = rng.random((T, *BATCH)) < 0.6
    mask[3], mask[4] = False, True
    expected = by_loop("gru_d", params, xs, mask=mask)
    unroll = functools.partial(jaxrnn.unroll, cell, params)
    assert_close(jax.tree.leaves(unroll(carry, xs, mask=mask)), jax.tree.leaves(expected), TOL)
    first, rest = (jax.tree.map(lambda a, s=s: a[s], xs) for s in (slice(4), slice(4, None)))
    carry, ys = unroll(None, first, mask=mask[:4])
    carry, more = unroll(carry, rest, mask=mask[4:])
    assert_close([*carry, jnp.concatenate([ys, more])], jax.tree.leaves(expected), TOL)


@pytest.mark.parametrize("backwards", [False, True], ids=["reverse", "bidirectional"])
def test_backwards_the_time_is_that_to_the_step_at_the_right(backwards, key, rng):
    """At a row's last step, which is read first, it is the row's dt_0."""
    cell = jaxrnn.ctrnn(H)
    params, _, (x, dt, _) = timed_problem(cell, key, rng)
    lengths = np.array([T, 3, 5])
    after = np.array(dt)
    for row, n in enumerate(lengths):
        after[:n, row] = [*after[1:n, row], after[0, row]]
    _, expected = by_loop("ctrnn", params, (x, after), lengths=lengths, reverse=True)
    if backwards:
        both = jaxrnn.bidirectional(jaxrnn.gated(H), cell)
        there = problem(jaxrnn.gated(H), key, dtype="float64")[0]
        _, ys = jaxrnn.unroll(both, {"forward": there, "backward": params}, None, (x, dt), lengths=lengths)
        ys = ys[..., H:]
    else:
        _, ys = jaxrnn.unroll(cell, params, None, (x, dt), lengths=lengths, reverse=True)
    assert_close(ys, expected, TOL)


def test_a_stack_hands_time_on_and_streams(key, rng):
    """Each layer that knows time gets dt, also above one that does not, in `unroll` and in compiled steps."""
    cell = jaxrnn.stack(jaxrnn.ctrnn(H), jaxrnn.gated(H), jaxrnn.residual(jaxrnn.t_lstm(H)))
    params, _, (x, dt, _) = timed_problem(cell, key, rng)
    own = double(params)
    y = by_loop("ctrnn", own["layer_0"], (x, dt))[1]
    y = reference.run(reference.gated, own["layer_1"], (np.zeros(H),), None, y)[1]
    expected = y + by_loop("t_lstm", own["layer_2"], (y, dt))[1]
    assert_close(jaxrnn.unroll(cell, params, None, (x, dt))[1], expected, TOL)
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[2:], a.dtype), (x, dt))
    stream = jaxrnn.streaming(cell, params, like, streams=3)
    state, ys = stream.start(), []
    for t in range(T):
        state, out = stream.step(state, (x[t], dt[t]))
        ys.append(out)
    assert_close(jnp.stack(ys), expected, TOL)


def test_what_does_not_fit():
    cell = jaxrnn.ltc(H)
    params = cell.init(jax.random.key(0), 3)
    x, dt = jnp.ones((T, 2, 3), "float32"), jnp.ones((T, 2), "float32")
    for wrong, error, message in (
        ((x, dt[:, :1]), ValueError, r"expected dt.*\[T, \.\.\.\] of floats"),
        ((x, dt.astype(int)), TypeError, "expected dt"),
        ((x, dt, dt), ValueError, "expected observed"),
        ((x, dt, x), TypeError, "expected observed"),
        ((x, dt, x, x), TypeError, "a tuple of 4"),
    ):
        with pytest.raises(error, match=message):
            jaxrnn.unroll(cell, params, None, wrong)
    with pytest.raises(TypeError, match="one array"):
        jaxrnn.unroll(jaxrnn.gru(H), jaxrnn.gru(H).init(jax.random.key(0), 3), None, (x, dt))
