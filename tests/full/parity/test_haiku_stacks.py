"""Parity with Haiku: DeepRNN, its skip connections, and what its own tests ask of ResetCore, asked of `reset`.

A DeepRNN's state is a tuple with one entry for each of its cores; functions between them have none.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sides import B, D, H, T, assert_same, draw, with_gradients
from support import assert_close, tolerance
from test_haiku import PAIRS, hk

import jaxrnn

MAKERS = {"lstm": hk.LSTM, "gru": hk.GRU, "relu_two_biases": hk.VanillaRNN}
LAYERS = ("lstm", "gru", "relu_two_biases")

# Compiled for one run: leave LLVM's optimisation out.
jit = jax.jit
run = jit(jaxrnn.unroll, static_argnums=0, static_argnames="reverse")


def cores(names):
    return [MAKERS[name](H, name=f"core_{n}") for n, name in enumerate(names)]


def params_of(names, weights):
    """{"layer_0": ...} from Haiku's weights by module."""
    found = {name: {} for name in (f"core_{n}" for n in range(len(names)))}
    for module, w in weights.items():
        core, _, inner = module.partition("/")
        found[core][inner] = w
    return {f"layer_{n}": PAIRS[name][2](found[f"core_{n}"]) for n, name in enumerate(names)}


def state_of(carry):
    """Haiku's state from ours by layer."""
    return tuple(hk.LSTMState(*c) if isinstance(c, jaxrnn.LSTMCarry) else c.h for c in carry.values())


def carry_of(names, state):
    pairs = enumerate(zip(names, state, strict=True))
    return {f"layer_{n}": type(PAIRS[name][3])(*(s if name == "lstm" else [s])) for n, (name, s) in pairs}


def peer(deep, names, reverse=False):
    """Haiku's unroll of deep(cores), transformed: (carry, xs, reset) -> (carry, ys), carries as ours."""

    def unroll(carry, xs, reset=None):
        core, inputs = (deep(cores(names)), xs) if reset is None else (hk.ResetCore(deep(cores(names))), (xs, reset))
        ys, last = hk.dynamic_unroll(core, inputs, state_of(carry), reverse=reverse)
        return carry_of(names, last), ys

    return hk.without_apply_rng(hk.transform(unroll))


def shapes(names, deep, dtype="float64"):
    """(weights, carry) of the peer, as shapes."""
    like = {f"layer_{n}": PAIRS[name][3] for n, name in enumerate(names)}, jax.ShapeDtypeStruct((T, B, D), dtype)
    like = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, dtype), like)
    return jax.eval_shape(peer(deep, names).init, jax.random.key(0), *like), like[0]


def of_shapes(tree):
    return jax.tree.map(lambda a: a.shape, tree)


def check(names, deep, stack, rng, *, more=(), reverse=False, reset=None):
    """more: names of layers of `stack` that have neither params nor a carry."""
    none = dict.fromkeys(more, ())

    def theirs(weights, carry, xs):
        return peer(deep, names, reverse).apply(weights, carry, xs, reset)

    def ours(weights, carry, xs):
        params = params_of(names, weights) | none
        carry, ys = jaxrnn.unroll(stack, params, carry | none, xs, reverse=reverse, reset=reset)
        return {name: c for name, c in carry.items() if name not in none}, ys

    weights, carry = shapes(names, deep)
    made = jax.eval_shape(lambda key: stack.init(key, D), jax.random.key(0))
    assert of_shapes(made) == of_shapes(jax.eval_shape(lambda w: params_of(names, w), weights) | none)
    assert_same(rng, ours, with_gradients(theirs), weights, carry, "float64", layers=len(names))


def stack_of(names, **options):
    return jaxrnn.stack(*(PAIRS[name][1] for name in names), **options)


deep = stack_of(LAYERS)
plain = jit(peer(hk.DeepRNN, LAYERS).apply)


@pytest.mark.parametrize("reverse", [False, True])
def test_deep_rnn(reverse, rng):
    check(LAYERS, hk.DeepRNN, deep, rng, reverse=reverse, reset=rng.random((T, B)) < 0.4)


def test_deep_rnn_with_functions(rng):
    """hk.DeepRNN takes bare functions between its cores: a time_distributed layer."""
    cells = [PAIRS[name][1] for name in LAYERS]
    relu = jaxrnn.time_distributed(jax.nn.relu)
    cells[1:1], names = [relu], ("layer_0", "relu", "layer_1", "layer_2")

    def with_relu(made):
        return hk.DeepRNN([made[0], jax.nn.relu, *made[1:]])

    check(LAYERS, with_relu, jaxrnn.stack(*cells, names=names), rng, more=["relu"])


@pytest.mark.parametrize(("names", "reset"), [(LAYERS, False), (("gru", "lstm"), True)], ids=["three", "reset"])
def test_skip_connections(names, reset, rng):
    """Every layer above the first reads [x, y below], and y is that of all layers side by side."""
    reset = rng.random((T, B)) < 0.4 if reset else None
    check(names, hk.deep_rnn_with_skip_connections, stack_of(names, skip=True), rng, reset=reset)


# ResetCore. What is expected of a reset is asked of Haiku's cores without one, as its own tests do.


def problem(rng):
    """(Haiku's weights, ours, a carry that is not the initial one, xs)."""
    weights, carry = shapes(LAYERS, hk.DeepRNN)
    weights, carry = draw(rng, weights, "float64"), draw(rng, carry, "float64")
    return weights, params_of(LAYERS, weights), carry, draw(rng, np.empty((T, B, D)), "float64")


def same(actual, expected):
    assert_close(actual, expected, tolerance("float64", len(LAYERS) * T))


def rows(tree, b):
    """Row b, with its axis, of carries [B, H]."""
    return jax.tree.map(lambda a: a[b : b + 1], tree)


@pytest.mark.parametrize("t", [0, 2, T - 1])
def test_a_reset_row_is_a_fresh_start(t, rng):
    """From the step of its reset on, a row is as if it began there; before it, and in other rows, nothing changes."""
    weights, params, carry, xs = problem(rng)
    reset = np.zeros((T, B), bool)
    reset[t, 1] = True
    last, ys = run(deep, params, carry, xs, reset=reset)
    fresh, zs = plain(weights, jax.tree.map(jnp.zeros_like, carry), xs[t:])
    untouched, ws = plain(weights, carry, xs)
    same(ys[t:, 1], zs[:, 1])
    same(rows(last, 1), rows(fresh, 1))
    same(ys[:t, 1], ws[:t, 1])
    for b in (0, 2):
        same(ys[:, b], ws[:, b])
        same(rows(last, b), rows(untouched, b))
    assert np.abs(ys[t:, 1] - ws[t:, 1]).max() > 1e-3  # the row would have gone on otherwise


def test_a_reset_at_every_step(rng):
    """Then there is no memory: T·B rows of one step each."""
    weights, params, carry, xs = problem(rng)
    last, ys = run(deep, params, carry, xs, reset=np.ones((T, B), bool))
    begin = jax.tree.map(lambda a: jnp.zeros((T * B, H)), carry)
    end, zs = plain(weights, begin, xs.reshape(1, T * B, D))
    same(ys, zs.reshape(T, B, H))
    same(last, jax.tree.map(lambda a: a[-B:], end))


def test_reverse_is_the_flipped_sequence(rng):
    """A reversed unroll with resets is Haiku's forward one on what is flipped, resets too."""
    weights, params, carry, xs = problem(rng)
    reset = rng.random((T, B)) < 0.4
    last, ys = run(deep, params, carry, xs, reset=reset, reverse=True)
    expected, zs = plain(weights, carry, xs[::-1], reset[::-1])
    same((last, ys), (expected, zs[::-1]))


def test_a_reset_forgets_a_nan(rng):
    """The restart selects, it does not multiply: a carry that is not a number is gone after it."""
    weights, params, carry, xs = problem(rng)
    reset = np.zeros((T, B), bool)
    reset[0, 1] = True
    broken = jax.tree.map(lambda a: np.where(np.arange(B)[:, None] == 1, np.nan, a), carry)
    mended = jax.tree.map(lambda a: np.where(np.arange(B)[:, None] == 1, 0.0, a), carry)
    same(run(deep, params, broken, xs, reset=reset), plain(weights, mended, xs))


def test_a_sequence_without_a_batch(rng):
    """Haiku's unbatched states: reset is then [T]."""
    weights, params, carry, xs = problem(rng)
    reset = np.arange(T) == 3
    last, ys = run(deep, params, jax.tree.map(lambda a: a[0], carry), xs[:, 0], reset=reset)
    _, before = plain(weights, rows(carry, 0), xs[:3, :1])
    fresh, after = plain(weights, jax.tree.map(jnp.zeros_like, rows(carry, 0)), xs[3:, :1])
    same(ys, jnp.concatenate([before, after])[:, 0])
    same(last, jax.tree.map(lambda a: a[0], fresh))
