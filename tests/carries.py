"""Cells whose carries are no vectors, beside their steps in NumPy: a matrix, complex numbers, an image, a clock."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from reference import sigmoid
from sequences import Case

import jaxrnn
from jaxrnn import Cell, Stage

K, V, N, SIDES, C = 3, 4, 5, (3, 4), 2


class Memory(NamedTuple):
    """Of `delta`."""

    s: jax.Array  # [..., K, V]
    h: jax.Array  # [..., V]


class Wave(NamedTuple):
    """Of `wave`."""

    z: jax.Array  # [..., N] complex


class Image(NamedTuple):
    """Of `image`."""

    h: jax.Array  # [..., *SIDES, C]


class Clock(NamedTuple):
    """Of `clock`."""

    mean: jax.Array  # [...]
    h: jax.Array  # [..., N]
    t: jax.Array  # [...] int32


def drawn(key: Any, **shapes: tuple[int, ...]) -> dict[str, jax.Array]:
    keys = jax.random.split(key, len(shapes))
    return {n: 0.4 * jax.random.normal(k, s, "float32") for (n, s), k in zip(shapes.items(), keys, strict=True)}


def row(a: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.expand_dims(a, range(like.ndim - a.ndim))


def vector(params: Any) -> Any:
    return jax.ShapeDtypeStruct(params["kernel"].shape[-2:-1], params["kernel"].dtype)


@jaxrnn.factory
def delta() -> Cell:
    """s' = s + b k (v - k s), h' = q s': a memory of outer products that forgets what it overwrites."""

    def drive(params, x):
        z = jaxrnn.product(x, params["kernel"], x.dtype).astype(x.dtype)
        k, v, q, b = jnp.split(z + row(params["bias"], z), [K, K + V, 2 * K + V], -1)
        return k / jnp.sqrt(1 + jnp.square(k).sum(-1, keepdims=True)), v, q, b

    def update(params, s, u, v):
        key, value, query, beta = *u[:3], jaxrnn.taps.tap("b", jax.nn.sigmoid(u[3]))
        held = (key[..., None] * s.s).sum(-2)
        new = s.s + (beta * key)[..., None] * (value - held)[..., None, :]
        return Memory(new, (query[..., None] * new).sum(-2))

    def start(params):
        return Memory(jnp.zeros((K, V), params["kernel"].dtype), jnp.zeros(V, params["kernel"].dtype))

    n = 2 * K + V + 1
    return Cell(
        lambda key, D: drawn(key, kernel=(D, n), bias=(n,)), start, vector, drive, (Stage(None, update),), gates="b"
    )


def delta_step(params, carry, x):
    k, v, q, b = np.split(x @ params["kernel"] + params["bias"], [K, K + V, 2 * K + V])
    k, s = k / math.sqrt(1 + k @ k), np.array(carry[0])
    s += sigmoid(b) * np.outer(k, v - k @ s)
    return (s, q @ s), q @ s


@jaxrnn.factory
def wave() -> Cell:
    """z' = exp(-exp(decay) + i angle) z + x B, y = Re(z c): every unit turns and shrinks on its own."""

    def wide(a):
        return a.astype(jnp.float64 if a.dtype == jnp.float64 else jnp.float32)

    def element(params, u):
        a = jnp.exp(jax.lax.complex(-jnp.exp(wide(params["decay"])), wide(params["angle"])))
        return Wave(row(a, u)), Wave(u)

    def drive(params, x):
        re, im = jnp.split(wide(jaxrnn.product(x, params["kernel"], x.dtype)), 2, -1)
        return jax.lax.complex(re, im)

    def update(params, s, u, v):
        a, b = element(params, u)
        return Wave(a.z * s.z + b.z)

    def output(params, carry):
        z, (re, im) = carry.z, wide(params["out"])
        return (z.real * row(re, z) - z.imag * row(im, z)).astype(params["out"].dtype)

    return Cell(
        lambda key, D: drawn(key, kernel=(D, 2 * N), decay=(N,), angle=(N,), out=(2, N)),
        lambda params: Wave(jax.lax.complex(*(wide(jnp.zeros(N, params["kernel"].dtype)),) * 2)),
        vector,
        drive,
        (Stage(None, update),),
        output,
        element=element,
    )


def wave_step(params, carry, x):
    b = x @ params["kernel"]
    a = np.exp(-np.exp(params["decay"])) * (np.cos(params["angle"]) + 1j * np.sin(params["angle"]))
    z = a * carry[0] + b[:N] + 1j * b[N:]
    return (z,), (z * (params["out"][0] + 1j * params["out"][1])).real


@jaxrnn.factory
def image() -> Cell:
    """h' = tanh(x * W + h * U + b), * a convolution with a window of 3 by 3 that keeps the sides."""

    def convolved(a, kernel):
        flat = a.reshape(math.prod(a.shape[:-3]), *a.shape[-3:])
        out = jax.lax.conv_general_dilated(flat, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return out.reshape(*a.shape[:-1], kernel.shape[-1])

    def drive(params, x):
        u = convolved(x, params["kernel"])
        return u + row(params["bias"], u)

    return Cell(
        lambda key, D: drawn(key, kernel=(3, 3, D, C), recurrent_kernel=(3, 3, C, C), bias=(C,)),
        lambda params: Image(jnp.zeros((*SIDES, C), params["kernel"].dtype)),
        lambda params: jax.ShapeDtypeStruct((*SIDES, params["kernel"].shape[2]), params["kernel"].dtype),
        drive,
        (Stage(lambda p, s: convolved(s.h, p["recurrent_kernel"]), lambda p, s, u, v: Image(jnp.tanh(u + v))),),
    )


def image_step(params, carry, x):
    def convolved(a, kernel):
        padded = np.pad(a, [(1, 1), (1, 1), (0, 0)])
        out = np.zeros((*SIDES, C))
        for i, j in np.ndindex(3, 3):
            out += padded[i : i + SIDES[0], j : j + SIDES[1]] @ kernel[i, j]
        return out

    h = np.tanh(convolved(x, params["kernel"]) + convolved(carry[0], params["recurrent_kernel"]) + params["bias"])
    return (h,), h


@jaxrnn.factory
def clock() -> Cell:
    """Unit j steps where j + 1 divides t; beside h it keeps t and a running mean of x, one number each in a row."""

    def drive(params, x):
        u = jaxrnn.product(x, params["kernel"], x.dtype).astype(x.dtype)
        return u + row(params["bias"], u), x.mean(-1)

    def update(params, s, u, v):
        turn = s.t[..., None] % row(jnp.arange(1, N + 1, dtype=jnp.int32), s.h) == 0
        mean = 0.9 * s.mean + 0.1 * u[1]
        return Clock(mean, jnp.where(turn, jnp.tanh(u[0] + v + mean[..., None]), s.h), s.t + 1)

    def start(params):
        dtype = params["kernel"].dtype
        return Clock(jnp.zeros((), dtype), jnp.zeros(N, dtype), jnp.zeros((), jnp.int32))

    return Cell(
        lambda key, D: drawn(key, kernel=(D, N), recurrent_kernel=(N, N), bias=(N,)),
        start,
        vector,
        drive,
        (Stage(lambda p, s: jaxrnn.product(s.h, p["recurrent_kernel"], s.h.dtype).astype(s.h.dtype), update),),
    )


def clock_step(params, carry, x):
    mean, h, t = carry
    mean, new = 0.9 * mean + 0.1 * np.mean(x), np.array(h)
    z = np.tanh(x @ params["kernel"] + h @ params["recurrent_kernel"] + params["bias"] + mean)
    for j in range(N):
        if t % (j + 1) == 0:
            new[j] = z[j]
    return (mean, new, t + 1), new


CELLS = {
    "matrix": Case(delta(), delta_step, lambda params: (np.zeros((K, V)), np.zeros(V))),
    "complex": Case(wave(), wave_step, lambda params: (np.zeros(N, complex),)),
    "image": Case(image(), image_step, lambda params: (np.zeros((*SIDES, C)),)),
    "clock": Case(clock(), clock_step, lambda params: (np.zeros(()), np.zeros(N), np.zeros(()))),
}
