"""The selective state space, of Mamba."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row, wide
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._affine import Driven
from jaxrnn.cells._dense import Pointwise
from jaxrnn.cells._gated_delta_net import step_bias
from jaxrnn.cells._memory import outer


class S6Carry(NamedTuple):
    """The states of each unit, the last C that reads them, and the last input of the units."""

    h: jax.Array  # [..., H, N]
    C: jax.Array  # [..., N]
    u: jax.Array  # [..., H]


@factory
def s6(hidden_size: int, *, state_size: int = 16, rank: int | None = None, **options: Unpack[Pointwise]) -> Cell:
    """Selective state space, whose step and matrices see x: x [..., D], h [..., H, N] -> h', y [..., H].

        u  = x W + b
        δ, B, C = u P, block by block
        Δ  = softplus(δ Q + step_bias)
        h' = exp(-exp(log_rate) Δ) h + Δ u Bᵀ
        y  = h' C + skip u

    Each unit has N states and its own step Δ; B and C [N] are shared by all units. Affine in h. The last C and u are in
    the carry for y; no step reads them. h is float32 if the cell computes in half precision.
    Parameters: kernel W [D, H], bias b [H]; select_kernel P [H, rank + 2N]; step_kernel Q [rank, H], step_bias [H];
    log_rate [H, N]; skip [H].

    state_size: N. rank: of the matrix that makes Δ; None: H / 16, rounded up.
    exp(log_rate) starts at 1, ..., N, softplus(step_bias) between 0.001 and 0.1, skip at 1.
    Sources: in Mamba's block u passes a convolution and silu, and y a gate; these are layers around the cell.

    Good for: language, audio and genomes: long sequences with content that must be chosen.
    Paper: Gu and Dao 2023, arXiv 2312.00752.
    """
    d, N = Driven(hidden_size, options, u=hidden_size), checks.positive(state_size, "state_size")
    R = -(-hidden_size // 16) if rank is None else checks.positive(rank, "rank")

    def init(key, input_size):
        draw = d.options["kernel_init"]
        return d.init(
            key,
            input_size,
            select_kernel=lambda key: draw(key, (d.H, R + 2 * N), d.param_dtype),
            step_kernel=lambda key: draw(key, (R, d.H), d.param_dtype),
            step_bias=step_bias(d.H),
            log_rate=lambda key: jnp.broadcast_to(jnp.log(jnp.arange(1.0, N + 1)), (d.H, N)),
            skip=lambda key: jnp.ones(d.H),
        )

    def drive(params, x):
        u, compute = d.drive(params, x), d.compute(params)
        select = product(u, params["select_kernel"], compute)
        step = product(select[..., :R], params["step_kernel"], compute)
        return jnp.concatenate([u, *(a.astype(compute) for a in (step, select[..., R:]))], -1)

    def start(params):
        h = jnp.zeros((d.H, N), wide(d.compute(params)))
        return S6Carry(h, d.zeros(params, N), d.zeros(params, d.H))

    def element(params, u):
        u, z, B, C = jnp.split(u.astype(wide(u.dtype)), [d.H, 2 * d.H, 2 * d.H + N], axis=-1)
        step = tap("step", jax.nn.softplus(z + row(params["step_bias"], z)))
        a = jnp.exp(-jnp.exp(row(params["log_rate"], step[..., None])) * step[..., None])
        return S6Carry(a, jnp.zeros_like(C), jnp.zeros_like(u)), S6Carry(outer(step * u, B), C, u)

    def output(params, carry: Any):
        C, u = carry.C.astype(carry.h.dtype), carry.u.astype(carry.h.dtype)
        y = (carry.h * C[..., None, :]).sum(-1) + row(params["skip"], u) * u
        return y.astype(carry.u.dtype)

    return d.affine(S6Carry, element, init=init, start=start, drive=drive, output=output)
