"""The quasi-recurrent neural network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity, row
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven
from jaxrnn.cells._dense import Unbiased


class QRNNCarry(NamedTuple):
    """The states, and what inputs before have already added to sums of gates still to come."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]
    sums: jax.Array  # [..., window - 1, G·H]


@factory
def qrnn(
    hidden_size: int,
    *,
    window: int = 2,
    pooling: str = "fo",
    activation: str | Callable = "tanh",
    bias_init: Callable = initializers.zeros(),
    **options: Unpack[Unbiased],
) -> Cell:
    """Quasi-recurrent network, gates from a window of inputs: x [..., D], h [..., H], c [..., H] -> (h', c'), y = h'.

        n, f, o = tanh, sigmoid, sigmoid of (x W[0] + x_1 W[1] + ... + b), gate by gate, x_j the input j steps ago
        c' = f c + (1 - f) n
        h' = o c'

    The window begins with zeros. In place of old inputs the carry has `sums`: what they add to each of the window's
    next steps, so that all products are of new inputs and outside of the loop. Those sums are in the gates, so the cell
    is affine in c, and not in its whole carry.
    Parameters, gates in the order of n, f, o: kernel [D, window·G·H], the newest input's blocks first; bias [G·H].

    window: how many inputs the gates see, 2 or more; the paper's k.
    pooling: "f": no o, h' = c'; "fo"; "ifo": c' = f c + i n, gates in the order n, i, f, o.
    activation: a function, or its name in `jax.nn`, in place of tanh. bias_init: draws bias.
    Sources: the paper writes no bias; its authors' code has one.

    Good for: stacks over text, at the cost of pointwise operations a step.
    Paper: Bradbury, Merity, Xiong and Socher 2017, arXiv 1611.01576.
    """
    letters = {"f": "nf", "fo": "nfo", "ifo": "nifo"}.get(pooling)
    if letters is None:
        raise ValueError(f"pooling: expected 'f', 'fo' or 'ifo', got {pooling!r}")
    if checks.positive(window, "window") < 2:
        raise ValueError("window: expected at least 2 inputs, got 1")
    width, act = len(letters) * hidden_size, nonlinearity(activation, "activation")
    d = Driven(hidden_size, options, **{f"{gate}{lag}": hidden_size for lag in range(window) for gate in letters})

    def init(key, input_size):
        return d.init(key, input_size, bias=lambda key: bias_init(key, (width,), d.param_dtype))

    def drive(params, x):
        u = d.drive({"kernel": params["kernel"]}, x)
        bias = jnp.pad(params["bias"], (0, u.shape[-1] - width))
        return u + row(bias, u)

    def start(params):
        return QRNNCarry(d.zeros(params, d.H), d.zeros(params, d.H), d.zeros(params, window - 1, width))

    def update(params, s, u, v):
        now, later = u[..., :width] + s.sums[..., 0, :], u[..., width:].reshape(s.sums.shape)
        z = dict(zip(letters, d.split(now), strict=True))
        f = d.gate("f", z["f"])
        i = d.gate("i", z["i"]) if "i" in z else 1 - f
        c = f * s.c + i * d.new("n", act(z["n"]))
        h = d.gate("o", z["o"]) * c if "o" in z else c
        waiting = jnp.concatenate([s.sums[..., 1:, :], jnp.zeros_like(s.sums[..., :1, :])], -2)
        return QRNNCarry(h, c, waiting + later)

    return d.made(QRNNCarry, d.stage(None, update), init=init, start=start, drive=drive)
