"""Loss terms on outputs against PyTorch and NumPy loops, and dropout of whole symbols against its law."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from support import assert_close
from wrong import refuses

import jaxrnn
from jaxrnn.train.regularizers import activation_regularization, embedding_dropout, temporal_activation_regularization

T, B, H, V, E = 7, 3, 4, 50, 6
ALARM = 1e-6  # a false alarm once in a million draws
LENGTHS = np.array([7, 0, 4])


def rounding(dtype, count):
    """A square has an error of eps/2 twice, a sum of `count` of them at most eps/2 each; a few more for the rest."""
    return (count + 4) * float(jnp.finfo(dtype).eps) / 2


TOL = rounding("float32", T * B * H)


def mean_of(squares):
    return np.mean(squares) if len(squares) else 0.0


def by_loops(ys, valid, reset):
    """Both means, step by step in float64."""
    ys, ar, tar = np.asarray(ys, np.float64), [], []
    for t, row in np.ndindex(ys.shape[:2]):
        if valid[t, row]:
            ar.extend(ys[t, row] ** 2)
            if t and valid[t - 1, row] and not reset[t, row]:
                tar.extend((ys[t, row] - ys[t - 1, row]) ** 2)
    return mean_of(ar), mean_of(tar)


@pytest.fixture
def ys(rng):
    return rng.standard_normal((T, B, H)).astype("float32")


def test_as_awd_lstm_in_torch(ys):
    """alpha y.pow(2).mean() and beta (y[1:] - y[:-1]).pow(2).mean(): values, and gradients by PyTorch."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    theirs = torch.tensor(ys, requires_grad=True)
    terms = 2.0 * theirs.pow(2).mean(), 0.7 * (theirs[1:] - theirs[:-1]).pow(2).mean()
    for term, ours in zip(
        terms, [lambda y: activation_regularization(y, 2.0), lambda y: temporal_activation_regularization(y, 0.7)],
        strict=True,
    ):  # fmt: skip
        (grads,) = torch.autograd.grad(term, theirs)
        assert_close(jax.value_and_grad(ours)(ys), (term.item(), grads.numpy()), TOL)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_only_what_counts(dtype, ys, rng):
    """Steps that are not valid, and pairs that straddle one or a restart, are not in the mean; holes neither."""
    ys = jnp.asarray(ys, dtype)
    valid, reset = rng.random((2, T, B)) < [[[0.7]], [[0.3]]]
    ar, tar = by_loops(ys, valid, reset)
    got = activation_regularization(ys, 2.0, valid), temporal_activation_regularization(ys, 0.7, valid, reset)
    assert {g.dtype.name for g in got} == {"float64" if dtype == "float64" else "float32"}
    assert_close(got, (2 * ar, 0.7 * tar), TOL)
    everywhere, nowhere = np.ones((T, B), bool), np.zeros((T, B), bool)
    assert_close(temporal_activation_regularization(ys, 1.0, valid), by_loops(ys, valid, nowhere)[1], TOL)
    assert_close(temporal_activation_regularization(ys, 1.0, None, reset), by_loops(ys, everywhere, reset)[1], TOL)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_does_not_count_may_be_nan(bad, ys):
    """Padding of NaN or Inf reaches neither the value nor the gradient, which is 0 there."""
    valid = np.arange(T)[:, None] < LENGTHS
    padded = np.where(valid[..., None], ys, bad).astype("float32")

    def total(ys):
        return activation_regularization(ys, 2.0, valid) + temporal_activation_regularization(ys, 0.7, valid)

    value, grads = jax.jit(jax.value_and_grad(total))(padded)
    ar, tar = by_loops(ys, valid, np.zeros((T, B), bool))
    assert_close(value, 2 * ar + 0.7 * tar, TOL)
    np.testing.assert_array_equal(grads[~valid], np.zeros_like(grads[~valid]))
    assert (grads[valid] != 0).all()


def test_packed_rows_are_their_sequences(rng):
    """Sequences end to end in one row, with a reset at each start, give what they give by themselves."""
    sequences = [rng.standard_normal((n, H)).astype("float32") for n in (3, 1, 5)]
    packed = np.concatenate(sequences)[:, None]
    reset = np.isin(np.arange(9), [0, 3, 4])[:, None]
    pairs = np.concatenate([np.diff(s.astype(np.float64), axis=0) for s in sequences])
    assert_close(temporal_activation_regularization(packed, 1.0, None, reset), (pairs**2).mean(), TOL)


def test_on_what_unroll_gives(key, rng):
    """The 0 that stands past a row's end, and the jump to it, do not count."""
    cell = jaxrnn.gru(H)
    params = cell.init(key, H)
    xs = rng.standard_normal((T, B, H)).astype("float32")
    ys = jaxrnn.unroll(cell, params, None, xs, lengths=jnp.asarray(LENGTHS))[1]
    valid = np.arange(T)[:, None] < LENGTHS
    rows = [np.asarray(jaxrnn.unroll(cell, params, None, xs[:n, row])[1]) for row, n in enumerate(LENGTHS) if n]
    squares = np.concatenate([(row**2).ravel() for row in rows])
    steps = np.concatenate([(np.diff(row, axis=0) ** 2).ravel() for row in rows])
    got = activation_regularization(ys, 1.0, valid), temporal_activation_regularization(ys, 1.0, valid)
    assert_close(got, (squares.mean(), steps.mean()), TOL + rounding("float32", 8 * T))  # 4 eps a step of the cell


@pytest.mark.parametrize(
    "term", [activation_regularization, temporal_activation_regularization], ids=lambda f: f.__name__
)
def test_nothing_to_count(term, ys):
    """0, not 0/0, with a gradient of 0."""
    value, grads = jax.value_and_grad(lambda y: term(y, 1.0, np.zeros((T, B), bool)))(ys)
    assert value == 0
    np.testing.assert_array_equal(grads, np.zeros_like(ys))


def test_one_step_has_no_pair(ys):
    assert temporal_activation_regularization(ys[:1], 1.0) == 0


def test_more_numbers_than_an_int32_holds():
    """2^20 steps of 4096 units, shown by their shapes alone to the part that counts: the count is not 0."""
    from jaxrnn.train.regularizers import _mean_square

    counted = jnp.ones(2**20, bool)
    mean = jax.make_jaxpr(_mean_square)(jax.ShapeDtypeStruct((2**20, 4096), jnp.float32), counted)
    products = [e for e in mean.jaxpr.eqns if e.primitive.name == "mul" and e.outvars[0].aval.shape == ()]
    assert products and all(e.outvars[0].aval.dtype == jnp.float32 for e in products)


def test_no_batch_and_two_batch_axes(ys):
    """[T, H] and [T, B, 1, H] as [T, B, H]."""
    for term in activation_regularization, temporal_activation_regularization:
        assert_close(jax.vmap(lambda y, term=term: term(y, 1.0), 1)(ys).mean(), float(term(ys, 1.0)), TOL)
        assert_close(term(ys[:, :, None], 1.0), float(term(ys, 1.0)), TOL)


WRONG = {
    "one axis": (np.ones(3), {}, ValueError, "ys: expected outputs [T, ..., H] of floating point, got float64(3,)"),
    "ints": (np.ones((3, 2), int), {}, ValueError,
             "ys: expected outputs [T, ..., H] of floating point, got int64(3, 2)"),
    "valid of float": (np.ones((3, 2)), {"valid": np.ones(3)}, TypeError,
                       "valid: expected [T, ...] of bool, got float64(3,)"),
    "valid of another shape": (np.ones((3, 2, 4)), {"valid": np.ones(3, bool)}, ValueError,
                               "valid: expected [T, ...] = (3, 2), the axes of ys before H, got (3,)"),
    "reset of another shape": (np.ones((3, 2, 4)), {"reset": np.ones((2, 3), bool)}, ValueError,
                               "reset: expected [T, ...] = (3, 2), the axes of ys before H, got (2, 3)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case):
    ys, flags, error, message = WRONG[case]
    refuses(error, message, lambda: temporal_activation_regularization(ys, 1.0, **flags))


# --- whole symbols ---


@pytest.fixture
def embedding(rng):
    return rng.standard_normal((V, E)).astype("float32")


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_rows_are_dropped_whole(dtype, key, embedding):
    """Each row is 0, or the row over 1 - rate, to one rounding in `dtype`; some are each."""
    embedding = jnp.asarray(embedding, dtype)
    dropped = embedding_dropout(key, embedding, 0.4)
    assert dropped.dtype == embedding.dtype
    kept = np.asarray(dropped != 0).all(1)
    assert 0 < kept.sum() < V
    expected = np.asarray(embedding, np.float64) / 0.6 * kept[:, None]
    error = np.abs(np.asarray(dropped, np.float64) - expected)
    # A division may be by a reciprocal, both rounded in float32 or wider; then the result once more.
    tol = jnp.finfo(dtype).eps / 2 + 2 * min(jnp.finfo(dtype).eps, jnp.finfo("float32").eps)
    assert (error <= tol * np.abs(expected)).all()


def test_law_of_dropped_rows(key, embedding):
    """Over many keys each row is dropped at the rate, by itself, and the mean is the embedding."""
    draws, rate = 4000, 0.4
    dropped = jax.vmap(functools.partial(embedding_dropout, embedding=embedding, rate=rate))(
        jax.random.split(key, draws)
    )
    dropped = np.asarray(dropped, np.float64)
    kept = dropped[..., 0] != 0
    alarm = ALARM / V  # for whichever of V rows
    low, high = stats.binom.interval(1 - alarm, draws, 1 - rate)
    assert (low <= kept.sum(0)).all() and (kept.sum(0) <= high).all()
    # Independent rows: the number kept in a draw varies as a binomial's does.
    variance, expected = kept.sum(1).var(ddof=1), V * rate * (1 - rate)
    assert abs(variance - expected) <= stats.norm.isf(ALARM / 2) * expected * math.sqrt(2 / (draws - 1))
    error = np.abs(embedding) * math.sqrt(rate / (1 - rate) / draws)
    assert (np.abs(dropped.mean(0) - embedding) <= stats.norm.isf(alarm / 2) * error).all()


def test_gradient_reaches_kept_rows(key, embedding):
    """Each kept row's gradient is scaled like the row; a dropped one has none."""
    weights = np.random.default_rng(0).standard_normal(embedding.shape).astype("float32")
    grads = jax.jit(jax.grad(lambda e: jnp.vdot(weights, embedding_dropout(key, e, 0.25))))(embedding)
    kept = np.asarray(embedding_dropout(key, embedding, 0.25) != 0)
    assert_close(grads, weights * kept / 0.75, rounding("float32", 2))


def test_off_at_evaluation(key, embedding):
    """Without a key nothing is dropped or scaled; with rate 0 neither."""
    assert embedding_dropout(None, embedding, 0.4) is embedding
    np.testing.assert_array_equal(embedding_dropout(key, embedding, 0.0), embedding)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, math.nan, True, "0.1", None])
def test_wrong_rate(rate, embedding):
    """Also at evaluation, so that it is seen before training."""
    message = f"rate: expected a number with 0 <= rate < 1, got {rate!r}"
    refuses(ValueError, message, lambda: embedding_dropout(None, embedding, rate))


def test_wrong_embedding(key):
    message = "embedding: expected [V, E], got (2, 3, 4)"
    refuses(ValueError, message, lambda: embedding_dropout(key, np.ones((2, 3, 4)), 0.1))
