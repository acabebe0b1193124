"""The cell that neural architecture search found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Pointwise
from jaxrnn.cells._lstm import LSTMCarry


@factory
def nas(
    hidden_size: int, *, recurrent_init: Callable = initializers.orthogonal(), **options: Unpack[Pointwise]
) -> Cell:
    """The cell of neural architecture search: x [..., D], h, c [..., H] -> (h', c'), y = h'.

        k  = tanh(sigmoid(z_a) relu(z_b))
        l  = tanh(sigmoid(z_c) + relu((x W_d) (h U_d + b_d)))
        m  = tanh(tanh(z_e) sigmoid(z_f))
        n  = sigmoid(tanh(z_g) + sigmoid(z_i))
        c' = tanh(k + c) l
        h' = tanh(c' tanh(m + n))

    with z = x W + h U + b for all blocks but d, whose products are multiplied. Parameters, blocks in the order a, b, c,
    d, e, f, g, i: kernel [D, 8H], recurrent_kernel [H, 8H], bias [8H]. The carry is an `LSTMCarry`.

    Sources: the paper draws this cell; block d is as in the authors' code, tf.contrib.rnn.NASCell, and its bias, which
        is there too, is of the product with h. torchrecurrent adds the products of block d.
    Good for: language models, for which it was searched.
    Paper: Zoph and Le 2017, arXiv 1611.01578.
    """
    d = Dense(hidden_size, "abcdefgi", {**options, "recurrent_init": recurrent_init})

    def drive(params, x):
        return product(x, params["kernel"], d.compute(params)).astype(d.compute(params))

    def recur(params, s):
        v = d.recur()(params, s)
        return v + row(params["bias"], v)

    def update(params, s, u, v):
        sigmoid, tanh, relu = jax.nn.sigmoid, jnp.tanh, jax.nn.relu
        a, b, c, _, e, f, g, i = d.split(u + v)
        x_d, h_d = u[..., d.columns("d")], v[..., d.columns("d")]
        k, m = tanh(sigmoid(a) * relu(b)), tanh(tanh(e) * sigmoid(f))
        l, n = tanh(sigmoid(c) + relu(x_d * h_d)), sigmoid(tanh(g) + sigmoid(i))  # noqa: E741
        new = tanh(tap("candidate", k) + s.c) * l
        return LSTMCarry(tanh(tap("cell", new) * tanh(m + n)), new)

    return d.cell(LSTMCarry, d.stage(recur, update), drive=drive)
