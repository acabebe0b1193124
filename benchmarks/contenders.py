"""One layer over a whole sequence, in jaxrnn and in each peer, written as its own users would write it.

A JAX contender is a function (cell, B, T, D, H, dtype) -> (apply, params, xs), where apply(params, xs) are the outputs:
what is compiled, and what a gradient is taken of, is the same for all. Layouts are each library's default: time first
for jaxrnn, Haiku and PyTorch, batch first for flax, Equinox (one row under vmap) and Keras. Params are float32;
dtype "bfloat16" computes in it, as far as the library lets one, on inputs that are bfloat16 too.

Not the same everywhere: Haiku's GRU and no other resets before the product (two products, as many FLOPs), nnx's GRU has
one bias less, PyTorch one more in each cell. Haiku's only simple cell is a ReLU network, and left
out; Equinox has none.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import jaxrnn
from benchmarks.protocol import Contender, compiled, engines, total_size


def inputs(B: int, T: int, D: int, dtype: str, *, time_major: bool) -> jax.Array:
    """The same numbers in either layout."""
    xs = jnp.asarray(np.random.default_rng(0).standard_normal((T, B, D), np.float32), dtype)
    return xs if time_major else xs.swapaxes(0, 1)


def half(dtype: str) -> Any:
    """The `dtype` argument of libraries in which None means float32 throughout."""
    return None if dtype == "float32" else jnp.dtype(dtype)


def ours(cell, B, T, D, H, dtype="float32", engine=None):
    record = jaxrnn.CELLS[cell](H, dtype=half(dtype))
    params = record.init(jax.random.key(0), D)
    run = engines()[engine] if isinstance(engine, str) else engine

    def apply(params, xs):
        return jaxrnn.unroll(record, params, None, xs, engine=run)[1]

    return apply, params, inputs(B, T, D, dtype, time_major=True)


def linen(cell, B, T, D, H, dtype="float32"):
    from flax import linen as nn

    cells = {"elman": nn.SimpleCell, "gru": nn.GRUCell, "lstm": nn.OptimizedLSTMCell}
    rnn = nn.RNN(cells[cell](H, dtype=half(dtype)))
    xs = inputs(B, T, D, dtype, time_major=False)
    return rnn.apply, rnn.init(jax.random.key(0), xs), xs


def nnx(cell, B, T, D, H, dtype="float32"):
    """Split and merged, the faster of the two ways that flax recommends: nnx.jit adds a walk over the module."""
    from flax import nnx

    cells = {"elman": nnx.SimpleCell, "gru": nnx.GRUCell, "lstm": nnx.OptimizedLSTMCell}
    rnn = nnx.RNN(cells[cell](D, H, dtype=half(dtype), rngs=nnx.Rngs(0)))
    graph, params, rest = nnx.split(rnn, nnx.Param, ...)

    def apply(params, xs):
        return nnx.merge(graph, params, rest, copy=True)(xs)  # a copy: a call counts in `rest`, outside this trace

    return apply, params, inputs(B, T, D, dtype, time_major=False)


def haiku(cell, B, T, D, H, dtype="float32"):
    import haiku as hk

    cores = {"gru": hk.GRU, "lstm": hk.LSTM}

    def forward(xs):
        core = cores[cell](H)
        initial = jax.tree.map(lambda a: a.astype(dtype), core.initial_state(B))
        return hk.dynamic_unroll(core, xs, initial)[0]

    model = hk.without_apply_rng(hk.transform(forward))
    xs = inputs(B, T, D, dtype, time_major=True)
    params = model.init(jax.random.key(0), xs.astype("float32"))
    return lambda params, xs: model.apply(cast(params, dtype), xs), params, xs


def equinox(cell, B, T, D, H, dtype="float32"):
    import equinox as eqx

    cells = {"gru": eqx.nn.GRUCell, "lstm": eqx.nn.LSTMCell}
    zeros = jnp.zeros(H, dtype)
    initial = (zeros, zeros) if cell == "lstm" else zeros

    def row(params, xs):
        def step(carry, x):
            carry = params(x, carry)
            return carry, carry[0] if cell == "lstm" else carry

        return jax.lax.scan(step, initial, xs)[1]

    def apply(params, xs):
        return jax.vmap(row, in_axes=(None, 0))(cast(params, dtype), xs)

    return apply, cells[cell](D, H, key=jax.random.key(0)), inputs(B, T, D, dtype, time_major=False)


def keras(cell, B, T, D, H, dtype="float32"):
    from keras import layers

    make = {"elman": layers.SimpleRNN, "gru": layers.GRU, "lstm": layers.LSTM}[cell]
    layer = make(H, return_sequences=True, dtype="mixed_bfloat16" if dtype == "bfloat16" else dtype)
    layer.build((B, T, D))
    fixed = [v.value for v in layer.non_trainable_variables]

    def apply(params, xs):
        return layer.stateless_call(params, fixed, xs)[0]

    return apply, [v.value for v in layer.trainable_variables], inputs(B, T, D, dtype, time_major=False)


def cudnn(cell, B, T, D, H, dtype="float32"):
    """cuDNN's LSTM, through JAX; it knows float32 only."""
    from jax.experimental import rnn

    if dtype != "float32":
        raise TypeError(f"dtype: jax.experimental.rnn has float32 only, not {dtype}")
    lengths, start = jnp.full(B, T, jnp.int32), jnp.zeros((1, B, H))
    sizes = dict(input_size=D, hidden_size=H, num_layers=1, dropout=0.0, bidirectional=False)

    def apply(params, xs):
        return rnn.lstm(xs, start, start, params, lengths, **sizes)[0]

    params = rnn.init_lstm_weight(jax.random.key(0), D, H, 1, False)
    return apply, params, inputs(B, T, D, dtype, time_major=False)


def cast(params: Any, dtype: str) -> Any:
    """float32 params in the type to compute in."""
    return jax.tree.map(lambda a: a.astype(dtype), params)


# name -> (package to find, module to look for, contender, cells that it has)
ALL = ("elman", "gru", "lstm")
JAX_PEERS: dict[str, tuple[str, str, Callable, tuple[str, ...]]] = {
    "linen": ("flax", "flax", linen, ALL),
    "nnx": ("flax", "flax", nnx, ALL),
    "haiku": ("dm-haiku", "haiku", haiku, ("gru", "lstm")),
    "equinox": ("equinox", "equinox", equinox, ("gru", "lstm")),
    "keras": ("keras", "keras", keras, ALL),
    "cudnn": ("jax", "jax", cudnn, ("lstm",)),  # on a GPU
}
PEERS = (*JAX_PEERS, "torch")
TIME_FIRST = ("jaxrnn", "haiku", "cudnn")


def present(peer: str) -> bool:
    """Whether a peer can run here, on the device that JAX runs on."""
    gpu = jax.default_backend() == "gpu"
    if peer == "torch":
        return importlib.util.find_spec("torch") is not None and (not gpu or torch_sees_gpu())
    return importlib.util.find_spec(JAX_PEERS[peer][1]) is not None and (peer != "cudnn" or gpu)


def torch_sees_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def outputs_of(apply: Callable, params: Any, xs: jax.Array) -> tuple[Callable, Any, jax.Array]:
    """(function, *arguments) of a forward pass."""
    return apply, params, xs


def gradient_of(apply: Callable, params: Any, xs: jax.Array) -> tuple[Callable, Any, jax.Array]:
    """(function, *arguments) of a scalar and its gradient with respect to parameters and inputs."""

    def loss(params, xs):
        return (apply(params, xs).astype("float32") ** 2).sum()

    return jax.value_and_grad(loss, argnums=(0, 1)), params, xs


WHAT = {"forward": outputs_of, "gradient": gradient_of}


def contender(name: str, cell: str, shape: tuple, what: str, dtype: str = "float32", engine=None) -> Contender:
    """`name`, jaxrnn or a JAX peer, compiled for one device or, where there are more, for rows shared among them."""
    make = functools.partial(ours, engine=engine) if name == "jaxrnn" else JAX_PEERS[name][2]
    apply, params, xs = make(cell, *shape, dtype)
    params, xs = over_devices(params, xs, axis=1 if name in TIME_FIRST else 0)
    return compiled(*WHAT[what](apply, params, xs))


def over_devices(params: Any, xs: Any, *, axis: int) -> Any:
    """The same, on all devices: of each array of xs an equal share of that axis, and of params a copy."""
    if jax.device_count() == 1:
        return params, xs
    mesh = Mesh(np.array(jax.devices()), ("rows",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec(*[None] * axis, "rows"))
    return jax.device_put(params, NamedSharding(mesh, PartitionSpec())), jax.device_put(xs, rows)


def torch_device() -> str:
    """PyTorch's name for the device that JAX runs on."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def check(result: Any, cell: str, shape: tuple, what: str) -> None:
    """That it is what was asked for: outputs [T, B, H] or [B, T, H]; a loss and gradients of all parameters and inputs.

    Raises AssertionError. Of a compiled program every result is computed, so what is here cannot have been left out.
    """
    B, T, D, H = shape
    if what == "forward":
        assert tuple(result.shape) in {(T, B, H), (B, T, H)}, f"outputs of shape {tuple(result.shape)}"
        return
    loss, (params, xs) = result
    gates = {"elman": 1, "gru": 3, "lstm": 4}[cell]
    biases = total_size(params) - gates * H * (D + H)
    assert tuple(loss.shape) == () and tuple(xs.shape) in {(T, B, D), (B, T, D)}, "not a loss and a gradient of inputs"
    assert 0 < biases <= 2 * gates * H, f"{biases} numbers beside the kernels"
    for leaf in jax.tree.leaves((params, xs)):
        assert float(abs(leaf).max()) > 0, f"a gradient of shape {tuple(leaf.shape)} is zero"
