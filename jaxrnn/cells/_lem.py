"""Long expressive memory."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Gated


class LEMCarry(NamedTuple):
    """The output of a long expressive memory (y in the paper) and its slower state."""

    h: jax.Array  # [..., H]
    z: jax.Array  # [..., H]


class _Between(NamedTuple):
    """The state between the two products."""

    h: jax.Array  # [..., H]
    z: jax.Array  # [..., H] already the new one
    e: jax.Array  # [..., H] the time step of h


@factory
def lem(hidden_size: int, *, dt: float = 1.0, **options: Unpack[Gated]) -> Cell:
    """Long expressive memory: x [..., D], h [..., H], z [..., H] -> (h', z'), y = h'.

        d  = dt sigmoid(x W_d + h U_d + b_d)
        e  = dt sigmoid(x W_e + h U_e + b_e)
        z' = (1 - d) z + d tanh(x W_z + h U_z + b_z)
        h' = (1 - e) h + e tanh(x W_h + z' U_h + b_h)

    h is the paper's y; d and e, the learned time steps of z and h, are its Δt and Δt with a bar. Parameters, gates in
    the order d, e, z, h: kernel [D, 4H], recurrent_kernel [H, 4H], whose block h reads z' while the others read h,
    bias [4H]. A step has two products in sequence (two stages). In the authors' code inp2hid has the order e, d, h, z
    and hid2hid e, d, z; its two biases per gate are added here. That code draws all parameters uniform in ±1/sqrt(H):
    set `kernel_init`, `recurrent_init` and `bias_init` to `initializers.uniform_hidden()`.

    dt: the longest time step, above 0; at 1 or below, each state is a weighted mean of the old and the new. The authors
        tune it to the task, from 1 down to 0.024 for 10,000 steps.
    Good for: long sequences with several time scales at once.
    Paper: Rusch, Mishra, Erichson and Mahoney 2022, arXiv 2110.04744.
    """
    d = Dense(hidden_size, "dezh", options)
    if not dt > 0:
        raise ValueError(f"dt: expected a number above 0, got {dt!r}")

    def slow(params, s, u, v):
        z_d, z_e, z_z = d.sums("dez", u, v)
        step, step_h = d.gate("d", z_d, times=dt), d.gate("e", z_e, times=dt)
        return _Between(s.h, (1 - step) * s.z + step * d.candidate("z", z_z), step_h)

    def fast(params, s, u, v):
        [z_h] = d.sums("h", u, v)
        return LEMCarry((1 - s.e) * s.h + s.e * d.candidate("h", z_h), s.z)

    return d.cell(LEMCarry, d.stage(d.recur("dez"), slow), d.stage(d.recur("h", of="z"), fast))
