"""Dynamic loss scaling: the loss is scaled up so that gradients through float16 do not underflow to 0.

float16 has no numbers below 6e-8; cotangents of a mean over many symbols are smaller. With the loss times 2^k they
are not, and the gradient is divided by 2^k again, in float32. The scale is doubled after `every` finite gradients and
halved after one that is not finite, whose update is skipped. Skipping is optax's part:

    optimizer = optax.apply_if_finite(optax.adam(1e-3), loss_scale.ALWAYS)
    scale = loss_scale.start()

    value, grads = loss_scale.value_and_grad(loss)(scale, params, batch)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    params, scale = optax.apply_updates(params, updates), loss_scale.update(scale, grads)

The scale is kept beside opt_state, not in it: it is needed before there is a gradient to give to an optimizer. It is a
pytree of two numbers; save it with the rest. Keep params in float32 (`param_dtype`) and compute in float16
(`dtype`): updates of a float16 weight are mostly rounded away, with or without scaling. bfloat16 has the range of
float32 and needs no scaling; scales are powers of two, so there (and in float32) scaling changes no bit of a gradient
that is not at the edge of the range.

Micikevicius et al. 2018, arXiv 1710.03740, section 3.2; its last section proposes to change the scale during training,
and the schedule here is that of PyTorch's GradScaler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.numerics import wide

ALWAYS = 2**31 - 1  # for optax.apply_if_finite: skip any number in a row; with a lower limit it finally applies the NaN
SMALLEST, LARGEST = 2.0**-24, 2.0**24  # so that the scale never becomes 0 or infinite


class LossScale(NamedTuple):
    """The factor of the loss, and the number of finite gradients since it last changed."""

    scale: jax.Array  # [] float32, a power of two
    good: jax.Array  # [] int32, finite gradients since the scale last changed


def start(scale: float = 2.0**15) -> LossScale:
    """The initial scale; one too large costs a few skipped updates. Raises ValueError unless it is a power of two."""
    if scale not in {2.0**k for k in range(-24, 25)}:
        raise ValueError(f"scale: expected a power of two from 2**-24 to 2**24, got {scale!r}")
    return LossScale(jnp.float32(scale), jnp.int32(0))


def value_and_grad(loss: Callable, *, has_aux: bool = False) -> Callable:
    """`(loss_scale, params, *args) -> (value, grads)`, like jax.value_and_grad(loss) but through the scaled loss.

    loss: (params, *args) -> value, or (value, aux) with has_aux. Value and gradients are returned unscaled; gradients
    in half precision become float32, as they might underflow again. They are not finite if the scale was too large.
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
    """The scale for the next step: doubled after `every` finite gradients in a row, halved after one that is not.

    Stays within 2^-24 and 2^24. Raises ValueError for `every` below 1.
    """
    every = checks.positive(every, "every")
    finite = jnp.stack([jnp.isfinite(g).all() for g in jax.tree.leaves(grads)]).all()
    good = jnp.where(finite, loss_scale.good + 1, 0)
    factor = jnp.where(finite, jnp.where(good >= every, 2.0, 1.0), 0.5).astype(jnp.float32)
    return LossScale(jnp.clip(loss_scale.scale * factor, SMALLEST, LARGEST), jnp.where(good >= every, 0, good))
