"""Generation against loops in NumPy: what is chosen, how often, and in what order the step sees it."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, tolerance

import jaxrnn
from jaxrnn import decode
from jaxrnn.decode import _generation as generation

V = 7


def allowed(logits, temperature=1.0, top_k=None, top_p=None):
    """The distribution that sampling is to draw from, symbol by symbol."""
    p = np.exp(np.asarray(logits, np.float64) / temperature)
    p /= p.sum()
    ranked = sorted(range(len(p)), key=lambda s: -p[s])
    if top_k is not None:
        for s in ranked[top_k:]:
            p[s] = 0
        p /= p.sum()
    if top_p is not None:
        total, kept = 0.0, set()
        for s in ranked:
            if total >= top_p:
                break
            kept.add(s)
            total += p[s]
        p = np.array([q if s in kept else 0.0 for s, q in enumerate(p)])
        p /= p.sum()
    return p


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 0.5}, {"temperature": 2.0, "top_k": 3}, {"top_p": 0.6}, {"top_k": 4, "top_p": 0.7},
     {"top_p": 0.01}, {"top_k": 100, "top_p": 1.0}],
)  # fmt: skip
def test_sampling_draws_from_the_distribution(options, key, rng):
    """Pearson's chi-square over the symbols; what has no probability never comes."""
    logits = rng.permutation(np.linspace(-1.5, 1.5, V))
    draws = 20_000
    choose = decode.sampling(**options)
    seen = np.bincount(jax.vmap(lambda k: choose(k, jnp.asarray(logits)))(jax.random.split(key, draws)), minlength=V)
    expected = allowed(logits, **options)
    assert (seen[expected == 0] == 0).all()
    there = expected > 0
    chi2 = ((seen - draws * expected)[there] ** 2 / (draws * expected[there])).sum()
    freedom = there.sum() - 1
    # Mean `freedom`, variance 2 freedom; six deviations (a test in a billion, and its key is fixed).
    assert chi2 <= freedom + 6 * np.sqrt(2 * freedom) + 1e-9
    assert draws * expected[there].min() > 20, "too few expected for the chi-square to hold"


def test_greedy_takes_the_likeliest(key, rng):
    logits = rng.standard_normal((3, V))
    for choose in decode.greedy(), decode.sampling(0), decode.sampling(top_k=1):
        assert choose(key, jnp.asarray(logits)).tolist() == logits.argmax(-1).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature: expected a number of at least 0, got -1.0"),
        ({"temperature": float("nan")}, "temperature: expected a number of at least 0, got nan"),
        ({"top_k": 0}, "top_k: expected an int of at least 1, or None, got 0"),
        ({"top_p": 0.0}, "top_p: expected a probability above 0, or None, got 0.0"),
        ({"top_p": 1.5}, "top_p: expected a probability above 0, or None, got 1.5"),
    ],
)
def test_sampling_refuses(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        decode.sampling(**options)


def counting(params, carry, token):
    """A step in which the next symbol is (sum of all so far + its place) mod V, for certain."""
    carry = (carry[0] + token, carry[1] + 1)
    return carry, jax.nn.one_hot((carry[0] + carry[1]) % V, V) * 100.0


def by_hand(prime, length):
    total, written, place = 0, [], 0
    for token in prime:
        total, place = total + token, place + 1
    for _ in range(length):
        token = (total + place) % V
        written.append(token)
        total, place = total + token, place + 1
    return written


@pytest.mark.parametrize("prime", [[3], [1, 6, 2, 5]])
@pytest.mark.parametrize("choose", [decode.greedy(), decode.sampling()])
def test_generate_reads_then_writes(prime, choose, key):
    zero = (jnp.int32(0), jnp.int32(0))
    carry, tokens = decode.generate(counting, None, zero, jnp.array(prime), 9, key=key, choose=choose)
    assert tokens.tolist() == by_hand(prime, 9)
    assert carry[0] == sum(prime) + sum(by_hand(prime, 9)[:-1]) and carry[1] == len(prime) + 8
    _, more = decode.generate(counting, None, carry, tokens[-1:], 5, key=key, choose=choose)
    assert tokens.tolist() + more.tolist() == by_hand(prime, 14)


def test_stream_hands_over_the_same_text_in_pieces(key):
    zero = (jnp.int32(0), jnp.int32(0))
    pieces = list(decode.stream(counting, None, zero, jnp.array([1, 6]), 21, key=key, block=8))
    assert [len(p) for p in pieces] == [8, 8, 5]
    assert np.concatenate(pieces).tolist() == by_hand([1, 6], 21)


def test_generate_with_a_model_equals_its_steps(key):
    """Many rows at once, greedy, against calling the model step by step from Python."""
    model = jaxrnn.models.language_model(jaxrnn.lstm(8), V, 4)
    params = model.init(key)
    prime = jax.random.randint(key, (3, 5), 0, V)
    _, tokens = decode.generate(model.step, params, model.initial_carry(params, (5,)), prime, 6, choose=decode.greedy())
    carry, written = model.initial_carry(params, (5,)), []
    for token in prime:
        carry, logits = model.step(params, carry, token)
    for _ in range(6):
        written.append(np.asarray(logits).argmax(-1))
        carry, logits = model.step(params, carry, jnp.asarray(written[-1]))
    assert np.array_equal(tokens, written)


def test_one_seed_one_text_and_one_compilation(key):
    model = jaxrnn.models.language_model(jaxrnn.elman(8), V)
    params = model.init(key)
    carry = model.initial_carry(params)
    step = model.step
    before = generation._generate._cache_size()
    texts = [
        decode.generate(step, params, carry, jnp.array([1]), 40, key=jax.random.key(seed), choose=decode.sampling(0.9))[
            1
        ]
        for seed in (1, 1, 2)
    ]
    assert texts[0].tolist() == texts[1].tolist() != texts[2].tolist()
    assert generation._generate._cache_size() == before + 1


def counted(params, carry, token):
    """Logits that favour the symbol whose turn it is: 0, 1, 2, ..."""
    return carry + 1, jnp.broadcast_to(jax.nn.one_hot(carry % V, V), (*token.shape, V))


@pytest.mark.parametrize("write", ["generate", "stream"])
def test_a_key_is_wanted_by_what_draws_alone(write, key):
    """Without one: greedily the same symbols; one's own chooser is given None; what draws says so, as it is traced."""

    def text(**options):
        if write == "generate":
            return decode.generate(counted, None, jnp.int32(0), [[2, 5]], 10, **options)[1].tolist()
        pieces = decode.stream(counted, None, jnp.int32(0), [[2, 5]], 10, block=4, **options)
        return np.concatenate(list(pieces)).tolist()

    in_turn = [[t % V] * 2 for t in range(10)]
    assert text(choose=decode.greedy()) == in_turn == text(choose=decode.greedy(), key=key)
    assert text(choose=decode.sampling(0)) == in_turn
    given = []

    def least(key, logits):
        given.append(key)
        return jnp.argmin(logits, -1).astype(jnp.int32)

    last = [[0 if t % V else 1] * 2 for t in range(10)]
    assert text(choose=least) == last and given and all(k is None for k in given)
    given.clear()
    assert text(choose=least, key=key) == last and given and all(k.dtype == key.dtype for k in given)

    for options in {}, {"choose": decode.sampling(top_k=2)}, {"choose": decode.sampling(0.7, top_p=0.9)}:
        with pytest.raises(TypeError) as raised:
            jax.eval_shape(lambda o=options: decode.generate(counted, None, jnp.int32(0), [2], 3, **o))
        assert str(raised.value) == (
            "key: expected one jax.random.key(seed) for a chooser that draws, got None; pass key=jax.random.key(seed), "
            "or choose=decode.greedy()"
        )
        with pytest.raises(TypeError, match=r"^key: expected one"):
            text(**options)
    with pytest.raises(TypeError, match=r"^key: expected one jax.random.key\(seed\), got int 3$"):
        text(key=3)


def test_generate_wants_a_prime(key):
    with pytest.raises(
        ValueError, match=r"prime: expected \[P, ...\] with at least one token to begin from, got \(0,\)"
    ):
        decode.generate(counting, None, (0, 0), jnp.zeros(0, int), 3, key=key)


def rows_step(params, carry, token):
    """Logits of each place, row and symbol by themselves; the carry is the sum of what was read, and a common count."""
    total, count = carry
    return (total + token, count + 1), params[count, jnp.arange(token.shape[0]), token]


def rows_by_hand(params, prime, length, end, allowed=lambda row, token, written: range(V)):
    """Greedy, row by row: tokens with -1 past the end, their log-probabilities, what each row has read."""
    params = np.asarray(params)
    log = params - np.log(np.exp(params).sum(-1, keepdims=True))
    tokens = np.full((length, prime.shape[1]), -1)
    scores = np.zeros(tokens.shape)
    totals = prime.sum(0)
    for row in range(prime.shape[1]):
        token = prime[-1, row]
        for t in range(length):
            open_ = list(allowed(row, token, t))
            if not open_:
                break
            here = log[len(prime) - 1 + t, row, token]
            token = max(open_, key=lambda s: here[s])
            tokens[t, row], scores[t, row] = token, here[token]
            if token in end:
                break
            if t + 1 < length:
                totals[row] += token
    return tokens, scores, totals


def twins(row, token, written):
    """Which symbols may follow, as a list: none after 2, no 4 in row 0, no 6 among the first three."""
    return [s for s in range(V) if token != 2 and (row, s) != (0, 4) and (s != 6 or written >= 3)]


def twins_mask(carry, token, written):
    symbols, row = jnp.arange(V)[None], jnp.arange(token.shape[0])[:, None]
    return (token[:, None] != 2) & ((row != 0) | (symbols != 4)) & ((symbols != 6) | (written >= 3))


@pytest.mark.parametrize("end", [None, 3, (3, 5)])
@pytest.mark.parametrize("limited", [False, True])
def test_rows_end_by_themselves(end, limited, key):
    """Symbols, scores and carries against a loop for each row; what is written is free of what is forbidden."""
    k1, k2 = jax.random.split(key)
    params = 2 * jax.random.normal(k1, (12, 20, V, V), float)
    prime = jax.random.randint(k2, (2, 20), 3, V)
    limits = (twins, twins_mask) if limited else (lambda row, token, written: range(V), None)
    carry = jnp.zeros(20, "int32"), 0
    (total, count), tokens, scores = decode.generate(
        rows_step, params, carry, prime, 10, choose=decode.greedy(), end=end, allowed=limits[1], scores=True
    )
    ended = () if end is None else np.atleast_1d(end)
    expected = rows_by_hand(params, np.array(prime), 10, ended, limits[0])
    assert np.array_equal(tokens, expected[0])
    assert_close(scores, expected[1], tolerance("float64", 10))
    assert count == 11
    # Also a row that a dead end has closed has read its last symbol.
    assert np.array_equal(total, expected[2])
    lengths = (expected[0] >= 0).sum(0)
    assert len(set(lengths.tolist())) > 3 or (end is None and not limited)


def test_a_fixed_mask_and_sampling(key):
    """Drawn symbols are of those allowed, all of them come, and their scores are the model's, not those of the draw."""
    logits = jax.random.normal(key, (V,), float)
    mask = jnp.array([True, False, True, False, True, True, False])
    step = lambda params, carry, token: (carry, jnp.broadcast_to(logits, (*token.shape, V)))  # noqa: E731
    _, tokens, scores = decode.generate(
        step, None, (), jnp.zeros((1, 50), int), 20, key=key, choose=decode.sampling(3.0), allowed=mask, scores=True
    )
    assert set(tokens.ravel().tolist()) == {0, 2, 4, 5}
    log = np.asarray(logits) - np.log(np.exp(np.asarray(logits)).sum())
    assert_close(scores, log[tokens], tolerance("float64", 1))


def test_stream_stops_at_the_end(key):
    """Rows that end in different blocks: what `generate` writes in one go, and no block after the last row's end."""
    k1, k2 = jax.random.split(key)
    params = jax.random.normal(k1, (60, 4, V, V), float)
    prime = jax.random.randint(k2, (1, 4), 0, V)
    # The end may not come before the 3rd, 8th, 13th, 18th symbol.
    late = lambda carry, token, written: (jnp.arange(V)[None] != 3) | (written >= jnp.int32([[2], [7], [12], [17]]))  # noqa: E731
    options = dict(choose=decode.greedy(), end=3, pad=9, allowed=late)
    carry = jnp.zeros(4, "int32"), jnp.int32(0)
    _, whole = decode.generate(rows_step, params, carry, prime, 50, **options)
    pieces = list(decode.stream(rows_step, params, carry, prime, 50, block=2, **options))
    written = np.concatenate(pieces)
    last = int((np.asarray(whole) != 9).sum(0).max())
    assert 17 < last < 50 and len(written) == -(-last // 2) * 2
    assert np.array_equal(written, whole[: len(written)]) and (whole[len(written) :] == 9).all()


def test_text_from_a_vector(key):
    """One to many: the vector makes the carry, or is read at every step from a part of the carry that stays."""
    k1, k2, k3 = jax.random.split(key, 3)
    cell = jaxrnn.gru(6)
    params = {
        "cell": cell.init(k1, V + 2),
        "start": jax.random.normal(k2, (2, 6), "float32"),
        "readout": jax.random.normal(k3, (6, V), "float32"),
    }
    vector = jnp.array([[1.0, -0.5], [-2.0, 0.3], [0.4, 0.9]], "float32")

    def step(params, carry, token):
        vector, inner = carry
        x = jnp.concatenate([jax.nn.one_hot(token, V, dtype="float32"), vector], -1)
        inner, y = cell.step(params["cell"], inner, x)
        return (vector, inner), y @ params["readout"]

    begin = vector, type(cell.initial_carry(params["cell"]))(jnp.tanh(vector @ params["start"]))
    prime = jnp.zeros((1, 3), int)
    (kept, _), tokens = decode.generate(step, params, begin, prime, 7, choose=decode.greedy())
    best = decode.beam(step, params, begin, prime, 7, width=1)
    assert np.array_equal(kept, vector) and np.array_equal(best.carry[0], vector)
    assert np.array_equal(best.tokens[..., 0], tokens)
    carry, token, one = begin, prime[0], jax.jit(step)
    for t in range(7):
        carry, logits = one(params, carry, token)
        token = np.asarray(logits).argmax(-1)
        assert tokens[t].tolist() == token.tolist()
    assert len({tuple(text) for text in tokens.T.tolist()}) > 1, "each vector its own text"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"end": 7}, "end: expected numbers below V=7, got 7"),
        ({"end": "7"}, "end: expected the number of a symbol, or several, or None, got '7'"),
        (
            {"allowed": jnp.ones(3, bool)},
            "allowed: expected bool, [V] or [..., V] = (7,), True for the symbols that may come next, got bool(3,)",
        ),
    ],
)
def test_generate_refuses(options, message, key):
    with pytest.raises(ValueError, match=r"expected") as raised:
        decode.generate(counting, None, (jnp.int32(0), jnp.int32(0)), [1], 3, key=key, **options)
    assert str(raised.value) == message


@pytest.mark.parametrize("temperature", [1e30, float("inf")])
def test_at_any_temperature_what_is_forbidden_is_not_written(temperature, key):
    """Infinitely hot all that is allowed is equally likely, and nothing else comes."""
    logits = jnp.array([3.0, -jnp.inf, -2.0, 0.5, -jnp.inf])
    drawn = jax.vmap(lambda k: decode.sampling(temperature)(k, logits))(jax.random.split(key, 3000))
    counts = np.bincount(drawn, minlength=5)
    assert counts[1] == counts[4] == 0 and counts.sum() == 3000
    assert (np.abs(counts[[0, 2, 3]] - 1000) < 5 * np.sqrt(3000 * 2 / 9)).all()
