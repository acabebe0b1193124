"""The strongly typed recurrent network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import wide
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


@factory
def trnn(
    hidden_size: int,
    *,
    gate_activation: str | Callable = "sigmoid",
    update_bias: float | Callable = 0.0,
    **options: Unpack[Pointwise],
) -> Cell:
    """Strongly typed recurrent network, T-RNN: x [..., D], h [..., H] -> h', y [..., H].

        f  = sigmoid(x W_f + b_f)
        h' = f h + (1 - f) (x W_n + b_n),    y = h'

    Affine in h; no matrix product in the loop. Parameters, gates in the order f, n: kernel [D, 2H], bias [2H].

    update_bias: is added to b_f, as f keeps the old state; a number, or `initializers.chrono(T)`.
    Sources: the paper has no b_n; with b_n = 0, its initial value, this is the paper's.
    Good for: states that can be read, as a moving average of features of x, and for scans in parallel.
    Paper: Balduzzi and Ghifary 2016, arXiv 1602.02218.
    """
    own = {"gate_activation": gate_activation}
    d = Dense(hidden_size, "fn", {**options, **own})

    def element(params, u):
        z_f, n = d.split(u.astype(wide(u.dtype)))
        f = d.gate("f", z_f)
        return HiddenCarry(f), HiddenCarry((1 - f) * tap("n", tap("candidate", n)))

    def update(params, s, u, v):
        a, b = element(params, u)
        return HiddenCarry(a.h * s.h + b.h)

    init = functools.partial(d.init, recurrent="", memory="+f", by=update_bias)
    return d.cell(HiddenCarry, d.stage(None, update), init=init, element=element)
