"""The LSTM with exponential gates, of xLSTM."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, wide
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Ungated


class SLSTMCarry(NamedTuple):
    """The output, the cell state and its normaliser, both over exp(m), and m."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]
    n: jax.Array  # [..., H]
    m: jax.Array  # [..., H]


EMPTY = -1e30  # a logarithm of nothing: any gate is larger, and its exponential is 0


@factory
def slstm(
    hidden_size: int,
    *,
    heads: int = 1,
    forget_gate: str = "exp",
    forget_bias: float | Callable = 0.0,
    **options: Unpack[Ungated],
) -> Cell:
    """LSTM with exponential gates and a normaliser: x [..., D], h, c, n, m [..., H] -> (h', c', n', m'), y = h'.

        i, f, z, o = x W + h U + b, block by block; z = tanh(z), o = sigmoid(o)
        l  = f, or log sigmoid(f)
        m' = max(l + m, i)
        c' = exp(l + m - m') c + exp(i - m') z
        n' = exp(l + m - m') n + exp(i - m')
        h' = o c' / n'

    m holds the exponents of the gates, so that nothing overflows; c / n does not depend on it. A row starts with m
    below any number, so that its first n' is 1, and n' is never below 1 after that. c, n and m are float32 if the cell
    computes in half precision.
    Parameters, gates in the order i, f, z, o: kernel [D, 4H], recurrent_kernel U [heads, H/heads, 4H/heads], whose
    heads see their own part of h alone, bias [4H].

    heads: a divisor of hidden_size.
    forget_gate: "exp" or "sigmoid", for l; the paper allows both.
    forget_bias: what `init` adds to f's bias: a number or an initializer.
    Sources: of the published programs one clips both gates at 1 and decides for a whole batch whether a step is the
        first, one has max(n', 1); the paper has neither, and with this start neither would change a row of its own.

    Good for: state tracking and memories that are overwritten, with exponential gates.
    Paper: Beck, Pöppel, Spanring, Auer and others 2024, arXiv 2405.04517.
    """
    d = Dense(hidden_size, "ifzo", options)
    if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1 or d.H % heads:
        raise ValueError(f"heads: expected a divisor of hidden_size={d.H}, got {heads!r}")
    if forget_gate not in ("exp", "sigmoid"):
        raise ValueError(f"forget_gate: expected 'exp' or 'sigmoid', got {forget_gate!r}")
    K = d.H // heads

    def init(key, input_size):
        params = d.init(key, input_size, memory="+f", by=forget_bias)
        draw, keys = d.options["recurrent_init"], jax.random.split(jax.random.fold_in(key, 1), heads)
        blocks = [initializers.gates(draw, k, 4, (K, K), d.param_dtype) for k in keys]
        return params | {"recurrent_kernel": jnp.stack(blocks)}

    def start(params):
        compute, sums = d.compute(params), wide(d.compute(params))
        return SLSTMCarry(jnp.zeros(d.H, compute), *(jnp.full(d.H, value, sums) for value in (0, 0, EMPTY)))

    def recur(params, s):
        each = jnp.split(s.h, heads, axis=-1)
        v = [product(h, params["recurrent_kernel"][k], d.compute(params)) for k, h in enumerate(each)]
        by_gate = jnp.stack([a.reshape(*a.shape[:-1], 4, K) for a in v], -2)
        return by_gate.reshape(*by_gate.shape[:-3], 4 * d.H)

    def update(params, s, u, v):
        i, f, z, o = d.sums("ifzo", u, v)
        carried = (f if forget_gate == "exp" else jax.nn.log_sigmoid(f)) + s.m
        m = jnp.maximum(carried, i)
        i, f = tap("i", jnp.exp(i - m)), tap("f", jnp.exp(carried - m))
        c, n = f * s.c + i * d.candidate("z", z), f * s.n + i
        return SLSTMCarry(tap("o", jax.nn.sigmoid(o)) * tap("cell", c / n), c, n, m)

    return d.cell(SLSTMCarry, d.stage(recur, update), init=init, start=start)
