"""The LSTM with working memory connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Gated
from jaxrnn.cells._lstm import LSTMCarry


class _Between(NamedTuple):
    """The state between two products."""

    h: jax.Array  # [..., H] the sum of the output gate, without what it sees of c
    c: jax.Array  # [..., H] already the new one


@factory
def wmclstm(hidden_size: int, *, forget_bias: float | Callable = 1.0, **options: Unpack[Gated]) -> Cell:
    """LSTM with working memory connections: x [..., D], h, c [..., H] -> (h', c'), y = h'.

        i  = sigmoid(x W_i + h U_i + tanh(c V_i) + b_i)
        f  = sigmoid(x W_f + h U_f + tanh(c V_f) + b_f)
        g  = tanh(x W_g + h U_g + b_g)
        c' = f c + i g
        o  = sigmoid(x W_o + h U_o + tanh(c' V_o) + b_o)
        h' = o tanh(c')

    Peepholes through a matrix and a tanh, which keeps what the gates see of c bounded. Parameters, gates in the order
    i, f, g, o: kernel [D, 4H], recurrent_kernel [H, 4H], memory_kernel V [H, 3H] in the order i, f, o, bias [4H]. The
    carry is an `LSTMCarry`. A step has two products in sequence (two stages).

    forget_bias: is added to f's bias, as in `lstm`.
    Sources: torchrecurrent adds a bias within the inner tanh, which the paper's equations do not have.
    Good for: long sequences whose gates should know how full the memory is.
    Paper: Landi, Baraldi, Cornia and Cucchiara 2021, arXiv 2109.00020.
    """
    d = Dense(hidden_size, "ifgo", options)

    def init(key, input_size):
        params = d.init(key, input_size, memory="+f-i" if callable(forget_bias) else "+f", by=forget_bias)
        draw = d.blocks("recurrent_init", jax.random.fold_in(key, 4), (d.H, d.H), "ifo")
        return {**params, "memory_kernel": draw}

    def recur(params, s):
        seen = product(s.c, params["memory_kernel"][:, : 2 * d.H], d.compute(params))
        return jnp.concatenate([d.recur()(params, s), seen], -1)

    def update(params, s, u, v):
        z_i, z_f, z_g, z_o = d.sums("ifgo", u, v[..., : 4 * d.H])
        of_i, of_f = d.split(d.act(v[..., 4 * d.H :]))
        c = d.gate("f", z_f + of_f) * s.c + d.gate("i", z_i + of_i) * d.candidate("g", z_g)
        return _Between(z_o, c)

    def seen(params, s):
        return product(s.c, params["memory_kernel"][:, 2 * d.H :], d.compute(params))

    def out(params, s, u, v):
        return LSTMCarry(d.gate("o", s.h + d.act(v)) * d.act(tap("cell", s.c)), s.c)

    return d.cell(LSTMCarry, d.stage(recur, update), d.stage(seen, out), init=init)
