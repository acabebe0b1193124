"""Dynamic loss scaling: gradients through float16 that would round to 0 are computed from a loss that is scaled up.

float16 has no numbers below 6e-8; cotangents of a mean over many symbols are smaller. With the loss times 2^k they
are not, and the gradient is divided by 2^k again, in float32. The scale is doubled after `every` finite gradients and
halved at one that is not, whose update is skipped. That is optax's part:

    optimizer = optax.apply_if_finite(optax.adam(1e-3), loss_scale.ALWAYS)
    scale = loss_scale.start()

    value, grads = loss_scale.value_and_grad(loss)(scale, params, batch)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    params, scale = optax.apply_updates(params, updates), loss_scale.update(scale, grads)

The scale stands beside opt_state, not in it: it is needed before there is a gradient to give to an optimizer. It is a
pytree of two numbers, to be saved with the rest. Keep params in float32 (`param_dtype`) and compute in float16
(`dtype`): what is added to a float16 weight is mostly rounded away, with or without scaling. bfloat16 has the range of
float32 and needs none of this; scales are powers of two, so there (and in float32) it changes no bit of a gradient that
is not on the edge of the range.

Micikevicius et al. 2018, arXiv 1710.03740, section 3.2; to change the scale while training is proposed in its last
section, and the schedule here is that of PyTorch's GradScaler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.numerics import wide

ALWAYS = 2**31 - 1  # for optax.apply_if_finite: skip however many in a row; with fewer it takes the NaN at last
SMALLEST, LARGEST = 2.0**-24, 2.0**24  # never 0 or infinite, whatever comes for however long


class LossScale(NamedTuple):
    """What the loss is multiplied by, and for how long that went well."""

    scale: jax.Array  # [] float32, a power of two
    good: jax.Array  # [] int32, finite gradients since the scale last changed


def start(scale: float = 2.0**15) -> LossScale:
    """The scale to begin with; too large a one costs a few skipped updates. Raises ValueError unless a power of two."""
    if scale not in {2.0**k for k in range(-24, 25)}:
        raise ValueError(f"scale: expected a power of two from 2**-24 to 2**24, got {scale!r}")
    return LossScale(jnp.float32(scale), jnp.int32(0))


def value_and_grad(loss: Callable, *, has_aux: bool = False) -> Callable:
    """`(loss_scale, params, *args) -> (value, grads)`, as jax.value_and_grad(loss) but through the scaled loss.

    loss: (params, *args) -> value, or (value, aux) with has_aux. Both come back unscaled, the gradients in float32
    where they are of a half type, in which they might be 0 again. Not finite where the scale was too large.
    """

    def scaled(params, scale, *args, **kwargs):
        out = loss(params, *args, **kwargs)
        value = jnp.asarray(out[0] if has_aux else out)
        sums = wide(value.dtype)
        return value.astype(sums) * scale.astype(sums), out

    gradient = jax.grad(scaled, has_aux=True)

    def value_and_gradient(loss_scale: LossScale, params: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        grads, out = gradient(params, loss_scale.scale, *args, **kwargs)
        return out, jax.tree.map(lambda g: g.astype(wide(g.dtype)) / loss_scale.scale.astype(wide(g.dtype)), grads)

    return value_and_gradient


def update(loss_scale: LossScale, grads: Any, *, every: int = 2000) -> LossScale:
    """The scale for the next step: doubled after `every` finite gradients in a row, halved at one that is not.

    Stays within 2^-24 and 2^24. Raises ValueError for `every` below 1.
    """
    every = checks.positive(every, "every")
    finite = jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(grads)]).all()
    good = jnp.where(finite, loss_scale.good + 1, 0)
    factor = jnp.where(finite, jnp.where(good >= every, 2.0, 1.0), 0.5).astype(jnp.float32)
    return LossScale(jnp.clip(loss_scale.scale * factor, SMALLEST, LARGEST), jnp.where(good >= every, 0, good))
