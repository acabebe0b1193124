"""What models, generation and data take at the door: any integers, arrays of others, and what they refuse."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, noisy_params

import jaxrnn
from jaxrnn import data, decode, models
from jaxrnn._core import arrays

T, B, H, D = 5, 2, 4, 3
INTEGERS = ("int8", "uint8", "int16", "uint16", "uint32", "int64", "uint64")
GRU = jaxrnn.gru(H)


class Foreign:
    """An array of somebody else: NumPy can read it, and that is all."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values


def made(model, *size):
    return noisy_params(model, jax.random.key(1), *size) if size else model.init(jax.random.key(1))


def one_hot_step(params, x, h):
    """A GRU without jaxrnn: the symbol's row of the kernel, in NumPy."""
    p = {name: np.asarray(a, float) for name, a in params["cell"].items()}
    (u_r, u_z, u_n), (v_r, v_z, v_n) = (
        np.split(a, 3, -1) for a in (p["kernel"][x] + p["bias"], h @ p["recurrent_kernel"] + p["recurrent_bias"])
    )
    r, z = 1 / (1 + np.exp(-u_r - v_r)), 1 / (1 + np.exp(-u_z - v_z))
    return z * h + (1 - z) * np.tanh(u_n + r * v_n)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_symbols_of_any_integer_type_are_themselves(dtype):
    """V = 300, of which an int8 holds 128: each symbol reads its own row of the kernel, eagerly and traced."""
    V, top = 300, min(299, np.iinfo(dtype).max)
    model = models.language_model(GRU, V)
    params = made(model)
    tokens = np.array([[0, top], [1, top - 1], [top, 2]])
    h, expected = np.zeros((2, H)), []
    for x in tokens:
        h = one_hot_step(params, x, h)
        expected.append(h @ np.asarray(params["readout"], float) + np.asarray(params["bias"], float))
    narrow, run = tokens.astype(dtype), _applied(model)
    for some in (narrow, jnp.asarray(narrow)):
        assert_close(run(params, some), np.array(expected), 1e-5)
    ys = jax.eval_shape(lambda params: model.apply(params, None, Foreign(narrow))[1], params)
    assert ys.shape == (3, 2, V)


@functools.lru_cache
def _applied(model):
    return jax.jit(lambda params, tokens: model.apply(params, None, tokens)[1])


@pytest.mark.usefixtures("float32_only")
@pytest.mark.full
def test_labels_targets_and_weights_of_any_type():
    """C = 200 classes: a narrow label, or one in a list or somebody else's array, costs what an int32 does."""
    xs, big = np.random.default_rng(0).standard_normal((T, B, D)).astype("float32"), np.array([127, 3])
    steps = np.broadcast_to(big, (T, B))
    classify, tag = models.classifier(GRU, 200), models.tagger(GRU, 200)
    translate = models.encoder_decoder(GRU, GRU, 200, 200)
    model = models.language_model(GRU, 200)
    weights = np.array([1, 0])
    many = np.broadcast_to(weights, (T, B))

    for loss, params, x, label, w in (
        (lambda p, *a, **k: classify.loss(p, None, *a, **k)[0], classify.init(jax.random.key(0), D), xs, big, weights),
        (lambda p, *a, **k: tag.loss(p, None, *a, **k)[0], tag.init(jax.random.key(0), D), xs, steps, many),
        (lambda p, *a, **k: model.loss(p, None, *a, **k)[0], made(model), steps, steps, many),
        (translate.loss, made(translate), steps, steps, many),
    ):
        run = jax.jit(loss)
        expected = run(params, x, label.astype("int32"), weights=w.astype("float32"))
        assert np.isfinite(expected)
        whole = np.asarray(x).dtype.kind == "i"
        for dtype in ("int8", "uint8"):
            some = x.astype(dtype) if whole else x
            assert_close(run(params, some, label.astype(dtype), weights=w.astype(bool)), expected, 0.0)
        # Eagerly, so that each comes to the door as it is; only the shapes are traced.
        for as_theirs in (Foreign, lambda a: np.asarray(a).tolist()):
            some = as_theirs(x) if whole else Foreign(x)
            rest = some, as_theirs(label), as_theirs(w)
            assert jax.eval_shape(lambda p, f=loss, r=rest: f(p, r[0], r[1], weights=r[2]), params).shape == ()


def test_a_number_out_of_an_int32_is_still_out_of_range():
    """2^32 + 1 is not symbol 1, and 2^31 of a uint32 not a negative one."""
    for number, dtype in ((2**32 + 1, "int64"), (2**31, "uint32"), (2**64 - 1, "uint64"), (-(2**40), "int64")):
        end = min(max(number, -(2**31)), 2**31 - 1)
        assert arrays.whole(np.array([number], dtype), "tokens").tolist() == [end]
        traced = jax.jit(lambda a: arrays.whole(a, "tokens"))(jnp.asarray(np.array([number], dtype)))
        assert traced.dtype == jnp.int32 and traced.tolist() == [end]
        with pytest.raises(ValueError, match=rf"tokens: expected numbers below V=9, got {number} at 0"):
            arrays.tokens(np.array([number], dtype), 9, "tokens")
        with pytest.raises(ValueError, match="numbers: expected"):
            data.Vocabulary.of("abcdefgh").decode(np.array([number], dtype))
    streams = data.Streams(np.arange(9, dtype="uint8"), 2, 3)
    assert streams.numbers.dtype == np.int32
    for wrong in (np.arange(9.0), np.arange(8).reshape(2, 4)):
        with pytest.raises(ValueError, match="numbers: expected one axis of int"):
            data.Streams(wrong, 2, 3)
    assert data.Vocabulary.of("abc").decode(np.array([1, 3], "uint8")) == "ac"


def test_arrays_of_others_are_read_or_named():
    class Closed(Foreign):
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("it requires a gradient")

    assert arrays.ours({"x": Foreign([1.5])}, "xs")["x"] == np.array([1.5])
    kept = jnp.ones(3), np.ones(3), np.float32(1), 2, None, "text", jax.ShapeDtypeStruct((3,), "float32")
    assert all(a is b for a, b in zip(arrays.ours(kept, "xs"), kept, strict=True) if a is not None)
    with pytest.raises(
        TypeError, match=r"xs: expected an array of numbers, got test_doors.Closed.*requires a gradient"
    ):
        arrays.ours(Closed([1.0]), "xs")
    with pytest.raises(TypeError, match=r"xs: expected an array of numbers, got test_doors\.Foreign"):
        arrays.ours(Foreign(["a"]), "xs")

    params = GRU.init(jax.random.key(0), D)
    carry, x = GRU.initial_carry(params, (B,)), np.ones((B, D), "float32")
    foreign = type(carry)(Foreign(carry.h))
    assert_close(GRU.step(params, foreign, Foreign(x)), GRU.step(params, carry, x), 0.0)
    xs, lengths = data.ragged.pad([Foreign(np.ones((2, D))), Foreign(np.ones((1, D)))])
    assert xs.shape == (2, 2, D) and lengths.tolist() == [2, 1]
    assert [a.shape for a in data.ragged.unpad(Foreign(xs), lengths.tolist())] == [(2, D), (1, D)]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "list"])
def test_primes_of_any_type(dtype):
    model = models.language_model(GRU, 20)
    params = made(model)
    carry, prime = model.initial_carry(params, (B,)), np.array([[3, 19]])
    some = prime.tolist() if dtype == "list" else Foreign(prime.astype(dtype))
    run = functools.partial(decode.generate, model.step, params, carry, length=3, choose=decode.greedy())
    assert_close(run(some)[1], run(prime.astype("int32"))[1], 0.0)


def test_a_prime_that_is_no_symbol():
    """Named with its place, where it is known; its V is that of the logits."""
    model = models.language_model(GRU, 20)
    params = made(model)
    carry = model.initial_carry(params, (B,))
    for number in (20, -1, 2**40):
        prime = np.array([[0, 0], [1, number]])
        message = rf"prime: expected numbers below V=20, got {number} at \(1, 1\)"
        with pytest.raises(ValueError, match=message):
            decode.generate(model.step, params, carry, prime, 3, choose=decode.greedy())
        with pytest.raises(ValueError, match=message):
            next(decode.stream(model.step, params, carry, prime, 3, choose=decode.greedy()))
        with pytest.raises(ValueError, match=message):
            decode.beam(model.step, params, carry, prime, 3, width=2)


def test_nan_is_not_written():
    """Of two rows one has a NaN in its carry: an error names it; in jit it alone writes -1, and has no hypothesis."""
    model = models.language_model(GRU, 20)
    params = made(model)
    carry = model.initial_carry(params, (B,))
    carry = type(carry)(carry.h.at[1].set(jnp.nan))
    prime, options = np.array([[1, 2]]), {"choose": decode.greedy()}
    written = functools.partial(decode.generate, model.step, length=4, pad=0, **options)
    searched = functools.partial(decode.beam, model.step, length=4, width=2, end=19)
    for call in (
        lambda: written(params, carry, prime),
        lambda: written(params, carry, prime, end=19),
        lambda: next(decode.stream(model.step, params, carry, prime, 4, **options)),
        lambda: searched(params, carry, prime),
    ):
        with pytest.raises(FloatingPointError, match="params: expected ones that make logits, got NaN logits of row 1"):
            call()
    _, tokens = jax.jit(lambda c: written(params, c, prime))(carry)
    _, ending = jax.jit(lambda c: written(params, c, prime, end=19))(carry)
    found = jax.jit(lambda c: searched(params, c, prime))(carry)
    sound = type(carry)(carry.h[:1])
    assert_close(tokens[:, :1], written(params, sound, prime[:, :1])[1], 0.0)
    for made_ in (tokens, ending):
        assert made_[:, 1].tolist() == [-1] * 4
    assert np.isfinite(found.scores[0]).all() and np.isnan(found.scores[1]).all()
    assert (found.tokens[:, 1] == -1).all() and not found.lengths[1].any()


def losses():
    """name: (loss of params, params), of a batch in which nothing counts."""
    xs, none, symbols = np.ones((T, B, D), "float32"), np.zeros(B), np.ones((T, B), int)
    nothing = np.zeros((T, B))
    classify, tag = models.classifier(GRU, 3, pooling="attention"), models.tagger(GRU, 3)
    model, translate = models.language_model(GRU, 3), models.encoder_decoder(GRU, GRU, 3, 3, attention="bahdanau")
    predict = models.forecaster(GRU, 2, head="negative_binomial")
    sized, key = jax.random.key(0), jax.random.key(1)
    empty = {"lengths": np.zeros(B, int)}
    return {
        "classifier": (lambda p: classify.loss(p, None, xs, none.astype(int), weights=none)[0], classify.init(key, D)),
        "tagger": (lambda p: tag.loss(p, None, xs, symbols, weights=nothing)[0], tag.init(key, D)),
        "tagger, no step": (lambda p: tag.loss(p, None, xs, symbols, **empty)[0], tag.init(key, D)),
        "language_model": (lambda p: model.loss(p, None, symbols, symbols, weights=nothing)[0], model.init(key)),
        "language_model, no step": (lambda p: model.loss(p, None, symbols, symbols, **empty)[0], model.init(sized)),
        "encoder_decoder": (lambda p: translate.loss(p, symbols, symbols, weights=nothing), translate.init(key)),
        "encoder_decoder, no step": (
            lambda p: translate.loss(p, symbols, symbols, target_lengths=np.zeros(B, int), **empty),
            translate.init(key),
        ),
        "forecaster": (lambda p: predict.loss(p, None, np.full((T, B, 1), np.nan), context=2)[0], predict.init(key)),
        "forecaster, no step": (lambda p: predict.loss(p, None, xs[..., :1], context=2, **empty)[0], predict.init(key)),
    }


@pytest.mark.parametrize("name", losses())
def test_where_nothing_counts_the_loss_and_its_gradient_are_0(name):
    loss, params = losses()[name]
    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    assert value == 0 and all((g == 0).all() for g in jax.tree.leaves(grads))


def test_models_want_one_array_from_their_cell():
    """emit_carry's y is two; `apply` says so too, for its params are those of the cell."""
    more, key = jaxrnn.emit_carry(GRU), jax.random.key(0)
    tokens, xs = np.ones((T, B), int), np.ones((T, B, D), "float32")
    tag, classify = models.tagger(more, 3), models.classifier(more, 3)
    model, predict = models.language_model(more, 3), models.forecaster(more, 2)
    to, of = models.encoder_decoder(GRU, more, 3, 3), models.encoder_decoder(more, GRU, 3, 3, attention="luong")
    plain = models.tagger(GRU, 3).init(key, D)
    for call in (
        lambda: tag.init(key, D),
        lambda: tag.apply(plain, None, xs),
        lambda: tag.step(plain, more.initial_carry(plain["cell"], (B,)), xs[0]),
        lambda: classify.init(key, D),
        lambda: classify.apply(models.classifier(GRU, 3).init(key, D), None, xs),
        lambda: model.init(key),
        lambda: model.apply(models.language_model(GRU, 3).init(key), None, tokens),
        lambda: predict.init(key),
        lambda: predict.apply(models.forecaster(GRU, 2).init(key), None, xs[..., :1], context=2),
        lambda: to.init(key),
        lambda: of.init(key),
        lambda: of.apply(models.encoder_decoder(GRU, GRU, 3, 3, attention="luong").init(key), tokens, tokens),
        lambda: to.apply(models.encoder_decoder(GRU, GRU, 3, 3).init(key), tokens, tokens),
    ):
        with pytest.raises(TypeError, match=r"cell: expected one whose y is one array .* got emit_carry\(gru\(4\)\)"):
            jax.eval_shape(call)


def test_a_size_that_would_not_be_used_is_refused():
    for model in (models.encoder_decoder(GRU, GRU, 5, 5), models.classifier(GRU, 5, vocabulary_size=5)):
        with pytest.raises(ValueError, match="input_size: expected None for symbols, whose size is known, got 999"):
            model.init(jax.random.key(0), 999)
