"""Matrix decompositions that run one after another, never as a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax


def one_by_one(decompose: Callable) -> Callable:
    """`decompose`, of matrices [N, M], made sequential under `vmap`; a single argument may also be [..., N, M].

    Not as a batch: up to jaxlib 0.10 the CPU splits a batch over the same thread pool that it runs on itself, and waits
    for those threads. As many batches at once as there are cores, such as two layers' kernels drawn under vmap on two
    cores, then deadlock (seen from 128 x 128 on).
    """

    def one(*matrices: jax.Array) -> Any:  # JAX would take the options of jnp's own functions for matrices
        return decompose(*matrices)

    sequential = jax.custom_batching.sequential_vmap(one)

    def call(first: jax.Array, *others: Any) -> Any:
        f = sequential
        for _ in range(0 if others else first.ndim - 2):
            f = jax.vmap(f)
        return f(first, *others)

    return call
