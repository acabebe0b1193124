"""unroll against the reference's loop over rows and steps: ragged rows, masks, resets, both directions."""

from __future__ import annotations

import collections
import functools
import itertools

import flax.core
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CASES, D, Rows, T, by_reference, normal_like, rows, run, run_and_grads, weighted, weights_for
from support import CORE, assert_close, problem, table, tolerance, weighed

import jaxrnn

BATCH = (2, 3)
TOL = tolerance("float64", T)
EVERYTHING = ("lengths", "mask", "reset")
STEPS = np.arange(T)[:, None, None]

# In the quick half, of each kind of cell one: the drawn cases of test_property.py are of all.
QUICK = {"elman", "gru", "gru_reset_before", "lstm_projection_peepholes", "recurrent_highway", "stack",
         "stack_learned_carry", "plain"}  # fmt: skip
all_cases = pytest.mark.parametrize(
    "case", [pytest.param(c, id=n, marks=() if n in QUICK else pytest.mark.full) for n, c in CASES.items()]
)
some_cases = pytest.mark.parametrize("case", [CASES["gru"], CASES["stack"]], ids=["gru", "stack"])
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def same(actual, expected, tol=TOL):
    """Leaves only: the reference's carries are plain tuples."""
    assert_close(jax.tree.leaves(actual), jax.tree.leaves(expected), tol)


def identical(actual, expected):
    """The same bits, NaN included."""
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def given(case, key, rng):
    """(params, carry, xs, weights) in float64, NumPy."""
    arguments = jax.device_get(problem(case.cell, key, T, BATCH, D, dtype="float64"))
    return *arguments, weights_for(rng, case.cell, *arguments)


@all_cases
@both_ways
@pytest.mark.parametrize(
    "kinds",
    table(
        [((),), (("lengths",),), (("mask",),), (("reset",),), (EVERYTHING,)],
        {((),), (EVERYTHING,)},
        lambda row: "+".join(row[0]),
    ),
)
@pytest.mark.optimized
def test_rows(case, kinds, reverse, key, rng):
    """Every row as if it were alone, also of length 0, with any mask, with resets at skipped steps and past its end."""
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng, *kinds)
    (after, ys), _ = run_and_grads(case.cell, params, carry, xs, weights, how, reverse)
    same((after, ys), by_reference(case, params, carry, xs, how, reverse))
    np.testing.assert_array_equal(ys[~how.valid], 0)
    idle = ~(how.valid | (how.reset & (how.lengths > STEPS))).any(0)  # the rows that have no step and no restart
    assert idle.any() or "lengths" not in kinds
    identical(*(jax.tree.map(lambda a: a[idle], tree) for tree in (after, carry)))


@all_cases
@both_ways
def test_gradients(case, reverse, key, rng):
    """With everything at once, the slope of the reference's loop along a random direction of each argument."""
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng, *EVERYTHING)
    _, grads = run_and_grads(case.cell, params, carry, xs, weights, how, reverse)

    # Central differences with the step where truncation h² and rounding eps/h meet: both are then eps^(2/3).
    eps = float(jnp.finfo(jnp.float64).eps)
    h = eps ** (1 / 3)
    for i, (argument, grad) in enumerate(zip((params, carry, xs), grads, strict=True)):
        direction = normal_like(rng, argument)
        ends = []
        for sign in (1, -1):
            moved = [params, carry, xs]
            moved[i] = jax.tree.map(lambda a, d: a + sign * h * d, argument, direction)  # noqa: B023 - used at once
            ends.append(weighted(weights, by_reference(case, *moved, how, reverse)))
        terms = [np.sum(g * d) for g, d in zip(jax.tree.leaves(grad), jax.tree.leaves(direction), strict=True)]
        scale = sum(np.sum(np.abs(g * d)) for g, d in zip(*map(jax.tree.leaves, (grad, direction)), strict=True))
        assert abs((ends[0] - ends[1]) / (2 * h) - sum(terms)) <= 100 * eps ** (2 / 3) * max(1, scale)


@all_cases
@both_ways
@pytest.mark.parametrize("kinds", [("lengths",), ("mask",), EVERYTHING], ids="+".join)
def test_padding_is_not_seen(case, kinds, reverse, key, rng):
    """NaN and infinities where no step is taken change no bit of ys, carry, or a gradient for params, carry and xs."""
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng, *kinds)
    dirt = rng.choice([np.nan, np.inf, -np.inf], xs.shape)
    dirty = np.where(how.valid[..., None], xs, dirt)
    clean = run_and_grads(case.cell, params, carry, xs, weights, how, reverse)
    outcome, grads = run_and_grads(case.cell, params, carry, dirty, weights, how, reverse)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves((outcome, grads)))
    identical((outcome, grads), clean)
    np.testing.assert_array_equal(grads[2][~how.valid], 0)


@all_cases
@both_ways
@pytest.mark.parametrize("skipped", [False, True], ids=["taken", "skipped"])
def test_reset_forgets_nan(case, skipped, reverse, key, rng):
    """A row whose old carry is NaN, restarted at its first step, taken or skipped: like a fresh one, gradients too."""
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng)
    first = T - 1 if reverse else 0
    how.reset[first, 0], how.mask[first, 0] = True, not skipped
    old = (np.arange(BATCH[0]) == 0)[:, None, None]  # the rows whose carry is not to be seen
    fresh = case.cell.initial_carry(params, BATCH)
    expected = jax.tree.map(lambda a, f: np.where(old, f, a), carry, fresh)
    broken = jax.tree.map(lambda a: np.where(old, np.nan, a), carry)
    outcome, grads = run_and_grads(case.cell, params, broken, xs, weights, how, reverse)
    identical((outcome, grads), run_and_grads(case.cell, params, expected, xs, weights, how, reverse))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves((outcome, grads)))
    assert all((a[0] == 0).all() and (a[1] != 0).all() for a in jax.tree.leaves(grads[1]))


@all_cases
def test_reset_ends_a_failed_episode(case, key, rng):
    """A NaN that a step itself makes is shown there, not hidden; from the next reset on it is as if it never was."""
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng)
    how.reset[4] = True
    (after, ys), _ = run_and_grads(case.cell, params, carry, xs, weights, how, False)
    dirty = np.where(STEPS[..., None] == 2, np.nan, xs)
    (broken_after, broken), _ = run_and_grads(case.cell, params, carry, dirty, weights, how, False)
    assert np.isnan(broken[2:4]).all()
    identical((broken_after, broken[:2], broken[4:]), (after, ys[:2], ys[4:]))


@all_cases
@both_ways
def test_reset_is_a_fresh_start(case, reverse, key, rng):
    """What follows a reset is what carry=None gives on the rest alone."""
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng)
    at = 2
    how.reset[T - 1 - at if reverse else at] = True
    after, ys = run_and_grads(case.cell, params, carry, xs, weights, how, reverse)[0]
    rest = slice(0, T - at) if reverse else slice(at, T)
    same((after, ys[rest]), run(case.cell, params, None, xs[rest], None, reverse))


@all_cases
def test_reverse_is_flipping_by_hand(case, key, rng):
    """Each row's valid part is turned round by hand, run forward, and its outputs turned back."""
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng, *EVERYTHING)

    def flip(a):
        a = np.array(a)
        for row in np.ndindex(*BATCH):
            part = (slice(0, how.lengths[row]), *row)
            a[part] = a[part][::-1].copy()
        return a

    flipped = Rows(how.lengths, flip(how.mask), flip(how.reset))
    after, ys = run_and_grads(case.cell, params, carry, flip(xs), weights, flipped, False)[0]
    same(run_and_grads(case.cell, params, carry, xs, weights, how, True)[0], (after, flip(ys)))


@pytest.mark.parametrize("case", [CASES["gru"], CASES["plain"]], ids=["gru", "plain"])
@both_ways
@pytest.mark.parametrize("count", [0, 1, 2])
def test_arguments_left_out(case, count, reverse, key, rng):
    """Any of lengths, mask and reset may be missing: a full row, every step, no restart."""
    params, carry, xs, _ = given(case, key, rng)
    for kinds in itertools.combinations(EVERYTHING, count):
        how = rows(rng, *kinds)
        actual = run(case.cell, params, carry, xs, None, reverse, **{kind: getattr(how, kind) for kind in kinds})
        same(actual, by_reference(case, params, carry, xs, how, reverse))


@both_ways
@pytest.mark.parametrize("kind", ["lengths", "mask"])
def test_padding_is_not_seen_by_one_argument(kind, reverse, key, rng):
    """As above, where only lengths, or only mask, is given."""
    case = CASES["gru"]
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng, kind)

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2), has_aux=True)
    def grads(params, carry, xs):
        options = {kind: getattr(how, kind)}
        outcome = jaxrnn.unroll(case.cell, params, carry, xs, reverse=reverse, **options)
        return weighted(weights, outcome), outcome

    dirty = grads(params, carry, np.where(how.valid[..., None], xs, np.nan))
    identical(dirty, grads(params, carry, xs))
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(dirty))


@pytest.mark.parametrize(
    "case", [CASES["gru"], pytest.param(CASES["stack"], marks=pytest.mark.full)], ids=["gru", "stack"]
)
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (2, 1, 3)], ids=str)
def test_any_batch_axes(case, batch, key, rng):
    params, carry, xs = problem(case.cell, key, T, batch, D, dtype="float64")
    how = rows(rng, *EVERYTHING, batch=batch)
    same(run(case.cell, params, carry, xs, how, False), by_reference(case, params, carry, xs, how, False))


BOTH = jaxrnn.learned_carry(jaxrnn.stack(jaxrnn.bidirectional(jaxrnn.lstm(5), jaxrnn.gru(4)), jaxrnn.elman(3)))
EMPTY = {name: CASES[name].cell for name in ("elman", "lstm_projection_peepholes", "plain")} | {"both": BOTH}


def _loss(cell, carry, xs, engine, options):
    def loss(params):
        outcome = jaxrnn.unroll(cell, params, carry, xs, engine=engine, **options)
        return weighed(outcome), outcome

    return loss


@pytest.mark.parametrize(("time", "batch"), [(0, ()), (0, (2,)), (4, (0,)), (0, (0, 2))], ids=str)
@pytest.mark.parametrize("name", table(EMPTY, {"elman"}))
def test_no_steps_and_no_rows(name, time, batch, key):
    """No step: the carry as it came, and no ys. No row: arrays of that shape. Gradients of 0, whatever the rows."""
    cell = EMPTY[name]
    params, carry, xs = problem(cell, key, time, batch, D, dtype="float64")
    how = {
        "lengths": np.zeros(batch, int),
        "mask": np.ones((time, *batch), bool) & (np.arange(time).reshape(-1, *[1] * len(batch)) < 0),
        "reset": np.ones((time, *batch), bool),
    }
    y = cell.outputs(params)
    for engine in None, jaxrnn.engines.scan, jaxrnn.engines.deferred, jaxrnn.engines.checkpointed:
        if name == "plain" and engine is jaxrnn.engines.deferred:
            continue
        for options in {}, how, {"reverse": True}:
            loss = _loss(cell, carry, xs, engine, options)
            grads, (after, ys) = jax.grad(loss, has_aux=True)(params)
            assert ys.shape == (time, *batch, *y.shape) and ys.dtype == y.dtype
            jax.tree.map(np.testing.assert_array_equal, after, carry)
            assert all((np.asarray(g) == 0).all() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("container", [collections.OrderedDict, flax.core.freeze], ids=["OrderedDict", "FrozenDict"])
def test_params_in_any_mapping(container, key, rng):
    """What holds the arrays under their names is params; the gradient comes in the same container."""
    case = CASES["lstm"]
    params, carry, xs, weights = given(case, key, rng)

    def loss(params):
        return weighted(weights, jaxrnn.unroll(case.cell, params, carry, xs))

    found, expected = (jax.value_and_grad(loss)(p) for p in (container(params), params))
    assert type(found[1]) is type(container(params))
    same((found[0], dict(found[1])), expected)
    same(case.cell.step(container(params), carry, xs[0]), case.cell.step(params, carry, xs[0]))


@all_cases
def test_initial_carry(case, key, rng):
    """carry=None is the initial carry of the cell, a learned one where it is learned."""
    params, _, xs, _ = given(case, key, rng)
    same(run(case.cell, params, None, xs, None, False), by_reference(case, params, None, xs, None, False))


@pytest.mark.parametrize("name", table(["lstm", "gru_reset_before", "stack", "plain"], {"gru_reset_before", "stack"}))
@both_ways
def test_chunks(name, reverse, key, rng):
    """Any split of T with the carry handed on gives the same; lengths less what is gone, unclipped."""
    case = CASES[name]
    params, carry, xs, weights = given(case, key, rng)
    how = rows(rng, *EVERYTHING)
    whole = run_and_grads(case.cell, params, carry, xs, weights, how, reverse)[0]
    for sizes in [(1, 6), (6, 1), (3, 1, 3), (1,) * 7]:
        starts = np.cumsum([0, *sizes[:-1]])
        chunks = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        after, ys = carry, {}
        for chunk in reversed(chunks) if reverse else chunks:
            part = Rows(how.lengths - chunk.start, how.mask[chunk], how.reset[chunk])
            after, ys[chunk.start] = run(case.cell, params, after, xs[chunk], part, reverse)
        same((after, np.concatenate([ys[chunk.start] for chunk in chunks])), whole)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", [*CORE, "stack", "learned_carry", "plain"])
@pytest.mark.full
def test_narrow_types(name, dtype, key, rng):
    """The types of carry and ys stay, and the numbers are the reference's on the same rounded inputs."""
    case = CASES[name]
    params, carry, xs = problem(case.cell, key, T, (6,), D, dtype=dtype)
    how = rows(rng, *EVERYTHING, batch=(6,))
    outcome = run(case.cell, params, carry, xs, how, False)
    assert {a.dtype.name for a in jax.tree.leaves(outcome)} == {dtype}
    same(outcome, by_reference(case, params, carry, xs, how, False), tolerance(dtype, T))


@pytest.mark.parametrize(("dtype", "large"), [("bfloat16", 256.0), ("float16", 2048.0)])
def test_halves_are_summed_in_float32(dtype, large):
    """large + 1 has no place in the type; the drive and the gates hold it all the same, until they are stored."""
    cell = jaxrnn.elman(2, activation="relu", dtype=dtype)
    column, nothing = np.array([[large, large], [1, 1]], "float32"), np.zeros((2, 2), "float32")
    ones, zeros = np.ones((1, 2), dtype), np.zeros((1, 2), dtype)
    for params, h, x in [
        ({"kernel": column, "recurrent_kernel": nothing, "bias": np.full(2, -large, "float32")}, zeros, ones),
        ({"kernel": -large * np.eye(2, dtype="float32"), "recurrent_kernel": column, "bias": nothing[0]}, ones, ones),
    ]:
        _, ys = jaxrnn.unroll(cell, params, jaxrnn.ElmanCarry(h), x[None])
        np.testing.assert_array_equal(np.asarray(ys, float), 1)


@both_ways
def test_traced_lengths_out_of_range(reverse, key, rng):
    """Under jit, lengths above T count as T and below 0 as 0; a mask past a row's end does not bring its steps back."""
    case = CASES["gru"]
    params, carry, xs = problem(case.cell, key, T, (4,), D, dtype="float64")
    how = rows(rng, "reset", batch=(4,))
    wild = run(case.cell, params, carry, xs, how._replace(lengths=np.array([T + 5, -3, 2, -(2**31)])), reverse)
    tame = how._replace(lengths=np.array([T, 0, 2, 0]))
    same(wild, by_reference(case, params, carry, xs, tame, reverse))
