"""The statistical recurrent unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Pointwise


class StatisticsCarry(NamedTuple):
    """The moving averages of a statistical recurrent unit, of one scale after another."""

    m: jax.Array  # [..., A·S]


class _Between(NamedTuple):
    """The state between the products."""

    m: jax.Array  # [..., A·S]
    r: jax.Array  # [..., R] the summary


@factory
def statistical_recurrent_unit(
    hidden_size: int,
    *,
    scales: tuple[float, ...] = (0.0, 0.25, 0.5, 0.9, 0.99),
    statistics_size: int | None = None,
    summary_size: int | None = None,
    activation: str | Callable = "relu",
    **options: Unpack[Pointwise],
) -> Cell:
    """Statistical recurrent unit: x [..., D], m [..., A·S] -> m', y [..., H].

        r   = relu(m U + a)
        s   = relu(r V + x W + b)
        m'_k = scale_k m_k + (1 - scale_k) s, for each of A scales
        y   = relu(m' Q + c)

    Its memory is moving averages of statistics s at several scales of time; no gates. y sees no other step, so Q is
    outside of the loop. Parameters: kernel W [D, S], bias b [S], recurrent_kernel U [A·S, R], summary_bias a [R],
    summary_kernel V [R, S], output_kernel Q [A·S, H], output_bias c [H]. Two products in sequence (two stages).

    scales: how much of each average is kept at a step, from 0 to below 1. statistics_size: S; None: H. summary_size: R;
        None: 3 H // 10, at least 1, as the paper has 60 of 200. `kernel_init` draws all kernels.
    Good for: long dependencies in series, by averages that are linear in time.
    Paper: Oliva, Póczos and Schneider 2017, arXiv 1703.00381.
    """
    d = Dense(hidden_size, "s", options | {"activation": activation})
    S = d.H if statistics_size is None else checks.positive(statistics_size, "statistics_size")
    R = max(1, 3 * d.H // 10) if summary_size is None else checks.positive(summary_size, "summary_size")
    if not scales or not all(0 <= scale < 1 for scale in scales):
        raise ValueError(f"scales: expected one or more numbers from 0 to below 1, got {scales!r}")
    A = len(scales)

    def init(key, input_size):
        checks.init(key, input_size)
        kernels = {
            "kernel": (input_size, S), "recurrent_kernel": (A * S, R), "summary_kernel": (R, S),
            "output_kernel": (A * S, d.H),
        }  # fmt: skip
        shapes = kernels | {"bias": (S,), "summary_bias": (R,), "output_bias": (d.H,)}
        draws = {name: d.options["kernel_init" if name in kernels else "bias_init"] for name in shapes}
        keys = jax.random.split(key, len(shapes))
        return {name: draws[name](k, shapes[name], d.param_dtype) for name, k in zip(shapes, keys, strict=True)}

    def through(of, kernel, bias):
        def recur(params, s):
            v = product(getattr(s, of), params[kernel], d.compute(params))
            return v + row(params[bias], v) if bias else v

        return recur

    def summarise(params, s, u, v):
        return _Between(s.m, d.act(v))

    def update(params, s, u, v):
        kept = row(jnp.repeat(jnp.asarray(scales, u.dtype), S), u)
        new = jnp.concatenate([d.act(u + v)] * A, -1)
        return StatisticsCarry(kept * s.m + (1 - kept) * new)

    def output(params, carry):
        return d.act(through("m", "output_kernel", "output_bias")(params, carry)).astype(d.compute(params))

    def start(params):
        return StatisticsCarry(jnp.zeros(A * S, d.compute(params)))

    first = d.stage(through("m", "recurrent_kernel", "summary_bias"), summarise)
    second = d.stage(through("r", "summary_kernel", None), update)
    return dataclasses.replace(d.cell(StatisticsCarry, first, second, init=init, start=start), output=output)
