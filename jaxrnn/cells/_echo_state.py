"""The echo state network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry


@functools.lru_cache(maxsize=16)
def _reservoir(size, inputs, seed, radius, connectivity, input_scale, bias_scale):
    """Kernel, recurrent kernel and bias, as NumPy draws and scales them on the host."""
    draw = np.random.RandomState(seed)
    U = draw.uniform(-1, 1, (size, size)) * (draw.uniform(0, 1, (size, size)) < connectivity)
    largest = np.abs(np.linalg.eigvals(U)).max()
    if not largest > 0:
        raise ValueError(f"connectivity: expected enough for a reservoir of {size} units, got {connectivity!r}")
    bias = bias_scale * draw.uniform(-1, 1, size)
    return input_scale * draw.uniform(-1, 1, (inputs, size)), U * (radius / largest), bias


@factory
def echo_state(
    hidden_size: int,
    *,
    spectral_radius: float = 0.9,
    connectivity: float = 1.0,
    leak: float = 1.0,
    input_scale: float = 1.0,
    bias_scale: float = 0.0,
    seed: int = 0,
    activation: str | Callable = "tanh",
    dtype: Any = "float32",
) -> Cell:
    """Echo state network, a fixed reservoir: x [..., D], h [..., H] -> h', y [..., H].

        h' = (1 - leak) h + leak tanh(x W + h U + b),    y = h'

    It has no parameters: `init` gives {}, so that nothing of it can be trained or decayed. W [D, H], U [H, H] and b [H]
    are drawn by NumPy's RandomState(seed), uniform, when the program is traced, in the order U, which of U stay, b, W.
    `train.ridge` fits the readout.

    spectral_radius: the largest |eigenvalue| of U. connectivity: the fraction of U that is not 0.
    leak: above 0, at most 1, which is no leak. input_scale, bias_scale: W and b are within ± these.
    dtype: the type to compute in.
    Sources: leak and bias are of Jaeger, Lukoševičius, Popovici and Siewert 2007; the report of 2001 has neither, and
        also feeds the readout back, which is not here.
    Good for: series that a linear readout of a rich memory predicts, trained in one solve.
    Paper: Jaeger 2001, "The echo state approach to analysing and training recurrent neural networks", GMD Report 148.
    """
    dtype = jnp.dtype("float32" if dtype is None else dtype)
    d = Dense(hidden_size, "h", {"activation": activation, "dtype": dtype, "param_dtype": dtype})
    if not (spectral_radius >= 0 and 0 < connectivity <= 1 and 0 < leak <= 1):
        raise ValueError(
            "spectral_radius, connectivity, leak: expected at least 0, above 0 to 1, above 0 to 1, "
            f"got {spectral_radius!r}, {connectivity!r}, {leak!r}"
        )

    def init(key, input_size):
        checks.init(key, input_size)
        return {}

    def weight(which, inputs):
        drawn = _reservoir(d.H, inputs, seed, spectral_radius, connectivity, input_scale, bias_scale)
        return jnp.asarray(drawn[which], d.dtype)

    def drive(params, x):
        u = product(x, weight(0, x.shape[-1]), d.dtype)
        return (u + row(weight(2, x.shape[-1]), u)).astype(d.dtype)

    def recur(params, s):
        return product(s.h, weight(1, 1), d.dtype)

    def update(params, s, u, v):
        return HiddenCarry((1 - leak) * s.h + leak * tap("h", d.act(u + v)))

    def start(params):
        return HiddenCarry(jnp.zeros(d.H, d.dtype))

    return Cell(init, start, None, drive, (d.stage(recur, update),), gates="h")
