"""The minimal gated unit that resets after the product, as in flax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Updating
from jaxrnn.cells._mgu import MGUCarry


@factory
def mgu_reset_after(
    hidden_size: int, *, recurrent_bias_init: Callable = initializers.zeros(), **options: Unpack[Updating]
) -> Cell:
    """Minimal gated unit, reset after the product: x [..., D], h [..., H] -> h', y [..., H].

        f  = sigmoid(x W_f + h U_f + b_f)
        n  = tanh(x W_n + b_n + f (h U_n + d))
        h' = (1 - f) n + f h,    y = h'

    Parameters, gates in the order f, n: kernel [D, 2H], recurrent_kernel [H, 2H], bias b [2H], recurrent_bias d [H],
    which is inside the reset and cannot be merged into b_n. It is a `gru` whose r and z are one gate: two thirds of its
    weights. It has one product a step, where `mgu` has two in sequence. flax.linen's MGUCell is this cell. f keeps the
    old state; that of `mgu` and of its paper lets the new one in.

    `update_bias` is added to b_f; flax starts it at 1.
    Good for: what `mgu` does, with one product a step, and weights from flax.
    Paper: after Zhou, Wu, Zhang and Zhou 2016, arXiv 1603.09420, with the reset of Cho et al. 2014, arXiv 1406.1078v1.
    """
    d = Dense(hidden_size, "fn", options)

    def init(key, input_size):
        params = d.init(key, input_size, memory="+f")
        k5 = jax.random.split(key, 5)[4]
        params["recurrent_bias"] = recurrent_bias_init(k5, (d.H,), d.param_dtype)
        return params

    def update(params, s, u, v):
        u_f, u_n = d.split(u)
        v_f, v_n = d.split(v)
        f = d.gate("f", u_f + v_f)
        n = d.candidate("n", u_n + f * (v_n + row(params["recurrent_bias"], v_n)))
        return MGUCarry((1 - f) * n + f * s.h)

    return d.cell(MGUCarry, d.stage(d.recur(), update), init=init)
