"""What an encoder-decoder refuses, and in which words."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from transducers import LENGTHS, B, S, T, V, W

import jaxrnn
from jaxrnn.models import encoder_decoder

GRU, BOTH = jaxrnn.gru(4), jaxrnn.bidirectional(jaxrnn.gru(4), jaxrnn.gru(4))


def run(source=None, targets=None, model=None, method="apply", **options):
    model = encoder_decoder(GRU, GRU, V, W) if model is None else model
    fine = np.zeros((S, B), int) if source is None else source, np.zeros((T, B), int) if targets is None else targets
    return getattr(model, method)(model.init(jax.random.key(0)), *fine, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: encoder_decoder("gru", GRU, V, W),
            TypeError,
            "encoder: expected a cell such as jaxrnn.lstm(256), or None, got 'gru'",
        ),
        (
            lambda: encoder_decoder(GRU, None, V, W),
            TypeError,
            "decoder: expected a cell such as jaxrnn.lstm(256), got None",
        ),
        (
            lambda: encoder_decoder(GRU, GRU, 0, W),
            ValueError,
            "source_vocabulary_size: expected an int of at least 1, got 0",
        ),
        (
            lambda: encoder_decoder(GRU, GRU, V, W, attention="self"),
            ValueError,
            "attention: expected bahdanau or luong, or None, got 'self'",
        ),
        (
            lambda: encoder_decoder(None, GRU, V, W, attention="luong"),
            ValueError,
            "attention: expected an encoder, or None, got 'luong'",
        ),
        (
            lambda: encoder_decoder(GRU, GRU, V, W, score="dot"),
            ValueError,
            "score: expected one of dot, general, concat, with attention, got 'dot'",
        ),
        (
            lambda: encoder_decoder(BOTH, GRU, V, W, attention="luong", score="dot").init(jax.random.key(0)),
            ValueError,
            "score: expected 'general' or 'concat' for queries of size 4 and a memory of size 8, got 'dot', which "
            "wants one size",
        ),
        (
            lambda: encoder_decoder(GRU, GRU, V, W, begin=W),
            ValueError,
            "begin: expected a symbol, 0 to 5, got 6",
        ),
        (
            lambda: encoder_decoder(GRU, GRU, V, W, embedding_dropout=0.5),
            ValueError,
            "embedding_size: expected a size with embedding_dropout, got None: one-hot inputs have no embedding",
        ),
        (
            lambda: encoder_decoder(GRU, BOTH, V, W).init(jax.random.key(0)),
            TypeError,
            "step: gru(4) runs backwards, as a part of bidirectional(gru(4), gru(4)): that needs the whole sequence; "
            "use jaxrnn.unroll, or a composition that only looks back",
        ),
        (
            lambda: encoder_decoder(GRU, GRU, None, W).init(jax.random.key(0)),
            ValueError,
            "input_size: expected an int of at least 1, got None",
        ),
        (lambda: run(np.full((S, B), V)), ValueError, "source: expected numbers below V=7, got 7 at (0, 0)"),
        (
            lambda: run(targets=np.full((T, B), -1)),
            ValueError,
            "targets: expected numbers below V=6, got -1 at (0, 0)",
        ),
        (
            lambda: run(targets=np.zeros((B, T), int)),
            ValueError,
            "targets: expected [T, ...] with the batch axes of source, (3,), got (3, 4)",
        ),
        (
            lambda: run(target_lengths=np.array([1, 2])),
            ValueError,
            "target_lengths: expected [...] = (3,), got (2,)",
        ),
        (
            lambda: run(weights=np.ones(B), method="loss"),
            ValueError,
            "weights: expected [T, ...] = (4, 3), as targets, got (3,)",
        ),
        (
            lambda: run(feedback=1.5, key=jax.random.key(0)),
            ValueError,
            "feedback: expected a probability, 0 <= feedback <= 1, got 1.5",
        ),
        (
            lambda: run(feedback=0.5),
            ValueError,
            "key: expected one with feedback, whose symbols are drawn, got None",
        ),
        (
            lambda: run(method="attention_weights"),
            TypeError,
            "attention_weights: expected a model with attention, got encoder_decoder(gru(4), gru(4), 7, 6)",
        ),
        (
            lambda: run(np.zeros(B, int), model=encoder_decoder(None, GRU, V, W), lengths=LENGTHS),
            TypeError,
            "lengths: expected none of these without an encoder, which they are for",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message
