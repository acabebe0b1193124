"""Gated linear attention."""

from __future__ import annotations

from typing import Unpack

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import factory
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Unbiased
from jaxrnn.cells._memory import Memory, MemoryCarry, outer


@factory
def gla(
    hidden_size: int, *, heads: int = 1, rank: int = 16, temperature: float = 16.0, **options: Unpack[Unbiased]
) -> Cell:
    """Gated linear attention, a memory that forgets by key: x [..., D], S [..., heads, K, V] -> S', y [..., H].

        q, k, v = x W_q, x W_k, x W_v    in each head
        a  = sigmoid(x W_a A + b)^(1 / temperature)
        S' = a S + k vᵀ    row by row, a for each entry of the key
        y  = q S'

    Affine in S. The last q is in the carry for y; no step reads it. K = V = H / heads.
    Parameters, in the order q, k, v, a: kernel [D, 3H + rank]; gate_kernel A [rank, H], gate_bias b [H].

    heads: a divisor of hidden_size. rank: of the matrix of the gates. temperature: the higher, the slower it forgets.
    Sources: the paper's layer goes on with a normalisation of each head and a gate; its code scales q by K^(-1/2),
        which that normalisation undoes, and takes K = V / 2.

    Good for: language models; attention whose cost and memory do not grow with T.
    Paper: Yang, Wang, Shen, Panda and Kim 2024, arXiv 2312.06635.
    """
    rank = checks.positive(rank, "rank")
    d = Memory(hidden_size, heads, options, **dict.fromkeys("qkv", hidden_size), rank=rank)

    def init(key, input_size):
        return d.init(
            key,
            input_size,
            gate_kernel=lambda key: d.options["kernel_init"](key, (rank, d.H), d.param_dtype),
            gate_bias=lambda key: jnp.zeros(d.H),
        )

    def drive(params, x):
        u = d.drive(params, x)
        low = product(u[..., 3 * d.H :], params["gate_kernel"], d.compute(params))
        return jnp.concatenate([u[..., : 3 * d.H], (low + row(params["gate_bias"], low)).astype(u.dtype)], -1)

    def element(params, u):
        q, k, v, z = map(d.by_head, d.split(u.astype(d.start(params).S.dtype)))
        a = tap("a", jnp.exp(jax.nn.log_sigmoid(z) / temperature))
        return MemoryCarry(a[..., None], jnp.zeros_like(q)), MemoryCarry(outer(k, v), q)

    return d.affine(MemoryCarry, element, init=init, start=d.start, drive=drive, output=d.output)
