"""Cells as someone else writes them, each with something in it that an engine could lose."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from support import as_row, generator

from jaxrnn import Cell, Stage

H, SYMBOLS = 4, 6
CONSTANT = np.linspace(0.5, 1.5, H)


class State(NamedTuple):
    h: jax.Array


class Counting(NamedTuple):
    h: jax.Array
    t: jax.Array  # int


def init(**shapes: tuple[int, ...]) -> Any:
    """Params of these shapes beside the three that all of them have; 0 stands for D."""

    def make(key, input_size):
        every = {"kernel": (0, H), "recurrent_kernel": (H, H), "bias": (H,), **shapes}
        keys = jax.random.split(key, len(every))
        sizes = {name: tuple(n or input_size for n in shape) for name, shape in every.items()}
        return {name: 0.5 * jax.random.normal(k, sizes[name]) for (name, k) in zip(sizes, keys, strict=True)}

    return make


def start(params):
    return State(jnp.zeros(H, params["bias"].dtype))


def features(params):
    return jax.ShapeDtypeStruct(params["kernel"].shape[:1], params["kernel"].dtype)


def affine(x, kernel, bias):
    z = x @ kernel
    return z + as_row(bias, z)


def drive(params, x):
    return affine(x, params["kernel"], params["bias"])


def recur(params, s):
    return s.h @ params["recurrent_kernel"]


def update(params, s, u, v):
    return State(0.9 * s.h + 0.1 * jnp.tanh(u + v))


def ordered(key, input_size):
    return {**init()(key, input_size), "order": jnp.array([2, 0, 3, 1])}


def turn(t, like):
    """1, 2 and 3 in turn, by the step."""
    return (1 + t[..., None] % 3).astype(like.dtype)


STAGE = Stage(recur, update)
OWN = {
    "readme": Cell(init(), start, features, drive, (STAGE,)),
    "update reads a matrix": Cell(
        init(mix=(H, H), scale=()),
        start,
        features,
        drive,
        (Stage(recur, lambda p, s, u, v: State(jnp.tanh(u + v) @ p["mix"] + p["scale"] * s.h)),),
    ),
    # It divides by a sum that it saves.
    "softmax": Cell(init(), start, features, drive, (Stage(recur, lambda p, s, u, v: State(jax.nn.softmax(u + v))),)),
    "update reads the drive's and the product's kernels": Cell(
        init(),
        start,
        features,
        drive,
        (
            Stage(
                recur,
                lambda p, s, u, v: State(jnp.tanh(u + v) * as_row(p["bias"], u) + as_row(p["recurrent_kernel"][0], u)),
            ),
        ),
    ),
    "output has params": Cell(
        init(out=(H, 2), out_bias=(2,)),
        start,
        features,
        drive,
        (STAGE,),
        lambda p, carry: {"y": affine(carry.h, p["out"], p["out_bias"]), "twice": 2 * carry.h},
    ),
    "tokens": Cell(
        init(embedding=(SYMBOLS, H)),
        start,
        lambda p: {"x": features(p), "token": jax.ShapeDtypeStruct((), jnp.int32)},
        lambda p, x: drive(p, x["x"]) + p["embedding"][x["token"]],
        (STAGE,),
    ),
    "counter": Cell(
        init(),
        lambda p: Counting(*start(p), jnp.zeros((), jnp.int32)),
        features,
        drive,
        (Stage(recur, lambda p, s, u, v: Counting(jnp.tanh(u + v) * turn(s.t, u), s.t + 1)),),
    ),
    "integers in params": Cell(
        ordered,
        start,
        features,
        drive,
        (Stage(lambda p, s: s.h[..., p["order"]] @ p["recurrent_kernel"], update),),
    ),
    "one kernel in two stages": Cell(init(), start, features, drive, (STAGE, STAGE)),
    "the product hands on a field": Cell(
        init(),
        start,
        features,
        drive,
        (Stage(lambda p, s: (s.h, recur(p, s)), lambda p, s, u, v: State(jnp.tanh(u + v[1]) * v[0] + s.h / 2)),),
    ),
    "an affine product, a constant": Cell(
        init(inner=(H,)),
        start,
        features,
        drive,
        (
            Stage(
                lambda p, s: recur(p, s) * 2 + as_row(p["inner"], s.h),
                lambda p, s, u, v: State(jnp.tanh(u + v * as_row(CONSTANT, v))),
            ),
        ),
    ),
    "no product": Cell(
        lambda key, n: {k: v for k, v in init()(key, n).items() if k != "recurrent_kernel"},
        start,
        features,
        drive,
        (Stage(None, lambda p, s, u, v: State(jnp.tanh(u) + s.h / 2)),),
    ),
    "a product without the carry": Cell(
        init(),
        start,
        features,
        drive,
        (Stage(lambda p, s: jnp.ones_like(s.h) @ p["recurrent_kernel"], update),),
    ),
}


def given(cell: Any, key: jax.Array, time: int, batch: tuple[int, ...], input_size: int) -> tuple[Any, Any, Any]:
    """(params, carry, xs), float64 and nothing 0 in them; integers among the params as `init` made them."""
    rng = generator(key)

    def noise(a, low=0):
        if jnp.issubdtype(a.dtype, jnp.integer):
            return jnp.asarray(rng.integers(low, SYMBOLS, a.shape), a.dtype)
        return jnp.asarray(rng.standard_normal(a.shape))

    params = cell.init(key, input_size)
    params = jax.tree.map(
        lambda a: a if jnp.issubdtype(a.dtype, jnp.integer) else a.astype(float) + 0.3 * noise(a), params
    )
    x = cell.input(params)
    xs = jax.tree.map(lambda a: noise(jax.ShapeDtypeStruct((time, *batch, *a.shape), a.dtype)), x)
    carry = jax.eval_shape(lambda: cell.initial_carry(params, batch))
    return params, jax.tree.map(noise, carry), xs
