"""Streams that come and go, against the reference's loops: one row at a time there, a compiled batch here."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from sequences import CASES, D, H, stacked
from sequences import row as case_of
from support import assert_close, double, leaves_close, noisy_params, table, tolerance

import jaxrnn
from jaxrnn import streaming

B = 3
# What happens to which stream before each call: it ends, another begins at the initial carry, or at a given one.
SCRIPT = [[], [("drop", 1)], [("drop", 0), ("add", 1)], [("put", 0), ("drop", 2)], [("put", 2)], [("drop", 1)]]


def like(rng, tree):
    """Standard normal numbers, of NumPy, in the shapes and types of a pytree."""
    return jax.tree.map(lambda a: rng.standard_normal(a.shape).astype(a.dtype), tree)


class Server:
    """The same streams by the reference: each by itself, a step at a time, in a dict."""

    def __init__(self, case, params):
        self.step, self.params = case.step, double(params)
        self.initial = case.initial(self.params)
        self.carries, self.active = dict.fromkeys(range(B), self.initial), set(range(B))

    def change(self, what, slot, carry):
        if what == "drop":
            self.active.discard(slot)
        else:
            self.active.add(slot)
            self.carries[slot] = self.initial if what == "add" else carry

    def read(self, xs):
        """xs [k, B, D] -> ys [k, B, H], 0 for who is not there."""
        ys = [{} for _ in xs]
        for slot in self.active:
            for x, y in zip(xs, ys, strict=True):
                self.carries[slot], y[slot] = self.step(self.params, self.carries[slot], x[slot])
        zero = np.zeros_like(next(iter(ys[0].values())))
        return np.array([[y.get(slot, zero) for slot in range(B)] for y in ys])


@pytest.mark.parametrize("steps", [None, 3], ids=["one step", "three steps"])
@pytest.mark.parametrize("name", table(CASES, {"lstm_projection_peepholes", "gru", "stack_learned_carry", "plain"}))
def test_streams_come_and_go(name, steps, key, rng):
    """Every kind of cell; the x of a stream that is not there is NaN."""
    case, k = CASES[name], steps or 1
    params = noisy_params(case.cell, key, D, "float64")
    stream, server = streaming(case.cell, params, streams=B, steps=steps), Server(case, params)
    state, tol = stream.start(), tolerance("float64", k * len(SCRIPT))
    for changes in SCRIPT:
        for what, slot in changes:
            carry = like(rng, stream.row)
            server.change(what, slot, carry)
            state = stream.drop(state, slot) if what == "drop" else stream.add(
                state, slot, carry if what == "put" else None
            )  # fmt: skip
        xs, away = rng.standard_normal((k, B, D)), [slot for slot in range(B) if slot not in server.active]
        expected = server.read(xs)
        xs[:, away] = np.nan
        state, ys = stream.step(state, xs if steps else xs[0])
        assert_close(ys, expected if steps else expected[0], tol)
        assert (np.asarray(ys)[..., away, :] == 0).all()
    for slot in range(B):  # also of the one that is away: it is held
        leaves_close(stream.carry(state, slot), jax.tree.leaves(server.carries[slot]), tol)


ONE = {
    "gru": CASES["gru"],
    "lstm_projection_peepholes": CASES["lstm_projection_peepholes"],
    "stack": stacked(case_of("lstm"), case_of("gru")),
}


@pytest.mark.parametrize("dtype", table(["float32", "float64", "bfloat16"], {"float32", "bfloat16"}))
@pytest.mark.parametrize("name", ONE)
@pytest.mark.optimized
def test_one_stream_as_one_unroll(name, dtype, key, rng):
    """Without an axis of streams: eight steps one by one, then four at once from the carry that came of them."""
    cell, T = ONE[name].cell, 12
    params = noisy_params(cell, key, D, dtype)
    xs = jnp.asarray(rng.standard_normal((T, D)), dtype)
    expected = jax.jit(functools.partial(jaxrnn.unroll, cell))(params, None, xs)
    one, four = streaming(cell, params), streaming(cell, params, steps=4)
    state, ys = one.start(), []
    for x in xs[:8]:
        state, y = one.step(state, x)
        ys.append(y)
    state, last = four.step(four.start(one.carry(state)), xs[8:])
    assert_close((four.carry(state), np.concatenate([ys, last])), expected, tolerance(dtype, T))


def test_streams_do_not_see_one_another(key, rng):
    """To the bit: what the others hold, read, and whether they are there makes no difference."""
    cell = jaxrnn.gru(H)
    stream = streaming(cell, noisy_params(cell, key, D, "float32"), streams=B)
    xs = like(rng, jax.ShapeDtypeStruct((6, D), "float32"))
    seen = []
    for others in (0.0, 1e3, np.nan, None):
        state = stream.start()
        if others is None:
            state = stream.drop(stream.drop(state, 0), 2)
        for x in xs:
            row = np.full((B, D), others or 0.0, "float32")
            row[1] = x
            state, y = stream.step(state, row)
            seen.append(np.asarray(y)[1])
    for run in np.reshape(seen, (4, len(xs), H)):
        np.testing.assert_array_equal(run, seen[: len(xs)])


def test_a_stream_moves_to_another_server(key, rng):
    """A carry taken out of one batch and put into another of another size goes on as if it had not moved."""
    cell = jaxrnn.stack(jaxrnn.lstm(H), jaxrnn.learned_carry(jaxrnn.gru(H)))
    params = noisy_params(cell, key, D, "float64")
    xs = rng.standard_normal((8, D))
    _, expected = jaxrnn.unroll(cell, params, None, xs)
    here, there, ys = streaming(cell, params, streams=2), streaming(cell, params, streams=4), []
    state, other = here.start(), there.start(active=False)
    for x in xs[:4]:
        state, y = here.step(state, np.stack([-x, x]))
        ys.append(y[1])
    other = there.add(other, 3, jax.device_get(here.carry(state, 1)))
    for x in xs[4:]:
        other, y = there.step(other, np.tile(x, (4, 1)))
        ys.append(y[3])
        assert (y[:3] == 0).all()
    assert_close(np.array(ys), expected, tolerance("float64", len(xs)))


V = 6


SYMBOLIC = {
    "language_model": jaxrnn.models.language_model(jaxrnn.gru(H), V, 4),
    # Its `apply` says one thing of all steps, and its `step` one of each.
    "classifier": jaxrnn.models.classifier(jaxrnn.gru(H), V, vocabulary_size=V, embedding_size=4),
}


@pytest.mark.parametrize("steps", [None, 4], ids=["one step", "four steps"])
@pytest.mark.parametrize("streams", [None, 2])
@pytest.mark.parametrize("name", SYMBOLIC)
def test_models(name, streams, steps, key, rng):
    """Symbols in, logits out, as by NumPy; it does not say what it reads, so an example does."""
    model = SYMBOLIC[name]
    params = jax.tree.map(lambda a: a.astype(float) + 0.3 * rng.standard_normal(a.shape), model.init(key))
    stream = streaming(model, params, jnp.int32(0), streams=streams, steps=steps)
    symbols = rng.integers(0, V, (8, *stream.x.shape[1 if steps else 0 :])).astype("int32")
    state, logits = stream.start(), []
    for at in range(0, 8, steps or 1):
        state, y = stream.step(state, symbols[at : at + steps] if steps else symbols[at])
        logits.append(y if steps else y[None])
    p = double(params)
    carry, ys = reference.run(reference.gru, p["cell"], (np.zeros(H),), None, p["embedding"][symbols])
    expected = ys @ p["readout"] + p["bias"]
    assert_close(np.concatenate(logits), expected, tolerance("float64", 8))
    leaves_close(stream.carry(state), carry, tolerance("float64", 8))


class Means:
    """A model of another make: the mean of what it has read, 2 by 2, times a number. Its carry is of two types."""

    def initial_carry(self, params, batch_shape=()):
        return {
            "sum": jnp.zeros((*batch_shape, 2, 2)),
            "read": jnp.zeros(batch_shape, "int32"),
            "nothing": jnp.zeros((*batch_shape, 0)),
        }

    def step(self, params, carry, x):
        new = carry | {"sum": carry["sum"] + x, "read": carry["read"] + 1}
        count = new["read"][..., None, None].astype(x.dtype)
        return new, {"mean": params * new["sum"] / count, "before": carry["read"]}


@pytest.mark.parametrize("steps", [None, 3], ids=["one step", "three steps"])
def test_a_model_of_another_make(steps, rng):
    """Anything with a step and an initial carry, with any pytree for a carry and for y: here a stream joins at 3."""
    stream = streaming(Means(), jnp.float64(2.0), jax.ShapeDtypeStruct((2, 2), "float64"), streams=2, steps=steps)
    xs = rng.standard_normal((6, 2, 2, 2))
    state, ys = stream.drop(stream.start(), 0), []
    for at in range(0, 6, steps or 1):
        if at == 3:
            state = stream.add(state, 0)
        state, y = stream.step(state, xs[at : at + steps] if steps else xs[at])
        ys.append(y if steps else jax.tree.map(lambda a: a[None], y))
    ys = jax.tree.map(lambda *a: np.concatenate(a), *ys)
    mean, before = np.zeros_like(xs), np.zeros((6, 2))
    for slot, first in ((0, 3), (1, 0)):
        for t in range(first, 6):
            mean[t, slot], before[t, slot] = 2 * xs[first : t + 1, slot].mean(0), t - first
    assert_close(ys, {"mean": mean, "before": before}, tolerance("float64", 6))


def test_inputs_of_several_arrays(key, rng):
    """A cell that takes (x, reset) is served with both."""
    inner = jaxrnn.gru(H)
    params = noisy_params(inner, key, D, "float64")
    stream = streaming(jaxrnn.with_reset(inner), params, streams=B)
    xs, reset = rng.standard_normal((5, B, D)), rng.random((5, B)) < 0.4
    state, ys = stream.start(), []
    for x in zip(xs, reset, strict=True):
        state, y = stream.step(state, x)
        ys.append(y)
    expected = reference.run(reference.gru, double(params), (np.zeros(H),), None, xs, reset=reset)[1]
    assert_close(np.array(ys), expected, tolerance("float64", 5))
