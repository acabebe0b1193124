"""cuDNN's flat array: its layout and errors. tests/full/parity runs JAX's own reference on it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import assert_close, noisy_params, weighed

import jaxrnn
from jaxrnn.interop import from_cudnn, from_torch, to_cudnn

D, H = 5, 4
LSTM, GRU = jaxrnn.lstm(H), jaxrnn.gru(H)
BOTH = jaxrnn.bidirectional(LSTM, LSTM)
NETWORKS = {
    "1": (LSTM, 1, False),
    "2": (jaxrnn.stack(LSTM, LSTM), 2, False),
    "1_both": (BOTH, 1, True),
    "2_both": (jaxrnn.stack(BOTH, BOTH), 2, True),
}


def count(layers, both):
    """The number of weights, layer by layer."""
    ways = 1 + both
    return sum(ways * (4 * H * (H * ways if n else D) + 4 * H * H + 8 * H) for n in range(layers))


@pytest.mark.parametrize("name", NETWORKS)
def test_there_and_back(name, key):
    network, layers, both = NETWORKS[name]
    params = noisy_params(network, key, D)
    weights = to_cudnn(network, params)
    assert type(weights) is np.ndarray
    assert (weights.shape, weights.dtype) == ((count(layers, both),), np.float32)
    made, back = from_cudnn(weights, D, H, layers, both)
    assert made == network
    assert jax.tree.structure(back) == jax.tree.structure(params)
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(params)))
    weights[:] = 7  # memory of its own
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(params)))


def test_layout(rng):
    """All kernels before all biases, each layer's directions side by side: PyTorch's arrays in this order."""
    ends = "_l0", "_l0_reverse", "_l1", "_l1_reverse"
    kernels = [
        (f"weight_{side}{end}", (16, D if end < "_l1" else 2 * H) if side == "ih" else (16, H))
        for end in ends
        for side in ("ih", "hh")
    ]
    biases = [(f"bias_{side}{end}", (16,)) for end in ends for side in ("ih", "hh")]
    state = {name: rng.standard_normal(shape).astype("float32") for name, shape in kernels + biases}
    flat = np.concatenate([a.ravel() for a in state.values()])
    cell, params = from_cudnn(flat, D, H, 2, True)
    other, expected = from_torch(state)
    assert cell == other
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, params, expected)))


def test_types_and_traces(rng):
    weights = rng.standard_normal(count(1, False))
    cell, params = from_cudnn(weights, D, H)
    assert cell == jaxrnn.lstm(H, param_dtype="float64")
    cell, narrow = from_cudnn(weights, D, H, dtype="float32")
    assert cell == LSTM
    assert {a.dtype.name for a in jax.tree.leaves(narrow)} == {"float32"}
    with pytest.raises(TypeError, match=r"params: expected float32, .*, got float64; cast them"):
        to_cudnn(LSTM, params)
    traced = jax.jit(lambda w: from_cudnn(w, D, H)[1])(weights)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, traced, params)))
    gradient = jax.grad(lambda w: weighed(from_cudnn(w, D, H)[1]))(weights)
    assert np.all(np.asarray(gradient) != 0)
    back = jax.jit(lambda p: to_cudnn(LSTM, p))(narrow)
    assert_close(back, to_cudnn(LSTM, narrow), 0)


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((np.ones(175, "float32"), D, H), ValueError, r"weights: expected \[N=176\], got float32\(175,\)"),
        ((np.ones(177, "float32"), D, H), ValueError, r"weights: expected \[N=176\], got float32\(177,\)"),
        ((np.ones(176, "float32"), D, H, 2), ValueError, r"weights: expected \[N=336\], got float32\(176,\)"),
        ((np.ones(176, "float32"), D, H, 1, True), ValueError, r"weights: expected \[N=352\], got float32\(176,\)"),
        ((np.ones((176, 1), "float32"), D, H), ValueError, r"weights: expected \[N=176\], got float32\(176, 1\)"),
        ((np.ones(176, int), D, H), TypeError, "weights: expected real floating-point numbers, got int64"),
        ((np.full(176, np.inf, "float32"), D, H), ValueError, "weights: expected finite numbers, got inf at 0"),
        ((None, D, H), ValueError, r"weights: expected \[N=176\]"),
        ((np.ones(176, "float32"), 0, H), ValueError, "input_size: expected an int of at least 1, got 0"),
        ((np.ones(176, "float32"), D, 4.0), ValueError, "hidden_size: expected an int of at least 1, got 4.0"),
        ((np.ones(176, "float32"), D, H, 0), ValueError, "num_layers: expected an int of at least 1, got 0"),
        ((np.ones(176, "float32"), D, H, 1, 2), TypeError, "bidirectional: expected True or False, got 2"),
    ],
)
def test_malformed(args, error, message):
    with pytest.raises(error, match=message) as raised:
        from_cudnn(*args)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (GRU, "no such layer, and gru(4) asks for it; the nearest that it has: one of lstm"),
        (jaxrnn.elman(H), "no such layer"),
        (jaxrnn.lstm(H, projection=2), "no lstm with projection=2"),
        (jaxrnn.lstm(H, peepholes=True), "no lstm with peepholes=True"),
        (jaxrnn.bidirectional(LSTM, LSTM, merge="mean"), "no merge but concat"),
        (jaxrnn.stack(BOTH, LSTM), "no network whose layers or directions differ"),
        (jaxrnn.stack(LSTM, jaxrnn.lstm(H + 1)), "no network whose layers or directions differ"),
    ],
)
def test_refused(cell, message):
    with pytest.raises(TypeError) as raised:
        to_cudnn(cell, jax.tree.map(jnp.asarray, cell.init(jax.random.key(0), D)))
    assert f"cell: cuDNN's array has {message}" in str(raised.value)
