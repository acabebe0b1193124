"""The recurrent highway network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Gated


class RecurrentHighwayCarry(NamedTuple):
    """The state of a recurrent highway network."""

    h: jax.Array  # [..., H]


@factory
def recurrent_highway(
    hidden_size: int, *, depth: int = 3, update_bias: float | Callable = 2.0, **options: Unpack[Gated]
) -> Cell:
    """Recurrent highway network: x [..., D], h [..., H] -> h', y [..., H].

        s = h; for k = 0, ..., depth - 1, with x W for k = 0 only:
            t = sigmoid(x W_t + s U_t[k] + b_t[k])
            n = tanh(x W_n + s U_n[k] + b_n[k])
            s = (1 - t) s + t n
        h' = s,    y = h'

    Parameters, gates in the order t, n: kernel [D, 2H], recurrent_kernel [depth, H, 2H], bias [depth, 2H]. In the
    paper t is the transform gate, and its carry gate is coupled to it, c = 1 - t, as in all of its experiments. Each k
    is a stage with a product of its own; with depth=1 this is `gated`.

    `update_bias`, a number or an initializer, is what `init` subtracts from b_t at every k: above 0, the cell
    remembers. The authors' code starts with b_t = -2 (words) or -4 (characters). One step passes `depth` gates, so for
    memories of up to T steps use `initializers.chrono(depth * T)`.
    Good for: text, where a step deserves more than one layer.
    Paper: Zilly, Srivastava, Koutník and Schmidhuber 2017, arXiv 1607.03474.
    """
    d, depth = Dense(hidden_size, "tn", options), checks.positive(depth, "depth")
    if depth > 1000:  # each is a stage of the program: more would compile for hours
        raise ValueError(f"depth: expected at most 1,000, got {depth}")

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3, k4 = jax.random.split(key, 4)

        def each(initializer, key, shape):
            return jnp.stack([d.blocks(initializer, k, shape) for k in jax.random.split(key, depth)])

        start = initializers.remember(update_bias, k4, (depth, d.H), d.param_dtype)
        return {
            "kernel": d.blocks("kernel_init", k1, (input_size, d.H)),
            "recurrent_kernel": each("recurrent_init", k2, (d.H, d.H)),
            "bias": each("bias_init", k3, (d.H,)).at[:, d.columns("t")].add(-start),
        }

    def drive(params, x):
        return d.drive({**params, "bias": params["bias"][0]}, x)

    def recur(k, params, s):
        v = product(s.h, params["recurrent_kernel"][k], d.compute(params))
        return v + row(params["bias"][k], v) if k else v  # the first bias is in the drive

    def update(k, params, s, u, v):
        z_t, z_n = d.split(v if k else u + v)
        t, n = d.gate("t", z_t), d.candidate("n", z_n)
        return RecurrentHighwayCarry((1 - t) * s.h + t * n)

    stages = [d.stage(functools.partial(recur, k), functools.partial(update, k)) for k in range(depth)]
    return d.cell(RecurrentHighwayCarry, *stages, init=init, drive=drive)
