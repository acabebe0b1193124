"""cuDNN's LSTM weights in one flat array, as jax.experimental.rnn takes them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn.interop._torch import alike, from_torch
from jaxrnn.interop._weights import array, outward

# All kernels, layer by layer and in a layer direction by direction, before all biases.
PARTS = ("weight_ih", "weight_hh"), ("bias_ih", "bias_hh")


def from_cudnn(
    weights: Any,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bidirectional: bool = False,
    *,
    dtype: Any = None,
) -> tuple[Cell, Params]:
    """(cell, params) of the flat weights of an LSTM for cuDNN, as in jax.experimental.rnn: [N], N numbers in all.

    The sizes are those that its functions are called with: the array does not say them.
    dtype: the type to cast to; None: that of the weights, which jax.experimental.rnn has in float32.

    The numbers are PyTorch's arrays one after another: W_ih [4H, D] and W_hh [4H, H] of each layer and direction
    (forward before backward), then b_ih and b_hh [4H] of each, gates in the order i, f, g, o. W_ih becomes kernel, W_hh
    recurrent_kernel, both transposed, b_ih + b_hh bias. Layers become a `stack`, both directions a `bidirectional`.

    rnn.lstm takes xs as [B, T, D], `unroll` [T, B, D]; its dropout, an argument of each call, is here one of `stack`.
    For ROCm its arrays have other gates: rnn.swap_lstm_gates changes them.

    Raises ValueError for another number of weights or sizes below 1, TypeError for another type.

        weights = jax.experimental.rnn.init_lstm_weight(key, 5, 4, num_layers=2, bidirectional=True)
        cell, params = from_cudnn(weights, 5, 4, num_layers=2, bidirectional=True)
    """
    D, H = checks.positive(input_size, "input_size"), checks.positive(hidden_size, "hidden_size")
    L = checks.positive(num_layers, "num_layers")
    if not isinstance(bidirectional, bool):
        raise TypeError(f"bidirectional: expected True or False, got {bidirectional!r}")
    ways = ("", "_reverse") if bidirectional else ("",)
    of_h = {"weight_hh": (4 * H, H), "bias_ih": (4 * H,), "bias_hh": (4 * H,)}
    shapes = {
        f"{name}_l{n}{way}": of_h.get(name, (4 * H, H * len(ways) if n else D))
        for names in PARTS
        for n in range(L)
        for way in ways
        for name in names
    }
    *ends, N = itertools.accumulate(math.prod(shape) for shape in shapes.values())
    blocks = jnp.split(array(weights, "weights", {"N": N}, dtype), ends)
    return from_torch({name: a.reshape(shapes[name]) for name, a in zip(shapes, blocks, strict=True)})


def to_cudnn(cell: Cell, params: Params) -> Any:
    """The flat weights [N] of an LSTM for jax.experimental.rnn, a NumPy array; the inverse of `from_cudnn`.

    Our bias is wholly b_ih, and b_hh is 0. Both are trained there, and under SGD their sum moves twice as far: to train
    there as here, mask the gradient of b_hh, the last 4H of every 8H of biases.

    Raises TypeError for what the array cannot hold: cells other than `lstm`, or one with options that change it; layers
    or directions that differ, a merge other than "concat", types other than float32.

        weights = to_cudnn(cell, params)
        ys, h, c = jax.experimental.rnn.lstm(xs, h_0, c_0, weights, lengths, 5, 4, 2, 0.0, True)  # on a GPU
    """
    rows, form = alike(cell, params, "cuDNN's array", {"lstm": []})
    for leaf in jax.tree.leaves(params):
        if leaf.dtype != jnp.float32:
            raise TypeError(
                f"params: expected float32, all that jax.experimental.rnn takes, got {leaf.dtype}; cast them"
            )
    all_of = [form.theirs(direction.params) for row in rows for direction in row]
    return outward(jnp.concatenate([jnp.ravel(a[name]) for names in PARTS for a in all_of for name in names]))
