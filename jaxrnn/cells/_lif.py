"""Leaky integrate-and-fire neurons."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
from jax import lax

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Pointwise
from jaxrnn.cells._spikes import fast_sigmoid, spike


class LIFCarry(NamedTuple):
    """The spikes of the last step and the membranes' potentials."""

    h: jax.Array  # [..., H] 0 or 1
    v: jax.Array  # [..., H]


@factory
def lif(
    hidden_size: int,
    *,
    beta: float = 0.9,
    threshold: float = 1.0,
    reset: str = "subtract",
    surrogate: float = 25.0,
    recurrent_init: Callable = initializers.orthogonal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Leaky integrate-and-fire: x [..., D], h [..., H], v [..., H] -> (h', v'), y = h'.

        v' = beta v + x W + h U + b - threshold h        with reset="subtract" (soft)
        v' = (beta v + x W + h U + b) (1 - h)            with reset="zero" (hard)
        h' = 1 where v' > threshold, else 0

    Parameters: kernel W [D, H], recurrent_kernel U [H, H], bias b [H]. In gradients the slope of the last line by
    v' is 1 / (1 + surrogate |v' - threshold|)², and what resets is a constant.

    beta: how much of v is kept, exp(-dt / tau), from 0 to 1. threshold: where a neuron fires, above 0.
    reset: "subtract" or "zero". surrogate: the slope of the fast sigmoid; 0 lets gradients through as they are.
    Sources: the reset comes one step after its spike and is not differentiated, as in snnTorch (Leaky) and SpyTorch;
        snnTorch's slope is 25, SpyTorch's 100. Synaptic currents, which SpyTorch filters too, are not in it.
    Good for: spiking networks trained by gradients.
    Paper: Neftci, Mostafa and Zenke 2019, arXiv 1901.09948.
    """
    d = Dense(hidden_size, "h", options | {"activation": "identity", "recurrent_init": recurrent_init})
    if reset not in ("subtract", "zero"):
        raise ValueError(f"reset: expected 'subtract' or 'zero', got {reset!r}")
    if not (0 <= beta <= 1 and threshold > 0 and surrogate >= 0):
        raise ValueError(
            "beta, threshold, surrogate: expected 0 <= beta <= 1, threshold > 0 and surrogate >= 0, "
            f"got {beta!r}, {threshold!r}, {surrogate!r}"
        )
    fire = spike(fast_sigmoid(surrogate))

    def update(params, s, u, v):
        potential, fired = beta * s.v + u + v, lax.stop_gradient(s.h)
        potential = potential - threshold * fired if reset == "subtract" else potential * (1 - fired)
        return LIFCarry(tap("h", fire(potential - threshold)), potential)

    return d.cell(LIFCarry, d.stage(d.recur(), update))
