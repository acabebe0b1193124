"""The independently recurrent neural network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Pointwise


class IndRNNCarry(NamedTuple):
    """The state of an IndRNN."""

    h: jax.Array  # [..., H]


@factory
def indrnn_uniform(low: float = 0.0, high: float = 1.0) -> initializers.Initializer:
    """Uniform in [low, high]: the initial recurrent weights of an IndRNN. Raises ValueError for low above high.

    With relu, for sequences of T steps, its authors use [0, 2^(1/T)], so that a unit's gradient over all of T grows at
    most twofold; and [2^(-1/T), 2^(1/T)] in the last layer, if only its last y is read.
    """
    if not low <= high:
        raise ValueError(f"low, high: expected low at most as large as high, got {low!r}, {high!r}")
    return initializers.Initializer(lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, low, high))


@factory
def indrnn(
    hidden_size: int,
    *,
    activation: str | Callable = "relu",
    recurrent_init: Callable = indrnn_uniform(),
    **options: Unpack[Pointwise],
) -> Cell:
    """IndRNN, in which each unit recurs only on itself: x [..., D], h [..., H] -> h', y [..., H].

        h' = relu(x W + u h + b),    y = h'

    Parameters: kernel [D, H], recurrent_weight u [H], bias [H]. There is no matrix product in the loop: its one stage
    has no `recur`, and u h, which is pointwise, is in `update`. Units mix only in the kernel of the next layer, so
    stack at least two.

    `recurrent_init` draws u, as a matrix [1, H]; by default uniform in [0, 1]. If T is known, use
    `indrnn_uniform(0.0, 2 ** (1 / T))`. The paper also keeps |u| below 2^(1/T) during training: for long sequences,
    clip recurrent_weight after each update.
    Good for: long sequences in deep stacks, as no unit's gradient passes a matrix in time.
    Paper: Li, Li, Cook, Zhu and Gao 2018, arXiv 1803.04831.
    """
    d = Dense(hidden_size, "h", options | {"activation": activation})

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3 = jax.random.split(key, 3)
        # Drawn as a matrix, because some initializers, such as orthogonal, take nothing else.
        u = recurrent_init(k2, (1, d.H), d.param_dtype)[0]
        kernel, bias = d.blocks("kernel_init", k1, (input_size, d.H)), d.blocks("bias_init", k3, (d.H,))
        return {"kernel": kernel, "recurrent_weight": u, "bias": bias}

    def update(params, s, u, v):
        return IndRNNCarry(tap("h", d.act(u + row(params["recurrent_weight"], u) * tap("operand", s.h))))

    return d.cell(IndRNNCarry, d.stage(None, update), init=init)
