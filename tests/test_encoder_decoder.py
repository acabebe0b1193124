"""The encoder-decoder against loops in NumPy and gradients of PyTorch; its ways to be run against one another."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import assert_close, generator, tolerance

import jaxrnn
from jaxrnn import decode
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


@pytest.mark.parametrize("name", CASES)
def test_against_loops(name, key, rng):
    """Logits, weights of attention, steps one by one, the loss and what it counts; padding holds anything."""
    case = CASES[name]
    model = case.model
    params = noisy(model, key)
    source, targets, broken, broken_targets = problem(rng)
    tol = tolerance(float, S + T)
    numpy = jax.tree.map(np.asarray, params)
    logits, looks = forced(case, numpy, source, targets, LENGTHS)
    apply = jax.jit(functools.partial(model.apply, params))
    assert_close(apply(broken, targets, lengths=LENGTHS), logits, tol)

    @jax.jit
    def one_by_one():
        read = jnp.concatenate([jnp.full((1, B), model.begin), targets[:-1]])
        first = model.encode(params, broken, lengths=LENGTHS)
        return jax.lax.scan(lambda state, token: model.step(params, state, token), first, read)[1]

    assert_close(one_by_one(), logits, tol)
    if model.attention is not None:
        weights = jax.jit(functools.partial(model.attention_weights, params))(broken, targets, lengths=LENGTHS)
        assert_close(weights, looks, tol)
        assert (np.asarray(weights)[looks == 0] == 0).all() and (looks == 0).any()

    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    nats = -np.log(np.take_along_axis(p, targets[..., None], -1)[..., 0])
    count = rng.random((T, B)) * (np.arange(T)[:, None] < TARGET_LENGTHS)
    loss = jax.jit(functools.partial(model.loss, params))(
        broken, broken_targets, lengths=LENGTHS, target_lengths=TARGET_LENGTHS, weights=count
    )
    assert_close(loss, np.float64((nats * count).sum() / count.sum()), tol)


@pytest.mark.parametrize("name", ["bridge", *ATTENTIVE])
def test_translate_is_greedy(name, key, rng):
    """Row by row until the end symbol, beside a loop and beside `decode.generate`, which knows no end."""
    case = CASES[name]
    model, length = case.model, 9
    params = noisy(model, key)
    source, _, broken, _ = problem(rng)
    rows = greedy(case, jax.tree.map(np.asarray, params), source, LENGTHS, length, None)
    end = rows[0][-1]
    cut = [row[: row.index(end)] if end in row else row for row in rows]
    translate = jax.jit(model.translate, static_argnames=("length", "end"))
    tokens, lengths = translate(params, broken, length, lengths=LENGTHS)
    assert np.asarray(tokens).T.tolist() == rows and (lengths == length).all()
    tokens, lengths = translate(params, broken, length, end=end, lengths=LENGTHS)
    assert np.asarray(lengths).tolist() == [len(row) for row in cut] and min(lengths) < length
    assert np.asarray(tokens).T.tolist() == [row + [end] * (length - len(row)) for row in cut]
    first = jax.jit(model.encode)(params, broken, lengths=LENGTHS)
    prime = np.full((1, B), model.begin)
    _, said = decode.generate(model.step, params, first, prime, length, key=key, choose=decode.greedy())
    assert np.asarray(said).T.tolist() == rows


@pytest.mark.parametrize("name", ATTENTIVE)
def test_gradients_are_those_of_pytorch(name, key, rng):
    """The same loss written out in PyTorch, from a GRU that is PyTorch's own; every parameter, past no row's end."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = encoder_decoder(jaxrnn.gru(4), jaxrnn.gru(4), V, W, 3, attention=name)
    params = noisy(model, key)
    source, targets, broken, broken_targets = problem(rng)
    loss = functools.partial(model.loss, lengths=LENGTHS, target_lengths=TARGET_LENGTHS)
    value, grads = jax.jit(jax.value_and_grad(loss))(params, broken, broken_targets)

    theirs = jax.tree.map(lambda a: torch.tensor(np.asarray(a), requires_grad=True), params)

    def cell(p, h, x):
        return torch._VF.gru_cell(
            x[None], h[None], p["kernel"].T, p["recurrent_kernel"].T, p["bias"], p["recurrent_bias"]
        )[0]

    def look(query, ys):
        if not ys:
            return torch.zeros(4, dtype=torch.float64)
        ys, p = torch.stack(ys), theirs["attention"]
        if name == "bahdanau":
            scores = torch.tanh(query @ p["query"] + ys @ p["kernel"]) @ p["score"]
        else:
            scores = ys @ p["kernel"] @ query
        return torch.softmax(scores, 0) @ ys

    nats = []
    for b in range(B):
        h, ys = torch.zeros(4, dtype=torch.float64), []
        for s in range(LENGTHS[b]):
            h = cell(theirs["encoder"], h, theirs["source"]["embedding"][source[s, b]])
            ys.append(h)
        for t in range(TARGET_LENGTHS[b]):
            x = theirs["target"]["embedding"][targets[t - 1, b] if t else 0]
            if name == "bahdanau":
                context = look(h, ys)
                h = cell(theirs["decoder"], h, torch.cat([x, context]))
                y = torch.cat([h, context])
            else:
                h = cell(theirs["decoder"], h, x)
                y = torch.tanh(torch.cat([look(h, ys), h]) @ theirs["attention"]["combine"])
            nats.append(torch.nn.functional.cross_entropy(
                (y @ theirs["readout"] + theirs["bias"])[None], torch.tensor([targets[t, b]])
            ))  # fmt: skip
    total = torch.stack(nats).mean()
    total.backward()
    tol = tolerance(float, S + T)
    assert_close(value, total.detach().numpy(), tol)
    assert_close(grads, jax.tree.map(lambda a: a.grad.numpy(), theirs), tol)
    assert all((g != 0).any() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("name", ["both_ways", "bahdanau"])
def test_padding_reaches_no_gradient(name, key, rng):
    """What stands past the ends changes neither the loss nor a gradient, to the bit."""
    model = CASES[name].model
    params = noisy(model, key)
    source, targets, broken, broken_targets = problem(rng)
    loss = functools.partial(model.loss, lengths=LENGTHS, target_lengths=TARGET_LENGTHS)
    run = jax.jit(jax.value_and_grad(loss))
    assert_close(run(params, broken, broken_targets), run(params, source, targets), 0.0)


def test_features_that_are_not_numbers_stay_in_the_padding(key, rng):
    """A source of features, with NaN past the ends."""
    model = encoder_decoder(jaxrnn.gru(4), jaxrnn.gru(4), None, W, attention="bahdanau")
    params = noisy(model, key, 2)
    source, targets = rng.standard_normal((S, B, 2)), rng.integers(0, W, (T, B))
    broken = np.where(np.arange(S)[:, None, None] < LENGTHS[:, None], source, np.nan)
    run = jax.jit(jax.value_and_grad(functools.partial(model.loss, lengths=LENGTHS)))
    assert_close(run(params, broken, targets), run(params, source, targets), 0.0)


@pytest.mark.parametrize("name", ["bridge", "bahdanau"])
def test_feedback_of_0_is_teacher_forcing_and_of_1_is_none(name, key, rng):
    """At 1 the model reads what it says itself; so sure of each symbol that no draw can be another."""
    model = CASES[name].model
    params = noisy(model, key)
    sure = {**params, "readout": 1e6 * params["readout"], "bias": 1e6 * params["bias"]}
    source, targets, *_ = problem(rng)
    apply = jax.jit(model.apply)
    forced = apply(params, source, targets, lengths=LENGTHS)
    assert_close(apply(params, source, targets, lengths=LENGTHS, key=key, feedback=0.0), forced, tolerance(float, T))
    said, _ = jax.jit(model.translate, static_argnums=2)(sure, source, T, lengths=LENGTHS)
    free = apply(sure, source, targets, lengths=LENGTHS, key=key, feedback=1.0)
    own = apply(sure, source, said, lengths=LENGTHS)
    gap = np.diff(np.sort(own, -1)[..., -2:])
    assert gap.min() > 50, "a draw might be another symbol than the likeliest"
    assert (np.asarray(said)[:-1] != targets[:-1]).any()
    assert_close(free, own, tolerance(float, T))


def test_feedback_is_drawn_as_often_as_asked(key, rng):
    """4,000 rows that are all alike, but for what is drawn: who read its own symbol, and which."""
    rows, feedback = 4000, 0.3
    model = encoder_decoder(jaxrnn.elman(4), jaxrnn.elman(4), V, W, 3)
    params = noisy(model, key)
    source, targets = np.tile(rng.integers(0, V, (S, 1)), (1, rows)), np.full((2, rows), 2)
    logits = np.asarray(jax.jit(model.apply)(params, source, targets, key=key, feedback=feedback))
    step = jax.jit(model.step)
    state, first = step(params, jax.jit(model.encode)(params, source[:, 0]), 0)
    after = np.stack([step(params, state, symbol)[1] for symbol in range(W)])
    assert_close(logits[0], np.tile(first, (rows, 1)), tolerance(float, S))
    read = np.abs(logits[1][:, None] - after).max(-1).argmin(-1)
    assert_close(logits[1], after[read], tolerance(float, S))
    p = feedback * np.exp(first) / np.exp(first).sum() + (1 - feedback) * (np.arange(W) == 2)
    seen = np.bincount(read, minlength=W)
    assert rows * p.min() > 20, "too few expected for the chi-square to hold"
    chi2 = ((seen - rows * p) ** 2 / (rows * p)).sum()
    # Mean W - 1, variance 2 (W - 1); six deviations (a test in a billion, and its key is fixed).
    assert chi2 <= W - 1 + 6 * np.sqrt(2 * (W - 1))


@pytest.mark.parametrize(
    ("where", "attention"),
    [("encoder", None), ("decoder", None), ("decoder", "bahdanau"), ("embedding", None), ("embedding", "bahdanau")],
)
def test_noise_comes_with_a_key(where, attention, key, rng):
    """From the encoder, the decoder and the embeddings alike; another key, other noise; no key, none."""
    encoder = jaxrnn.gru(4) if where != "encoder" else jaxrnn.dropout(jaxrnn.gru(4), input=0.5, output=0.5)
    decoder = jaxrnn.gru(4) if where != "decoder" else jaxrnn.dropout(jaxrnn.gru(4), output=0.5)
    rate = 0.5 if where == "embedding" else 0.0
    model = encoder_decoder(encoder, decoder, V, W, 3, attention=attention, embedding_dropout=rate)
    plain = encoder_decoder(jaxrnn.gru(4), jaxrnn.gru(4), V, W, 3, attention=attention)
    params = noisy(model, key)
    source, targets, *_ = problem(rng)
    apply = jax.jit(functools.partial(model.apply, params, source, targets))
    k1, k2 = jax.random.split(key)
    assert_close(apply(), jax.jit(plain.apply)(params, source, targets), tolerance(float, S + T))
    assert (apply(key=k1) == apply(key=k1)).all()
    assert (apply(key=k1) != apply()).any() and (apply(key=k1) != apply(key=k2)).any()


def test_embedding_dropout_takes_a_symbol_away_wherever_it_is(key, rng):
    """Of the decoder's symbols: one that is absent tells the same as any other absent one."""
    model = encoder_decoder(None, jaxrnn.elman(4), None, W, 3, embedding_dropout=0.5)
    params = noisy(model, key, 2)
    vector, targets = rng.standard_normal((W, 2)), np.stack([np.arange(W)] * 2)
    same = np.broadcast_to(vector[0], vector.shape)  # rows differ in the symbol they read at the second step only
    second = np.asarray(jax.jit(model.apply)(params, jnp.asarray(same), targets, key=key))[1]
    alike = (np.abs(second[:, None] - second).max(-1) == 0).sum(-1)
    assert 1 < alike.max() < W and (alike[alike != alike.max()] == 1).all()


@pytest.mark.parametrize("kind", ["vector", "symbol"])
def test_one_to_many(kind, key, rng):
    """Without an encoder the source starts the decoder through the bridge."""
    model = encoder_decoder(None, jaxrnn.lstm(4), None if kind == "vector" else V, W, 3)
    case = Case(model, None, LSTM)
    params = noisy(model, key, *([2] if kind == "vector" else []))
    source = rng.standard_normal((B, 2)) if kind == "vector" else rng.integers(0, V, B)
    targets, numpy = rng.integers(0, W, (T, B)), jax.tree.map(np.asarray, params)
    logits = np.zeros((T, B, W))
    for b in range(B):
        vector = source[b] if kind == "vector" else numpy["source"]["embedding"][source[b]]
        carry = crossed(case, numpy, (vector,))
        for t in range(T):
            x = numpy["target"]["embedding"][targets[t - 1, b] if t else 0]
            carry, logits[t, b], _ = stepped(case, numpy, carry, [], x)
    assert_close(jax.jit(model.apply)(params, source, targets), logits, tolerance(float, T))
    tokens, _ = jax.jit(model.translate, static_argnums=2)(params, source, T)
    assert (tokens[0] == logits[0].argmax(-1)).all() and tokens.shape == (T, B)


@pytest.mark.parametrize(("name", "batch"), [("bahdanau", ()), ("luong", (2, 3))])
def test_any_batch_axes(name, batch, key, rng):
    """Each row as it is among others in one axis."""
    model = CASES[name].model
    params = noisy(model, key)
    source, targets = rng.integers(0, V, (S, *batch)), rng.integers(0, W, (T, *batch))
    apply, translate = jax.jit(model.apply), jax.jit(model.translate, static_argnums=2)
    flat, said = (f(params, source.reshape(S, -1), a) for f, a in ((apply, targets.reshape(T, -1)), (translate, 2)))
    assert_close(apply(params, source, targets), flat.reshape(T, *batch, W), tolerance(float, S + T))
    assert (translate(params, source, 2)[0] == said[0].reshape(2, *batch)).all()


@pytest.mark.parametrize("name", ATTENTIVE)
@pytest.mark.usefixtures("float32_only")
def test_half_types(name, key):
    """Params and logits are in float32 where cells compute in bfloat16, and the memory is in bfloat16."""
    cell = jaxrnn.gru(4, dtype="bfloat16")
    model = encoder_decoder(cell, cell, V, W, 3, attention=name)
    params = model.init(key)
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float32"}
    source, targets = np.zeros((S, B), int), np.zeros((T, B), int)
    assert jax.eval_shape(model.encode, params, source).memory.values.dtype == jnp.bfloat16
    loss, grads = jax.jit(jax.value_and_grad(model.loss))(params, source, targets)
    assert loss.dtype == jnp.float32 and all(jnp.isfinite(g).all() for g in jax.tree.leaves((loss, grads)))


def test_a_count_of_steps_begins_anew(key, rng):
    """Of a decoder's carry the bridge makes what is a real number; what counts begins as it does."""
    cell = jaxrnn.elman(4)

    def step(params, carry, x):
        inner, y = cell.step(params, carry["inner"], x)
        return {"inner": inner, "count": carry["count"] + 1}, y

    counting = jaxrnn.Cell(
        cell.init, lambda p: {"inner": cell.start(p), "count": jnp.int32(7)}, cell.input, plain_step=step
    )
    model = encoder_decoder(counting, counting, V, W, bridge=True)
    state = jax.jit(model.encode)(noisy(model, key), rng.integers(0, V, (S, B)))
    assert state.carry["count"].tolist() == [7] * B


@pytest.mark.parametrize("name", CASES)
def test_a_model_is_saved_as_its_call(name):
    model = CASES[name].model
    assert jaxrnn.from_config(jaxrnn.to_config(model)) == model


GRU_, BOTH_ = jaxrnn.gru(4), jaxrnn.bidirectional(jaxrnn.gru(4), jaxrnn.gru(4))


def run(source=None, targets=None, model=None, method="apply", **options):
    model = encoder_decoder(GRU_, GRU_, V, W) if model is None else model
    fine = np.zeros((S, B), int) if source is None else source, np.zeros((T, B), int) if targets is None else targets
    return getattr(model, method)(model.init(jax.random.key(0)), *fine, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: encoder_decoder("gru", GRU_, V, W),
            TypeError,
            "encoder: expected a cell such as jaxrnn.lstm(256), or None, got 'gru'",
        ),
        (
            lambda: encoder_decoder(GRU_, None, V, W),
            TypeError,
            "decoder: expected a cell such as jaxrnn.lstm(256), got None",
        ),
        (
            lambda: encoder_decoder(GRU_, GRU_, 0, W),
            ValueError,
            "source_vocabulary_size: expected an int of at least 1, got 0",
        ),
        (
            lambda: encoder_decoder(GRU_, GRU_, V, W, attention="self"),
            ValueError,
            "attention: expected bahdanau or luong, or None, got 'self'",
        ),
        (
            lambda: encoder_decoder(None, GRU_, V, W, attention="luong"),
            ValueError,
            "attention: expected an encoder, or None, got 'luong'",
        ),
        (
            lambda: encoder_decoder(GRU_, GRU_, V, W, score="dot"),
            ValueError,
            "score: expected one of dot, general, concat, with attention, got 'dot'",
        ),
        (
            lambda: encoder_decoder(BOTH_, GRU_, V, W, attention="luong", score="dot").init(jax.random.key(0)),
            ValueError,
            "score: expected 'general' or 'concat' for queries of size 4 and a memory of size 8, got 'dot', which "
            "wants one size",
        ),
        (
            lambda: encoder_decoder(GRU_, GRU_, V, W, begin=W),
            ValueError,
            "begin: expected a symbol, 0 to 5, got 6",
        ),
        (
            lambda: encoder_decoder(GRU_, GRU_, V, W, embedding_dropout=0.5),
            ValueError,
            "embedding_size: expected a size with embedding_dropout, got None",
        ),
        (
            lambda: encoder_decoder(GRU_, BOTH_, V, W).init(jax.random.key(0)),
            TypeError,
            "step: gru(4) runs backwards, as a part of bidirectional(gru(4), gru(4)): that needs the whole sequence; "
            "use jaxrnn.unroll, or a composition that only looks back",
        ),
        (
            lambda: encoder_decoder(GRU_, GRU_, None, W).init(jax.random.key(0)),
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
            lambda: run(np.zeros(B, int), model=encoder_decoder(None, GRU_, V, W), lengths=LENGTHS),
            TypeError,
            "lengths: expected none of these without an encoder, which they are for",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message
