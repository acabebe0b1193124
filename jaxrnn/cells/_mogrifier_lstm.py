"""The mogrifier LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Gated
from jaxrnn.cells._lstm import LSTMCarry


class _Between(NamedTuple):
    """The state within a step."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]
    x: jax.Array  # [..., D]


@factory
def mogrifier_lstm(
    hidden_size: int, *, rounds: int = 5, forget_bias: float | Callable = 1.0, **options: Unpack[Gated]
) -> Cell:
    """Mogrifier LSTM, whose x and h gate one another first: x [..., D], h, c [..., H] -> (h', c'), y = h'.

        for k = 1, ..., rounds:   x = 2 sigmoid(h Q_k) x  if k is odd,   h = 2 sigmoid(x R_k) h  if it is even
        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + h U + b), gate by gate
        c' = f c + i g
        h' = o tanh(c')

    Parameters, gates in the order i, f, g, o: kernel W [D, 4H], recurrent_kernel U [H, 4H], bias b [4H], to_x, all Q
    [(rounds + 1) // 2, H, D], to_h, all R [rounds // 2, D, H] (none for one round). Each round and the LSTM is a
    product after the one before (rounds + 1 stages), and as x waits for h there is none outside of the loop.

    rounds: at least 1; with 0 it would be `lstm`. forget_bias: as in `lstm`.
    Sources: the paper may factor Q and R into matrices of low rank, which are not here.
    Good for: language models; the same word enters by what has been read.
    Paper: Melis, Kočiský and Blunsom 2020, arXiv 1909.01792.
    """
    d, rounds = Dense(hidden_size, "ifgo", options), checks.positive(rounds, "rounds")
    draw = d.options["kernel_init"]

    def init(key, input_size):
        params = d.init(key, input_size, memory="+f-i" if callable(forget_bias) else "+f", by=forget_bias)
        keys = jax.random.split(jax.random.fold_in(key, 1), rounds)
        to_x = [draw(k, (d.H, input_size), d.param_dtype) for k in keys[::2]]
        to_h = [draw(k, (input_size, d.H), d.param_dtype) for k in keys[1::2]]
        return params | {"to_x": jnp.stack(to_x)} | ({"to_h": jnp.stack(to_h)} if to_h else {})

    def drive(params, x):
        return x.astype(d.compute(params))

    def mogrify(k):
        def recur(params, s):
            of, name = (s.x, "to_h") if k % 2 else (s.h, "to_x")
            return product(of, params[name][k // 2], d.compute(params))

        def update(params, s, u, v):
            x, by = s.x if k else u, 2 * d.squash(v)
            return _Between(s.h * by, s.c, x) if k % 2 else _Between(s.h, s.c, x * by)

        return d.stage(recur, update)

    def recur(params, s):
        v = d.recur()(params, s) + product(s.x, params["kernel"], d.compute(params))
        return v + row(params["bias"], v)

    def update(params, s, u, v):
        z_i, z_f, z_g, z_o = d.split(v)
        c = d.gate("f", z_f) * s.c + d.gate("i", z_i) * d.candidate("g", z_g)
        return LSTMCarry(d.gate("o", z_o) * d.act(tap("cell", c)), c)

    return d.cell(LSTMCarry, *map(mogrify, range(rounds)), d.stage(recur, update), init=init, drive=drive)
