"""End symbols, allowed symbols, and the checks shared by all of generation."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Carry, Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.numerics import wide

Step = Callable[[Params, Carry, jax.Array], tuple[Carry, jax.Array]]
Allowed = Callable[[Carry, jax.Array, jax.Array], jax.Array]


def prime(value: Any, step: Step, params: Params, carry: Carry) -> jax.Array:
    """`value` as [P, ...] int32 with P >= 1, or an error; also for a number that is no symbol, where it is concrete."""
    value = arrays.numbers(value, "prime")
    if value.ndim < 1 or value.shape[0] == 0:
        raise ValueError(f"prime: expected [P, ...] with at least one token to begin from, got {value.shape}")
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise TypeError(f"prime: expected [P, ...] of int, symbols numbered from 0, got {value.dtype}")
    if not is_traced(value):
        token = jax.ShapeDtypeStruct(value.shape[1:], jnp.int32)
        logits = _logits.eval_shape(step, params, carry, token)
        if getattr(logits, "shape", ()):
            arrays.tokens(value, logits.shape[-1], "prime")
    return jnp.asarray(arrays.whole(value, "prime"))


@functools.partial(jax.jit, static_argnames="step")  # for its cache: a step is traced once for its shapes
def _logits(step, params, carry, token):
    return step(params, carry, token)[1]


def told(broken: jax.Array) -> None:
    """Raise FloatingPointError if the logits of a row [...] were NaN, where that is known."""
    if not is_traced(broken) and broken.any():
        of = f" of row {checks.place(np.argwhere(np.asarray(broken))[0])}" if broken.ndim else ""
        raise FloatingPointError(
            f"params: expected ones that make logits, got NaN logits{of}, from which no symbol follows; look for NaN "
            "in params and carry"
        )


def ends(value: Any) -> tuple[int, ...]:
    """`end` as a tuple of none, one or several numbers, or an error."""
    if value is None:
        return ()
    several = np.atleast_1d(value)
    if several.ndim != 1 or not len(several) or several.dtype.kind not in "iu" or (several < 0).any():
        raise ValueError(f"end: expected the number of a symbol, or several, or None, got {value!r}")
    return tuple(map(operator.index, several))


def among(tokens: jax.Array, end: tuple[int, ...]) -> jax.Array:
    """Whether each token is one of `end`."""
    return jnp.isin(tokens, jnp.asarray(end, jnp.int32)) if end else jnp.zeros(tokens.shape, bool)


def split(allowed: Allowed | jax.Array | None) -> tuple[Allowed | None, jax.Array | None]:
    """`allowed` as (function, array), at most one of them not None: to `jit` a function is static, an array is not."""
    if allowed is None or callable(allowed):
        return allowed, None
    return None, jnp.asarray(allowed)


def forbid(rule: Allowed | None, mask: Any, values: jax.Array, carry: Carry, token: Any, written: Any) -> jax.Array:
    """values [..., V] with -inf for the symbols that are not allowed next."""
    if rule is not None:
        mask = jnp.asarray(rule(carry, token, written))
    if mask is None:
        return values
    if mask.dtype != jnp.bool_ or mask.shape not in (values.shape, values.shape[-1:]):
        raise ValueError(
            f"allowed: expected bool, [V] or [..., V] = {values.shape}, True for the symbols that may come next, "
            f"got {checks.describe(mask)}"
        )
    return jnp.where(mask, values, -jnp.inf)


def log_probabilities(logits: jax.Array) -> jax.Array:
    """log softmax over V, in float32 at least."""
    return jax.nn.log_softmax(logits.astype(wide(logits.dtype)))


def has_rows(shape: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    """Whether a leaf of a carry has rows: its first axes are the batch axes."""
    return shape[: len(batch)] == batch


def trace(step: Step, params: Params, carry: Carry, batch: tuple[int, ...], end: tuple[int, ...]) -> list[bool]:
    """Raise ValueError for a step that does not fit; return, for each leaf of the carry, whether it stays unchanged."""
    untouched: list[bool] = []

    def look(params, carry, token):
        after, logits = step(params, carry, token)
        before, leaves = jax.tree.leaves(carry), jax.tree.leaves(after)
        untouched.extend(a is b for a, b in zip(before, leaves, strict=False))
        return after, logits

    after, logits = jax.eval_shape(look, params, carry, jax.ShapeDtypeStruct(batch, jnp.int32))
    kept = jax.tree.structure(carry) == jax.tree.structure(after) and all(
        (jnp.shape(a), jnp.result_type(a)) == (b.shape, b.dtype)
        for a, b in zip(jax.tree.leaves(carry), jax.tree.leaves(after), strict=True)
    )
    if not kept:
        raise ValueError(
            f"step: expected a carry like the one it is given, {checks.describe(carry)}, got {checks.describe(after)}; "
            f"the batch axes {batch} are those of prime [P, ...]"
        )
    if logits.shape[:-1] != batch or not logits.shape:
        raise ValueError(f"step: expected logits [..., V] with the batch axes {batch} of prime, got {logits.shape}")
    if any(symbol >= logits.shape[-1] for symbol in end):
        raise ValueError(f"end: expected numbers below V={logits.shape[-1]}, got {max(end)}")
    return untouched
