"""Where JAX promotes neither types nor ranks (conftest), inputs of another type than params, and members of several.

What the library computes in is the params' type, or `dtype`: what is given in another is as if it had been cast before.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compositions import ROWS, made
from support import CORE, adam, assert_close, generator, lenient, problem, table, tolerance, variant, weighed

import jaxrnn
from jaxrnn import diagnostics, loss_scale, models, regularizers, train
from jaxrnn.models._forecaster.series import Scale

T, B, D, H = 5, 3, 5, 5
LENGTHS = np.array([T, 2, 3], np.int8)
MASK = (np.arange(T)[:, None] < LENGTHS) & (np.arange(T)[:, None] != 1)
RAGGED = {"lengths": LENGTHS, "mask": MASK, "reset": np.roll(MASK, 1, 1) & MASK}
# The params' type, and that of what is given.
types = pytest.mark.parametrize(("stored", "given"), [("float32", "float64"), ("float64", "float32")])


def cast(tree, dtype):
    """The real numbers of a pytree in another type."""
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def noisy(model, key, *sizes):
    """Params of a model, nothing 0 in them."""
    rng = generator(key)
    init = jax.eval_shape(lambda: model.init(key, *sizes))
    return jax.tree.map(lambda a: jnp.asarray(0.5 * rng.standard_normal(a.shape), a.dtype), init)


def test_strictness_is_on():
    single, double = jnp.ones((2, 3), "float32"), jnp.ones(3, "float64")
    for meet in lambda: single[0] + double, lambda: double * jnp.arange(3), lambda: jnp.stack([single[0], double]):
        with pytest.raises(ValueError, match="no available implicit dtype promotion path"):
            meet()
    with pytest.raises(ValueError, match="rank_promotion='raise'"):
        single + single[0]
    with lenient():
        assert (single + double).shape == (2, 3)


QUICK = {"layer_norm", "stack, skip"}
# A function of the user's casts params to x; dropout scales x before the cell casts it.
IN_THE_TYPE_OF_X = {"time_distributed", "dropout", "variational_dropout", "learned_carry of a stack"}


@pytest.mark.parametrize("name", table(list(ROWS)[::2] + [n for n in QUICK if n not in list(ROWS)[::2]], QUICK))
def test_compositions(name, key):
    """Values and gradients, with noise and rows of every kind, are those of inputs that were cast before."""
    cell = made(name)

    @jax.jit
    def run(params, carry, xs):
        def loss(*arguments):
            outcome = jaxrnn.unroll(cell, *arguments, **RAGGED, key=key)
            return weighed(outcome), outcome

        return jax.grad(loss, (0, 1, 2), has_aux=True, allow_int=True)(params, carry, xs)

    for stored, given in (("float32", "float64"), ("float64", "float32"))[: 2 if name in QUICK else 1]:
        params, carry, xs = problem(cell, key, T, (B,), D, dtype=stored)
        xs = cast(jax.tree.map(lambda a: a if a.dtype == bool else 1.1 * a.astype(float), xs), given)
        (d_params, d_carry, d_xs), outcome = run(params, carry, xs)
        (e_params, e_carry, e_xs), expected = run(params, carry, cast(xs, stored))
        own = "float32" if name in IN_THE_TYPE_OF_X else stored
        tol = tolerance(own, 2 * 4 * T)  # there and back through up to four layers
        assert_close(outcome, expected, tol)
        assert_close((d_params, d_carry), (e_params, e_carry), B * tol)
        for d, e in zip(jax.tree.leaves(d_xs), jax.tree.leaves(e_xs), strict=True):
            if d.dtype == jax.dtypes.float0:  # of flags
                continue
            assert d.dtype == given
            assert_close(np.asarray(d, float), np.asarray(e, float), B * max(tol, tolerance("float32", 1)))


@pytest.mark.parametrize("name", [*CORE, "lstm_projection_peepholes"])
@pytest.mark.full
def test_cells(name, key):
    """A step, and many by every engine, of inputs and params of two types, and of half types; traced, not run."""
    every = (
        ({}, "float32", "float64"),
        ({"dtype": "bfloat16"}, "float32", "float64"),
        ({}, "float64", "float32"),
        ({"dtype": "float32"}, "float64", "bfloat16"),
        ({"param_dtype": "bfloat16"}, "bfloat16", "float32"),
    )
    for options, stored, given in every if name in ("gru_reset_before", "lstm_projection_peepholes") else every[:2]:
        cell = jaxrnn.stack(jaxrnn.learned_carry(variant(name, **options)), jaxrnn.elman(2))
        params = jax.eval_shape(lambda cell=cell, stored=stored: cast(cell.init(key, D), stored))
        xs = jax.ShapeDtypeStruct((T, B, D), given)
        carry = jax.eval_shape(lambda p, cell=cell: cell.initial_carry(p, (B,)), params)
        x = jax.ShapeDtypeStruct((B, D), given)
        assert jax.eval_shape(cell.step, params, carry, x)[0] == carry

        def loss(params, xs, engine, cell=cell):
            return weighed(jaxrnn.unroll(cell, params, None, xs, reverse=True, engine=engine, **RAGGED))

        for engine in None, jaxrnn.engines.scan, functools.partial(jaxrnn.engines.checkpointed, segment=2):
            grads = jax.eval_shape(jax.grad(functools.partial(loss, engine=engine), (0, 1)), params, xs)
            assert jax.tree.leaves(grads) == jax.tree.leaves((params, xs))


@pytest.mark.parametrize("merge", ["concat", "sum", "mean", "maximum"])
def test_two_types_in_both_directions(merge, key):
    """bfloat16 one way and float32 the other meet in float32, which holds both."""
    there, back = jaxrnn.lstm(H, dtype="bfloat16"), jaxrnn.gru(H)
    cell = jaxrnn.bidirectional(there, back, merge=merge)
    params, carry, xs = problem(cell, key, T, (B,), D)
    _, ys = jaxrnn.unroll(cell, params, carry, xs, **RAGGED)
    _, forward = jaxrnn.unroll(there, params["forward"], carry["forward"], xs, **RAGGED)
    turned = {**RAGGED, "reset": np.roll(RAGGED["reset"], -1, 0) & (np.arange(T)[:, None] < LENGTHS - 1)}
    _, backward = jaxrnn.unroll(back, params["backward"], carry["backward"], xs, **turned, reverse=True)
    assert (forward.dtype, backward.dtype, ys.dtype) == ("bfloat16", "float32", "float32")
    both = np.asarray(forward, float), np.asarray(backward, float)
    how = {
        "concat": lambda *a: np.concatenate(a, -1),
        "sum": np.add,
        "mean": lambda *a: sum(a) / 2,
        "maximum": np.maximum,
    }
    assert_close(ys, how[merge](*both), tolerance("float32", T))


def test_two_types_in_a_stack(key):
    """Layers of three types, side by side: each is what it is alone, and all stand in the widest."""
    cells = jaxrnn.lstm(H, dtype="bfloat16"), jaxrnn.gru(H), jaxrnn.elman(H, dtype="float64")
    cell = jaxrnn.stack(*cells, skip=True)
    params, carry, xs = problem(cell, key, T, (B,), D)
    _, ys = jaxrnn.unroll(cell, params, carry, xs)
    below, expected = xs, []
    for name, one in zip(params, cells, strict=True):
        y = jaxrnn.unroll(one, params[name], carry[name], below)[1]
        below = jnp.concatenate([xs.astype(y.dtype), y], -1)
        expected.append(np.asarray(y, float))
    assert ys.dtype == "float64"
    assert_close(ys, np.concatenate(expected, -1), 0.0)


def test_a_plain_step_of_several_types(key):
    """Its carry holds float32 and counts, its y is float64: a mask holds all, a reset restarts all."""

    def step(params, carry, x):
        y = 0.5 * carry["h"].astype(float) + x
        return {"h": y.astype("float32"), "n": carry["n"] + 1}, y

    start = {"h": np.zeros(D, "float32"), "n": np.zeros((), "int32")}
    cell = jaxrnn.Cell(
        lambda key, size: (), lambda _: start, lambda _: jax.ShapeDtypeStruct((D,), float), plain_step=step
    )
    xs = generator(key).standard_normal((T, B, D))
    carry, ys = jaxrnn.unroll(cell, (), None, xs, **RAGGED)
    h, n = np.zeros((B, D)), np.zeros(B, int)
    for t, b in np.ndindex(T, B):
        if t < LENGTHS[b] and RAGGED["reset"][t, b]:
            h[b], n[b] = 0, 0
        if MASK[t, b]:
            h[b], n[b] = 0.5 * h[b] + xs[t, b], n[b] + 1
    assert (ys.dtype, carry["h"].dtype, carry["n"].tolist()) == ("float64", "float32", n.tolist())
    assert_close(carry["h"], h, tolerance("float32", T))


def real(*shape):
    return lambda rng: rng.standard_normal(shape)


def above(least, *shape):
    return lambda rng: least + rng.random(shape)


def whole(high, *shape):
    return lambda rng: rng.integers(0, high, shape)


# name -> (model, the sizes that its init takes, its loss, draws of what that takes)
MODELS = {
    **{
        f"classifier, {pooling}": (
            models.classifier(jaxrnn.gru(H), 3, pooling=pooling),
            (D,),
            lambda m, p, xs, labels, w: m.loss(p, None, xs, labels, weights=w, lengths=LENGTHS)[0],
            (real(T, B, D), whole(3, B), above(0.1, B)),
        )
        for pooling in ("last", "ends", "mean", "max", "attention")
    },
    "tagger": (
        models.tagger(jaxrnn.bidirectional(jaxrnn.lstm(H), jaxrnn.gru(4)), 3),
        (D,),
        lambda m, p, xs, labels, w: m.loss(p, None, xs, labels, weights=w, mask=MASK)[0],
        (real(T, B, D), whole(3, T, B), above(0.1, T, B)),
    ),
    "language_model": (
        models.language_model(jaxrnn.lstm(4), 6, 4, tied=True),
        (),
        lambda m, p, tokens, targets, w: m.loss(p, None, tokens, targets, weights=w, lengths=LENGTHS)[0],
        (whole(6, T, B), whole(6, T, B), above(0.1, T, B)),
    ),
    **{
        f"encoder_decoder, {attention} {score}": (
            models.encoder_decoder(jaxrnn.gru(H), jaxrnn.lstm(4), None, 6, attention=attention, score=score),
            (D,),
            lambda m, p, xs, targets, w: m.loss(p, xs, targets, weights=w, lengths=LENGTHS, target_lengths=LENGTHS),
            (real(T, B, D), whole(6, T, B), above(0.1, T, B)),
        )
        for attention, score in ((None, None), ("bahdanau", "concat"), ("luong", "concat"), ("luong", "general"))
    },
    **{
        f"forecaster, {head} {scaling}": (
            models.forecaster(jaxrnn.gru(H), 2, targets=2, head=head, scaling=scaling, past_size=1, future_size=3),
            (),
            lambda m, p, ys, past, future: m.loss(p, None, ys, past=past, future=future, lengths=LENGTHS, context=3)[0],
            (above(3, T, B, 2), real(T, B, 1), real(T + 2, B, 3)),
        )
        for head, scaling in (
            ("gaussian", "standard"),
            ("student_t", "mean"),
            ("quantile", "mean"),
            ("negative_binomial", "mean"),
            ("point", None),
        )
    },
}


@types
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.full
def test_losses_of_models(name, stored, given, key, rng):
    """Loss and gradient, of features, series and weights of another type than the params."""
    model, sizes, loss, draws = MODELS[name]
    params = cast(noisy(model, key, *sizes), stored)
    inputs = cast([jnp.asarray(draw(rng)) for draw in draws], given)
    run = jax.jit(jax.value_and_grad(functools.partial(loss, model)))
    value, grads = run(params, *inputs)
    expected = run(params, *cast(inputs, stored))
    assert {a.dtype.name for a in jax.tree.leaves(grads)} == {stored}
    assert_close((value, grads), expected, B * tolerance(stored, 2 * T))


@pytest.mark.parametrize("dtype", ["bool", "int32", "float64"])
@pytest.mark.full
def test_weights_of_any_type(dtype, key, rng):
    """Flags and counts are weights as their numbers are."""
    for name in "tagger", "language_model", "encoder_decoder, None None", "classifier, last":
        model, sizes, loss, draws = MODELS[name]
        params = noisy(model, key, *sizes)
        *inputs, weights = (jnp.asarray(draw(rng)) for draw in draws)
        weights = jnp.arange(weights.size).reshape(weights.shape).astype(dtype)  # the first does not count
        expected = loss(model, params, *inputs, weights.astype("float32"))
        assert_close(loss(model, params, *inputs, weights), expected, tolerance("float32", 1))


@types
@pytest.mark.parametrize("strategy", ["direct", "recursive"])
@pytest.mark.full
def test_a_forecaster_is_fed(strategy, stored, given, key, rng):
    """Step by step, and by its own draws, with series and inputs of another type."""
    model = models.forecaster(jaxrnn.gru(H), 2, strategy=strategy, future_size=3)
    params = cast(noisy(model, key), stored)
    ys, future = (jnp.asarray(rng.standard_normal(shape), given) for shape in ((T, B, 1), (T + 2, B, 3)))

    def run(ys, future):
        scale = Scale(jnp.full((B, 1), 0.3, stored), jnp.full((B, 1), 2.0, stored))
        ahead = jnp.stack([future[1 + k] for k in range(model.ahead)], -2)
        stepped = model.step(params, model.initial_carry(params, (B,)), ys[0], scale, future=ahead)
        chance = stepped[1].log_prob(ys[1][:, None]), stepped[1].quantile(0.3), stepped[1].log_prob(1)
        return stepped, chance, model.predict(params, ys, future=future, **options)

    options = {"key": key, "paths": 4} if strategy == "recursive" else {}
    assert_close(run(ys, future), run(ys.astype(stored), future.astype(stored)), tolerance(stored, 4 * T))


@types
def test_training(stored, given, key, rng):
    """Losses of one type, weights of another, params of both: the total, the norm of the gradient, and the update."""
    cell = jaxrnn.stack(jaxrnn.gru(H), jaxrnn.elman(D))
    params, carry, xs = problem(cell, key, T, (B,), D, dtype=stored)
    params["layer_1"], carry["layer_1"] = cast((params["layer_1"], carry["layer_1"]), given)
    weights = jnp.asarray(rng.random((T, B)) + 0.1, given)

    def losses(params, carry, window):
        xs, weights = window
        carry, ys = jaxrnn.unroll(cell, params, carry, xs)
        return ys.astype(stored).sum(-1), weights, carry

    def run(params, carry, weights):
        optimizer = adam(0.1)
        state = train.TrainState(jnp.int32(0), params, optimizer.init(params), carry, jnp.bool_(True))
        return train.make_update(losses, optimizer, k1=1, k2=2)(jax.tree.map(jnp.copy, state), (xs[:4], weights[:4]))

    state, metrics = run(params, carry, weights)
    assert jax.tree.map(lambda a: a.dtype, state.params) == jax.tree.map(lambda a: a.dtype, params)
    expected, wanted = run(*cast((params, carry, weights), "float64"))
    assert_close((state.params, metrics), (expected.params, wanted), tolerance("float32", 8 * T))


@types
def test_terms_of_a_loss(stored, given, key, rng):
    """A factor of another type does not change that of the term; a scaled loss has the type of the loss."""
    ys = jnp.asarray(rng.standard_normal((T, B, H)), stored)
    for term in regularizers.activation_regularization, regularizers.temporal_activation_regularization:
        found = term(ys, np.dtype(given).type(0.3), MASK)
        assert found.dtype == stored
        assert_close(found, term(ys, 0.3, MASK), tolerance("float32", 1))
    scale = loss_scale.start(2.0**10)
    value, grads = loss_scale.value_and_grad(lambda a: jnp.square(a).sum())(scale, ys)
    assert (value.dtype, grads.dtype) == (stored, stored)
    assert_close(grads, 2 * ys, 0.0)


@pytest.mark.parametrize("cell_dtype", [None, "float64"])
def test_diagnostics_of_a_carry_of_two_types(cell_dtype, key):
    """An LSTM that keeps c in float64: its carry is one vector all the same."""
    cell = jaxrnn.lstm(H, cell_dtype=cell_dtype)
    params, carry, xs = problem(cell, key, T, (B,), D)
    found = diagnostics.jacobians(cell, params, carry, xs)
    plain = diagnostics.jacobians(jaxrnn.lstm(H), params, cast(carry, "float32"), xs)
    assert found.dtype == (cell_dtype or "float32")
    assert_close(found, plain, tolerance("float32", 2 * T))
    norms = diagnostics.gradient_norms(cell, params, carry, xs, lambda carry, ys: ys.sum())
    assert {k: a.shape for k, a in norms.items()} == dict.fromkeys(("h", "c", "carry"), (T, B))
    exponents = diagnostics.lyapunov_exponents(cell, params, carry, xs)
    assert exponents.exponents.shape == (B, 2 * H)
