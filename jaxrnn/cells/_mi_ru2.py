"""The minion recurrent unit without gates."""

from __future__ import annotations

from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, HiddenCarry, Ungated


@factory
def mi_ru2(
    hidden_size: int, *, update_coefficient: float = 0.5, reset_coefficient: float = 0.5, **options: Unpack[Ungated]
) -> Cell:
    """Minion recurrent unit 2, a GRU with numbers for its gates: x [..., D], h [..., H] -> h', y [..., H].

        h' = λ h + (1 - λ) tanh(x W + (β h) U + b),    y = h'

    Parameters: kernel W [D, H], recurrent_kernel U [H, H], bias b [H].

    update_coefficient: λ, the part of the old state that is kept. reset_coefficient: β, the part that the new one sees.
        The paper chooses both for each task.
    Good for: small devices, and learning task after task, with the parameters of an Elman network.
    Paper: Zyarah and Kudithipudi 2025, arXiv 2503.06175.
    """
    d, keep = Dense(hidden_size, "n", options), update_coefficient

    def update(params, s, u, v):
        return HiddenCarry(keep * s.h + (1 - keep) * d.candidate("n", u + reset_coefficient * v))

    return d.cell(HiddenCarry, d.stage(d.recur(), update))
