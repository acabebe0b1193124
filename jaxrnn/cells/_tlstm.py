"""The strongly typed long short-term memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Pointwise
from jaxrnn.cells._tgru import Typed


class TLSTMCarry(NamedTuple):
    """The output of a T-LSTM, which no later step reads, its cell state, and the products of the last x."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]
    past: jax.Array  # [..., 3H]


@factory
def tlstm(
    hidden_size: int,
    *,
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    **options: Unpack[Pointwise],
) -> Cell:
    """Strongly typed LSTM, T-LSTM: x [..., D], c [..., H], q [..., D] -> h', c', q' = x, y = h'.

        z  = x W_z + q V_z + b_z
        f  = sigmoid(x W_f + q V_f + b_f)
        o  = tanh(x W_o + q V_o + b_o)
        c' = f c + (1 - f) z
        h' = c' o

    q is the x of the step before, 0 before the first. The carry has its products q V, as in `tgru`, and h', which no
    step reads. Parameters, blocks W_z, W_f, W_o, V_z, V_f, V_o side by side: kernel [D, 6H]; bias [3H].

    Good for: what `tgru` is good for, with a cell state that is a moving average.
    Paper: Balduzzi and Ghifary 2016, arXiv 1602.02218.
    """
    own = {"activation": activation, "gate_activation": gate_activation}
    d = Typed(hidden_size, "zfoZFO", {**options, **own})

    def update(params, s, u, v):
        now, past = jnp.split(u, 2, -1)
        z, z_f, z_o = d.split(now + s.past)
        f = d.gate("f", z_f)
        c = f * s.c + (1 - f) * tap("z", tap("candidate", z))
        return TLSTMCarry(tap("cell", c) * tap("o", d.act(z_o)), c, past)

    return d.cell(TLSTMCarry, d.stage(None, update), start=d.start(TLSTMCarry))
