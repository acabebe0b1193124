"""The undamped independent controlled oscillatory recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Pointwise
from jaxrnn.cells._indrnn import indrnn_uniform


class UnICORNNCarry(NamedTuple):
    """The positions of the oscillators (y in the paper) and their velocities."""

    h: jax.Array  # [..., H]
    z: jax.Array  # [..., H]


@factory
def unicornn(
    hidden_size: int,
    *,
    dt: float = 0.1,
    alpha: float = 0.0,
    activation: str | Callable = "tanh",
    recurrent_init: Callable = indrnn_uniform(0.0, 1.0),
    control_init: Callable = indrnn_uniform(-0.1, 0.1),
    **options: Unpack[Pointwise],
) -> Cell:
    """Undamped independent controlled oscillators: x [..., D], h, z [..., H] -> (h', z'), y = h'.

        e  = dt sigmoid(c)
        z' = z - e (tanh(w h + x W + b) + alpha h)
        h' = h + e z'

    h is the paper's y. Each unit is an oscillator with a time step e of its own, and sees no other unit: stack two or
    more. There is no matrix product in the loop. Parameters: kernel W [D, H], recurrent_weight w [H], control c [H],
    bias b [H].

    dt: the longest time step, above 0. alpha: the restoring force, 0 or more. Both depend on the task and need tuning.
    recurrent_init, control_init: draw w and c, as matrices [1, H].
    Good for: dependencies over many thousand steps; states and gradients stay bounded, and the loop is cheap.
    Paper: Rusch and Mishra 2021, arXiv 2103.05487.
    """
    d = Dense(hidden_size, "z", {**options, "activation": activation, "recurrent_init": recurrent_init})
    if not dt > 0:
        raise ValueError(f"dt: expected a number above 0, got {dt!r}")
    if not alpha >= 0:
        raise ValueError(f"alpha: expected a number of at least 0, got {alpha!r}")

    def init(key, input_size):
        params = d.init(key, input_size, rows=1)
        control = control_init(jax.random.fold_in(key, 4), (1, d.H), d.param_dtype)[0]
        w = params.pop("recurrent_kernel")[0]
        return {**params, "recurrent_weight": w, "control": control}

    def update(params, s, u, v):
        e = dt * jax.nn.sigmoid(row(params["control"], u))
        force = tap("z", d.act(row(params["recurrent_weight"], u) * tap("operand", s.h) + u))
        z = s.z - e * (force + alpha * s.h)
        return UnICORNNCarry(s.h + e * z, z)

    return d.cell(UnICORNNCarry, d.stage(None, update), init=init)
