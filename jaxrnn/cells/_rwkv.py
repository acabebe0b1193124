"""The time mixing of RWKV-4."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row, wide
from jaxrnn._core.record import factory
from jaxrnn.cells._affine import Driven
from jaxrnn.cells._dense import Unbiased
from jaxrnn.cells._slstm import EMPTY


class RWKVCarry(NamedTuple):
    """The output, the weighted mean of values as a fraction over exp(m), m, and what the last input adds to sums."""

    h: jax.Array  # [..., H]
    a: jax.Array  # [..., H] the numerator
    b: jax.Array  # [..., H] the denominator
    m: jax.Array  # [..., H]
    last: jax.Array  # [..., 3H]


@factory
def rwkv(hidden_size: int, **options: Unpack[Unbiased]) -> Cell:
    """RWKV-4's time mixing, a mean of values that fades: x [..., D], h, a, b, m [..., H] -> h', y [..., H].

        r, k, v = (μ x + (1 - μ) x_1) W, each with its μ; x_1 is the input before
        h' = sigmoid(r) (a + exp(bonus + k) v) / (b + exp(bonus + k))
        a' = exp(-exp(decay)) a + exp(k) v
        b' = exp(-exp(decay)) b + exp(k)

    a and b are held over exp(m), m' = max(m - exp(decay), k), so that nothing overflows. In place of x_1 the carry has
    `last`, what it adds to r, k and v, so that all products are of new inputs and outside of the loop. k depends on it,
    so the cell is not affine in its carry. a, b and m are float32 if the cell computes in half precision.
    Parameters, in the order r, k, v: kernel W [D, 3H], mix μ [3, D]; decay and bonus [H]. There is no bias.

    Starts are those of the paper's first layer: μ_k and μ_v rise from 0 to 1 over the inputs, μ_r to 1/2, and
    exp(-exp(decay)) falls from near 1 to near 0 over the units.
    Sources: the paper's layer has a matrix W_o after this, and a normalisation before.

    Good for: language models; a mean over the past that costs pointwise operations a step.
    Paper: Peng, Alcaide, Anthony, Albalak and others 2023, arXiv 2305.13048.
    """
    d = Driven(hidden_size, options, **dict.fromkeys("rkv", hidden_size))

    def init(key, input_size):
        inputs, units = jnp.arange(input_size) / input_size, jnp.arange(d.H) / max(d.H - 1, 1)
        return d.init(
            key,
            input_size,
            mix=lambda key: jnp.stack([inputs / 2, inputs, inputs]),
            decay=lambda key: -5 + 8 * units**0.7,
            bonus=lambda key: jnp.log(0.3) + 0.5 * ((jnp.arange(d.H) + 1) % 3 - 1).astype(units.dtype),
        )

    def drive(params, x):
        def sums(share):
            blocks = [params["kernel"][:, d.columns(name)] for name in "rkv"]
            each = zip(share, blocks, strict=True)
            return jnp.concatenate([product(x * row(mu, x), W, d.compute(params)) for mu, W in each], -1)

        u = jnp.concatenate([sums(params["mix"]), sums(1 - params["mix"])], -1)
        return u.astype(d.compute(params))

    def start(params):
        a, b, m = (jnp.full(d.H, value, wide(d.compute(params))) for value in (0, 0, EMPTY))
        return RWKVCarry(d.zeros(params, d.H), a, b, m, d.zeros(params, 3 * d.H))

    def update(params, s, u, v):
        now, last = jnp.split(u, 2, axis=-1)
        r, k, v = d.split(now + s.last)
        k_now = k + row(params["bonus"], k)
        most = jnp.maximum(s.m, k_now)
        old, new = jnp.exp(s.m - most), jnp.exp(k_now - most)
        h = d.gate("r", r) * (old * s.a + new * d.new("v", v)) / (old * s.b + new)
        faded = s.m - jnp.exp(row(params["decay"], k))
        m = jnp.maximum(faded, k)
        old, new = jnp.exp(faded - m), jnp.exp(k - m)
        return RWKVCarry(h, old * s.a + new * v, old * s.b + new, m, last)

    return d.made(RWKVCarry, d.stage(None, update), init=init, start=start, drive=drive)
