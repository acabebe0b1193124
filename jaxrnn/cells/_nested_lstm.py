"""The nested LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Gated


class NestedLSTMCarry(NamedTuple):
    """The states of a nested LSTM: its hidden state, its memory, and the memory within that."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]
    m: jax.Array  # [..., H]


class _Between(NamedTuple):
    """The state between the two LSTMs."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]
    m: jax.Array  # [..., H]
    inner: jax.Array  # [..., 2H] the input of the inner LSTM and its hidden state
    o: jax.Array  # [..., H]


@factory
def nested_lstm(hidden_size: int, *, forget_bias: float | Callable = 1.0, **options: Unpack[Gated]) -> Cell:
    """Nested LSTM, whose memory is another's state: x [..., D], h, c, m [..., H] -> (h', c', m'), y = h'.

        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + h U + b), gate by gate
        j, k, l, q = the same of ((i g) V + (f c) Z + a)
        m' = k m + j l
        c' = q tanh(m')
        h' = o tanh(c')

    Parameters, gates in the order i, f, g, o: kernel W [D, 4H], recurrent_kernel U [H, 4H], bias b [4H]; in the order
    j, k, l, q: inner_kernel V [H, 4H], inner_recurrent_kernel Z [H, 4H], inner_bias a [4H]. Two products in sequence
    (two stages). m is the paper's inner memory, c both its outer memory and the inner hidden state.

    forget_bias: as in `lstm`, for f and k.
    Good for: memories on two scales of time; the inner one is reached through the outer alone.
    Paper: Moniz and Krueger 2018, arXiv 1801.10308.
    """
    d = Dense(hidden_size, "ifgo", options)

    def init(key, input_size):
        memory = "+f-i" if callable(forget_bias) else "+f"
        outer = d.init(key, input_size, memory=memory, by=forget_bias)
        inner = d.init(jax.random.fold_in(key, 1), d.H, memory=memory, by=forget_bias)
        return outer | {f"inner_{name}": a for name, a in inner.items()}

    def outside(params, s, u, v):
        z_i, z_f, z_g, z_o = d.sums("ifgo", u, v)
        into, kept = d.gate("i", z_i) * d.candidate("g", z_g), d.gate("f", z_f) * s.c
        return _Between(s.h, s.c, s.m, jnp.concatenate([into, kept], -1), d.gate("o", z_o))

    def recur(params, s):
        kernels = [params["inner_kernel"], params["inner_recurrent_kernel"]]
        v = product(s.inner, jnp.concatenate(kernels), d.compute(params))
        return v + row(params["inner_bias"], v)

    def inside(params, s, u, v):
        z_j, z_k, z_l, z_q = d.split(v)
        m = d.squash(z_k) * s.m + d.squash(z_j) * d.act(z_l)
        c = d.squash(z_q) * d.act(m)
        return NestedLSTMCarry(s.o * d.act(tap("cell", c)), c, m)

    return d.cell(NestedLSTMCarry, d.stage(d.recur(), outside), d.stage(recur, inside), init=init)
