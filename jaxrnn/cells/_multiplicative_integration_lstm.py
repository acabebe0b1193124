"""The LSTM with multiplicative integration."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Gated
from jaxrnn.cells._integration import HALF, ONE, Integrating
from jaxrnn.cells._lstm import LSTMCarry


@factory
def multiplicative_integration_lstm(
    hidden_size: int,
    *,
    forget_bias: float | Callable = 1.0,
    alpha_init: Callable = ONE,
    beta_init: Callable = HALF,
    **options: Unpack[Gated],
) -> Cell:
    """Multiplicative integration LSTM: x [..., D], h [..., H], c [..., H] -> (h', c'), y = h'.

        z = alpha (x W) (h U) + beta_1 (h U) + beta_2 (x W) + b, gate by gate
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), tanh(z_g), sigmoid(z_o)
        c' = f c + i g
        h' = o tanh(c')

    Parameters, gates in the order i, f, g, o: kernel W [D, 4H], recurrent_kernel U [H, 4H], alpha, beta_1, beta_2 and
    bias b [4H]. With alpha = 0 and both betas 1 this is `lstm`.

    forget_bias: as in `lstm`.
    alpha_init, beta_init: initializers of alpha and of both betas; the paper chooses their starts for each task.
    Good for: an LSTM in which x and h also multiply, at the cost of three vectors a gate.
    Paper: Wu, Zhang, Zhang, Bengio and Salakhutdinov 2016, arXiv 1606.06630.
    """
    d = Integrating(hidden_size, "ifgo", options, alpha_init, beta_init)

    def update(params, s, u, v):
        z_i, z_f, z_g, z_o = d.sums("ifgo", u, v)
        c = d.gate("f", z_f) * s.c + d.gate("i", z_i) * d.candidate("g", z_g)
        return LSTMCarry(d.gate("o", z_o) * d.act(tap("cell", c)), c)

    init = functools.partial(d.init, memory="+f-i" if callable(forget_bias) else "+f", by=forget_bias)
    return d.cell(LSTMCarry, d.stage(d.recur(), update), init=init)
