"""Truncated backpropagation through time: the losses of a window, and their gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn._core.cell import Carry
from jaxrnn._core.numerics import common
from jaxrnn._core.rows import select

# (params, carry, window) -> (losses [n, ...], weights [n, ...], carry); the leaves of a window are [n, ...].
# It also takes a `key`, to train with noise.
Losses = Callable[..., tuple[jax.Array, jax.Array, Carry]]


def next_symbol(model: Any) -> Losses:
    """The losses of a language model on a `data.Window`, in nats; if its first step is `fresh` the carry restarts."""

    def losses(params, carry, window, **options):
        carry = select(window.fresh[0], model.initial_carry(params, window.tokens.shape[1:]), carry)
        carry, logits = model.apply(params, carry, window.tokens, **options)
        nats = optax.softmax_cross_entropy_with_integer_labels(logits, window.targets)
        return nats, window.weights, carry

    return losses


def weighted(losses: jax.Array, weights: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The weighted sum, and the sum of the weights. Where a weight is 0 the loss may be anything, NaN too."""
    dtype = common(losses, weights)
    counted = jnp.where(weights.astype(bool), losses.astype(dtype) * weights.astype(dtype), 0)
    return counted.sum(), weights.sum()


def truncated_bptt(losses: Losses, k1: int | None = None, k2: int | None = None) -> Callable:
    """The gradient of truncated backpropagation through time, BPTT(k1, k2): every k1 steps, back through k2 steps.

    Returns `(params, carry, window [T, ...]) -> ((total, weight, carry), grads)`: the weighted sum of the losses, the
    sum of the weights, the carry after T steps, and the gradient of `total` with respect to params, in which the loss
    of each block of k1 steps goes back through the k2 steps that end with the block, and no further.

    k1=None: T, one block. k2=None: k1. With k2 >= T nothing is cut: full BPTT, for every k1. The value of the carry
    always passes from step to step, and from window to window; only the gradient is cut, and it never leaves its
    window. A `key` as a fourth argument goes to `losses`, a different one for each piece of the window.
    Raises ValueError for k1 < 1, k2 < k1, or a T that is not a multiple of k1.
    Williams and Peng 1990; the two numbers are those of Sutskever 2013, "Training recurrent neural networks", 2.8.6.
    """
    if (k1 is not None and k1 < 1) or (k2 is not None and k2 < (k1 or 1)):
        raise ValueError(f"k1, k2: expected 1 <= k1 <= k2, got k1={k1}, k2={k2}")

    def seen(params, carry, window, key):
        return losses(params, carry, window, **({} if key is None else {"key": key}))

    def total(params, carry, window, key, counted):
        """The weighted sum over the last `counted` steps of a window, with (sum of weights, final carry) as aux."""
        each, weights, carry = seen(params, carry, window, key)
        total, weight = weighted(each[-counted:], weights[-counted:])
        return total, (weight, carry)

    def gradient(params, carry, window, key=None):
        T = jax.tree.leaves(window)[0].shape[0]
        block = T if k1 is None else k1
        back = block if k2 is None else k2
        if back < block:
            raise ValueError(f"k2: expected at least k1, which is T={T} where it is None, got {back}")
        if T % block:
            raise ValueError(f"window: expected T to be a multiple of k1={block}, got T={T}")

        def part(first, size):
            own = None if key is None else jax.random.fold_in(key, first)
            return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, first, size), window), own

        # The blocks that end within the first k2 steps are not cut: one piece of full BPTT.
        whole = min(T, back // block * block)
        (loss, (weight, end)), grads = jax.value_and_grad(total, has_aux=True)(params, carry, *part(0, whole), whole)
        if whole == T:
            return (loss, weight, end), grads

        # Every later block goes back `back` steps from its end, so its start moves on by one block each time.
        first = whole + block - back
        behind = seen(params, carry, *part(0, first))[2]

        def later(state, first):
            behind, _, *sums = state
            (loss, (weight, end)), grads = jax.value_and_grad(total, has_aux=True)(
                params, behind, *part(first, back), block
            )
            if back > block:
                behind = seen(params, behind, *part(first, block))[2]
            else:
                behind = end
            return (behind, end, *jax.tree.map(jnp.add, sums, [loss, weight, grads])), None

        starts = jnp.arange(first, T - back + 1, block)
        (_, end, loss, weight, grads), _ = jax.lax.scan(later, (behind, end, loss, weight, grads), starts)
        return (loss, weight, end), grads

    return gradient
