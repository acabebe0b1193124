"""The residual LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells import _shortcut
from jaxrnn.cells._dense import Dense, Gated
from jaxrnn.cells._lstm import LSTMCarry


class _Between(NamedTuple):
    """The state between two products."""

    h: jax.Array  # [..., H] tanh(c')
    c: jax.Array  # [..., H] already the new one
    o: jax.Array  # [..., H] the output gate


@factory
def res_lstm(
    hidden_size: int,
    *,
    forget_bias: float | Callable = 1.0,
    projection_init: Callable = initializers.glorot_uniform(),
    **options: Unpack[Gated],
) -> Cell:
    """Residual LSTM, with a shortcut from x to its output: x [..., D], h, c [..., H] -> (h', c'), y = h'.

        i, f = sigmoid of (x W + h U + p c + b), gate by gate
        g  = tanh(x W_g + h U_g + b_g)
        c' = f c + i g
        o  = sigmoid(x W_o + h U_o + p_o c' + b_o)
        h' = o (tanh(c') P + x)

    Parameters, gates in the order i, f, g, o: kernel [D, 4H], recurrent_kernel [H, 4H], peephole p [3H] in the order
    i, f, o, projection P [H, H], bias [4H]; and shortcut [D, H], if D is not H: then h' has x @ shortcut in place of x.
    The carry is an `LSTMCarry`. The projection is a second stage.

    forget_bias: is added to f's bias, as in `lstm`. projection_init: draws P.
    Sources: as in the paper, x passes unchanged where sizes agree; torchrecurrent multiplies it always.
    Good for: stacks of many layers, such as acoustic models.
    Paper: Kim, El-Khamy and Lee 2017, arXiv 1701.03360.
    """
    d = Dense(hidden_size, "ifgo", options)

    def init(key, input_size):
        memory = "+f-i" if callable(forget_bias) else "+f"
        params = _shortcut.init(d, key, input_size, memory=memory, by=forget_bias)
        k1, k2 = jax.random.split(jax.random.fold_in(key, 5))
        peephole = initializers.normal(0.1)(k1, (3 * d.H,), d.param_dtype)
        return {**params, "peephole": peephole, "projection": projection_init(k2, (d.H, d.H), d.param_dtype)}

    def drive(params, x):
        return jnp.concatenate([d.drive(params, x), _shortcut.shortcut(d, params, x)], -1)

    def update(params, s, u, v):
        z_i, z_f, z_g, z_o = d.split(u[..., : -d.H] + v)
        p_i, p_f, p_o = d.split(row(params["peephole"], u))
        c = d.gate("f", z_f + p_f * s.c) * s.c + d.gate("i", z_i + p_i * s.c) * d.candidate("g", z_g)
        return _Between(d.act(tap("cell", c)), c, d.gate("o", z_o + p_o * c))

    def project(params, s):
        return product(s.h, params["projection"], d.compute(params))

    def out(params, s, u, v):
        return LSTMCarry(s.o * (v + u[..., -d.H :]), s.c)

    stages = d.stage(d.recur(), update), d.stage(project, out, recurrent=False)
    return d.cell(LSTMCarry, *stages, init=init, drive=drive)
