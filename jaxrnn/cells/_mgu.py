"""The minimal gated unit."""

from __future__ import annotations

import functools
from typing import NamedTuple, Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Between, Dense, Updating


class MGUCarry(NamedTuple):
    """The state of a minimal gated unit."""

    h: jax.Array  # [..., H]


@factory
def mgu(hidden_size: int, **options: Unpack[Updating]) -> Cell:
    """Minimal gated unit: x [..., D], h [..., H] -> h', y [..., H].

        f  = sigmoid(x W_f + h U_f + b_f)
        n  = tanh(x W_n + (f h) U_n + b_n)
        h' = (1 - f) h + f n,    y = h'

    Parameters, gates in the order f, n: kernel [D, 2H], recurrent_kernel [H, 2H], bias [2H]. One gate is both the reset
    and the update gate of a GRU. The paper calls it the forget gate: when open, it forgets, and lets the new state in.
    A step has two products in sequence (two stages). flax's MGUCell is another cell, `mgu_reset_after`.

    `update_bias` is subtracted from b_f.
    Good for: what a GRU does, with one gate and two thirds of its weights.
    Paper: Zhou, Wu, Zhang and Zhou 2016, arXiv 1603.09420.
    """
    d = Dense(hidden_size, "fn", options)

    def reset(params, s, u, v):
        [z_f] = d.sums("f", u, v)
        f = d.gate("f", z_f)
        return Between(s.h, f * s.h, f)

    def update(params, s, u, v):
        [z_n] = d.sums("n", u, v)
        return MGUCarry((1 - s.gate) * s.h + s.gate * d.candidate("n", z_n))

    stages = d.stage(d.recur("f"), reset), d.stage(d.recur("n", of="read"), update)
    return d.cell(MGUCarry, *stages, init=functools.partial(d.init, memory="-f"))
