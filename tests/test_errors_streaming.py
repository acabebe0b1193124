"""Wrong streams, states, slots and inputs, and the whole message that each must give."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wrong import refuses

import jaxrnn
from jaxrnn import streaming

D = 3
GRU = jaxrnn.gru(4)
PARAMS = GRU.init(jax.random.key(0), D)
X = np.ones((2, D), "float32")
MODEL = jaxrnn.models.language_model(GRU, 7)
FEATURES = "the last axis holds the input features, as many as the input_size that the params were made with"


class Widens:
    """A model whose step returns another carry than it is given."""

    def initial_carry(self, params, batch_shape=()):
        return jnp.zeros(batch_shape, "float32")

    def step(self, params, carry, x):
        return carry.astype("float64"), x

    def __repr__(self):
        return "Widens()"


# name: (call, exception, message)
MAKING = {
    "no cell": (
        lambda: streaming(int, PARAMS),
        TypeError,
        "cell: expected a cell such as jaxrnn.lstm(64), or a model with step(params, carry, x) and "
        "initial_carry(params, batch_shape), got type <class 'int'>",
    ),
    "params of another cell": (
        lambda: streaming(GRU, {"kernel": PARAMS["kernel"]}),
        ValueError,
        "params: expected those of gru(4), with the arrays bias, kernel, recurrent_bias, recurrent_kernel, got "
        "dict(kernel: float32(3, 12)); make them with cell.init(key, input_size)",
    ),
    "streams": (
        lambda: streaming(GRU, PARAMS, streams=0),
        ValueError,
        "streams: expected an int of at least 1, got 0",
    ),
    "steps": (lambda: streaming(GRU, PARAMS, steps=1.5), ValueError, "steps: expected an int of at least 1, got 1.5"),
    "no x": (
        lambda: streaming(MODEL, MODEL.init(jax.random.key(0))),
        ValueError,
        "x: expected one input of one stream, such as jax.ShapeDtypeStruct((3,), 'float32'), got None, and "
        "language_model(gru(4), 7) does not say what it takes",
    ),
    "another x": (
        lambda: streaming(GRU, PARAMS, jnp.ones(4), streams=2),
        ValueError,
        f"x: expected [..., D] with D=3, got (2, 4); {FEATURES}",
    ),
    "a carry that changes": (
        lambda: streaming(Widens(), None, jnp.float32(0)),
        TypeError,
        "carry: expected float32(), got float64(); a step of Widens() must return it as it came",
    ),
}


@pytest.mark.parametrize("name", MAKING)
def test_wrong_making(name):
    call, error, message = MAKING[name]
    refuses(error, message, call)


def used(one, two):
    """A state whose memory went to the next one."""
    state = two.start()
    two.step(state, X)
    return state


STATE = "state: expected State(rows.0: float32(2, 4), active: bool(2,))"
USED = (
    "state: expected the one that the last call returned, got one from before it, whose memory that call took; "
    "write state, y = stream.step(state, x)"
)
TRACED = "step: expected arrays, got traced ones; it is compiled, so inside jit write cell.step"
ONE_ROW = "carry(state, slot) or cell.initial_carry(params) makes one"
COMPILED = "streaming(gru(4), params, streams=2, steps=None) is compiled for these"

# name: (call of a streaming for one stream and of one for two, exception, message)
SERVING = {
    "x of another size": (
        lambda one, two: two.step(two.start(), X[:1]),
        ValueError,
        f"x: expected [B, ...], float32(2, 3), got float32(1, 3); {COMPILED}",
    ),
    "x of another type": (
        lambda one, two: two.step(two.start(), X.astype("int32")),
        TypeError,
        f"x: expected [B, ...], float32(2, 3), got int32(2, 3); {COMPILED}",
    ),
    "no x": (
        lambda one, two: two.step(two.start(), None),
        TypeError,
        f"x: expected [B, ...], float32(2, 3), got None; {COMPILED}",
    ),
    "state of another": (
        lambda one, two: two.step(one.start(), X),
        TypeError,
        f"{STATE}, got State(rows.0: float32(4,)); start() makes one",
    ),
    "x before state": (
        lambda one, two: two.step(X, two.start()),
        TypeError,
        f"{STATE}, got float32(2, 3); start() makes one",
    ),
    "no state": (lambda one, two: two.carry(None), TypeError, f"{STATE}, got None; start() makes one"),
    "step with a used state": (lambda one, two: two.step(used(one, two), X), ValueError, USED),
    "add to a used state": (lambda one, two: two.add(used(one, two), 0), ValueError, USED),
    "drop from a used state": (lambda one, two: two.drop(used(one, two), 0), ValueError, USED),
    "carry of a used state": (lambda one, two: two.carry(used(one, two)), ValueError, USED),
    "row of a used state": (lambda one, two: two.carry(used(one, two), 0), ValueError, USED),
    "inside jit": (lambda one, two: jax.jit(two.step)(two.start(), X), TypeError, TRACED),
    "inside grad": (lambda one, two: jax.grad(lambda x: two.step(two.start(), x)[1].sum())(X), TypeError, TRACED),
    "slot too high": (
        lambda one, two: two.add(two.start(), 2),
        ValueError,
        "slot: expected an int from 0 to 1, got 2",
    ),
    "slot below 0": (
        lambda one, two: two.drop(two.start(), -1),
        ValueError,
        "slot: expected an int from 0 to 1, got -1",
    ),
    "slot a bool": (
        lambda one, two: two.carry(two.start(), True),
        ValueError,
        "slot: expected an int from 0 to 1, got True",
    ),
    "a slot of one stream": (
        lambda one, two: one.drop(one.start(), 0),
        ValueError,
        "slot: expected none, for streams=None is one stream without an axis, got 0",
    ),
    "add a whole batch": (
        lambda one, two: two.add(two.start(), 0, two.carry(two.start())),
        ValueError,
        f"carry: expected GRUCarry(h: float32(4,)), got GRUCarry(h: float32(2, 4)); {ONE_ROW}",
    ),
    "start with one row": (
        lambda one, two: two.start(one.carry(one.start())),
        ValueError,
        "carry: expected GRUCarry(h: float32(2, 4)), got GRUCarry(h: float32(4,)); "
        "cell.initial_carry(params, batch_shape) makes one",
    ),
    "active of integers": (
        lambda one, two: two.start(active=[0, 1]),
        ValueError,
        "active: expected True, False or [B] of bool with B=2, got [0, 1]",
    ),
    "one stream that is not there": (
        lambda one, two: one.start(active=False),
        ValueError,
        "active: expected True, as streams=None is one, got False",
    ),
}


@pytest.fixture(scope="module")
def both():
    return streaming(GRU, PARAMS), streaming(GRU, PARAMS, streams=2)


@pytest.mark.parametrize("name", SERVING)
def test_wrong_serving(name, both):
    call, error, message = SERVING[name]
    refuses(error, message, call, *both)


def test_a_call_that_raises_leaves_the_state(both):
    """What was refused can be tried again with the same state."""
    state = both[1].start()
    for wrong in (X[:1], X.astype("int32"), None):
        with pytest.raises((TypeError, ValueError)):
            both[1].step(state, wrong)
    with pytest.raises(ValueError, match="slot"):
        both[1].add(state, 2)
    state, y = both[1].step(state, X)
    assert y.shape == (2, 4)


def test_it_prints_as_its_call(both):
    assert [repr(stream) for stream in both] == [
        "streaming(gru(4), params, streams=None, steps=None)",
        "streaming(gru(4), params, streams=2, steps=None)",
    ]
