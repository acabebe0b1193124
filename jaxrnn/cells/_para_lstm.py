"""The LSTM with a diagonal recurrence, of ParaRNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._affine import Driven
from jaxrnn.cells._dense import Pointwise
from jaxrnn.cells._lstm import LSTMCarry


@factory
def para_lstm(
    hidden_size: int,
    *,
    activation: str | Callable = "tanh",
    recurrent_init: Callable = initializers.uniform_hidden(),
    **options: Unpack[Pointwise],
) -> Cell:
    """LSTM with one gate for old and new, whose units recur on themselves alone: h, c [..., H] -> (h', c'), y = h'.

        f  = sigmoid(x W_f + v_f h + p_f c + b_f)
        g  = tanh(x W_g + v_g h + b_g)
        c' = f c + (1 - f) g
        o  = sigmoid(x W_o + v_o h + p_o c' + b_o)
        h' = o tanh(c')

    The coupled LSTM with peepholes p (CIFG), with vectors v for recurrent matrices.
    Parameters, gates in the order f, g, o: kernel [D, 3H], recurrent_weight v [3H], peephole p [2H], of f and o,
    bias [3H].

    activation: a function, or its name in `jax.nn`, in place of tanh.
    recurrent_init: draws v and p, as a matrix [1, H] for each.
    Sources: the paper's layer has a convolution before the cell, and kernels W of blocks; here W is dense.

    Good for: a nonlinear recurrence whose Jacobian has blocks of 2 by 2, as parallel Newton wants.
    Paper: Danieli, Rodríguez, Sarabia, Suau and Zappella 2025, arXiv 2510.21450.
    """
    d, act = Driven(hidden_size, options, **dict.fromkeys("fgo", hidden_size)), nonlinearity(activation, "activation")

    def init(key, input_size):
        def drawn(count):
            return lambda key: initializers.gates(recurrent_init, key, count, (1, d.H), d.param_dtype)[0]

        return d.init(key, input_size, recurrent_weight=drawn(3), peephole=drawn(2))

    def update(params, s, u, v):
        (z_f, z_g, z_o), (v_f, v_g, v_o) = d.split(u), d.split(row(params["recurrent_weight"], u))
        p_f, p_o = d.split(row(params["peephole"], u))
        f, g = d.gate("f", z_f + v_f * s.h + p_f * s.c), d.new("g", act(z_g + v_g * s.h))
        c = f * s.c + (1 - f) * g
        o = d.gate("o", z_o + v_o * s.h + p_o * c)
        return LSTMCarry(o * act(tap("cell", c)), c)

    return d.made(LSTMCarry, d.stage(None, update), init=init)
