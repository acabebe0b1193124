"""The encoder-decoder against loops in NumPy and gradients of PyTorch; its ways to be run against one another."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, table, tolerance
from transducers import (
    ATTENTIVE,
    CASES,
    GRU,
    LENGTHS,
    LSTM,
    TARGET_LENGTHS,
    B,
    Case,
    S,
    T,
    V,
    W,
    crossed,
    forced,
    greedy,
    noisy,
    problem,
    stepped,
)

import jaxrnn
from jaxrnn import decode
from jaxrnn.models import encoder_decoder


@pytest.mark.parametrize("name", table(CASES, {"one_hot", "both_ways", "bahdanau", "luong_concat_stack"}))
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
    _, said = decode.generate(model.step, params, first, prime, length, choose=decode.greedy())
    assert np.asarray(said).T.tolist() == rows


@pytest.mark.parametrize("name", ATTENTIVE)
@pytest.mark.full  # importing torch takes seconds
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
    plain = Case(encoder_decoder(jaxrnn.gru(4), jaxrnn.gru(4), V, W, 3, attention=attention), (GRU,), GRU)
    params = noisy(model, key)
    source, targets, *_ = problem(rng)
    apply = jax.jit(functools.partial(model.apply, params, source, targets))
    k1, k2 = jax.random.split(key)
    logits, _ = forced(plain, jax.tree.map(np.asarray, params), source, targets, [S] * B)
    assert_close(apply(), logits, tolerance(float, S + T))
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
    assert (np.asarray(tokens[0]) == logits[0].argmax(-1)).all() and tokens.shape == (T, B)


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
    loss = jax.jit(model.loss)(params, source, targets)
    assert loss.dtype == jnp.float32 and jnp.isfinite(loss)


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
