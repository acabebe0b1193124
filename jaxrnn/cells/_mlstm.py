"""The LSTM with a matrix for a memory, of xLSTM."""

from __future__ import annotations

import math
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.numerics import like
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._affine import widened
from jaxrnn.cells._dense import Pointwise
from jaxrnn.cells._memory import Memory, outer, recall
from jaxrnn.cells._slstm import EMPTY


class MLSTMCarry(NamedTuple):
    """The output, the memory and its normaliser, both over exp(m), and m."""

    h: jax.Array  # [..., H]
    C: jax.Array  # [..., heads, K, V]
    n: jax.Array  # [..., heads, K]
    m: jax.Array  # [..., heads]


@factory
def mlstm(hidden_size: int, *, heads: int = 1, forget_gate: str = "sigmoid", **options: Unpack[Pointwise]) -> Cell:
    """LSTM whose cell state is a matrix: x [..., D], C [..., heads, K, V] -> C', y [..., H].

        q, k, v, i, f, o = x W + b, block by block; k = k / sqrt(K), o = sigmoid(o)
        l  = log sigmoid(f), or f
        m' = max(l + m, i)
        C' = exp(l + m - m') C + exp(i - m') k vᵀ    in each head
        n' = exp(l + m - m') n + exp(i - m') k
        h' = o (q C') / max(|q · n'|, exp(-m'))

    i and f are one number for each head, and see x alone. m holds their exponents, so that nothing overflows; h' is
    what it is with m = 0 throughout. A row starts with m below any number. Through m and the quotient it is not affine
    in its carry. C is the paper's transposed, and K = V = H / heads. C, n and m are float32 if the cell computes in
    half precision.
    Parameters, in the order q, k, v, o, i, f: kernel [D, 4H + 2 heads], bias [4H + 2 heads].

    heads: a divisor of hidden_size.
    forget_gate: "sigmoid" or "exp", for l; the paper allows both.
    As in the authors' code, i and f start with kernels of 0, and f's bias from 3 to 6 over the heads.
    Sources: published kernels scale q in place of k, which is the same, and add 1e-6 to the denominator. The paper's
        layer has a convolution before, and a normalisation after this.

    Good for: recall of pairs in context; language models.
    Paper: Beck, Pöppel, Spanring, Auer and others 2024, arXiv 2405.04517.
    """
    d = Memory(hidden_size, heads, options, **dict.fromkeys("qkvo", hidden_size), i=heads, f=heads)
    if forget_gate not in ("exp", "sigmoid"):
        raise ValueError(f"forget_gate: expected 'sigmoid' or 'exp', got {forget_gate!r}")

    def init(key, input_size):
        params = d.init(key, input_size)
        params["kernel"] = params["kernel"].at[:, 4 * d.H :].set(0)
        params["bias"] = params["bias"].at[-heads:].add(jnp.linspace(3, 6, heads, dtype=d.param_dtype))
        return params

    def start(params):
        S, _ = d.start(params)
        return MLSTMCarry(d.zeros(params, d.H), S, S[..., 0], jnp.full(heads, EMPTY, S.dtype))

    def update(params, s, u, v_):
        q, k, v, o, i, f = d.of(u)
        q, k, v = d.by_head(q), d.by_head(k) / math.sqrt(d.K), d.by_head(v)
        old = widened(s)
        carried = (f if forget_gate == "exp" else jax.nn.log_sigmoid(f)) + old.m
        m = jnp.maximum(carried, i)
        i, f = tap("i", jnp.exp(i - m))[..., None], tap("f", jnp.exp(carried - m))[..., None]
        C, n = f[..., None] * old.C + i[..., None] * outer(k, v), f * old.n + i * k
        least = jnp.exp(jnp.minimum(-m, 80))  # of an infinite one there would be no slope
        read = recall(q, C) / jnp.maximum(jnp.abs((q * n).sum(-1)), least)[..., None]
        h = tap("o", jax.nn.sigmoid(o)) * tap("cell", read.reshape(o.shape))
        return like(MLSTMCarry(h, C, n, m), s)

    return d.made(MLSTMCarry, Stage(None, update), init=init, start=start)
