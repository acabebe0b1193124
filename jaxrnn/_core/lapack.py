"""Decompositions of matrices, one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def one_by_one(decompose: Callable) -> Callable:
    """`decompose`, of matrices [N, M], so that under `vmap` it takes one after another; also as [..., N, M], if alone.

    Not as a batch: up to jaxlib 0.10 the CPU shares a batch out among the threads of the pool that it runs on itself,
    and waits for them. As many batches at once as there are cores, such as two layers' kernels drawn under vmap on two
    cores, then wait for one another for ever (seen from 128 x 128 on).
    """

    def one(*matrices: jax.Array) -> Any:  # of jnp's own functions JAX would take the options for matrices
        return decompose(*matrices)

    sequential = jax.custom_batching.sequential_vmap(one)

    def call(first: jax.Array, *others: Any) -> Any:
        f = sequential
        for _ in range(0 if others else first.ndim - 2):
            f = jax.vmap(f)
        return f(first, *others)

    return call
