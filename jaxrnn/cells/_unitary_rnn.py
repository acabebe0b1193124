"""The unitary evolution recurrent network."""

from __future__ import annotations

import math
from typing import NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage, features
from jaxrnn._core.numerics import product, row, wide
from jaxrnn._core.record import factory
from jaxrnn.cells._dense import Dense, Pointwise


class UnitaryCarry(NamedTuple):
    """The complex state of a unitary network."""

    h: jax.Array  # [..., H] complex


@factory
def unitary_rnn(hidden_size: int, *, seed: int = 0, **options: Unpack[Pointwise]) -> Cell:
    """Unitary evolution RNN (uRNN): x [..., D], h [..., H] complex -> h', y [..., 2H].

        h' = modrelu(x V + Q h, b),    y = [Re h', Im h']
        Q  = D_3 R_2 F⁻¹ D_2 P R_1 F D_1
        modrelu(z, b) = relu(|z| + b) z / |z|

    D_k is diagonal, exp(i angles_k); R_k = I - 2 v v* / |v|² is a reflection; F is the unitary Fourier transform, P a
    fixed permutation. Q is unitary whatever its parameters, and costs O(H log H). All parameters are real: kernel V
    [D, 2H] (real parts, then imaginary), angles [3, H], reflections [2, 2H] (those of v_1 and v_2), bias b [H].

    seed: of NumPy's RandomState, which draws P. dtype: the type of x V; the state is complex64, or complex128 if that
        is float64.
    `init` draws angles from -π to π and reflections from -1 to 1, uniform, as the paper does.
    Sources: the paper learns the first state, for which there is `learned_carry`; here a row starts with 0.
    Good for: memory over many steps with few parameters.
    Paper: Arjovsky, Shah and Bengio 2016, arXiv 1511.06464.
    """
    d = Dense(hidden_size, "h", options)
    order = np.random.RandomState(seed).permutation(d.H)

    def init(key, input_size):
        checks.init(key, input_size)
        k1, k2, k3, k4 = jax.random.split(key, 4)

        def uniform(key, shape, bound):
            return jax.random.uniform(key, shape, wide(d.param_dtype), -bound, bound).astype(d.param_dtype)

        return {
            "kernel": d.blocks("kernel_init", k1, (input_size, 2 * d.H)),
            "angles": uniform(k2, (3, d.H), math.pi),
            "reflections": uniform(k3, (2, 2 * d.H), 1),
            "bias": d.blocks("bias_init", k4, (d.H,)),
        }

    def real(params):
        return wide(d.compute(params))

    def start(params):
        return UnitaryCarry(_complex(jnp.zeros(2 * d.H, real(params))))

    def drive(params, x):
        return product(x, params["kernel"], d.compute(params)).astype(d.compute(params))

    def recur(params, s):
        angles, v = (params[name].astype(real(params)) for name in ("angles", "reflections"))
        first, second, third = lax.complex(jnp.cos(angles), jnp.sin(angles))
        v_1, v_2 = _complex(v / jnp.sqrt(jnp.sum(jnp.square(v), -1, keepdims=True)))
        h = jnp.fft.fft(s.h * row(first, s.h), norm="ortho")
        h = _reflected(h, v_1)[..., order] * row(second, h)
        h = _reflected(jnp.fft.ifft(h, norm="ortho"), v_2)
        return h * row(third, h)

    def update(params, s, u, v):
        re, im = jnp.split(u.astype(real(params)), 2, -1)
        re, im = re + v.real, im + v.imag
        square = jnp.square(re) + jnp.square(im)
        size = jnp.sqrt(jnp.where(square == 0, 1, square))  # the slope of a root at 0 is infinite
        scale = jax.nn.relu(size + row(params["bias"], size)) / size
        return UnitaryCarry(lax.complex(scale * re, scale * im))

    def output(params, carry):
        return jnp.concatenate([carry.h.real, carry.h.imag], -1).astype(d.compute(params))

    return Cell(init, start, features, drive, (Stage(recur, update),), output, gates="h")


def _complex(pairs):
    """[..., 2H] real -> [..., H] complex."""
    return lax.complex(*jnp.split(pairs, 2, -1))


def _reflected(h, v):
    """h - 2 v (v* h), where v has length 1."""
    along = jnp.sum(h * row(v.conj(), h), -1, keepdims=True)
    return h - 2 * along * row(v, h)
