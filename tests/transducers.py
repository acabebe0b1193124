"""Encoder-decoders as loops in NumPy: every row by itself, step by step, attention from the formulas of the papers."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import reference
from support import generator

import jaxrnn
from jaxrnn.models import encoder_decoder

V, W, S, T, B = 7, 6, 5, 4, 3  # symbols of sources and of targets, steps of sources and of targets, rows
LENGTHS, TARGET_LENGTHS = np.array([S, 0, 3]), np.array([2, T, 0])


class Case(NamedTuple):
    """A model, and its parts for the loops: (step, first carry) of each cell; an encoder of two goes both ways."""

    model: Any
    encoder: Any
    decoder: Any


def zeros(*sizes):
    return tuple(np.zeros(size) for size in sizes)


LSTM, GRU = (reference.lstm, zeros(4, 4)), (reference.gru, zeros(4))
BOTH = (reference.elman, zeros(2)), (reference.gru, zeros(3))
both = jaxrnn.bidirectional(jaxrnn.elman(2), jaxrnn.gru(3))
CASES = {
    "one_hot": Case(encoder_decoder(jaxrnn.lstm(4), jaxrnn.lstm(4), V, W, begin=5), (LSTM,), LSTM),
    "bridge": Case(encoder_decoder(jaxrnn.gru(4), jaxrnn.lstm(4), V, W, 3), (GRU,), LSTM),
    "both_ways": Case(encoder_decoder(both, jaxrnn.gru(4), V, W, 3), BOTH, GRU),
    "bahdanau": Case(encoder_decoder(both, jaxrnn.gru(4), V, W, 3, attention="bahdanau"), BOTH, GRU),
    "bahdanau_general": Case(
        encoder_decoder(jaxrnn.lstm(4), jaxrnn.lstm(4), V, W, 3, attention="bahdanau", score="general"), (LSTM,), LSTM
    ),
    "luong": Case(encoder_decoder(both, jaxrnn.gru(4), V, W, 3, attention="luong"), BOTH, GRU),
    "luong_dot": Case(
        encoder_decoder(jaxrnn.lstm(4), jaxrnn.lstm(4), V, W, attention="luong", score="dot"), (LSTM,), LSTM
    ),
    "luong_concat_stack": Case(
        encoder_decoder(
            jaxrnn.gru(4),
            jaxrnn.stack(jaxrnn.gru(3), jaxrnn.elman(4)),
            V,
            W,
            3,
            attention="luong",
            score="concat",
        ),
        (GRU,),
        (reference.stack(reference.gru, reference.elman), {"layer_0": zeros(3), "layer_1": zeros(4)}),
    ),
    "bridge_between_equals": Case(encoder_decoder(jaxrnn.gru(4), jaxrnn.gru(4), V, W, 3, bridge=True), (GRU,), GRU),
}
ATTENTIVE = ["bahdanau", "luong"]


def noisy(model, key, *size):
    """Float64 params without a zero."""
    rng = generator(key)
    init = jax.eval_shape(lambda: model.init(jax.random.key(0), *size))
    return jax.tree.map(lambda p: jnp.asarray(0.5 * rng.standard_normal(p.shape)), init)


def problem(rng):
    """Sources and targets, as they are and with anything past the ends of rows."""
    source, targets = rng.integers(0, V, (S, B)), rng.integers(0, W, (T, B))
    broken = np.where(np.arange(S)[:, None] < LENGTHS, source, -7)
    return source, targets, broken, np.where(np.arange(T)[:, None] < TARGET_LENGTHS, targets, 99)


def leaves(carry):
    """The vectors of a carry, those of dicts in the order of their names."""
    if isinstance(carry, dict):
        return [leaf for name in sorted(carry) for leaf in leaves(carry[name])]
    return list(carry)


def filled(carry, vectors):
    """The carry with these vectors in place of its own, in the same order."""
    if isinstance(carry, dict):
        return {name: filled(carry[name], vectors) for name in sorted(carry)}
    return tuple(vectors.pop(0) for _ in carry)


def encoded(case, params, xs):
    """One row's final carry and ys, xs [S, E]."""
    if len(case.encoder) == 1:
        ((step, carry),), ys = case.encoder, []
        for x in xs:
            carry, y = step(params["encoder"], carry, x)
            ys.append(y)
        return carry, ys
    (step, there), (back_step, back) = case.encoder
    ys, zs = [], []
    for x in xs:
        there, y = step(params["encoder"]["forward"], there, x)
        ys.append(y)
    for x in xs[::-1]:
        back, z = back_step(params["encoder"]["backward"], back, x)
        zs.insert(0, z)
    return {"forward": there, "backward": back}, [np.concatenate(pair) for pair in zip(ys, zs, strict=True)]


def looked(score, params, query, ys):
    """(context, weights) over one row's ys, from the papers."""
    if not ys:
        return 0.0, []
    if score == "dot":
        scores = [query @ y for y in ys]
    elif score == "general":
        scores = [y @ params["kernel"] @ query for y in ys]
    else:
        scores = [params["score"] @ np.tanh(query @ params["query"] + y @ params["kernel"]) for y in ys]
    weights = np.exp(scores) / np.exp(scores).sum()
    return sum(w * y for w, y in zip(weights, ys, strict=True)), weights


def begun(case, params, xs):
    """Encode one row: (the decoder's first carry, ys)."""
    final, ys = encoded(case, params, xs)
    return crossed(case, params, final), ys


def crossed(case, params, final):
    if "bridge" not in params or not params["bridge"]:
        return final
    made = np.tanh(np.concatenate(leaves(final)) @ params["bridge"]["kernel"] + params["bridge"]["bias"])
    sizes = [len(leaf) for leaf in leaves(case.decoder[1])]
    return filled(case.decoder[1], np.split(made, np.cumsum(sizes)[:-1]))


def stepped(case, params, carry, ys, x):
    """One step of one row: (carry, logits, weights)."""
    model, step = case.model, case.decoder[0]
    F = params["attention"]["combine"].shape[0] - 4 if model.attention == "luong" else 0
    weights = []
    if model.attention == "bahdanau":
        context, weights = looked(model.score, params["attention"], np.concatenate(leaves(carry)), ys)
        F = params["readout"].shape[0] - 4
        context = context + np.zeros(F)
        carry, y = step(params["decoder"], carry, np.concatenate([x, context]))
        y = np.concatenate([y, context])
    else:
        carry, y = step(params["decoder"], carry, x)
        if model.attention == "luong":
            context, weights = looked(model.score, params["attention"], y, ys)
            y = np.tanh(np.concatenate([context + np.zeros(F), y]) @ params["attention"]["combine"])
    return carry, y @ params["readout"] + params["bias"], np.concatenate([weights, np.zeros(S - len(weights))])


def tables(params):
    return params["source"].get("embedding", np.eye(V)), params["target"].get("embedding", np.eye(W))


def forced(case, params, source, targets, lengths):
    """Logits [T, B, W] and weights [T, B, S] of teacher forcing, row by row and step by step."""
    from_, to = tables(params)
    logits, weights = np.zeros((T, B, W)), np.zeros((T, B, S))
    for b in range(B):
        carry, ys = begun(case, params, from_[source[: lengths[b], b]])
        for t in range(T):
            symbol = targets[t - 1, b] if t else case.model.begin
            carry, logits[t, b], weights[t, b] = stepped(case, params, carry, ys, to[symbol])
    return logits, weights


def greedy(case, params, source, lengths, length, end):
    """What one row after the other says when it goes on with the likeliest symbol, up to the end symbol."""
    from_, to = tables(params)
    rows = []
    for b in range(B):
        carry, ys = begun(case, params, from_[source[: lengths[b], b]])
        symbol, row = case.model.begin, []
        while len(row) < length:
            carry, logits, _ = stepped(case, params, carry, ys, to[symbol])
            symbol = int(logits.argmax())
            if symbol == end:
                break
            row.append(symbol)
        rows.append(row)
    return rows
