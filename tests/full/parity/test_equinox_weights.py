"""from_equinox and to_equinox beside Equinox itself: values, gradients, training, and cells that are filled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sides import B, D, H, T, assert_same, both_dtypes, draw, with_gradients
from support import assert_close, tolerance, weighed
from training import least_moved, slack, trained

import jaxrnn
from jaxrnn import GRUCarry, LSTMCarry, interop

eqx = pytest.importorskip("equinox", reason="equinox is not installed")

CELLS = {"lstm": (eqx.nn.LSTMCell, jaxrnn.lstm), "gru": (eqx.nn.GRUCell, jaxrnn.gru)}
BOTH = pytest.mark.parametrize("name", CELLS)
BIASED = pytest.mark.parametrize("bias", [True, False])


def module(name, D=D, H=H, bias=True, dtype="float64"):
    return CELLS[name][0](D, H, use_bias=bias, dtype=dtype, key=jax.random.key(0))


def arrays(cell):
    """Those that it has, by name."""
    named = {name: getattr(cell, name, None) for name in ("weight_ih", "weight_hh", "bias", "bias_n")}
    return {name: a for name, a in named.items() if a is not None}


def holding(cell, weights):
    return eqx.tree_at(lambda m: [getattr(m, name) for name in weights], cell, list(weights.values()))


def run(cell, carry, xs):
    def step(carry, x):
        if isinstance(carry, LSTMCarry):
            carry = LSTMCarry(*jax.vmap(cell)(x, (carry.h, carry.c)))
        else:
            carry = GRUCarry(jax.vmap(cell)(x, carry.h))
        return carry, carry.h

    return jax.lax.scan(step, carry, xs)


def carry_of(cell, params):
    return jax.eval_shape(lambda p: cell.initial_carry(p, (B,)), params)


def like(cell, D=D):
    return jax.eval_shape(lambda key: cell.init(key, D), jax.random.key(0))


@both_dtypes
@BIASED
@BOTH
def test_theirs(name, bias, dtype, rng):
    """Their arrays in ours: outputs, last carry, and gradients to their arrays, through the conversion."""
    peer, cell = module(name, bias=bias, dtype=dtype), CELLS[name][1](H, param_dtype=dtype)

    def ours(weights, carry, xs):
        made, params = interop.from_equinox(weights)
        assert made == cell
        return jaxrnn.unroll(made, params, carry, xs)

    theirs = with_gradients(lambda weights, carry, xs: run(holding(peer, weights), carry, xs))
    assert_same(rng, ours, theirs, arrays(peer), carry_of(cell, like(cell)), dtype)


@BOTH
def test_ours(name, rng):
    """Our params in theirs: values, and gradients to ours, through the conversion into a cell of theirs."""
    peer, cell = module(name), CELLS[name][1](H, param_dtype="float64")

    def theirs(params, carry, xs):
        return run(interop.to_equinox(cell, params, into=peer), carry, xs)

    def ours(params, carry, xs):
        return jaxrnn.unroll(cell, params, carry, xs)

    assert_same(rng, ours, with_gradients(theirs), like(cell), carry_of(cell, like(cell)), "float64")


@BIASED
@BOTH
def test_cells_come_back_to_the_bit(name, bias, rng):
    peer = module(name, bias=bias)
    weights = draw(rng, arrays(peer), "float64")
    cell, params = interop.from_equinox(holding(peer, weights))
    assert_close(params, interop.from_equinox(weights)[1], 0)
    before = jax.tree.map(np.array, arrays(peer))
    back = interop.to_equinox(cell, params, into=peer)
    jax.tree.map(np.testing.assert_array_equal, arrays(back), weights)
    jax.tree.map(np.testing.assert_array_equal, arrays(peer), before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@BOTH
def test_training(name, optimizer, rng):
    """Ten steps on both sides end at the same weights. Of a GRU the biases that Equinox has not are frozen."""
    peer = module(name)
    weights = jax.tree.map(jnp.asarray, draw(rng, arrays(peer), "float64"))
    cell, params = interop.from_equinox(weights)
    xs, carry = rng.standard_normal((T, B, D)), draw(rng, carry_of(cell, params), "float64")

    def frozen(updates):
        if name == "gru":
            updates["recurrent_bias"] = updates["recurrent_bias"].at[: 2 * H].set(0)
        return updates

    def loss(w):
        return weighed(run(holding(peer, w), carry, xs))

    theirs = trained(optimizer, loss, weights)
    ours = trained(optimizer, lambda p: weighed(jaxrnn.unroll(cell, p, carry, xs)), params, frozen)
    assert least_moved(ours, params) > 1e-2, "a parameter did not move"
    assert_close(ours, interop.from_equinox(theirs)[1], slack(optimizer, loss, weights))


@settings(max_examples=12, derandomize=True, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=3),
    sizes=st.lists(st.integers(1, 5), min_size=4, max_size=4),
    bias=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_drawn(names, sizes, bias, seed):
    """Random cells, layers and sizes: values and carries; the arrays come back to the bit."""
    rng = np.random.default_rng(seed)
    peers = [module(name, *sizes[i : i + 2], bias=bias) for i, name in enumerate(names)]
    peers = [holding(peer, draw(rng, arrays(peer), "float64")) for peer in peers]
    cell, params = interop.from_equinox(peers)
    xs = rng.standard_normal((T, B, sizes[0]))
    carry, ys = jaxrnn.unroll(cell, params, None, xs)
    start, tol = cell.initial_carry(params, (B,)), tolerance("float64", 2 * T * len(names))
    for i, peer in enumerate(peers):
        first, last = (tree if len(peers) == 1 else tree[f"layer_{i}"] for tree in (start, carry))
        new, xs = run(peer, first, xs)
        assert_close(new, last, tol)
    assert_close(ys, xs, tol)
    for peer, back in zip(peers, interop.to_equinox(cell, params, into=peers), strict=True):
        jax.tree.map(np.testing.assert_array_equal, arrays(back), arrays(peer))


INTO = {
    "kind": (lambda: module("lstm", dtype="float32"), TypeError, r"into: expected the cell of gru\(4\), got LSTMCell"),
    "input": (
        lambda: module("gru", 3, dtype="float32"),
        ValueError,
        r"weight_ih float32\(12, 5\), got float32\(12, 3\)",
    ),
    "type": (lambda: module("gru"), ValueError, r"with weight_ih float32\(12, 5\), got float64\(12, 5\)"),
    "biases": (
        lambda: module("gru", bias=False, dtype="float32"),
        ValueError,
        "bias: expected True, as the biases of gru",
    ),
    "another module": (
        lambda: eqx.nn.Linear(3, 4, key=jax.random.key(0)),
        TypeError,
        "into: expected an LSTMCell or .*Linear",
    ),
}


@pytest.mark.parametrize("fault", INTO)
def test_cells_that_do_not_fit(fault, key):
    make, error, message = INTO[fault]
    cell = jaxrnn.gru(H)
    params = jax.tree.map(jnp.ones_like, cell.init(key, D))
    with pytest.raises(error, match=message):
        interop.to_equinox(cell, params, into=make())
    if fault == "another module":
        with pytest.raises(TypeError, match=message.replace("into", "weights")):
            interop.from_equinox(make())
