"""Leaky integrate-and-fire neurons with adaptive thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Pointwise
from jaxrnn.cells._spikes import spike, triangle


class ALIFCarry(NamedTuple):
    """The spikes of the last step, the membranes' potentials and the adaptation of the thresholds."""

    h: jax.Array  # [..., H] 0 or 1
    v: jax.Array  # [..., H]
    a: jax.Array  # [..., H]


@factory
def alif(
    hidden_size: int,
    *,
    dt: float = 1.0,
    tau: float = 20.0,
    tau_adaptation: float = 200.0,
    beta: float = 1.8,
    threshold: float = 1.0,
    dampening: float = 0.3,
    recurrent_init: Callable = initializers.orthogonal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Integrate-and-fire with adaptive thresholds: x [..., D], h, v, a [..., H] -> (h', v', a'), y = h'.

        v' = k v + (1 - k) (x W + h U + b) - (threshold + beta a) h,    k = exp(-dt / tau)
        a' = p a + (1 - p) h,                                           p = exp(-dt / tau_adaptation)
        B  = threshold + beta a'
        h' = 1 where v' > B, else 0

    Each spike raises its neuron's threshold B for about tau_adaptation. Parameters: kernel W [D, H], recurrent_kernel U
    [H, H], bias b [H]. In gradients the slope of the last line by r = (v' - B) / B is dampening max(0, 1 - |r|).

    dt, tau, tau_adaptation: in one unit, such as ms. beta: the strength of the adaptation. threshold: B of a neuron
        at rest, above 0. dampening: of the surrogate gradient.
    Sources: the paper also delays spikes, makes neurons silent for some steps after one, and mixes these neurons with
        others whose threshold is fixed (beta = 0); none of it is here. Its b is a here.
    Good for: spiking networks that must remember over hundreds of steps.
    Paper: Bellec, Salaj, Subramoney, Legenstein and Maass 2018, arXiv 1803.09574.
    """
    d = Dense(hidden_size, "h", options | {"activation": "identity", "recurrent_init": recurrent_init})
    if not (dt > 0 and tau > 0 and tau_adaptation > 0 and threshold > 0):
        raise ValueError(
            "dt, tau, tau_adaptation, threshold: expected numbers above 0, "
            f"got {dt!r}, {tau!r}, {tau_adaptation!r}, {threshold!r}"
        )
    k, p = math.exp(-dt / tau), math.exp(-dt / tau_adaptation)
    fire = spike(triangle(dampening))

    def update(params, s, u, v):
        potential = k * s.v + (1 - k) * (u + v) - (threshold + beta * s.a) * s.h
        a = p * s.a + (1 - p) * s.h
        B = threshold + beta * a
        return ALIFCarry(tap("h", fire((potential - B) / B)), potential, a)

    return d.cell(ALIFCarry, d.stage(d.recur(), update))
