"""The Lipschitz recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, wide
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense, HiddenCarry, Pointwise


@factory
def lipschitz_rnn(
    hidden_size: int,
    *,
    dt: float = 0.1,
    beta: float = 0.75,
    gamma: float = 0.001,
    activation: str | Callable = "tanh",
    recurrent_init: Callable = initializers.lecun_normal(),
    **options: Unpack[Pointwise],
) -> Cell:
    """Lipschitz RNN: x [..., D], h [..., H] -> h', y [..., H].

        h'   = h + dt (h A + tanh(h W + x V + b)),    y = h'
        A, W = S(M_1), S(M_2) with S(M) = (1 - beta) (M + Mᵀ) + beta (M - Mᵀ) - gamma I

    A continuous system by Euler's method. Its two matrices are split into a symmetric and a skew-symmetric part, whose
    weights set how far from the imaginary axis their eigenvalues can be, and with these how gradients grow. Parameters:
    kernel V [D, H], recurrent_kernel [H, 2H], M_1 beside M_2, bias b [H].

    dt: the step, above 0. beta: from 0.5 to 1, where nothing symmetric is left. gamma: the damping, at least 0. The
        paper tunes all three to the task.
    Sources: the paper also has a second-order step (Runge-Kutta), and sets of its own for A and W.
    Good for: long sequences, with a stable linear part that can be read as a dynamical system.
    Paper: Erichson, Azencot, Queiruga, Hodgkinson and Mahoney 2021, arXiv 2006.12070.
    """
    d = Dense(hidden_size, "h", options | {"activation": activation, "recurrent_init": recurrent_init})
    if not (dt > 0 and 0.5 <= beta <= 1 and gamma >= 0):
        raise ValueError(f"dt, beta, gamma: expected above 0, 0.5 to 1, at least 0, got {dt!r}, {beta!r}, {gamma!r}")

    def init(key, input_size):
        params = d.init(key, input_size)
        other = d.blocks("recurrent_init", jax.random.fold_in(key, 1), (d.H, d.H))
        return params | {"recurrent_kernel": jnp.concatenate([params["recurrent_kernel"], other], -1)}

    def split(M):
        M = M.astype(wide(M.dtype))  # M + (1 - 2 beta) Mᵀ has both parts with their weights
        return M + (1 - 2 * beta) * M.T - gamma * jnp.eye(d.H, dtype=M.dtype)

    def recur(params, s):
        matrices = map(split, jnp.split(params["recurrent_kernel"], 2, -1))
        return product(s.h, jnp.concatenate(list(matrices), -1), d.compute(params))

    def update(params, s, u, v):
        linear, z = jnp.split(v, 2, -1)
        return HiddenCarry(s.h + dt * (linear + tap("h", d.act(z + u))))

    return d.cell(HiddenCarry, d.stage(recur, update), init=init)
