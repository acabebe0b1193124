"""The clockwork RNN."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Ungated


class ClockworkCarry(NamedTuple):
    """The state of a clockwork RNN."""

    h: jax.Array  # [..., H]
    clock: jax.Array  # [..., 1] int32, the steps taken, modulo the longest period


@factory
def clockwork(hidden_size: int, *, modules: int = 4, base: int = 2, **options: Unpack[Ungated]) -> Cell:
    """Clockwork RNN, modules of units that run at periods of their own: x [..., D], h [..., H] -> h', y [..., H].

        h'_m = tanh(x W_m + sum over k >= m of h_k U_km + b_m)  in each module m whose period divides t,  else h_m
        y = h'

    t is 0 at the first step of a row, where all run; a reset starts it, a masked step does not count. A module reads
    itself and the slower ones. Parameters: kernel [D, H], recurrent_kernel_m [H - m H / M, H / M] for each of the M
    modules, bias [H].

    modules: M, which divides H. base: module m has the period base^m, from m = 0; the paper has 1, 2, 4, ....
    Good for: signals with several time scales known in advance.
    Paper: Koutník, Greff, Gomez and Schmidhuber 2014, arXiv 1402.3511.
    """
    d = Dense(hidden_size, "h", options)
    M, base = checks.positive(modules, "modules"), checks.positive(base, "base")
    if d.H % M:
        raise ValueError(f"modules: expected a divisor of hidden_size={d.H}, got {modules!r}")
    size, names = d.H // M, [f"recurrent_kernel_{m}" for m in range(M)]
    periods = np.repeat(base ** np.arange(M), size).astype(np.int32)

    def init(key, input_size):
        params = d.init(key, input_size)
        whole = params.pop("recurrent_kernel")
        return params | {name: whole[m * size :, m * size : (m + 1) * size] for m, name in enumerate(names)}

    def start(params):
        return ClockworkCarry(jnp.zeros(d.H, d.compute(params)), jnp.zeros(1, jnp.int32))

    def recur(params, s):
        each = (product(s.h[..., m * size :], params[name], d.compute(params)) for m, name in enumerate(names))
        return jnp.concatenate(list(each), -1)

    def update(params, s, u, v):
        h = d.candidate("h", u + v).astype(s.h.dtype)
        runs = s.clock % jnp.expand_dims(periods, range(s.h.ndim - 1)) == 0
        return ClockworkCarry(jnp.where(runs, h, s.h), (s.clock + 1) % periods[-1])

    return d.cell(ClockworkCarry, Stage(recur, update), init=init, start=start)
