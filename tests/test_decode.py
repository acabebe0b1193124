"""Generation against loops in NumPy: what is chosen, how often, and in what order the step sees it."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import decode
from jaxrnn.decode import generation

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
    _, tokens = decode.generate(
        model.step, params, model.initial_carry(params, (5,)), prime, 6, key=key, choose=decode.greedy()
    )
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


def test_generate_wants_a_prime(key):
    with pytest.raises(
        ValueError, match=r"prime: expected \[P, ...\] with at least one token to begin from, got \(0,\)"
    ):
        decode.generate(counting, None, (0, 0), jnp.zeros(0, int), 3, key=key)
