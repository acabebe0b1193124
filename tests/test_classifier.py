"""The classifier against NumPy loops and PyTorch's gradients: poolings, ragged rows, holes, padding, noise, errors."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from support import assert_close, double, normal_like, tolerance, weighed

import jaxrnn
from jaxrnn import from_config, to_config
from jaxrnn.models import classifier
from jaxrnn.models._parts import pooling

T, B, D, H, C, V = 6, 5, 2, 4, 3, 4
LENGTHS = np.array([T, 0, 3, 1, 5])
# Row 3 has a length and no step left, row 4 a hole at its end, row 0 one at its start and one inside.
MASK = np.ones((T, B), bool)
MASK[[0, 2, 0, 4, 1], [0, 0, 3, 4, 2]] = False
MASK &= np.arange(T)[:, None] < LENGTHS  # what both take away, as `unroll` wants it
VALID = MASK
TOL = tolerance(float, T)


def noisy(model, key, *input_size):
    """Float64 params without a zero, of the shapes of `init`, which would compile a program for each of its draws."""
    shapes = jax.eval_shape(lambda k: model.init(k, *input_size), key)
    return normal_like(key, jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, float), shapes), 0.5)


def slow_pooling(kind, params, ys, steps):
    """One row's ys [T, H] by its steps, in the order in which they were read, as one vector."""
    if not steps:
        return np.zeros((2 if kind == "ends" else 1) * ys.shape[-1])
    if kind == "last":
        return ys[steps[-1]]
    if kind == "ends":
        return np.concatenate([ys[steps[-1]], ys[steps[0]]])
    if kind == "max":
        return np.array([max(ys[t, i] for t in steps) for i in range(ys.shape[-1])])
    weights = dict.fromkeys(steps, 1.0)
    if kind == "attention":
        for t in steps:
            weights[t] = np.exp(np.tanh(ys[t] @ params["kernel"] + params["bias"]) @ params["query"])
    return sum(weights[t] * ys[t] for t in steps) / sum(weights.values())


def slow_logits(kind, params, ys, valid=VALID, backwards=False):
    """Logits [B, C] from the ys of loops."""
    rows = []
    for b in range(ys.shape[1]):
        steps = [t for t in range(len(ys)) if valid[t, b]]
        rows.append(slow_pooling(kind, params["pooling"], ys[:, b], steps[::-1] if backwards else steps))
    return np.array(rows) @ params["readout"] + params["bias"]


def slow_gru(params, xs, **how):
    return reference.run(reference.gru, params, (np.zeros(H),), None, xs, **how)[1]


@pytest.mark.parametrize("kind", pooling.POOLINGS)
def test_logits_are_those_of_loops(kind, key, rng):
    """Rows of every kind, and all rows full; the loss by weights."""
    model = classifier(jaxrnn.gru(H), C, pooling=kind)
    params, xs = noisy(model, key, D), rng.standard_normal((T, B, D))
    slow, labels, weights = double(params), rng.integers(0, C, B), rng.random(B)

    @jax.jit
    def ours(labels, weights, lengths, mask):
        how = {"lengths": lengths, "mask": mask}
        loss = model.loss(params, None, xs, labels, **how)[0]
        weighted = model.loss(params, None, xs, labels, weights=weights, **how)[0]
        return model.apply(params, None, xs, **how)[1], loss, weighted

    full = np.ones((T, B), bool)
    for lengths, mask in (LENGTHS, MASK), (np.full(B, T), full):
        logits = slow_logits(kind, slow, slow_gru(slow["cell"], xs, lengths=lengths, mask=mask), mask)
        nats = np.log(np.exp(logits).sum(-1)) - logits[np.arange(B), labels]
        weighted = (weights * nats).sum() / weights.sum()
        assert_close(ours(labels, weights, lengths, mask), (logits, nats.mean(), weighted), TOL)
    some = np.where(np.arange(B) == 2, 0, weights)
    expected = (some * nats).sum() / some.sum()
    anything = np.where(some == 0, -99, labels)  # a label of weight 0
    assert_close(ours(anything, some, np.full(B, T), full)[2], expected, TOL)
    assert_close(model.loss(params, None, xs, anything, weights=some)[0], expected, TOL)
    assert ours(anything, 0 * some, np.full(B, T), full)[2] == 0


@pytest.mark.parametrize("kind", pooling.POOLINGS)
@pytest.mark.full
def test_gradients_are_pytorchs(kind, key, rng):
    """PyTorch's GRU runs each row alone over its valid steps: what a mask and a length take away is not there."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = classifier(jaxrnn.gru(H), C, pooling=kind)
    params, xs, labels = noisy(model, key, D), rng.standard_normal((T, B, D)), rng.integers(0, C, B)
    how = {"lengths": LENGTHS, "mask": MASK}
    run = jax.jit(jax.value_and_grad(lambda p, x: model.loss(p, None, x, labels, **how)[0], (0, 1)))
    loss, (ours, to_xs) = run(params, xs)

    gru = torch.nn.GRU(D, H, dtype=torch.float64)
    leaves = jax.tree.map(lambda a: torch.tensor(np.array(a), requires_grad=True), params)
    names = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}
    names["recurrent_bias"] = "bias_hh_l0"
    theirs = {name: torch.swapaxes(leaves["cell"][n], 0, -1) for n, name in names.items()}
    x = torch.tensor(xs, requires_grad=True)
    logits = []
    for b in range(B):
        row = x[VALID[:, b], b]
        if not len(row):
            logits.append(leaves["bias"])
            continue
        ys, _ = torch.func.functional_call(gru, theirs, (row,))
        if kind == "attention":
            pool = leaves["pooling"]
            weights = torch.softmax(torch.tanh(ys @ pool["kernel"] + pool["bias"]) @ pool["query"], 0)
            vector = weights @ ys
        else:
            found = {"last": ys[-1], "ends": torch.cat([ys[-1], ys[0]]), "mean": ys.mean(0), "max": ys.max(0).values}
            vector = found[kind]
        logits.append(vector @ leaves["readout"] + leaves["bias"])
    expected = torch.nn.functional.cross_entropy(torch.stack(logits), torch.tensor(labels))
    expected.backward()
    assert_close(loss, expected.item(), TOL)
    assert_close(ours, jax.tree.map(lambda a: a.grad.numpy(), leaves), TOL)
    assert_close(to_xs, x.grad.numpy(), TOL)
    assert all((np.asarray(g) != 0).all() for g in jax.tree.leaves(ours)), "a parameter that nothing depends on"


@pytest.mark.parametrize("kind", pooling.POOLINGS)
def test_padding_reaches_nothing(kind, key, rng):
    """NaN past the end and in holes: the same values and gradients to the bit, and none for what stands there."""
    model = classifier(jaxrnn.gru(H), C, pooling=kind)
    params, xs, labels = noisy(model, key, D), rng.standard_normal((T, B, D)), rng.integers(0, C, B)

    @jax.jit
    @jax.value_and_grad
    def loss(both, lengths, mask):
        return model.loss(both[0], None, both[1], labels, lengths=lengths, mask=mask)[0]

    broken = np.where(VALID[..., None], xs, np.nan)
    value, (grads, to_xs) = loss((params, broken), LENGTHS, MASK)
    assert_close((value, (grads, to_xs)), loss((params, xs), LENGTHS, MASK), 0.0)
    assert (np.asarray(to_xs)[~VALID] == 0).all() and (np.asarray(to_xs)[VALID] != 0).any()


@pytest.mark.parametrize("kind", pooling.POOLINGS)
def test_pooling_alone_looks_at_valid_steps_only(kind, key, rng):
    """As a function of ys that nobody has blanked."""
    params = jax.tree.map(lambda p: p + 0.1, pooling.init(kind, key, H, float))
    ys = np.where(VALID[..., None], rng.standard_normal((T, B, H)), np.nan)
    value, grads = jax.value_and_grad(lambda both: weighed(pooling.pooled(kind, *both, VALID)))(
        (params, jnp.asarray(ys))
    )
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_mean_of_a_half_type_is_rounded_once(rng):
    ys = jnp.asarray(1 + rng.random((400, 3, 2)), "bfloat16")
    valid = np.arange(400)[:, None] < np.array([400, 257, 1])
    expected = np.array([double(ys)[valid[:, b], b].mean(0) for b in range(3)])
    mean = pooling.pooled("mean", {}, ys, valid)
    assert mean.dtype == jnp.bfloat16
    # Half a unit in the last place, and what float32 sums of 400 terms are off by.
    assert (np.abs(double(mean) - expected) <= expected * (2.0**-8 + 400 * 2.0**-23)).all()


@pytest.mark.parametrize("embedding", [None, 3])
def test_symbols(embedding, key, rng):
    """One-hot or as rows of the embedding; what is not valid may be any number."""
    model = classifier(jaxrnn.gru(H), C, pooling="mean", vocabulary_size=V, embedding_size=embedding)
    params, tokens = noisy(model, key), rng.integers(0, V, (T, B))
    slow = double(params)
    table = np.eye(V) if embedding is None else slow["embedding"]
    how = {"lengths": LENGTHS, "mask": MASK}
    expected = slow_logits("mean", slow, slow_gru(slow["cell"], table[tokens], **how))
    broken = np.where(VALID, tokens, -7)
    labels = rng.integers(0, C, B)
    assert_close(model.apply(params, None, broken, **how)[1], expected, TOL)
    grads = jax.jit(jax.value_and_grad(lambda p, t: model.loss(p, None, t, labels, **how)[0]))
    assert_close(grads(params, broken), grads(params, tokens), 0.0)


CELLS = {
    "lstm": jaxrnn.lstm(4),
    "stack": jaxrnn.stack(jaxrnn.gated(3), jaxrnn.learned_carry(jaxrnn.gru(4))),
}


@pytest.mark.parametrize("name", CELLS)
def test_steps_make_the_logits_of_every_prefix(name, key, rng):
    model = classifier(CELLS[name], C, vocabulary_size=V, embedding_size=3)
    params, tokens = noisy(model, key), rng.integers(0, V, (T, B))
    prefixes = np.broadcast_to(tokens[:, None], (T, T, B))  # row t of the first batch axis: the first t + 1 symbols
    lengths = np.broadcast_to(np.arange(1, T + 1)[:, None], (T, B))
    _, expected = jax.jit(model.apply)(params, None, prefixes, lengths=lengths)
    carry, steps = jax.lax.scan(lambda c, x: model.step(params, c, x), model.initial_carry(params, (B,)), tokens)
    assert_close(steps, expected, TOL)
    assert_close(jax.jit(model.apply)(params, None, tokens), (carry, steps[-1]), TOL)


@pytest.mark.parametrize("kind", ["ends", "last", "attention"])
def test_both_directions(kind, key, rng):
    """The backward cell ends at a row's first valid step, where "ends" finds it."""
    cell = jaxrnn.bidirectional(jaxrnn.gru(H), jaxrnn.elman(3))
    model = classifier(cell, C, pooling=kind)
    params, xs = noisy(model, key, D), rng.standard_normal((T, B, D))
    slow, how = double(params), {"lengths": LENGTHS, "mask": MASK}
    there = slow_gru(slow["cell"]["forward"], xs, **how)
    initial = (np.zeros(3),)
    _, back = reference.run(reference.elman, slow["cell"]["backward"], initial, None, xs, reverse=True, **how)
    expected = slow_logits(kind, slow, np.concatenate([there, back], -1))
    assert_close(jax.jit(model.apply)(params, None, xs, **how)[1], expected, TOL)
    with pytest.raises(TypeError, match="runs backwards"):
        classifier(cell, C).step(params, model.initial_carry(params, (B,)), xs[0])


def both_ways(cell):
    """The cell in both directions."""
    return jaxrnn.bidirectional(cell, cell)


# What reads to the end alone, and what runs backwards somewhere: of itself, on top, below, within what is around it.
FORWARD = {
    "one cell": jaxrnn.gru(H),
    "a stack": jaxrnn.stack(jaxrnn.elman(H), jaxrnn.dropout(jaxrnn.gru(H), output=0.5)),
    "a plain step": jaxrnn.Cell(
        jaxrnn.gru(H).init, jaxrnn.gru(H).start, jaxrnn.gru(H).input, plain_step=jaxrnn.gru(H).step
    ),
}
BACKWARD = {
    "both ways": both_ways(jaxrnn.gru(H)),
    "on top": jaxrnn.stack(jaxrnn.elman(3), both_ways(jaxrnn.gru(H))),
    "below": jaxrnn.stack(both_ways(jaxrnn.elman(3)), jaxrnn.gru(H)),
    "wrapped": jaxrnn.dropout(jaxrnn.learned_carry(both_ways(jaxrnn.gru(H))), output=0.5),
}


@pytest.mark.parametrize("name", [*FORWARD, *BACKWARD])
@pytest.mark.parametrize("symbols", [False, True])
@pytest.mark.full
def test_by_default_what_has_read_all_stands_for_the_sequence(name, symbols, key, rng):
    """The last y, or of what runs backwards both ends, picked here by hand; the loss weighs each logit."""
    cell, options = {**FORWARD, **BACKWARD}[name], {"vocabulary_size": V, "embedding_size": D} if symbols else {}
    model = classifier(cell, C, **options)
    assert model.pooling is None and model.options["pooling"] is None
    params = noisy(model, key, *([] if symbols else [D]))
    xs = rng.integers(0, V, (T, B)) if symbols else rng.standard_normal((T, B, D))
    weights = rng.standard_normal((B, C))
    first, last = VALID.argmax(0), T - 1 - VALID[::-1].argmax(0)

    def by_hand(params, xs):
        vectors = params["embedding"][xs] if symbols else xs
        ys = jaxrnn.unroll(cell, params["cell"], None, jnp.asarray(vectors), lengths=LENGTHS, mask=MASK)[1]
        ends = [ys[last, np.arange(B)], ys[first, np.arange(B)]][: 2 if name in BACKWARD else 1]
        pooled = jnp.where(VALID.any(0)[:, None], jnp.concatenate(ends, -1), 0)
        logits = pooled @ params["readout"] + params["bias"][None]
        return (weights * logits).sum(), logits

    def ours(params, xs):
        _, logits = model.apply(params, None, xs, lengths=LENGTHS, mask=MASK)
        return (weights * logits).sum(), logits

    run, expected = (jax.jit(jax.value_and_grad(f, has_aux=True)) for f in (ours, by_hand))
    assert_close(run(params, xs), expected(params, xs), TOL)


def test_a_classifier_of_version_0_1_means_what_it_did(key, rng):
    """Saved, it says "last", also around a bidirectional; made again without a word, its params say it."""
    cell = both_ways(jaxrnn.gru(H))
    then = {"call": "classifier", "options": {"cell": to_config(cell), "classes": C, "pooling": "last"}}
    then["options"] |= dict.fromkeys(["vocabulary_size", "embedding_size"]) | {"embedding_dropout": 0.0}
    model = from_config(then)
    assert model == classifier(cell, C, pooling="last") != classifier(cell, C)
    params, xs = noisy(model, key, D), rng.standard_normal((T, B, D))
    slow = double(params)
    there, back = (slow_gru(slow["cell"][way], xs, reverse=way == "backward") for way in ("forward", "backward"))
    expected = slow_logits("last", slow, np.concatenate([there, back], -1), np.ones((T, B), bool))
    for made in model, classifier(cell, C):
        assert_close(jax.jit(made.apply)(params, None, xs)[1], expected, TOL)


@pytest.mark.parametrize("kind", pooling.POOLINGS)
def test_a_carry_continues_the_sequence(kind, key, rng):
    """The second call begins where the first ended, and pools its own steps: of "last" the logits are those of all."""
    model = classifier(jaxrnn.gru(H), C, pooling=kind)
    params, xs, labels = noisy(model, key, D), rng.standard_normal((T, B, D)), rng.integers(0, C, B)
    slow, cut = double(params), 2
    begin = 0.5 * rng.standard_normal((B, H))
    carry, ys = reference.run(reference.gru, slow["cell"], (np.zeros(H),), (begin,), xs)
    start = type(model.initial_carry(params, (B,)))(jnp.asarray(begin))
    half, _ = jax.jit(model.apply)(params, start, xs[:cut])
    end, logits = jax.jit(model.apply)(params, half, xs[cut:])
    expected = slow_logits(kind, slow, ys[cut:], np.ones((T - cut, B), bool))
    assert_close((end.h, logits), (carry[0], expected), TOL)
    loss, after = jax.jit(model.loss)(params, half, xs[cut:], labels)
    nats = np.log(np.exp(expected).sum(-1)) - expected[np.arange(B), labels]
    assert_close((loss, after.h), (nats.mean(), carry[0]), TOL)
    after, vector = jax.jit(model.encode)(params, half, xs[cut:])
    assert_close((after.h, model.readout(params, vector)), (carry[0], expected), TOL)
    if kind == "attention":
        weights = np.asarray(model.attention_weights(params, half, xs[cut:]))
        read = np.einsum("tb,tbh->bh", weights, ys[cut:]) @ slow["readout"] + slow["bias"]
        assert_close(read, expected, TOL)


@pytest.mark.parametrize("kind", ["last", "ends"])
def test_from_right_to_left_the_last_step_is_that_read_last(kind, key, rng):
    model = classifier(jaxrnn.gru(H), C, pooling=kind)
    params, xs = noisy(model, key, D), rng.standard_normal((T, B, D))
    slow = double(params)
    ys = slow_gru(slow["cell"], xs, lengths=LENGTHS, mask=MASK, reverse=True)
    ours = jax.jit(lambda p, x: model.apply(p, None, x, lengths=LENGTHS, mask=MASK, reverse=True)[1])(params, xs)
    assert_close(ours, slow_logits(kind, slow, ys, backwards=True), TOL)
    full = slow_logits(kind, slow, slow_gru(slow["cell"], xs, reverse=True), np.ones((T, B), bool), backwards=True)
    assert_close(jax.jit(lambda p, x: model.apply(p, None, x, reverse=True)[1])(params, xs), full, TOL)


@pytest.mark.parametrize("reverse", [False, True])
def test_attention_weights_stand_at_the_steps_they_are_of(reverse, key, rng):
    model = classifier(jaxrnn.gru(H), C, pooling="attention")
    params, xs = noisy(model, key, D), rng.standard_normal((T, B, D))
    weights = np.asarray(model.attention_weights(params, None, xs, lengths=LENGTHS, mask=MASK, reverse=reverse))
    assert np.array_equal(weights > 0, VALID)
    assert_close(weights.sum(0), VALID.any(0).astype(float), TOL)
    slow = double(params)
    ys = slow_gru(slow["cell"], xs, lengths=LENGTHS, mask=MASK, reverse=reverse)
    vectors = np.einsum("tb,tbh->bh", weights, ys)
    assert_close(vectors @ slow["readout"] + slow["bias"], slow_logits("attention", slow, ys), TOL)
    with pytest.raises(TypeError, match="attention_weights: expected pooling='attention', got 'max'"):
        classifier(jaxrnn.gru(H), C, pooling="max").attention_weights(params, None, xs)


def test_embedding_dropout_takes_whole_symbols(key, rng):
    """With a key, the logits are those of loops on a table with some rows 0 and the others doubled; each row, at times.

    Without one they are those of the table as it is.
    """
    model = classifier(jaxrnn.gru(H), C, vocabulary_size=V, embedding_size=3, embedding_dropout=0.5)
    params, tokens = noisy(model, key), np.arange(V)[:, None]  # each symbol once
    slow, found = double(params), set()
    tables = {
        kept: slow["embedding"] * 2 * np.array(kept)[:, None] for kept in itertools.product((False, True), repeat=V)
    }
    full = np.ones((V, 1), bool)
    expected = {kept: slow_logits("last", slow, slow_gru(slow["cell"], t[tokens]), full) for kept, t in tables.items()}
    apply = jax.jit(lambda k: model.apply(params, None, tokens, key=k)[1])
    for k in jax.random.split(key, 24):
        logits = np.asarray(apply(k))
        fits = [kept for kept, e in expected.items() if np.abs(logits - e).max() <= TOL * max(1, np.abs(e).max())]
        assert len(fits) == 1
        found.add(fits[0])
    assert (np.array(list(found)).any(0) & ~np.array(list(found)).all(0)).all()
    whole = slow_logits("last", slow, slow_gru(slow["cell"], slow["embedding"][tokens]), full)
    assert_close(model.apply(params, None, tokens)[1], whole, TOL)


@pytest.mark.parametrize("symbols", [False, True])
def test_a_key_turns_the_cells_noise_on(symbols, key, rng):
    plain = jaxrnn.gru(H)
    options = {"vocabulary_size": V, "embedding_size": 3} if symbols else {}
    with_noise = classifier(jaxrnn.dropout(plain, output=0.5), C, pooling="mean", **options)
    xs = rng.integers(0, V, (T, B)) if symbols else rng.standard_normal((T, B, D))
    params = noisy(with_noise, key, *([] if symbols else [D]))
    k1, k2 = jax.random.split(key)
    apply = jax.jit(lambda key=None: with_noise.apply(params, None, xs, key=key)[1])
    assert np.abs(apply(k1) - apply(k2)).max() > 0.01
    quiet = classifier(plain, C, pooling="mean", **options)
    assert_close(apply(), jax.jit(quiet.apply)(params, None, xs)[1], TOL)
    if not symbols:  # then the whole key is the cell's: the draw is that of `unroll`
        _, ys = jaxrnn.unroll(with_noise.cell, params["cell"], None, jnp.asarray(xs), key=k1)
        expected = slow_logits("mean", double(params), double(ys), np.ones((T, B), bool))
        assert_close(apply(k1), expected, TOL)


@pytest.mark.parametrize("kind", ["max", "mean", "attention"])
def test_half_types(kind, key, rng):
    """A cell that computes in bfloat16 has its params, its gradients and the logits in float32."""
    model = classifier(jaxrnn.gru(H, dtype="bfloat16"), C, pooling=kind, vocabulary_size=V, embedding_size=3)
    shapes = jax.eval_shape(model.init, key)
    assert {a.dtype.name for a in jax.tree.leaves(shapes)} == {"float32"}
    params, tokens, labels = normal_like(key, shapes, 0.5), rng.integers(0, V, (T, B)), np.arange(B) % C

    @jax.jit
    def ours(params):
        grads, _ = jax.grad(model.loss, has_aux=True)(params, None, tokens, labels, lengths=LENGTHS)
        return model.apply(params, None, tokens, lengths=LENGTHS)[1], grads

    logits, grads = ours(params)
    assert {a.dtype.name for a in jax.tree.leaves((logits, grads))} == {"float32"}
    slow = double(params)
    ys = slow_gru(slow["cell"], slow["embedding"][tokens], lengths=LENGTHS)
    expected = slow_logits(kind, slow, ys, np.arange(T)[:, None] < LENGTHS)
    assert_close(logits, expected, tolerance("bfloat16", T))
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


@pytest.mark.parametrize("kind", pooling.POOLINGS)
def test_float64_params_stay(kind, key):
    model = classifier(jaxrnn.gru(H, param_dtype="float64"), C, pooling=kind, vocabulary_size=V, embedding_size=3)
    params, logits = jax.eval_shape(
        lambda k: (p := model.init(k), model.apply(p, None, jnp.zeros((T, B), int))[1]), key
    )
    assert {a.dtype.name for a in jax.tree.leaves((params, logits))} == {"float64"}


def test_a_fresh_classifier_is_drawn_and_its_biases_are_zero(key):
    """Kernels by the number of their inputs; each part from a key of its own."""
    model = classifier(jaxrnn.indrnn(64), 40, pooling="attention", vocabulary_size=50, embedding_size=30)
    params = jax.jit(model.init)(key)
    for kernel, variance in (
        (params["readout"], 1 / 64),
        (params["pooling"]["kernel"], 1 / 64),
        (params["embedding"], 1),
    ):
        assert abs(np.asarray(kernel).var() / variance - 1) < 5 * np.sqrt(2 / kernel.size)
    assert (params["bias"] == 0).all() and (params["pooling"]["bias"] == 0).all()
    assert abs(np.corrcoef(params["readout"][:, :40].ravel(), params["pooling"]["kernel"][:, :40].ravel())[0, 1]) < 0.1


def test_a_saved_classifier_comes_back(key):
    cell = jaxrnn.bidirectional(jaxrnn.gru(3), jaxrnn.lstm(2))
    default = classifier(cell, C)
    assert from_config(to_config(default)) == default != classifier(cell, C, pooling="ends")
    model = classifier(cell, C, pooling="ends", vocabulary_size=V, embedding_size=3, embedding_dropout=0.25)
    again = from_config(to_config(model))
    assert again == model and hash(again) == hash(model) and repr(again) == repr(model)
    assert eval(repr(model), vars(jaxrnn) | {"classifier": classifier}) == model
    assert again != classifier(cell, C, pooling="mean", vocabulary_size=V, embedding_size=3, embedding_dropout=0.25)


def test_a_sequence_without_a_batch(key, rng):
    model = classifier(jaxrnn.gru(H), C)
    params, xs = noisy(model, key, D), rng.standard_normal((T, D))
    slow = double(params)
    expected = slow_logits("last", slow, slow_gru(slow["cell"], xs[:, None]), np.ones((T, 1), bool))[0]
    assert_close(jax.jit(model.apply)(params, None, xs)[1], expected, TOL)
    assert_close(model.loss(params, None, xs, 2)[0], np.log(np.exp(expected).sum()) - expected[2], TOL)


def run(labels=np.zeros(2, int), tokens=np.zeros((4, 2), int), f="loss", **options):
    model = classifier(jaxrnn.gru(H), C, vocabulary_size=V)
    params = model.init(jax.random.key(0))
    return getattr(model, f)(params, None, tokens, *([labels] if f == "loss" else []), **options)


def made(*args, **options):
    return classifier(jaxrnn.gru(H), *args, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: classifier("gru", C), TypeError, "cell: expected a cell such as jaxrnn.lstm(256), got 'gru'"),
        (lambda: made(0), ValueError, "classes: expected an int of at least 1, got 0"),
        (
            lambda: made(C, pooling="sum"),
            ValueError,
            "pooling: expected one of last, ends, mean, max, attention, or None, got 'sum'",
        ),
        (
            lambda: made(C, embedding_size=3),
            ValueError,
            "vocabulary_size: expected V with an embedding_size, got None",
        ),
        (
            lambda: made(C, vocabulary_size=V, embedding_dropout=0.1),
            ValueError,
            "embedding_size: expected a size with embedding_dropout, got None: one-hot inputs have no embedding",
        ),
        (
            lambda: made(C, vocabulary_size=V, embedding_size=3, embedding_dropout=1.0),
            ValueError,
            "embedding_dropout: expected a probability, 0 <= embedding_dropout < 1, got 1.0",
        ),
        (
            lambda: made(C).init(jax.random.key(0)),
            ValueError,
            "input_size: expected an int of at least 1, got None",
        ),
        (
            lambda: made(C, vocabulary_size=V).init(jax.random.key(0), 7),
            ValueError,
            "input_size: expected None for symbols, whose size is known, got 7",
        ),
        (
            lambda: made(C).init(0, 3),
            TypeError,
            "key: expected one jax.random.key(seed), got int 0",
        ),
        (
            lambda: run(np.array([0, 3])),
            ValueError,
            "labels: expected classes 0 to C - 1 with C=3, got 3 at (1,)",
        ),
        (
            lambda: run(np.array([1])),
            ValueError,
            "labels: expected an array [...] = (2,), as xs has before its features, got int64(1,)",
        ),
        (
            lambda: run([0, 1, 1]),
            ValueError,
            "labels: expected an array [...] = (2,), as xs has before its features, got int64(3,)",
        ),
        (
            lambda: run(np.zeros(2)),
            TypeError,
            "labels: expected [...] of int, classes numbered from 0, got float64(2,)",
        ),
        (
            lambda: run(weights=np.ones((2, 1))),
            ValueError,
            "weights: expected an array [...] = (2,), as xs has before its features, got float64(2, 1)",
        ),
        (
            lambda: run(tokens=np.full((4, 2), V)),
            ValueError,
            "tokens: expected numbers below V=4, got 4 at (0, 0)",
        ),
        (
            lambda: run(f="apply", lengths=np.array([1, 2, 3])),
            ValueError,
            "lengths, mask: expected [...] = (2,) and [T, ...] = (4, 2), the axes of xs, got what says which of (4, 3) "
            "steps are valid",
        ),
        (lambda: run(f="apply", key=3), TypeError, "key: expected one jax.random.key(seed), got int 3"),
        (
            lambda: made(C, pooling="mean").step(None, None, None),
            TypeError,
            "step: expected pooling='last', which looks at one step, got 'mean'; use apply",
        ),
    ],
)
def test_wrong_calls(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == message


def test_labels_that_jit_closes_over(key):
    """As constants of a program; one that is no class is found there too."""
    model = classifier(jaxrnn.elman(H), C)
    params, xs = model.init(key, D), jax.random.normal(key, (T, B, D))
    labels, weights = jnp.arange(B) % C, jnp.ones(B)
    inside = jax.jit(lambda params: model.loss(params, None, xs, labels, weights=weights)[0])(params)
    assert_close(inside, model.loss(params, None, xs, labels)[0], tolerance("float32", T))
    wrong = labels.at[0].set(C)
    with pytest.raises(ValueError, match=rf"labels: expected classes 0 to C - 1 with C={C}, got {C}"):
        jax.jit(lambda params: model.loss(params, None, xs, wrong)[0])(params)
