"""The tagger against NumPy loops and PyTorch's gradients: ragged rows, padding, steps, weights, noise, errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import assert_close, double, leaves_close, normal_like, tolerance

import jaxrnn
from jaxrnn import from_config, to_config
from jaxrnn.models import tagger

T, B, D, H, C, V = 6, 4, 2, 4, 3, 4
LENGTHS = np.array([T, 0, 3, 5])
VALID = np.arange(T)[:, None] < LENGTHS
VALID[[0, 2, 4], [0, 0, 3]] = False  # holes: at a start, inside, at an end
TOL = tolerance(float, T)
HOW = {"lengths": LENGTHS, "mask": VALID}


def noisy(model, key, *input_size):
    """Float64 params without a zero, of the shapes of `init`, which would compile a program for each of its draws."""
    shapes = jax.eval_shape(lambda k: model.init(k, *input_size), key)
    return normal_like(key, jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, float), shapes), 0.5)


def slow_tags(params, xs, **how):
    """(carry, logits [T, B, C]) of a GRU, by loops."""
    carry, ys = reference.run(reference.gru, params["cell"], (np.zeros(H),), None, xs, **how)
    logits = np.zeros((*ys.shape[:-1], C))
    for at in np.ndindex(*ys.shape[:-1]):
        logits[at] = ys[at] @ params["readout"] + params["bias"]
    return carry, logits


def slow_loss(logits, labels, weights, valid):
    """The mean over steps that count, one by one."""
    total = count = 0.0
    for at in np.ndindex(*labels.shape):
        if valid[at] and weights[at]:
            total += weights[at] * (np.log(np.exp(logits[at]).sum()) - logits[at][labels[at]])
            count += weights[at]
    return total / count


@pytest.mark.parametrize("kind", ["features", "one_hot", "embedding"])
def test_logits_and_loss_are_those_of_loops(kind, key, rng):
    options = {"features": {}, "one_hot": {"vocabulary_size": V}}.get(kind, {"vocabulary_size": V, "embedding_size": 3})
    model = tagger(jaxrnn.gru(H), C, **options)
    params = noisy(model, key, *([D] if kind == "features" else []))
    slow, labels, weights = double(params), rng.integers(0, C, (T, B)), rng.random((T, B))
    xs = rng.standard_normal((T, B, D)) if kind == "features" else rng.integers(0, V, (T, B))
    read = {"features": lambda: xs, "one_hot": lambda: np.eye(V)[xs], "embedding": lambda: slow["embedding"][xs]}[
        kind
    ]()
    carry, logits = slow_tags(slow, read, **HOW)

    @jax.jit
    def ours(labels, weights):
        end, logits = model.apply(params, None, xs, **HOW)
        return (
            end,
            logits,
            model.loss(params, None, xs, labels, **HOW)[0],
            model.loss(params, None, xs, labels, weights=weights, **HOW),
        )

    end, found, loss, (weighted, end_of_loss) = ours(labels, weights)
    leaves_close(end, carry, TOL)
    leaves_close(end_of_loss, carry, TOL)
    assert_close(found, logits, TOL)
    assert_close(loss, slow_loss(logits, labels, np.ones((T, B)), VALID), TOL)
    assert_close(weighted, slow_loss(logits, labels, weights, VALID), TOL)
    some = np.where(rng.random((T, B)) < 0.5, 0, weights)
    anything = np.where(VALID & (some != 0), labels, 99)  # what does not count
    assert_close(ours(anything, some)[3][0], slow_loss(logits, labels, some, VALID), TOL)
    assert_close(model.loss(params, None, xs, anything, weights=some, **HOW)[0], ours(anything, some)[3][0], TOL)
    assert ours(anything, 0 * some)[3][0] == 0


def test_gradients_are_pytorchs(key, rng):
    """Of a bidirectional LSTM on packed rows: holes aside, for a packed row of PyTorch has none."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = tagger(jaxrnn.bidirectional(jaxrnn.lstm(H), jaxrnn.lstm(H)), C)
    params, lengths = noisy(model, key, D), np.array([3, 6, 1, 5])
    xs, labels = rng.standard_normal((T, B, D)), rng.integers(0, C, (T, B))
    weights, inside = rng.random((T, B)), np.arange(T)[:, None] < lengths

    def ours(params, xs):
        return model.loss(params, None, xs, labels, weights=weights, lengths=lengths)[0]

    loss, grads = jax.jit(jax.value_and_grad(ours, (0, 1)))(params, xs)
    leaves = jax.tree.map(lambda a: torch.tensor(np.array(a), requires_grad=True), params)
    theirs, x = {}, torch.tensor(xs, requires_grad=True)
    for direction, suffix in ("forward", "_l0"), ("backward", "_l0_reverse"):
        cell = leaves["cell"][direction]
        theirs["weight_ih" + suffix], theirs["weight_hh" + suffix] = cell["kernel"].mT, cell["recurrent_kernel"].mT
        theirs["bias_ih" + suffix] = cell["bias"]
        theirs["bias_hh" + suffix] = torch.zeros(4 * H, dtype=torch.float64)  # ours has one bias
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    lstm = torch.nn.LSTM(D, H, bidirectional=True, dtype=torch.float64)
    ys, _ = rnn.pad_packed_sequence(torch.func.functional_call(lstm, theirs, (packed,))[0], total_length=T)
    logits = ys @ leaves["readout"] + leaves["bias"]
    nats = torch.nn.functional.cross_entropy(logits[inside], torch.tensor(labels[inside]), reduction="none")
    counted = torch.tensor(weights[inside])
    expected = (nats * counted).sum() / counted.sum()
    expected.backward()
    assert_close(loss, expected.item(), TOL)
    assert_close(grads[0], jax.tree.map(lambda a: a.grad.numpy(), leaves), TOL)
    assert_close(grads[1], x.grad.numpy(), TOL)
    assert all((np.asarray(g) != 0).all() for g in jax.tree.leaves(grads[0])), "a parameter that nothing depends on"


@pytest.mark.parametrize("symbols", [False, True])
def test_padding_reaches_nothing(symbols, key, rng):
    """NaN, or any number for a symbol, past the end and in holes: the same loss and gradients to the bit."""
    model = tagger(
        jaxrnn.bidirectional(jaxrnn.gru(H), jaxrnn.elman(3)), C, **({"vocabulary_size": V} if symbols else {})
    )
    params, labels = noisy(model, key, *([] if symbols else [D])), rng.integers(0, C, (T, B))
    xs = rng.integers(0, V, (T, B)) if symbols else rng.standard_normal((T, B, D))
    broken = np.where(VALID, xs, -9) if symbols else np.where(VALID[..., None], xs, np.nan)
    wanted = 0 if symbols else (0, 1)
    f = jax.jit(jax.value_and_grad(lambda p, x, y: model.loss(p, None, x, y, **HOW)[0], wanted))
    value, grads = f(params, broken, np.where(VALID, labels, -1))
    assert_close((value, grads), f(params, xs, labels), 0.0)
    if not symbols:
        assert (np.asarray(grads[1])[~VALID] == 0).all()
    assert_close(model.loss(params, None, broken, np.where(VALID, labels, -1), **HOW)[0], value, TOL)


CELLS = {
    "lstm": jaxrnn.lstm(4),
    "stack": jaxrnn.stack(jaxrnn.gated(3), jaxrnn.learned_carry(jaxrnn.gru(4))),
}


@pytest.mark.parametrize("name", CELLS)
def test_steps_and_pieces_make_the_logits_of_the_whole(name, key, rng):
    """Step by step, and in two pieces with the carry handed on."""
    model = tagger(CELLS[name], C, vocabulary_size=V, embedding_size=3)
    params, tokens = noisy(model, key), rng.integers(0, V, (T, B))

    @jax.jit
    def ways(params):
        start = model.initial_carry(params, (B,))
        middle, first = model.apply(params, None, tokens[:2])
        end, second = model.apply(params, middle, tokens[2:])
        steps = jax.lax.scan(lambda c, x: model.step(params, c, x), start, tokens)
        return model.apply(params, None, tokens), steps, (end, jnp.concatenate([first, second]))

    whole, steps, pieces = ways(params)
    assert whole[1].shape == (T, B, C)
    assert_close(steps, whole, TOL)
    assert_close(pieces, whole, TOL)


def test_a_bidirectional_sees_what_follows_and_cannot_step(key, rng):
    model = tagger(jaxrnn.bidirectional(jaxrnn.gru(H), jaxrnn.gru(H)), C)
    params, xs = noisy(model, key, D), rng.standard_normal((T, 1, D))
    slow = double(params)
    runs = [
        reference.run(reference.gru, slow["cell"][way], (np.zeros(H),), None, xs, reverse=way == "backward")[1]
        for way in ("forward", "backward")
    ]
    expected = np.concatenate(runs, -1) @ slow["readout"] + slow["bias"]
    assert_close(jax.jit(model.apply)(params, None, xs)[1], expected, TOL)
    with pytest.raises(TypeError, match="runs backwards"):
        model.step(params, model.initial_carry(params, (1,)), xs[0])


@pytest.mark.parametrize("symbols", [False, True])
def test_a_key_turns_the_noise_on(symbols, key, rng):
    """The cell's, and the embedding's; without a key both are off."""
    options = {"vocabulary_size": V, "embedding_size": 3} if symbols else {}
    dropout = {"embedding_dropout": 0.5} if symbols else {}
    plain = tagger(jaxrnn.gru(H), C, **options)
    model = tagger(jaxrnn.gru(H) if symbols else jaxrnn.dropout(jaxrnn.gru(H), output=0.5), C, **options, **dropout)
    xs = rng.integers(0, V, (T, B)) if symbols else rng.standard_normal((T, B, D))
    params = noisy(model, key, *([] if symbols else [D]))
    apply = jax.jit(lambda k: model.apply(params, None, xs, key=k)[1])
    drawn = np.array([apply(k) for k in jax.random.split(key, 3)])
    assert min(np.abs(drawn[a] - drawn[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 0.01
    assert_close(apply(jax.random.split(key, 3)[1]), drawn[1], 0.0)
    without = jax.jit(lambda m: m.apply(params, None, xs)[1], static_argnums=0)
    assert_close(without(model), without(plain), TOL)


def test_half_types(key, rng):
    """A cell that computes in bfloat16 has its params, its gradients and the logits in float32."""
    model = tagger(jaxrnn.gru(H, dtype="bfloat16"), C, vocabulary_size=V, embedding_size=3)
    shapes = jax.eval_shape(model.init, key)
    assert {a.dtype.name for a in jax.tree.leaves(shapes)} == {"float32"}
    params, tokens = normal_like(key, shapes, 0.5), rng.integers(0, V, (T, B))
    labels = tokens % C

    @jax.jit
    def ours(params):
        grads = jax.grad(lambda p: model.loss(p, None, tokens, labels, **HOW)[0])(params)
        return model.apply(params, None, tokens, **HOW)[1], grads

    logits, grads = ours(params)
    assert {a.dtype.name for a in jax.tree.leaves((logits, grads))} == {"float32"}
    slow = double(params)
    assert_close(logits, slow_tags(slow, slow["embedding"][tokens], **HOW)[1], tolerance("bfloat16", T))
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_a_saved_tagger_comes_back():
    cell = jaxrnn.bidirectional(jaxrnn.gru(3), jaxrnn.lstm(2))
    model = tagger(cell, C, vocabulary_size=V, embedding_size=3, embedding_dropout=0.25)
    again = from_config(to_config(model))
    assert again == model and hash(again) == hash(model) and repr(again) == repr(model)
    assert eval(repr(model), vars(jaxrnn) | {"tagger": tagger}) == model
    assert again != tagger(cell, C, vocabulary_size=V, embedding_size=3)


def run(labels=None, **options):
    model = tagger(jaxrnn.gru(H), C)
    params = noisy(model, jax.random.key(0), D)
    labels = np.zeros((T, B), int) if labels is None else labels
    return model.loss(params, None, np.zeros((T, B, D)), labels, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tagger("gru", C), TypeError, "cell: expected a cell such as jaxrnn.lstm(256), got 'gru'"),
        (lambda: tagger(jaxrnn.gru(H), 0), ValueError, "classes: expected an int of at least 1, got 0"),
        (
            lambda: tagger(jaxrnn.gru(H), C, embedding_size=3),
            ValueError,
            "vocabulary_size: expected V with an embedding_size, got None",
        ),
        (
            lambda: tagger(jaxrnn.gru(H), C).init(jax.random.key(0)),
            ValueError,
            "input_size: expected an int of at least 1, got None",
        ),
        (
            lambda: run(np.full((T, B), C)),
            ValueError,
            "labels: expected classes 0 to C - 1 with C=3, got 3 at (0, 0)",
        ),
        (
            lambda: run(np.zeros((T, 1), int)),
            ValueError,
            "labels: expected an array [T, ...] = (6, 4), as xs has before its features, got int64(6, 1)",
        ),
        (
            lambda: run(weights=np.ones((B, T))),
            ValueError,
            "weights: expected an array [T, ...] = (6, 4), as xs has before its features, got float64(4, 6)",
        ),
        (
            lambda: run(np.zeros((T, B))),
            TypeError,
            "labels: expected [T, ...] of int, classes numbered from 0, got float64(6, 4)",
        ),
        (
            lambda: run(lengths=np.array([1, 2, 3])),
            ValueError,
            "lengths, mask: expected [...] = (4,) and [T, ...] = (6, 4), the axes of xs, got what says which of (6, 3) "
            "steps are valid",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message
