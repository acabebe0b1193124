"""The strongly typed gated recurrent unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Pointwise


class TGRUCarry(NamedTuple):
    """The state of a T-GRU, and the products of the last x with its kernels for the next step."""

    h: jax.Array  # [..., H]
    past: jax.Array  # [..., 3H]


class Typed(Dense):
    """The parts of a cell whose gates see x and the last x: half of its blocks are for the one, half for the other."""

    def init(self, key: Any, input_size: Any, **more: Any) -> Any:
        """kernel [D, G·H], and bias [G·H / 2], of the first half."""
        params = super().init(key, input_size, recurrent="", **more)
        return {**params, "bias": params["bias"][: len(self.gates) // 2 * self.H]}

    def drive(self, params: Any, x: jax.Array) -> jax.Array:
        """x @ kernel, with the bias on its first half."""
        u = product(x, params["kernel"], self.compute(params))
        bias = jnp.pad(params["bias"], (0, u.shape[-1] - params["bias"].shape[-1]))
        return (u + row(bias, u)).astype(self.compute(params))

    def start(self, carry: type) -> Callable:
        """Zeros [H] in each field, but [G·H / 2] in `past`."""

        def zeros(params):
            sizes = dict.fromkeys(carry._fields, self.H) | {"past": len(self.gates) // 2 * self.H}
            return carry(**{name: jnp.zeros(size, self.compute(params)) for name, size in sizes.items()})

        return zeros


@factory
def tgru(
    hidden_size: int,
    *,
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    **options: Unpack[Pointwise],
) -> Cell:
    """Strongly typed gated recurrent unit, T-GRU: x [..., D], h [..., H], q [..., D] -> h', y [..., H], q' = x.

        z  = x W_z + q V_z + b_z
        f  = sigmoid(x W_f + q V_f + b_f)
        o  = tanh(x W_o + q V_o + b_o)
        h' = f h + z o,    y = h'

    q is the x of the step before, 0 before the first. The carry has its products q V, which the step before made
    outside the loop: there is no product within. Parameters, blocks W_z, W_f, W_o, V_z, V_f, V_o side by side: kernel
    [D, 6H]; bias [3H].

    Good for: gates that do not see the state, so that what it has learned can be read.
    Paper: Balduzzi and Ghifary 2016, arXiv 1602.02218.
    """
    own = {"activation": activation, "gate_activation": gate_activation}
    d = Typed(hidden_size, "zfoZFO", {**options, **own})

    def update(params, s, u, v):
        now, past = jnp.split(u, 2, -1)
        z, z_f, z_o = d.split(now + s.past)
        return TGRUCarry(d.gate("f", z_f) * s.h + tap("z", tap("candidate", z)) * tap("o", d.act(z_o)), past)

    return d.cell(TGRUCarry, d.stage(None, update), start=d.start(TGRUCarry))
