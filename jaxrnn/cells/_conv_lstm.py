"""The convolutional LSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._convolution import Spatial
from jaxrnn.cells._dense import Gated
from jaxrnn.cells._lstm import LSTMCarry


@factory
def conv_lstm(
    hidden_size: int,
    *,
    shape: tuple[int, ...] = (16, 16),
    kernel_size: int | tuple[int, ...] = 3,
    peepholes: bool = False,
    forget_bias: float | Callable = 1.0,
    **options: Unpack[Gated],
) -> Cell:
    """Convolutional LSTM: x [..., *shape, D], h [..., *shape, H], c [..., *shape, H] -> (h', c'), y = h'.

        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x * W + h * U + b), gate by gate
        c' = f c + i g
        h' = o tanh(c')

    where * is a convolution over the grid with zeros around it, so that its shape stays, and c has the gates'
    peepholes if asked. Parameters, gates in the order i, f, g, o: kernel W [*kernel_size, D, 4H], recurrent_kernel U
    [*kernel_size, H, 4H], bias b [4H]. The carry is an `LSTMCarry`.

    shape: the grid, of 1, 2 or 3 axes. kernel_size: one number, or one for each axis.
    peepholes: i and f also see c, o sees c', each place of the grid by a weight of its own, through peephole
        [*shape, 3H] in the order i, f, o.
    forget_bias: as in `lstm`.
    Sources: the paper's equations have peepholes; Keras, flax and Haiku have none. Haiku and flax add 1 to f at run
        time and have a bias in each convolution, which is one bias here.
    Good for: fields over time, such as radar images, video, or weather, where what happens moves.
    Paper: Shi, Chen, Wang, Yeung, Wong and Woo 2015, arXiv 1506.04214.
    """
    d = Spatial(hidden_size, "ifgo", options, shape, kernel_size)

    def init(key, input_size):
        params = d.init(key, input_size, memory="+f-i" if callable(forget_bias) else "+f", by=forget_bias)
        if peepholes:
            k = jax.random.fold_in(key, 1)
            params["peephole"] = initializers.normal(0.1)(k, (*d.shape, 3 * d.H), d.param_dtype)
        return params

    def update(params, s, u, v):
        z_i, z_f, z_g, z_o = d.sums("ifgo", u, v)
        if peepholes:
            peep_i, peep_f, peep_o = d.split(row(params["peephole"], u))
            z_i, z_f = z_i + peep_i * s.c, z_f + peep_f * s.c
        c = d.gate("f", z_f) * s.c + d.gate("i", z_i) * d.candidate("g", z_g)
        o = d.gate("o", z_o + peep_o * c if peepholes else z_o)
        return LSTMCarry(o * d.act(tap("cell", c)), c)

    return d.cell(LSTMCarry, d.stage(d.recur(), update), init=init)
