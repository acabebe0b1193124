"""The minion recurrent unit with a reset gate."""

from __future__ import annotations

from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Gated, HiddenCarry, Reading


@factory
def mi_ru1(hidden_size: int, *, update_coefficient: float = 0.5, **options: Unpack[Gated]) -> Cell:
    """Minion recurrent unit 1, a GRU with a number for its update gate: x [..., D], h [..., H] -> h', y [..., H].

        r  = sigmoid(x W_r + h U_r + b_r)
        h' = λ h + (1 - λ) tanh(x W_n + (r h) U_n + b_n),    y = h'

    Parameters, gates in the order r, n: kernel [D, 2H], recurrent_kernel [H, 2H], bias [2H]. A step has two products in
    sequence (two stages).

    update_coefficient: λ, the part of the old state that is kept; the paper chooses it for each task.
    Good for: small devices, and learning task after task.
    Paper: Zyarah and Kudithipudi 2025, arXiv 2503.06175.
    """
    d, keep = Dense(hidden_size, "rn", options), update_coefficient

    def reset(params, s, u, v):
        [z_r] = d.sums("r", u, v)
        return Reading(s.h, d.gate("r", z_r) * s.h)

    def update(params, s, u, v):
        [z_n] = d.sums("n", u, v)
        return HiddenCarry(keep * s.h + (1 - keep) * d.candidate("n", z_n))

    return d.cell(HiddenCarry, d.stage(d.recur("r"), reset), d.stage(d.recur("n", of="read"), update))
