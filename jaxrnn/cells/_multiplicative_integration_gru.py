"""The GRU with multiplicative integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import HiddenCarry, Updating
from jaxrnn.cells._gru_reset_before import resetting_before
from jaxrnn.cells._integration import HALF, ONE, Integrating


@factory
def multiplicative_integration_gru(
    hidden_size: int, *, alpha_init: Callable = ONE, beta_init: Callable = HALF, **options: Unpack[Updating]
) -> Cell:
    """Multiplicative integration GRU: x [..., D], h [..., H] -> h', y [..., H].

        s(h) = alpha (x W) (h U) + beta_1 (h U) + beta_2 (x W) + b, gate by gate
        r, z = sigmoid(s_r(h)), sigmoid(s_z(h))
        n    = tanh(s_n(r h))
        h'   = (1 - z) n + z h,    y = h'

    Parameters, gates in the order r, z, n: kernel W [D, 3H], recurrent_kernel U [H, 3H], alpha, beta_1, beta_2 and
    bias b [3H]. Two products in sequence (two stages). With alpha = 0 and both betas 1 this is `gru_reset_before`.

    alpha_init, beta_init: initializers of alpha and of both betas; the paper chooses their starts for each task.
        `update_bias` is added to b_z.
    Sources: the paper lets the new state in by z; here z keeps the old, as in all cells of this library.
    Good for: a GRU in which x and h also multiply, at the cost of three vectors a gate.
    Paper: Wu, Zhang, Zhang, Bengio and Salakhutdinov 2016, arXiv 1606.06630.
    """
    return resetting_before(Integrating(hidden_size, "rzn", options, alpha_init, beta_init), HiddenCarry)
