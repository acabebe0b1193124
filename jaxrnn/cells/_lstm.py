"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage, affine_drive, features
from jaxrnn._core.numerics import compute_dtype, nonlinearity, product
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap


class LSTMCarry(NamedTuple):
    """What an LSTM shows and what it remembers. (flax orders them c, h; PyTorch, Keras and jaxrnn h, c.)"""

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
    activation: str | Callable = "tanh",
    gate_activation: str | Callable = "sigmoid",
    output_activation: str | Callable | None = None,
    kernel_init: Callable = initializers.glorot_uniform(),
    recurrent_init: Callable = initializers.orthogonal(),
    bias_init: Callable = initializers.zeros(),
    projection_init: Callable = initializers.glorot_uniform(),
    dtype: Any = None,
    param_dtype: Any = "float32",
    cell_dtype: Any = None,
) -> Cell:
    """LSTM: x [..., D], h [..., H], c [..., H] -> (h', c'), y = h'.

        i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of (x W + h U + b), gate by gate
        c' = f c + i g
        h' = o tanh(c')

    Parameters, gates in the order i, f, g, o (as PyTorch and cuDNN): kernel [D, 4H], recurrent_kernel [H, 4H],
    bias [4H]. PyTorch's two biases are their sum here.

    forget_bias: what `init` adds to f's bias; 1 since Gers, Schmidhuber and Cummins (2000) and Jozefowicz et al.
        (2015). An initializer gives f its draw and i the negative of it, as chrono wants.
    peepholes: i and f also see c, o sees c', through peephole [3H], in the order i, f, o (Gers and Schmidhuber 2000).
    coupled: i = 1 - f, no input gate: gates f, g, o, kernel [D, 3H], peephole [2H] in the order f, o (CIFG in Greff
        et al. 2017, arXiv 1503.04069).
    projection: h' = (o tanh(c')) @ projection [H, P], so h and y are [..., P] (Sak, Senior and Beaufays 2014,
        arXiv 1402.1128; `proj_size` in PyTorch). This is a second stage.
    cell_clip: c' is kept within ±cell_clip (same paper); there the gradient stops.
    activation, gate_activation, output_activation: for g, for i, f and o, and for c' on its way to h'
        (None: the same as `activation`).
    cell_dtype: the type c is kept in, such as "float32" beside dtype="bfloat16"; None: as h.

    For `dtype` and `param_dtype` see `elman`. Raises ValueError or TypeError for wrong options.
    Hochreiter and Schmidhuber 1997; the forget gate is of Gers, Schmidhuber and Cummins 2000.
    """
    H = checks.positive(hidden_size, "hidden_size")
    P = H if projection is None else checks.positive(projection, "projection")
    act, gate = nonlinearity(activation, "activation"), nonlinearity(gate_activation, "gate_activation")
    out = act if output_activation is None else nonlinearity(output_activation, "output_activation")
    for value, argument in (dtype, "dtype"), (param_dtype, "param_dtype"), (cell_dtype, "cell_dtype"):
        checks.floating(value, argument)
    if cell_clip is not None and not cell_clip > 0:
        raise ValueError(f"cell_clip: expected a number above 0, or None, got {cell_clip!r}")
    letters = "fgo" if coupled else "ifgo"
    G = len(letters)

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3, k4, k5, k6 = jax.random.split(key, 6)
        bias = initializers.gates(bias_init, k3, G, (H,), param_dtype)
        remember = initializers.remember(forget_bias, k4, (H,), param_dtype)
        f = letters.index("f") * H
        bias = bias.at[f : f + H].add(remember)
        if callable(forget_bias) and not coupled:
            bias = bias.at[:H].add(-remember)
        params = {
            "kernel": initializers.gates(kernel_init, k1, G, (input_size, H), param_dtype),
            "recurrent_kernel": initializers.gates(recurrent_init, k2, G, (P, H), param_dtype),
            "bias": bias,
        }
        if peepholes:
            # Small random weights, as for the other connections of a gate; with zeros they would start absent.
            params["peephole"] = initializers.normal(0.1)(k5, ((G - 1) * H,), param_dtype)
        if projection is not None:
            params["projection"] = projection_init(k6, (H, P), param_dtype)
        return params

    def start(params):
        compute = compute_dtype(dtype, params)
        return LSTMCarry(jnp.zeros(P, compute), jnp.zeros(H, compute if cell_dtype is None else cell_dtype))

    def recur(params, s):
        return product(s.h, params["recurrent_kernel"], compute_dtype(dtype, params))

    def update(params, s, u, v):
        z = u.astype(v.dtype) + v
        c = s.c.astype(v.dtype)
        *z_i, z_f, z_g, z_o = jnp.split(z, G, axis=-1)
        if peepholes:
            *peep_i, peep_f, peep_o = jnp.split(params["peephole"].astype(v.dtype), G - 1)
            z_f = z_f + c * peep_f
            z_i = [z + c * peep for z, peep in zip(z_i, peep_i, strict=True)]
        f = tap("f", gate(z_f))
        i = 1 - f if coupled else tap("i", gate(z_i[0]))
        c = f * c + i * tap("g", tap("candidate", act(z_g)))
        if cell_clip is not None:
            c = jnp.clip(c, -cell_clip, cell_clip)
        o = tap("o", gate(z_o + c * peep_o if peepholes else z_o))
        h = o * out(tap("cell", c))
        # With a projection h is [..., H] until the second stage, and too wide to have the type of the carry's h.
        return LSTMCarry(h.astype(s.h.dtype), c.astype(s.c.dtype))

    def project(params, s):
        return product(s.h, params["projection"], compute_dtype(dtype, params))

    stages = [Stage(recur, update)]
    if projection is not None:
        stages.append(Stage(project, lambda params, s, u, v: LSTMCarry(v.astype(s.h.dtype), s.c), recurrent=False))
    return Cell(init, start, features, affine_drive(dtype), tuple(stages), gates=letters)
