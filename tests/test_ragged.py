"""Packed rows, padded columns and sequences alone are one and the same; nothing is lost, moved or mixed on the way."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from sequences import CASES, D, double, normal_like
from support import assert_close, noisy_params, table, tolerance, weighed

import jaxrnn
from jaxrnn import engines, ragged

LENGTHS = (3, 0, 7, 1, 1, 4, 0, 6, 2, 5)  # 29 steps: rows of 7 and 10 are filled up but for the last
LAYOUTS = {"length": dict(length=10), "rows": dict(rows=3), "both": dict(length=11, rows=9), "neither": {}}


def sequences_of(rng, lengths=LENGTHS, *features):
    return [rng.standard_normal((n, *features)) for n in lengths]


def geometric(rng, count, mean):
    """Lengths as words, waiting times and much else have them."""
    return rng.geometric(1 / mean, count)


def identical(actual, expected):
    """The same structure, shapes, types and bits, NaN included."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert np.asarray(a).dtype == np.asarray(e).dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(e))


# Packed, padded, alone


def losses(cell, params, p, xs, lengths, weights, engine):
    """((loss, ys, last ys) packed, the same padded), of p.xs and xs (x [D], w [H]) and weights [N, H] of the last."""
    (x, w), (x_pad, w_pad) = p.xs, xs
    _, ys = jaxrnn.unroll(cell, params, None, x, reset=p.reset, lengths=p.lengths, engine=engine)
    ends = ragged.last(p, ys)
    _, ys_pad = jaxrnn.unroll(cell, params, None, x_pad, lengths=lengths, engine=engine)
    there = (jnp.asarray(lengths) > 0)[:, None]
    ends_pad = jnp.where(there, ys_pad[jnp.maximum(lengths, 1) - 1, jnp.arange(len(lengths))], 0)
    return (
        ((w * ys).sum() + (weights * ends).sum(), ys, ends),
        ((w_pad * ys_pad).sum() + (weights * ends_pad).sum(), ys_pad, ends_pad),
    )


def alone(case, params, xs):
    """Each sequence by the reference's loop: (its ys, the last of them; zeros of an empty one)."""
    params = double(params)
    size = len(case.step(params, case.initial(params), np.zeros(D))[1])
    ys = [
        reference.run(case.step, params, case.initial(params), None, x[:, None])[1][:, 0] if len(x) else x[:, :0]
        for x in xs
    ]
    return [y.reshape(-1, size) for y in ys], np.array([y[-1] if len(y) else np.zeros(size) for y in ys])


@pytest.mark.parametrize(
    ("name", "layout", "engine"),
    [
        ("gru_reset_before", "length", "scan"),
        ("gru_reset_before", "rows", "checkpointed"),
        ("gru_reset_before", "both", "deferred"),
        ("lstm_projection_peepholes", "neither", None),
        ("indrnn", "length", None),
        ("stack", "rows", None),
        ("learned_carry", "both", "scan"),
        ("learned_carry", "length", None),
        ("plain", "rows", None),
    ],
)
@pytest.mark.full
def test_packed_is_padded_is_alone(name, layout, engine, key, rng):
    """Values of all steps and of the last ones, and gradients for params and for each sequence."""
    case, engine = CASES[name], None if engine is None else getattr(engines, engine)
    params = noisy_params(case.cell, key, D, "float64")
    xs = sequences_of(rng, LENGTHS, D)
    expected, expected_last = alone(case, params, xs)
    size = expected_last.shape[1]
    w, weights = sequences_of(rng, LENGTHS, size), rng.standard_normal((len(xs), size))
    p = ragged.pack(zip(xs, w, strict=True), **LAYOUTS[layout])
    padded, lengths = ragged.pad(zip(xs, w, strict=True))

    @jax.jit
    def run(params, p, xs, lengths, weights):
        def loss(params, p_xs, xs, which):
            outcome = losses(case.cell, params, p._replace(xs=p_xs), xs, lengths, weights, engine)[which]
            return outcome[0], outcome

        grad = jax.grad(loss, argnums=(0, 1, 2), has_aux=True)
        (by_params, by_p, _), packed = grad(params, p.xs, xs, 0)
        (by_params_pad, _, by_xs), padded = grad(params, p.xs, xs, 1)
        return packed, padded, (by_params, by_p[0]), (by_params_pad, by_xs[0])

    packed, padded, (grad, grad_p), (grad_pad, grad_xs) = jax.device_get(run(params, p, padded, lengths, weights))
    tol = tolerance("float64", 7)
    for (_, ys, ends), back in [(packed, ragged.unpack(p, packed[1])), (padded, ragged.unpad(padded[1], lengths))]:
        assert ys.dtype == np.float64
        assert_close(back, expected, tol)
        assert_close(ends, expected_last, tol)
    assert_close(packed[0], padded[0], 30 * tol)  # a sum of hundreds
    assert_close(grad, grad_pad, 2 * 30 * tol)
    assert_close(ragged.unpack(p, grad_p), ragged.unpad(grad_xs, lengths), 2 * tol)
    np.testing.assert_array_equal(grad_p[~p.mask], 0)

    # The slope of the loops' loss along a random direction, by central differences: truncation h² meets rounding eps/h.
    eps = float(jnp.finfo(jnp.float64).eps)
    h, ends = eps ** (1 / 3), []
    d_params, d_xs = normal_like(rng, params), sequences_of(rng, LENGTHS, D)
    for sign in (1, -1):
        moved = jax.tree.map(lambda a, d: np.asarray(a) + sign * h * d, params, d_params)  # noqa: B023 - used at once
        ys, last = alone(case, moved, [x + sign * h * d for x, d in zip(xs, d_xs, strict=True)])
        ends.append(sum((a * b).sum() for a, b in zip([*w, weights], [*ys, last], strict=True)))
    pairs = [*zip(*map(jax.tree.leaves, ((grad, ragged.unpack(p, grad_p)), (d_params, d_xs))), strict=True)]
    scale = sum(np.abs(g * d).sum() for g, d in pairs)
    assert abs((ends[0] - ends[1]) / (2 * h) - sum((g * d).sum() for g, d in pairs)) <= 100 * eps ** (2 / 3) * scale


@pytest.mark.parametrize("name", ["lstm", "learned_carry"])
def test_right_to_left(name, key, rng):
    """With reset_reverse, a reversed unroll begins each sequence anew at its own last step."""
    case = CASES[name]
    params, xs = noisy_params(case.cell, key, D, "float64"), sequences_of(rng, LENGTHS, D)
    p = ragged.pack(xs, length=10)
    rows = dict(reset=p.reset_reverse, lengths=p.lengths)
    _, ys = jax.jit(functools.partial(jaxrnn.unroll, case.cell, reverse=True))(params, None, p.xs, **rows)
    expected = [y[::-1] for y in alone(case, params, [x[::-1] for x in xs])[0]]
    assert_close(ragged.unpack(p, ys), expected, tolerance("float64", 7))


def test_both_directions(key, rng):
    """`bidirectional` on packed rows with `reset` alone: its backward cell restarts at each sequence's last step."""
    cases = CASES["lstm"], CASES["learned_carry"]
    cell = jaxrnn.bidirectional(*(case.cell for case in cases))
    params, xs = noisy_params(cell, key, D, "float64"), sequences_of(rng, LENGTHS, D)
    p = ragged.pack(xs, length=10)
    rows = dict(reset=p.reset, lengths=p.lengths)
    _, ys = jax.jit(functools.partial(jaxrnn.unroll, cell))(params, None, p.xs, **rows)
    there = alone(cases[0], params["forward"], xs)[0]
    back = alone(cases[1], params["backward"], [x[::-1] for x in xs])[0]
    expected = [np.concatenate([a, b[::-1]], -1) for a, b in zip(there, back, strict=True)]
    assert_close(ragged.unpack(p, ys), expected, tolerance("float64", 7))


def test_no_cross_talk(key, rng):
    """NaN in one sequence leaves every bit of the others in its row as it was, and of their gradients."""
    cell = jaxrnn.gru(5)
    params, xs = noisy_params(cell, key, D, "float64"), sequences_of(rng, (4, 3, 2, 3), D)

    @jax.jit
    def run(p, chosen):
        def loss(x):
            ys = jaxrnn.unroll(cell, params, None, x, reset=p.reset, lengths=p.lengths)[1]
            return weighed(jnp.where(chosen[p.segment][..., None], ys, 0)), ys

        return jax.grad(loss, has_aux=True)(p.xs)

    for broken in range(4):
        dirty = [np.full_like(x, np.nan) if i == broken else x for i, x in enumerate(xs)]
        p, q = ragged.pack(xs, rows=1), ragged.pack(dirty, rows=1)
        chosen = np.arange(4) != broken
        for a, b in zip(jax.device_get(run(p, chosen)), jax.device_get(run(q, chosen)), strict=True):
            a, b = ragged.unpack(p, a), ragged.unpack(q, b)
            for i in np.flatnonzero(chosen):
                identical(b[i], a[i])
                assert np.isfinite(a[i]).all() and (a[i] != 0).any()


@pytest.mark.parametrize("chosen", ["words", "geometric"])
def test_saving_on_real_lengths(chosen, key, rng):
    """The words of a text, and a geometric distribution: less than 2% is computed in vain, and padding computes more
    than three times as much; both say the same."""
    alphabet = np.array(list("etaoin shrdlu "))  # a space one time in seven: words as of random typing
    text = "".join(rng.choice(alphabet, 2500))
    lengths = [len(word) for word in text.split(" ")] if chosen == "words" else geometric(rng, 250, 8)
    xs = [rng.standard_normal((n, D)).astype("float32") for n in lengths]
    p, (padded, steps) = ragged.pack(xs, rows=16), ragged.pad(xs)
    assert p.waste < 0.02
    assert p.waste == pytest.approx(1 - np.sum(lengths) / (p.xs.shape[0] * p.xs.shape[1]))
    assert padded.shape[0] * padded.shape[1] > 3 * p.segment.size
    cell = jaxrnn.gru(5)
    params = noisy_params(cell, key, D)
    run = jax.jit(functools.partial(jaxrnn.unroll, cell, params, None))
    actual = ragged.unpack(p, run(p.xs, reset=p.reset, lengths=p.lengths)[1])
    assert_close(actual, ragged.unpad(run(padded, lengths=steps)[1], steps), tolerance("float32", int(steps.max())))


# There and back

TYPES = ["float32", "bfloat16", "float64", "int32", "uint8", "bool"]


@pytest.mark.parametrize("dtype", table(TYPES, {"bfloat16", "float64", "bool"}))
def test_there_and_back(dtype, rng):
    """Pytrees of any features and type, on the host or on a device, in the order they came."""

    @functools.partial(jax.jit, static_argnums=2)
    def gathered(p, ys, longest):
        return ragged.padded(p, ys, longest), ragged.last(p, ys)

    for lengths, place in [(LENGTHS, np.asarray), (geometric(rng, 30, 6), jnp.asarray), ((0, 0), np.asarray)]:
        longest = max(*lengths, 1)
        leaves = [(20 * rng.standard_normal((n, 2, 3))).astype(dtype) for n in lengths]
        expected = [{"a": a, "b": (a[:, 0], np.arange(len(a)))} for a in leaves]
        sequences = [jax.tree.map(place, each) for each in expected]
        xs, found = ragged.pad(iter(sequences), multiple=4)
        assert xs["a"].shape == (-(-longest // 4) * 4, len(lengths), 2, 3)
        identical(found, np.asarray(lengths, np.int32))
        assert not xs["a"][np.arange(len(xs["a"]))[:, None] >= found].any()
        identical(ragged.unpad(jax.tree.map(place, xs), found), expected)
        ends = [jax.tree.map(lambda a: a[-1] if len(a) else np.zeros(a.shape[1:], a.dtype), each) for each in expected]
        for options in (dict(length=longest + 3), dict(rows=3, multiple=8)):
            p = ragged.pack(iter(sequences), **options)
            assert not p.xs["a"][~p.mask].any()
            identical(ragged.unpack(p, jax.tree.map(place, p.xs)), expected)
            side_by_side, last = gathered(p, p.xs, longest)
            identical(side_by_side, ragged.pad(expected, length=longest)[0])
            identical(last, jax.tree.map(lambda *each: np.stack(each), *ends))


@pytest.mark.parametrize("options", [*LAYOUTS.values(), dict(rows=1), dict(rows=30), dict(rows=4, multiple=8)], ids=str)
def test_every_step_stands_once(options, rng):
    """The fields of Packed against a walk over the sequences by hand."""
    for lengths in [LENGTHS, rng.integers(0, 10, 8)]:
        p = ragged.pack(sequences_of(rng, lengths), **options)
        T, B = p.segment.shape
        assert options.get("length", T) == T and options.get("rows", B) == B and T % options.get("multiple", 1) == 0
        identical(p.steps, np.asarray(lengths, np.int32))
        expected = {name: np.full((T, B), fill) for name, fill in [("segment", -1), ("position", 0)]}
        expected |= {name: np.zeros((T, B), bool) for name in ("reset", "reset_reverse", "mask")}
        for i, (n, row, first) in enumerate(zip(lengths, p.row, p.first, strict=True)):
            for k in range(n):
                at = first + k, row
                assert expected["segment"][at] == -1, "two sequences at one place"
                expected["segment"][at], expected["position"][at], expected["mask"][at] = i, k, True
                expected["reset"][at], expected["reset_reverse"][at] = k == 0, k == n - 1
        for name, array in expected.items():
            np.testing.assert_array_equal(getattr(p, name), array, name)
        for row, n in enumerate(p.lengths):
            assert expected["mask"][:n, row].all() and not expected["mask"][n:, row].any(), "a gap within a row"
        assert p.waste == pytest.approx(np.mean(~expected["mask"]))
        kinds = {a.dtype.name for a in (p.lengths, p.segment, p.position, p.row, p.first, p.steps)}
        assert kinds == {"int32"} and p.reset.dtype == p.reset_reverse.dtype == bool


@pytest.mark.usefixtures("float32_only")
def test_under_jit(rng):
    """`last` and `padded` of a traced Packed, their gradients, and losses by sequence; NaN in the tails is not seen."""
    p = ragged.pack(sequences_of(rng, LENGTHS), length=10)
    ys = rng.standard_normal((*p.segment.shape, 2)).astype("float32")
    dirty = np.where(p.mask[..., None], ys, np.nan)
    parts = ragged.unpack(p, ys)

    @jax.jit
    def gathered(p, ys):
        ids, count = p.segment.ravel(), len(p.steps)
        sums = jax.ops.segment_sum(ys.reshape(-1, 2), ids, count)
        return ragged.last(p, ys), ragged.padded(p, ys, 4), sums

    ends, cut, sums = jax.device_get(gathered(p, dirty))
    identical(ends, np.stack([y[-1] if len(y) else np.zeros(2, "float32") for y in parts]))
    identical(cut, ragged.pad([y[:4] for y in parts], length=4)[0])
    assert_close(sums, np.stack([y.sum(0) for y in parts]), tolerance("float32", 7))
    taken = np.array(LENGTHS) > 0, np.arange(4)[:, None] < np.array(LENGTHS)
    for i, (where, there) in enumerate(zip([p.reset_reverse, (p.position < 4) & p.mask], taken, strict=True)):
        found, back = jax.vjp(lambda ys: gathered(p, ys)[i], dirty)  # noqa: B023 - used at once
        weights = np.random.default_rng(i).standard_normal(found.shape).astype(found.dtype)
        (grad,) = back(weights)
        assert ((np.asarray(grad) != 0) == where[..., None]).all()
        # Each weight stands where its entry was taken from.
        np.testing.assert_array_equal(gathered(p, grad)[i], np.where(there[..., None], weights, 0))


# How they are laid


def test_best_fit():
    """By hand: 6 and 4 fill a row of 10, 5, 3 and 2 the other; first fit would have put the 3 where the 4 belongs."""
    p = ragged.pack([np.zeros(n) for n in (2, 3, 4, 5, 6)], length=10)
    assert p.row.tolist() == [1, 1, 0, 1, 0] and p.first.tolist() == [8, 5, 6, 0, 0]
    assert p.lengths.tolist() == [10, 10] and p.waste == 0
    assert ragged.pack([np.zeros(n) for n in (7, 5, 4, 3)], length=10).row.tolist() == [0, 1, 1, 0]
    assert ragged.pack([np.zeros(n) for n in (2, 3, 4, 5, 6)], rows=2).segment.shape == (10, 2)


def test_few_steps_are_wasted(rng):
    """Never worse than the bounds that are known: 11/9 of the best rows and one more, 13/11 of the best T."""
    for lengths in [rng.integers(1, 30, 50), geometric(rng, 200, 20), np.full(9, 7), rng.integers(0, 5, 6)]:
        sequences, total, longest = sequences_of(rng, lengths), lengths.sum(), lengths.max()
        B = ragged.pack(sequences, length=40 + longest).segment.shape[1]
        assert -(-total // (40 + longest)) <= B <= 11 / 9 * -(-total // (40 + longest)) + 1
        for rows in (1, 3, 8):
            T, _ = ragged.pack(sequences, rows=rows).segment.shape
            at_rows = np.sort(lengths)[::-1]
            least = max(longest, -(-total // rows), at_rows[rows - 1 : rows + 1].sum() if len(lengths) > rows else 0)
            assert least <= T <= 13 / 11 * least + 1


@pytest.mark.parametrize("seed", [None, 3])
def test_buckets(seed, rng):
    """Each sequence once, batches full but one, no batch longer than its longest sequence rounded up."""
    for lengths, size in [(LENGTHS, 4), (rng.integers(0, 50, 101), 10), ((3, 3, 3), 7), (geometric(rng, 200, 9), 25)]:
        for multiple in (1, 8):
            batches = ragged.buckets(lengths, size, multiple=multiple, seed=seed)
            assert sorted(i for b in batches for i in b.indices) == list(range(len(lengths)))
            full, rest = divmod(len(lengths), size)
            assert sorted(len(b.indices) for b in batches) == sorted([size] * full + [rest] * (rest > 0))
            tops = []
            for indices, length in batches:
                here = np.asarray(lengths)[indices]
                assert length % multiple == 0 and 0 <= length - max(here.max(), 1) < multiple
                tops.append((length, -(-max(here.min(), 1) // multiple) * multiple))
            tops.sort()
            assert all(top <= least for (top, _), (_, least) in itertools.pairwise(tops)), "they overlap"


def test_buckets_are_shuffled_by_the_seed(rng):
    """The same again by the same seed; another has other batches in another order; None is from short to long."""
    lengths = rng.integers(1, 40, 200)
    first, again, other = (ragged.buckets(lengths, 10, multiple=8, seed=seed) for seed in (1, 1, 2))
    identical(first, again)
    assert [b.length for b in first] != sorted(b.length for b in first) != [b.length for b in other]
    members = [{frozenset(b.indices.tolist()) for b in batches} for batches in (first, other)]
    assert len(members[0] & members[1]) < 5
    tops = [b.length for b in ragged.buckets(lengths, 10, multiple=8)]
    assert tops == sorted(tops) and len(set(tops)) <= 5


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_bins(seed, rng):
    """Each sequence once, no more batches than the rows of the whole set fill, and each batch fits its one shape."""
    for lengths in [LENGTHS, (0, 0, 0), *(rng.integers(0, 12, n) for n in (3, 30, 100)), geometric(rng, 200, 20)]:
        T = max(12, *lengths)
        batches = ragged.bins(lengths, T, 3, seed=seed)
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        xs = sequences_of(rng, lengths)
        assert len(batches) == -(-ragged.pack(xs, length=T).segment.shape[1] // 3)
        for batch in batches:
            assert ragged.pack([xs[i] for i in batch], length=T, rows=3).segment.shape == (T, 3)
    identical(ragged.bins(lengths, T, 3, seed=seed), batches)
    assert {tuple(b) for b in ragged.bins(lengths, T, 3, seed=7)} != {tuple(b) for b in batches}


def test_batches_of_one_shape_compile_once(key, rng):
    cell, xs = jaxrnn.gru(5), sequences_of(rng, rng.integers(0, 9, 40), D)
    params = noisy_params(cell, key, D, "float64")

    @jax.jit
    def run(xs, reset, lengths, segment):
        _, ys = jaxrnn.unroll(cell, params, None, xs, reset=reset, lengths=lengths)
        return jax.ops.segment_sum(ys.sum(-1).ravel(), segment.ravel(), len(xs[0]) * len(xs))

    counts = set()
    for batch in ragged.bins([len(x) for x in xs], 12, 4, seed=0):
        p = ragged.pack([xs[i] for i in batch], length=12, rows=4)
        counts.add(len(batch))
        run(p.xs, p.reset, p.lengths, p.segment)
    assert len(counts) > 1 and run._cache_size() == 1


# What is refused

A, P = np.zeros((3, 2), "float32"), ragged.pack([np.zeros((3, 2)), np.zeros((2, 2))], length=4)
SEQUENCE = "expected an array [T, ...] or a pytree of these with one T"
WRONG = {
    "none": (lambda: ragged.pack([]), ValueError, "sequences: expected at least one, got none"),
    "numbers": (lambda: ragged.pad([1.0, 2.0]), ValueError, f"sequences[0]: {SEQUENCE}, got [()]"),
    "no leaf": (lambda: ragged.pad([A, None]), ValueError, f"sequences[1]: {SEQUENCE}, got []"),
    "two T": (
        lambda: ragged.pack([{"a": A, "b": A[1:]}]),
        ValueError,
        f"sequences[0]: {SEQUENCE}, got [(3, 2), (2, 2)]",
    ),
    "structure": (
        lambda: ragged.pack([A, (A,)]),
        ValueError,
        "sequences[1]: expected PyTreeDef(*) as sequences[0] is, got PyTreeDef((*,))",
    ),
    "features": (
        lambda: ragged.pack([A, A, A[:, :1]]),
        TypeError,
        "sequences[2]: expected the features and type of sequences[0], float32(2,), got float32(1,)",
    ),
    "type": (
        lambda: ragged.pad([A, A.astype(int)]),
        TypeError,
        "sequences[1]: expected the features and type of sequences[0], float32(2,), got int64(2,)",
    ),
    "pad too long": (
        lambda: ragged.pad([A[:1], A], length=2),
        ValueError,
        "sequences[1]: expected no more than length=2 steps, got 3",
    ),
    "pack too long": (
        lambda: ragged.pack([A[:1], A], length=2),
        ValueError,
        "sequences[1]: expected no more than length=2 steps, got 3",
    ),
    "bins too long": (
        lambda: ragged.bins([1, 3], 2, 1),
        ValueError,
        "sequences[1]: expected no more than length=2 steps, got 3",
    ),
    "too many": (
        lambda: ragged.pack([A] * 5, length=6, rows=2),
        ValueError,
        "sequences: expected no more than fit in rows=2 of length=6, needed 3 rows",
    ),
    "length": (lambda: ragged.pad([A], length=0), ValueError, "length: expected an int of at least 1, got 0"),
    "rows": (lambda: ragged.pack([A], rows=0), ValueError, "rows: expected an int of at least 1, got 0"),
    "multiple": (lambda: ragged.pack([A], multiple=0), ValueError, "multiple: expected an int of at least 1, got 0"),
    "batch_size": (lambda: ragged.buckets([3], 0), ValueError, "batch_size: expected an int of at least 1, got 0"),
    "lengths": (
        lambda: ragged.buckets([3, -1], 2),
        ValueError,
        "lengths: expected [N] of ints from 0 on, at least one, got array([ 3, -1])",
    ),
    "no lengths": (
        lambda: ragged.bins(np.zeros(0, int), 2, 2),
        ValueError,
        "lengths: expected [N] of ints from 0 on, at least one, got array([], dtype=int64)",
    ),
    "unpad, B": (
        lambda: ragged.unpad(np.zeros((4, 3, 2)), [4, 2]),
        ValueError,
        "ys: expected [T, B, ...] with B=2 and T of at least 4, got (4, 3, 2)",
    ),
    "unpad, T": (
        lambda: ragged.unpad(np.zeros((3, 2)), [4, 2]),
        ValueError,
        "ys: expected [T, B, ...] with B=2 and T of at least 4, got (3, 2)",
    ),
    **{
        f"{f.__name__}, ys": (
            functools.partial(f, P, np.zeros((2, 4, 1)), **more),
            ValueError,
            "ys: expected [T, B, ...] with T=4 and B=2, got (2, 4, 1)",
        )
        for f, more in [(ragged.unpack, {}), (ragged.last, {}), (ragged.padded, {"length": 3})]
    },
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name):
    call, error, message = WRONG[name]
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
