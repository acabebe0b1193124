"""The second-order recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


@factory
def second_order(hidden_size: int, *, activation: str | Callable = "sigmoid", **options: Unpack[Pointwise]) -> Cell:
    """Second-order network, whose units see products of x and h: x [..., D], h [..., H] -> h', y [..., H].

        h'_j = sigmoid(sum over d and i of x_d h_i W_dij + b_j),    y = h'

    Each x chooses, or mixes, transitions of h: for x one-hot the d-th one is h W_d. Parameters: kernel [H, D·H], whose
    d-th block of H columns is W_d, bias [H]. A row starts with h = (1, 0, ..., 0).

    Sources: the paper has no bias, which those after it add; with b = 0, its initial value, this is the paper's.
    Good for: finite automata; with one-hot x it holds any of them.
    Paper: Giles, Miller, Chen, Chen, Sun and Lee 1992, "Learning and extracting finite state automata with
    second-order recurrent neural networks".
    """
    d = Dense(hidden_size, "h", options | {"activation": activation})

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2 = jax.random.split(key)
        kernel = initializers.gates(d.options["kernel_init"], k1, input_size, (d.H, d.H), d.param_dtype)
        return {"kernel": kernel, "bias": d.blocks("bias_init", k2, (d.H,))}

    def start(params):
        return HiddenCarry(jnp.zeros(d.H, d.compute(params)).at[0].set(1))

    def inputs(params):
        return jax.ShapeDtypeStruct((params["kernel"].shape[1] // d.H,), params["kernel"].dtype)

    def recur(params, s):
        return product(s.h, params["kernel"], d.compute(params))

    def update(params, s, u, v):
        sums = jnp.sum(jnp.expand_dims(u, -1) * v.reshape(*u.shape, d.H), -2)
        return HiddenCarry(tap("h", d.act(sums + row(params["bias"], sums))))

    def drive(params, x):
        return x.astype(d.compute(params))

    return Cell(init, start, inputs, drive, (d.stage(recur, update),), gates="h")
