"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import nonlinearity, product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, Gated


class LSTMCarry(NamedTuple):
    """The hidden state and the cell state of an LSTM. (flax orders them c, h; PyTorch, Keras and jaxrnn h, c.)"""

    h: jax.Array  # [..., H], or [..., P] with a projection
    c: jax.Array  # [..., H]


@factory
def lstm(
    hidden_size: int,
    *,
    forget_bias: float | Callable = 1.0,
    peepholes: bool = False,
    coupled: bool = False,
    projection: int | None = None,
    cell_clip: float | None = None,
    output_activation: str | Callable | None = None,
    projection_init: Callable = initializers.glorot_uniform(),
    cell_dtype: Any = None,
    **options: Unpack[Gated],
) -> Cell:
    """LSTM: x [..., D], h [..., H], c [..., H] -> (h', c'), y = h'.

        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + h U + b), gate by gate
        c' = f c + i g
        h' = o tanh(c')

    Parameters, gates in the order i, f, g, o (as in PyTorch and cuDNN): kernel [D, 4H], recurrent_kernel [H, 4H],
    bias [4H], which is the sum of PyTorch's two biases.

    forget_bias: what `init` adds to f's bias; 1 since Gers, Schmidhuber and Cummins (2000) and Jozefowicz et al.
        (2015). The draw of an initializer is added to f's bias and subtracted from i's, as chrono requires.
    peepholes: i and f also see c, o sees c', through peephole [3H], in the order i, f, o (Gers and Schmidhuber 2000).
    coupled: i = 1 - f, no input gate: gates f, g, o, kernel [D, 3H], peephole [2H] in the order f, o (CIFG in Greff
        et al. 2017, arXiv 1503.04069).
    projection: h' = (o tanh(c')) @ projection [H, P], so h and y are [..., P] (Sak, Senior and Beaufays 2014,
        arXiv 1402.1128; `proj_size` in PyTorch). This is a second stage.
    cell_clip: c' is clipped to ±cell_clip (same paper); where it is clipped, the gradient is 0.
    activation, gate_activation, output_activation: for g, for i, f and o, and for c' on its way to h'
        (None: the same as `activation`).
    cell_dtype: the type of c, such as "float32" with dtype="bfloat16"; None: that of h.
    Good for: most sequences; the cell that others are compared with.
    Paper: Hochreiter and Schmidhuber 1997, doi 10.1162/neco.1997.9.8.1735; the forget gate is from Gers, Schmidhuber
        and Cummins 2000, doi 10.1162/089976600300015015.
    """
    d = Dense(hidden_size, "fgo" if coupled else "ifgo", options)
    P = d.H if projection is None else checks.positive(projection, "projection")
    out = d.act if output_activation is None else nonlinearity(output_activation, "output_activation")
    checks.floating(cell_dtype, "cell_dtype")
    if cell_clip is not None and not cell_clip > 0:
        raise ValueError(f"cell_clip: expected a number above 0, or None, got {cell_clip!r}")

    def init(key, input_size):
        memory = "+f-i" if callable(forget_bias) and not coupled else "+f"
        params = d.init(key, input_size, rows=P, memory=memory, by=forget_bias)
        *_, k5, k6 = jax.random.split(key, 6)
        if peepholes:
            # Small random weights, as for the other connections of a gate; with zeros they would start absent.
            params["peephole"] = initializers.normal(0.1)(k5, ((len(d.gates) - 1) * d.H,), d.param_dtype)
        if projection is not None:
            params["projection"] = projection_init(k6, (d.H, P), d.param_dtype)
        return params

    def start(params):
        compute = d.compute(params)
        return LSTMCarry(jnp.zeros(P, compute), jnp.zeros(d.H, compute if cell_dtype is None else cell_dtype))

    def update(params, s, u, v):
        *z_i, z_f, z_g, z_o = d.sums(d.gates, u, v)
        if peepholes:
            *peep_i, peep_f, peep_o = d.split(row(params["peephole"], u))
            z_f = z_f + s.c * peep_f
            z_i = [z + s.c * peep for z, peep in zip(z_i, peep_i, strict=True)]
        f = d.gate("f", z_f)
        i = 1 - f if coupled else d.gate("i", z_i[0])
        c = f * s.c + i * d.candidate("g", z_g)
        if cell_clip is not None:
            c = jnp.clip(c, -cell_clip, cell_clip)
        o = d.gate("o", z_o + c * peep_o if peepholes else z_o)
        return LSTMCarry(o * out(tap("cell", c)), c)  # with a projection h is [..., H] until the second stage

    def project(params, s):
        return product(s.h, params["projection"], d.compute(params))

    stages = [d.stage(d.recur(), update)]
    if projection is not None:
        stages.append(d.stage(project, lambda params, s, u, v: LSTMCarry(v, s.c), recurrent=False))
    return d.cell(LSTMCarry, *stages, init=init, start=start)
