"""The gated recurrent unit that resets after the product, as in PyTorch and cuDNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Updating


class GRUCarry(NamedTuple):
    """The state of a GRU."""

    h: jax.Array  # [..., H]


@factory
def gru(hidden_size: int, *, recurrent_bias_init: Callable = initializers.zeros(), **options: Unpack[Updating]) -> Cell:
    """GRU, reset after the product: x [..., D], h [..., H] -> h', y [..., H].

        r  = sigmoid(x W_r + b_r + h U_r + d_r)
        z  = sigmoid(x W_z + b_z + h U_z + d_z)
        n  = tanh(x W_n + b_n + r (h U_n + d_n))
        h' = (1 - z) n + z h,    y = h'

    Parameters, gates in the order r, z, n (as in PyTorch and cuDNN): kernel [D, 3H], recurrent_kernel [H, 3H],
    bias b [3H], recurrent_bias d [3H]. d_n is inside the reset and cannot be merged into b_n; flax.nnx.GRUCell
    lacks it, Keras has it with reset_after=True. z keeps the old state (Haiku's z lets the new one in).

    `update_bias` is added to b_z.
    Good for: most sequences, at three quarters of the weights of an LSTM and with one state.
    Paper: Cho et al. 2014, arXiv 1406.1078v1; `gru_reset_before` is v3.
    """
    d = Dense(hidden_size, "rzn", options)

    def init(key, input_size):
        params = d.init(key, input_size, memory="+z")
        params["recurrent_bias"] = d.blocks(recurrent_bias_init, jax.random.split(key, 5)[4], (d.H,))
        return params

    def recur(params, s):
        v = d.recur()(params, s)
        return v + row(params["recurrent_bias"], v)

    def update(params, s, u, v):
        u_r, u_z, u_n = d.split(u)
        v_r, v_z, v_n = d.split(v)
        r, z = d.gate("r", u_r + v_r), d.gate("z", u_z + v_z)
        n = d.candidate("n", u_n + r * v_n)
        return GRUCarry((1 - z) * n + z * s.h)

    return d.cell(GRUCarry, d.stage(recur, update), init=init)
