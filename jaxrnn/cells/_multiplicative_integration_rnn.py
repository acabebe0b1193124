"""The simple recurrent network with multiplicative integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import HiddenCarry, Ungated
from jaxrnn.cells._integration import HALF, ONE, Integrating


@factory
def multiplicative_integration_rnn(
    hidden_size: int, *, alpha_init: Callable = ONE, beta_init: Callable = HALF, **options: Unpack[Ungated]
) -> Cell:
    """Multiplicative integration RNN: x [..., D], h [..., H] -> h', y [..., H].

        h' = tanh(alpha (x W) (h U) + beta_1 (h U) + beta_2 (x W) + b),    y = h'

    Parameters: kernel W [D, H], recurrent_kernel U [H, H], alpha, beta_1, beta_2 and bias b [H]. With alpha = 0 and
    both betas 1 this is `elman`.

    alpha_init, beta_init: initializers of alpha and of both betas; the paper chooses their starts for each task.
    Good for: a simple network in which x gates the transition of h at the cost of three vectors.
    Paper: Wu, Zhang, Zhang, Bengio and Salakhutdinov 2016, arXiv 1606.06630.
    """
    d = Integrating(hidden_size, "h", options, alpha_init, beta_init)

    def update(params, s, u, v):
        [z] = d.sums("h", u, v)
        return HiddenCarry(tap("h", d.act(z)))

    return d.cell(HiddenCarry, d.stage(d.recur(), update))
