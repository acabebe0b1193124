"""Beam search against all texts that there are, and against a beam search in plain Python over a model in NumPy."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import as_row, assert_close, double, generator, tolerance

import jaxrnn
from jaxrnn import decode
from jaxrnn.decode import _beam as beam_search

MODEL = jaxrnn.models.language_model(jaxrnn.lstm(3), 4, 2)
DEEP = jaxrnn.models.language_model(jaxrnn.stack(jaxrnn.lstm(3), jaxrnn.gru(4)), 4, 3)
LOOPS = {
    MODEL: (reference.lstm, (np.zeros(3), np.zeros(3))),
    DEEP: (
        reference.stack(reference.lstm, reference.gru),
        {"layer_0": (np.zeros(3), np.zeros(3)), "layer_1": (np.zeros(4),)},
    ),
}


@functools.cache
def fresh(model):
    return jax.tree.map(np.asarray, model.init(jax.random.key(0)))


def noisy(model, key):
    """Float64 params without a zero; large ones, so that what comes next depends on all that came before."""
    rng = generator(key)
    return jax.tree.map(lambda p: jnp.asarray(3.0 * p + rng.standard_normal(p.shape)), fresh(model))


def reader(model, params, prime):
    """A row as a function: symbols written -> (log-probabilities of the next [V], the carry that has read them)."""
    step, initial = LOOPS[model]
    params = double(params)

    @functools.cache
    def ahead(written):
        before = initial if not written and len(prime) == 1 else read((*prime, *written)[:-1])
        carry, y = step(params["cell"], before, params["embedding"][(*prime, *written)[-1]])
        logits = y @ params["readout"] + params["bias"]
        return logits - np.log(np.exp(logits).sum()), carry

    @functools.cache
    def read(symbols):
        before = read(symbols[:-1]) if len(symbols) > 1 else initial
        return step(params["cell"], before, params["embedding"][symbols[-1]])[0]

    return ahead


def score(total, n, alpha):
    """Wu et al. 2016, equation 14, without the coverage."""
    return total / ((5 + n) ** alpha / (5 + 1) ** alpha)


def all_texts(ahead, length, end, allowed=lambda written: range(4)):
    """Every hypothesis: (log-probability, symbols)."""

    def grown(total, written):
        if len(written) == length or (written and written[-1] in end):
            yield total, written
            return
        for symbol in allowed(written):
            yield from grown(total + ahead(written)[0][symbol], (*written, symbol))

    return list(grown(0.0, ()))


def plain_beam(ahead, length, end, width, alpha, allowed=lambda written: range(4)):
    """The same search with lists, without stopping early: the best (log-probability, symbols), best first."""
    kept = [(0.0, ())]
    for _ in range(length):
        candidates = []
        for total, written in kept:
            if written and written[-1] in end:
                candidates.append((total, written))
            else:
                candidates += [(total + ahead(written)[0][s], (*written, s)) for s in allowed(written)]
        candidates.sort(key=lambda c: -score(c[0], len(c[1]), alpha))  # stable: equals stay in order
        kept = candidates[:width]
    return kept


def check(found, row, expected, end, length, alpha, ahead=None):
    """One row of what `beam` found, against (log-probability, symbols), best first; what is missing is empty."""
    found = jax.tree.map(np.asarray, found)
    tol = tolerance("float64", length + 6)
    count = found.scores.shape[-1]
    scores = [score(total, len(written), alpha) for total, written in expected]
    assert all(a - b > 100 * tol for a, b in itertools.pairwise(scores[: count + 1])), "nearly equal: another seed"
    for i in range(count):
        at = (*row, i)
        symbols = found.tokens[(slice(None), *at)].tolist()
        if i >= len(expected):
            assert symbols == [-1] * length and found.scores[at] == -np.inf == found.log_probabilities[at]
            assert found.lengths[at] == 0 and not found.ended[at]
            continue
        total, written = expected[i]
        assert symbols == [*written, *[-1] * (length - len(written))]
        assert found.lengths[at] == len(written) and found.ended[at] == (written[-1] in end)
        assert_close(found.log_probabilities[at], total, tol)
        assert_close(found.scores[at], scores[i], tol)
        if ahead is not None:
            carry = jax.tree.map(lambda a, at=at: a[at], found.carry)
            assert_close(jax.tree.leaves(carry), jax.tree.leaves(ahead(written[:-1])[1]), tol)


def search(model, params, prime, length, **options):
    """`beam` from the model's own first carry."""
    prime = jnp.asarray(prime)
    return decode.beam(model.step, params, model.initial_carry(params, prime.shape[1:]), prime, length, **options)


@pytest.mark.parametrize(
    ("length", "end", "alpha"),
    [(4, (), 0.0), (5, (1,), 0.0), (5, (1,), 0.9), (5, (0, 3), 0.6), (1, (2,), 1.0)],
)
def test_a_wide_search_finds_the_best_of_all(length, end, alpha, key):
    """Nothing is cut off where there is a place for each text: the best, and those behind them, are those of all."""
    params, prime = noisy(MODEL, key), np.array([[2, 0], [1, 3]])
    width = 200
    found = search(MODEL, params, prime, length, width=width, end=end or None, length_penalty=alpha, n_best=20)
    for b in range(2):
        ahead = reader(MODEL, params, tuple(prime[:, b]))
        texts = all_texts(ahead, length, end)
        assert max(len(all_texts(ahead, n, end)) for n in range(1, length)) <= width if length > 1 else True
        texts.sort(key=lambda text: -score(text[0], len(text[1]), alpha))
        check(found, (b,), texts, end, length, alpha, ahead)
    if end:
        assert len(set(found.lengths.ravel().tolist())) > 1 or length == 1, "all of one length: no test of the penalty"


@pytest.mark.parametrize(
    ("model", "width", "end", "alpha"),
    [
        (MODEL, 1, (1,), 0.0),
        (MODEL, 2, (1,), 0.0),
        (MODEL, 3, (), 0.0),
        (MODEL, 5, (0,), 0.7),
        (DEEP, 3, (1, 2), 1.0),
    ],
)
def test_a_narrow_search_is_the_plain_one(model, width, end, alpha, key):
    """Tokens, scores, lengths and carries of every hypothesis, over two batch axes."""
    params, length = noisy(model, key), 6
    prime = generator(key).integers(0, 4, (3, 2, 3))
    found = search(model, params, prime, length, width=width, end=end or None, length_penalty=alpha, n_best=width)
    assert found.tokens.shape == (length, 2, 3, width)
    for row in np.ndindex(2, 3):
        ahead = reader(model, params, tuple(prime[(slice(None), *row)].tolist()))
        check(found, row, plain_beam(ahead, length, end, width, alpha), end, length, alpha, ahead)


def test_a_garden_path():
    """The likelier first symbol leads nowhere: one place takes it, two see past it."""
    table = jnp.log(jnp.array([[0.1, 0.5, 0.4, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 1.0], [1.0, 0, 0, 0]]))
    one, two = (decode.beam(lambda p, c, token: (c, table[token]), None, (), [0], 2, width=w) for w in (1, 2))
    assert one.tokens[:, 0].tolist() == [1, 0] and two.tokens[:, 0].tolist() == [2, 3]
    tol = tolerance("float64", 2)
    assert_close(jnp.exp(one.scores), np.array([0.125]), tol)
    assert_close(jnp.exp(two.scores), np.array([0.4]), tol)


def test_the_n_best_do_not_depend_on_when_it_stops(key):
    """With n_best 1 the loop stops sooner than with all; a count of steps in the carry tells."""

    def step(params, carry, token):
        inner, count = carry
        inner, logits = MODEL.step(params, inner, token)
        return (inner, count + 1), logits

    sooner = 0
    for k in jax.random.split(key, 8):
        params, prime = noisy(MODEL, k), jnp.array([[2, 0]])
        begin = MODEL.initial_carry(params, (2,)), 0
        options = dict(width=4, end=1, length_penalty=0.8)
        some, more = (decode.beam(step, params, begin, prime, 12, n_best=n, **options) for n in (1, 4))
        assert some.tokens[..., 0].tolist() == more.tokens[..., 0].tolist()
        assert some.scores[..., 0].tolist() == more.scores[..., 0].tolist()
        assert some.carry[1] <= more.carry[1] <= 12
        sooner += int(some.carry[1] < more.carry[1])
    assert sooner > 0


def test_it_goes_on_while_another_can_still_overtake():
    """An ended hypothesis leads; a live one behind it is certain of all to come, and longer texts are worth more."""
    log = np.log([[0.55, 0.45, 1e-9], [1e-9, 1e-9, 1.0]])

    def step(params, place, token):
        # First 0 (which ends) or 1; then 2, for certain, for ever.
        return place + 1, jnp.where((place == 0)[..., None], log[0], log[1])

    found = decode.beam(step, None, jnp.int32(0), [1], 9, width=2, end=0, length_penalty=1.0)
    assert found.tokens[:, 0].tolist() == [1, 2, 2, 2, 2, 2, 2, 2, 2]
    assert_close(found.scores[0], np.log(0.45) / (14 / 6), 1e-7)
    found = decode.beam(step, None, jnp.int32(0), [1], 9, width=2, end=0, length_penalty=0.0)
    assert found.tokens[:, 0].tolist() == [0] + [-1] * 8 and found.carry == 1, "and stops where none can"


def test_width_1_is_greedy(key):
    """Of logits that differ with row, place and symbol, so that rows end at different places, or do not."""
    rows = 16
    params = jax.random.normal(key, (10, rows, 7, 7), float)
    step = lambda params, place, token: (place + 1, params[place, jnp.arange(rows), token])  # noqa: E731
    carry, prime = jnp.zeros(rows, int), generator(key).integers(0, 7, (2, rows))
    found = decode.beam(step, params, carry, prime, 9, width=1, end=(1, 3))
    carry, tokens, scores = decode.generate(
        step, params, carry, prime, 9, choose=decode.greedy(), end=(1, 3), scores=True
    )
    assert len(set(found.lengths.ravel().tolist())) > 3 and 0 < found.ended.sum() < rows
    assert found.tokens[..., 0].tolist() == tokens.tolist()
    assert found.carry[..., 0].tolist() == carry.tolist() == (found.lengths[:, 0] + 1).tolist()
    assert_close(found.log_probabilities[..., 0], scores.sum(0), tolerance("float64", 9))


def no_repeats(carry, token, written):
    """Not the symbol that was just read, and no end (1) before the third."""
    symbols = as_row(jnp.arange(4, dtype=token.dtype), token[..., None])
    return (symbols != token[..., None]) & ((written >= 2) | (symbols != 1))


STATIC = np.array([True, True, False, True])
ROWS = np.array([[True, True, False, True], [False, True, True, True]])
CONSTRAINTS = {
    "array": (STATIC, lambda prime, b: lambda written: np.flatnonzero(STATIC)),
    "array for each row": (ROWS, lambda prime, b: lambda written: np.flatnonzero(ROWS[b])),
    "function": (
        no_repeats,
        lambda prime, b: (
            lambda written: [s for s in range(4) if s != (*prime, *written)[-1] and (len(written) >= 2 or s != 1)]
        ),
    ),
    "dead ends": (
        lambda carry, token, written: (token != 3)[..., None] & as_row(STATIC, token[..., None]),
        lambda prime, b: lambda written: [] if written and written[-1] == 3 else np.flatnonzero(STATIC),
    ),
}


@pytest.mark.parametrize(("case", "width"), [*[(case, 150) for case in CONSTRAINTS], ("function", 3)])
def test_what_is_forbidden_never_comes(case, width, key):
    """Candidates go and probabilities stay: the search over the texts that are left."""
    allowed, by_hand = CONSTRAINTS[case]
    params, prime, end, alpha = noisy(MODEL, key), np.array([[1, 0], [2, 2]]), (1,), 0.8
    found = search(
        MODEL, params, prime, 4, width=width, end=end, length_penalty=alpha, allowed=allowed, n_best=min(width, 30)
    )
    for b in range(2):
        ahead = reader(MODEL, params, tuple(prime[:, b].tolist()))
        expected = plain_beam(ahead, 4, end, width, alpha, by_hand(prime[:, b].tolist(), b))
        if width == 150:
            every = all_texts(ahead, 4, end, by_hand(prime[:, b].tolist(), b))
            assert sorted(expected) == sorted(every)
        check(found, (b,), expected, end, 4, alpha, ahead)


def test_a_rule_sees_the_carry_that_has_read_the_token(key):
    """The carry is the sum of what was read, and only the symbol after it, modulo 4, is open."""
    step = lambda params, total, token: (total + token, jnp.zeros(4))  # noqa: E731
    rule = lambda total, token, written: jnp.arange(4, dtype=total.dtype) == (total + 1) % 4  # noqa: E731
    found = decode.beam(step, None, jnp.int32(0), [2], 4, width=2, allowed=rule)
    _, tokens = decode.generate(step, None, jnp.int32(0), [2], 4, key=key, allowed=rule)
    assert found.tokens[:, 0].tolist() == tokens.tolist() == [3, 2, 0, 0]


def test_there_may_be_fewer_texts_than_places(key):
    """Those that are not there: no symbols, length 0, score -inf, and behind all others."""
    found = search(MODEL, noisy(MODEL, key), [2], 2, width=9, n_best=9, allowed=jnp.array([True, False, False, True]))
    assert np.isfinite(found.scores).tolist() == [True] * 4 + [False] * 5
    assert (found.tokens[:, 4:] == -1).all() and found.lengths.tolist() == [2] * 4 + [0] * 5
    assert np.isin(found.tokens[:, :4], [0, 3]).all()
    nothing = search(MODEL, noisy(MODEL, key), [2], 5, width=2, allowed=jnp.zeros(4, bool), pad=9)
    assert nothing.scores == -np.inf and nothing.lengths == 0 and (nothing.tokens == 9).all()


def test_equals_stand_in_order():
    """All is equally likely: the first symbols of the first parents, and an ended one where it stood."""
    even = lambda params, carry, token: (carry, jnp.zeros((*token.shape, 4)))  # noqa: E731
    for _ in range(2):
        found = decode.beam(even, None, (), jnp.zeros((1, 2), int), 3, width=6, n_best=6)
        expected = [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 1, 0], [0, 1, 1]]
        assert found.tokens.transpose(1, 2, 0).tolist() == [expected] * 2
    # With the end at 2 a text of one symbol leads (fewer factors), then one of two, then those that go on.
    found = decode.beam(even, None, (), [0], 3, width=4, n_best=4, end=2)
    assert found.tokens.T.tolist() == [[2, -1, -1], [0, 2, -1], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("attention", [None, "bahdanau"])
def test_a_translation_is_the_plain_search_over_apply(attention, key):
    """Step by step from the encoder's state, against logits of whole texts, which teacher forcing gives."""
    model = jaxrnn.models.encoder_decoder(jaxrnn.gru(3), jaxrnn.gru(3), 5, 4, 2, attention=attention)
    params = noisy(model, key)
    source, lengths = generator(key).integers(0, 5, (3, 2)), jnp.array([3, 2])
    found = decode.beam(
        model.step, params, model.encode(params, source, lengths=lengths), jnp.zeros((1, 2), int), 4,
        width=3, n_best=3, end=1, length_penalty=0.6,
    )  # fmt: skip
    logits = jax.jit(lambda targets: model.apply(params, source, targets, lengths=lengths))
    for b in range(2):

        @functools.cache
        def ahead(written, b=b):
            targets = np.zeros((5, 2), int)
            targets[: len(written), b] = written
            here = np.asarray(logits(targets))[len(written), b]
            return (here - np.log(np.exp(here).sum()),)

        check(found, (b,), plain_beam(ahead, 4, (1,), 3, 0.6), (1,), 4, 0.6)


@pytest.mark.parametrize("time_", [3, 2])
def test_leaves_of_the_carry(time_, key):
    """Memory handed on as it came, time first, and a count without batch axes: one for all, also where T is B."""
    k1, k2, k3 = jax.random.split(key, 3)
    params = noisy(MODEL, k1), jax.random.normal(k2, (3, 4), float)
    memory = jax.random.normal(k3, (time_, 2, 3), float)

    def step(params, carry, token):
        # Attention with h over the memory [S, B, H], and a different readout at each step.
        model, readout = params
        inner, memory, count = carry["inner"], carry["memory"], carry["count"]
        inner, logits = MODEL.step(model, inner, token)
        weights = jax.nn.softmax(jnp.einsum("sbh,bh->sb", memory, inner.h), axis=0)
        seen = jnp.einsum("sb,sbh->bh", weights, memory)
        return {"inner": inner, "memory": memory, "count": count + 1}, logits + (1.0 + count.astype(float)) * (
            seen @ readout
        )

    carry = {"inner": MODEL.initial_carry(params[0], (2,)), "memory": memory, "count": jnp.int32(0)}
    found = decode.beam(step, params, carry, [[1, 2], [3, 0]], 5, width=3, n_best=3, end=1, length_penalty=1.0)
    assert found.carry["memory"].shape == memory.shape and found.carry["count"].shape == ()
    assert found.carry["inner"].h.shape == (2, 3, 3)
    for b in range(2):
        prime = [[1, 3], [2, 0]][b]

        def ahead(written, b=b, prime=prime):
            weights, readout = double(params)
            state, initial = LOOPS[MODEL][1], weights["cell"]
            for token in (*prime, *written):
                state, y = reference.lstm(initial, state, weights["embedding"][token])
            attention = np.exp(np.asarray(memory)[:, b] @ y)
            seen = attention @ np.asarray(memory)[:, b] / attention.sum()
            count = len(prime) + len(written)
            logits = y @ weights["readout"] + weights["bias"] + count * (seen @ readout)
            return logits - np.log(np.exp(logits).sum()), state

        check(found, (b,), plain_beam(ahead, 5, (1,), 3, 1.0), (1,), 5, 1.0)


def test_a_leaf_for_all_must_not_depend_on_the_tokens(key):
    def step(params, carry, token):
        return carry + token.sum().astype(carry.dtype), jnp.ones((2, 4), carry.dtype) * carry

    with pytest.raises(ValueError, match=r"^carry: expected the batch axes of prime in front "):
        decode.beam(step, None, jnp.float32(0), [[1, 2]], 3, width=2)


def test_transforms_and_compilations(key):
    """vmap over primes and params, jit, and a new penalty: the same result, one program."""
    params, prime = noisy(MODEL, key), generator(key).integers(0, 4, (5, 2))
    options = dict(width=3, end=1, length_penalty=0.5, n_best=2)
    whole = search(MODEL, params, prime.T, 6, **options)
    beam = functools.partial(search, MODEL, length=6, **options)
    rows = jax.jit(jax.vmap(beam, in_axes=(None, 0)))(params, prime)
    assert rows.tokens.transpose(1, 0, 2).tolist() == whole.tokens.tolist()
    assert_close(rows._replace(tokens=0), whole._replace(tokens=0), tolerance("float64", 8))

    others = [params, noisy(MODEL, jax.random.fold_in(key, 1))]
    stacked = jax.tree.map(lambda *a: jnp.stack(a), *others)
    both = jax.vmap(beam, in_axes=(0, None))(stacked, prime[0])
    for i in range(2):
        assert_close(both.scores[i], search(MODEL, others[i], prime[0], 6, **options).scores, tolerance("float64", 8))

    before = beam_search._beam._cache_size()
    for alpha in 0.1, 0.9:
        search(MODEL, params, prime.T, 7, **options | {"length_penalty": alpha})
    assert beam_search._beam._cache_size() == before + 1


@pytest.mark.usefixtures("float32_only")
def test_half_logits_are_summed_in_float32(key):
    """Where float64 does not exist, and logits come in bfloat16: texts and their exact sums."""
    table = jax.random.normal(key, (4, 4), jnp.bfloat16) * 2
    found = decode.beam(lambda params, carry, token: (carry, table[token]), None, (), [[0, 1]], 5, width=4, n_best=4)
    log = np.asarray(table, np.float64)
    log -= np.log(np.exp(log).sum(-1, keepdims=True))
    assert found.scores.dtype == jnp.float32
    for b, i in np.ndindex(2, 4):
        text = [b, *found.tokens[:, b, i].tolist()]
        total = sum(log[x, y] for x, y in itertools.pairwise(text))
        assert_close(found.scores[b, i], total, tolerance("float32", 5))


def table(params, carry, token):
    return carry, jnp.zeros((*token.shape, 4))


WRONG = {
    "width": ({"width": 0}, ValueError, "width: expected an int of at least 1, got 0"),
    "length": ({"length": 0}, ValueError, "length: expected an int of at least 1, got 0"),
    "n_best": ({"n_best": 0}, ValueError, "n_best: expected an int of at least 1, got 0"),
    "n_best over width": ({"n_best": 4}, ValueError, "n_best: expected at most width=3, got 4"),
    "penalty": ({"length_penalty": -0.5}, ValueError, "length_penalty: expected a number of at least 0, got -0.5"),
    "penalty nan": (
        {"length_penalty": float("nan")},
        ValueError,
        "length_penalty: expected a number of at least 0, got nan",
    ),
    "end text": ({"end": "x"}, ValueError, "end: expected the number of a symbol, or several, or None, got 'x'"),
    "end none": ({"end": ()}, ValueError, "end: expected the number of a symbol, or several, or None, got ()"),
    "end negative": ({"end": -1}, ValueError, "end: expected the number of a symbol, or several, or None, got -1"),
    "end flag": ({"end": True}, ValueError, "end: expected the number of a symbol, or several, or None, got True"),
    "end too high": ({"end": (1, 4)}, ValueError, "end: expected numbers below V=4, got 4"),
    "prime empty": (
        {"prime": np.zeros((0, 2), int)},
        ValueError,
        "prime: expected [P, ...] with at least one token to begin from, got (0, 2)",
    ),
    "prime float": (
        {"prime": np.zeros((1, 2))},
        TypeError,
        "prime: expected [P, ...] of int, symbols numbered from 0, got float64",
    ),
    "allowed of numbers": (
        {"allowed": jnp.ones(4, "int32")},
        ValueError,
        "allowed: expected bool, [V] or [..., V] = (2, 4), True for the symbols that may come next, got int32(4,)",
    ),
    "allowed too short": (
        {"allowed": lambda carry, token, written: jnp.ones(3, bool)},
        ValueError,
        "allowed: expected bool, [V] or [..., V] = (2, 4), True for the symbols that may come next, got bool(3,)",
    ),
    "carry grows": (
        {"step": lambda params, carry, token: ((carry, carry), jnp.zeros((2, 4)))},
        ValueError,
        "step: expected a carry like the one it is given, float32(2, 3), got tuple(0: float32(2, 3), 1: "
        "float32(2, 3)); the batch axes (2,) are those of prime [P, ...]",
    ),
    "carry in another type": (
        {"step": lambda params, carry, token: (carry.astype(float), jnp.zeros((2, 4)))},
        ValueError,
        "step: expected a carry like the one it is given, float32(2, 3), got float64(2, 3); the batch axes (2,) are "
        "those of prime [P, ...]",
    ),
    "logits of other rows": (
        {"step": lambda params, carry, token: (carry, jnp.zeros((3, 4)))},
        ValueError,
        "step: expected logits [..., V] with the batch axes (2,) of prime, got (3, 4)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(case):
    change, error, message = WRONG[case]
    right = {
        "step": table, "params": None, "carry": jnp.zeros((2, 3), "float32"), "prime": [[1, 2]], "length": 3, "width": 3
    }  # fmt: skip
    with pytest.raises(error) as raised:
        decode.beam(**right | change)
    assert str(raised.value) == message
    assert decode.beam(**right).tokens.shape == (3, 2, 1), "and the right call is right"
