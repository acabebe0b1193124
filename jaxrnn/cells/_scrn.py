"""The structurally constrained recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Pointwise


class SCRNCarry(NamedTuple):
    """The fast state of a structurally constrained network, and its slow context of C units."""

    h: jax.Array  # [..., H]
    s: jax.Array  # [..., C]


@factory
def scrn(
    hidden_size: int,
    *,
    context_size: int = 40,
    alpha: float = 0.95,
    activation: str | Callable = "sigmoid",
    recurrent_init: Callable = initializers.orthogonal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Structurally constrained recurrent network: x [..., D], h [..., H], s [..., C] -> (h', s'), y = [h', s'].

        s' = (1 - alpha) x B + alpha s
        h' = sigmoid(x A + [h, s'] R + b)

    [h, s] stands for the two side by side. Parameters: kernel A [D, H], context_kernel B [D, C], recurrent_kernel R
    [H + C, H], whose first H rows read h and the others s' (the paper's R and P), bias b [H].

    context_size: C. alpha: how slow the context is. activation: for h'.
    Sources: the paper reads f(h' U + s' V) from the cell, which is a dense layer on y; it has no bias, which b = 0, the
        initial value, is. torchrecurrent feeds the output of such a layer back in place of h.
    Good for: topics of a text, kept by a slow linear context beside an ordinary fast state.
    Paper: Mikolov, Joulin, Chopra, Mathieu and Ranzato 2015, arXiv 1412.7753.
    """
    d = Dense(hidden_size, "h", {**options, "activation": activation, "recurrent_init": recurrent_init})
    C = checks.positive(context_size, "context_size")

    def init(key, input_size):
        k = jax.random.fold_in(key, 4)
        context = d.options["kernel_init"](k, (input_size, C), d.param_dtype)
        return {**d.init(key, input_size, rows=d.H + C), "context_kernel": context}

    def start(params):
        return SCRNCarry(jnp.zeros(d.H, d.compute(params)), jnp.zeros(C, d.compute(params)))

    def drive(params, x):
        context = product(x, params["context_kernel"], d.compute(params)).astype(d.compute(params))
        return jnp.concatenate([d.drive(params, x), context], -1)

    def slow(params, s, u, v):
        return SCRNCarry(s.h, (1 - alpha) * u[..., d.H :] + alpha * s.s)

    def recur(params, s):
        return product(jnp.concatenate([s.h, s.s.astype(s.h.dtype)], -1), params["recurrent_kernel"], d.compute(params))

    def fast(params, s, u, v):
        return SCRNCarry(tap("h", d.act(u[..., : d.H] + v)), s.s)

    def output(params, carry):
        return jnp.concatenate([carry.h, carry.s], -1)

    stages = d.stage(None, slow), d.stage(recur, fast)
    return d.cell(SCRNCarry, *stages, init=init, start=start, drive=drive, output=output)
