"""The gated orthogonal recurrent unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise
from jaxrnn.cells._orthogonal import exponential, modrelu, rotations, with_made


@factory
def goru(
    hidden_size: int,
    *,
    update_bias: float | Callable = 0.0,
    gate_activation: str | Callable = "sigmoid",
    recurrent_init: Callable = initializers.orthogonal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Gated orthogonal recurrent unit: x [..., D], h [..., H] -> h', y [..., H].

        r  = sigmoid(x W_r + h U_r + b_r)
        z  = sigmoid(x W_z + h U_z + b_z)
        n  = modrelu(x W_n + r (h exp(A)), b_n)
        h' = (1 - z) n + z h,    y = h'
        modrelu(a, b) = sign(a) relu(|a| + b),    A = S - Sᵀ

    exp(A) is orthogonal whatever A is; it is computed once, before the loop. Parameters, gates in the order r, z, n:
    kernel W [D, 3H], recurrent_kernel U [H, 2H] of r and z, skew [H (H - 1) / 2], the numbers of S above its diagonal,
    row after row; bias b [3H].

    `update_bias`, a number or an initializer, is added to b_z.
    Sources: the paper makes the orthogonal matrix of rotations of pairs (EUNN); the exponential, of Lezcano-Casado and
        Martínez-Rubio 2019, reaches all rotations.
    Good for: memory over many steps that can also be forgotten.
    Paper: Jing, Gulcehre, Peurifoy, Shen, Tegmark, Soljačić and Bengio 2017, arXiv 1706.02761.
    """
    cell = _given(hidden_size, gate_activation=gate_activation, recurrent_init=recurrent_init, **options)

    def init(key, input_size):
        params = cell.init(key, input_size)
        k1, k2 = jax.random.split(jax.random.fold_in(key, 1))
        U = params["recurrent_kernel"][:, : 2 * hidden_size]
        start = initializers.remember(update_bias, k1, (hidden_size,), U.dtype)
        bias = params["bias"].at[hidden_size : 2 * hidden_size].add(start)
        skew = rotations(lambda a: a, -math.pi, math.pi, k2, hidden_size, U.dtype)
        return params | {"recurrent_kernel": U, "bias": bias, "skew": skew}

    def made(params):
        rest = {name: a for name, a in params.items() if name != "skew"}
        return rest | {
            "recurrent_kernel": jnp.concatenate([params["recurrent_kernel"], exponential(params["skew"])], -1)
        }

    return with_made(cell, init, made)


@factory
def _given(
    hidden_size: int, *, gate_activation: str | Callable, recurrent_init: Callable, **options: Unpack[Pointwise]
) -> Cell:
    """The same with its orthogonal matrix given, as block n of recurrent_kernel."""
    own = {"gate_activation": gate_activation, "recurrent_init": recurrent_init}
    d = Dense(hidden_size, "rzn", options | own)
    if d.H == 1:
        raise ValueError("hidden_size: expected at least 2, as 1 has no rotation, got 1")

    def drive(params, x):
        return d.drive({**params, "bias": params["bias"].at[d.columns("n")].set(0)}, x)  # b_n is in modrelu

    def update(params, s, u, v):
        (u_r, u_z, u_n), (v_r, v_z, v_n) = d.split(u), d.split(v)
        r, z = d.gate("r", u_r + v_r), d.gate("z", u_z + v_z)
        n = tap("n", tap("candidate", modrelu(u_n + r * v_n, params["bias"][d.columns("n")])))
        return HiddenCarry((1 - z) * n + z * s.h)

    return d.cell(HiddenCarry, d.stage(d.recur(), update), drive=drive)
