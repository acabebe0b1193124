"""Series as arrays: their scale, the windows after each step, and exogenous inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.rows import inside

SCALINGS = ("mean", "standard", None)


class Scale(NamedTuple):
    """The location and scale of a series: the cell reads (y - location) / scale."""

    location: Any  # [..., N]
    scale: Any  # [..., N]


class Inputs(NamedTuple):
    """What is given at T steps beside the values; None where there is none."""

    past: Any  # [T, ..., P]
    future: Any  # [T, ..., ahead, F], of the steps after each
    bases: Any  # [T, ..., ahead, G, N], NaN where unknown
    static: Any  # [..., S + E]


class Look(NamedTuple):
    """What T steps see."""

    before: Any  # the carry, as `Remembered`
    line: Any  # of R remembered steps and these T
    scale: Scale  # of leaves [..., N], or [T, ..., N] if it is causal
    known: Any  # [T, ..., N] bool: whether a causal scale knows anything; None for others
    read: Any  # what the network reads: `features.Read`


class Forecasts(NamedTuple):
    """The result of a forecaster's run over T steps, with what it was computed from."""

    carry: Any
    distribution: Any  # [T, ..., ahead, N], of the steps after each
    ys: jax.Array  # [T, ..., N], with the location in place of missing values
    observed: jax.Array  # [T, ..., N]
    scale: Scale  # of leaves [..., N], or [T, ..., N] if it is causal
    # [T, ..., N] or [T, ..., 1] bool: the steps that know nothing of what comes after them, not by the scale either
    origins: jax.Array


class Prediction(NamedTuple):
    """The K steps after a series. Without a distribution, the median is the mean, and I (intervals) is 0."""

    mean: jax.Array  # [K, ..., N]
    median: jax.Array  # [K, ..., N]
    lower: jax.Array  # [I, K, ..., N], one for each level
    upper: jax.Array  # [I, K, ..., N]


def scale_of(scaling: str | None, ys: jax.Array, observed: jax.Array) -> Scale:
    """The scale of each series, from its observed values: ys, observed [T, ..., N] -> leaves [..., N].

    "mean": location 0, scale the mean of |y|. "standard": mean and standard deviation. None: 0 and 1. A scale of 0 is
    replaced by 1, or for "standard" by the mean of |y|.
    """
    ys = jnp.where(observed, ys, 0)
    if scaling is None:
        return Scale(jnp.zeros_like(ys[0]), jnp.ones_like(ys[0]))

    def mean(a):
        count = jnp.maximum(observed.sum(0), 1).astype(a.dtype)
        return (jnp.where(observed, a, 0) / count[None]).sum(0)  # divided first: the sum of large numbers may overflow

    magnitude = mean(jnp.abs(ys))
    magnitude = jnp.where(magnitude > 0, magnitude, 1)
    if scaling == "mean":
        return Scale(jnp.zeros_like(magnitude), magnitude)
    # In units of the magnitude, so that no square overflows; the variance of a constant is only rounding.
    location = mean(ys)
    variance = mean(jnp.square((ys - location[None]) / magnitude[None]))
    varies = variance > jnp.square(8 * jnp.finfo(ys.dtype).eps)
    return Scale(location, magnitude * jnp.sqrt(jnp.where(varies, variance, 1)))


def series(
    ys: Any, observed: Any, lengths: Any, targets: int, dtype: Any, name: str = "ys"
) -> tuple[jax.Array, jax.Array]:
    """(ys [T, ..., N] in `dtype`, which of them are there), checked."""
    ys = arrays.numbers(ys, name)
    if ys.ndim < 2 or ys.shape[-1] != targets:
        raise ValueError(f"{name}: expected [T, ..., N] with N={targets} targets, got {ys.shape}")
    with np.errstate(over="ignore"):  # told by `finite`
        read = jnp.asarray(ys, dtype)
    there = ~jnp.isnan(read)
    if observed is not None:
        observed = arrays.numbers(observed, "observed")
        if observed.shape != ys.shape or observed.dtype != jnp.bool_:
            raise ValueError(f"observed: expected [T, ..., N] = {ys.shape} of bool, got {checks.describe(observed)}")
        there = observed & there
    there = there if lengths is None else there & inside(lengths, len(read))[..., None]
    finite(name, ys, there, dtype, missing=True)
    return jnp.where(jnp.isinf(read), jnp.nan, read), there  # a gate would make a finite number of an infinite one


def context_of(context: Any, needed: bool, batch: tuple[int, ...]) -> jax.Array | None:
    """`context`, a number of steps for all series or one for each, as [...] int32; None: all steps.

    Raises ValueError for one that is no number of steps, and for None where one is `needed`.
    """
    if context is None:
        if needed:
            raise ValueError(
                "context: expected the number of first steps that set the scale, got None: the scale of all knows what "
                "comes; write context=n, and forecasts count from step n - 1 on, or make the forecaster with "
                "scaling=None"
            )
        return None
    context = arrays.numbers(context, "context")
    known, fits = not is_traced(context), context.shape in ((), batch)
    if not (fits and jnp.issubdtype(context.dtype, jnp.integer)) or (known and (context < 1).any()):
        raise ValueError(
            f"context: expected a number of steps, an int of at least 1, or [...] = {batch} of them, got "
            f"{context if context.ndim == 0 and known else checks.describe(context)}"
        )
    return jnp.broadcast_to(arrays.whole(context, "context"), batch)


def weights_of(weights: Any, steps: tuple[int, ...], dtype: Any) -> jax.Array:
    """Weights [...] of series, or [T, ...] of origins, as [T or 1, ..., 1, 1]; steps: (T, ...)."""
    weights = arrays.numbers(weights, "weights")
    if weights.shape not in (steps, steps[1:]):
        raise ValueError(
            f"weights: expected [...] = {steps[1:]} of series, or [T, ...] = {steps} of origins, got {weights.shape}"
        )
    if not is_traced(weights) and not (np.isfinite(weights) & (np.asarray(weights) >= 0)).all():
        raise ValueError("weights: expected finite numbers of at least 0, got one that is not")
    weights = jnp.asarray(weights, dtype)
    return (weights if weights.shape == steps else weights[None])[..., None, None]


def mean_of(each: jax.Array, counted: jax.Array, weights: Any) -> jax.Array:
    """The mean of each [T, ..., ahead, N] that is `counted`, by weights of series or origins; 0 if nothing counts."""
    each = jnp.where(counted, each, 0)
    if weights is None:
        return each.sum() / jnp.maximum(counted.sum(), 1).astype(each.dtype)
    weight = weights_of(weights, each.shape[:-2], each.dtype)
    total = jnp.where(counted, weight, 0).sum()
    return (weight * each).sum() / jnp.where(total > 0, total, 1)


def bases_of(bases: Any, model: Any, steps: tuple[int, ...], dtype: Any) -> Any:
    """bases [T, ..., K, G·N] as [T, ..., K, G, N], checked; an infinite one is as unknown as NaN. steps: (T, ...)."""
    if (bases is None) != (model.bases == 0):
        shape = (*steps, model.horizon, model.bases * model.targets)
        expected = f"[T, ..., K, G·N] = {shape}" if model.bases else "None with bases=0"
        raise ValueError(f"bases: expected {expected}, got {checks.describe(bases)}")
    if bases is None:
        return None
    bases, shape = arrays.numbers(bases, "bases"), (*steps, model.horizon, model.bases * model.targets)
    if bases.shape != shape:
        raise ValueError(f"bases: expected [T, ..., K, G·N] = {shape}, got {bases.shape}")
    with np.errstate(over="ignore"):
        bases = jnp.asarray(bases, dtype)
    return bases.reshape(*bases.shape[:-1], model.bases, model.targets)


def units_of(units: Any, head: str, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Units [..., N] of a loss, as [..., 1, N]."""
    if head not in ("quantile", "implicit_quantile", "point"):
        raise ValueError(f"units: expected None with head={head!r}, whose loss is in nats")
    units = arrays.numbers(units, "units")
    if units.shape != shape:
        raise ValueError(f"units: expected [..., N] = {shape}, a size of each series, got {units.shape}")
    if not is_traced(units) and not (np.isfinite(units) & (np.asarray(units) > 0)).all():
        raise ValueError("units: expected finite numbers above 0, got one that is not")
    return jnp.asarray(units, dtype)[..., None, :]


def finite(name: str, values: Any, valid: Any, dtype: Any, *, missing: bool = False) -> None:
    """Raise ValueError for a number in values [T, ..., X] that is `valid` and infinite in `dtype`, if known; or NaN.

    missing: NaN is a missing number, and may be anywhere. One such number would make all of its series NaN.
    """
    if is_traced(values) or is_traced(valid):
        return
    with np.errstate(over="ignore"):
        read = np.asarray(values).astype(dtype)
    wrong = np.broadcast_to(valid, read.shape) & (np.isinf(read) if missing else ~np.isfinite(read))
    if wrong.any():
        step, *series, n = at = tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))
        of = f" of series {checks.place(series)}" if series else ""
        cure = "; write NaN where a value is missing, or say so by `observed`" if missing else ""
        raise ValueError(
            f"{name}: expected numbers finite in {jnp.dtype(dtype).name}, got {np.asarray(values)[at]} at step "
            f"{step}{of}, number {n} of its {read.shape[-1]}{cure}"
        )


def windows(a: jax.Array, time: int, n: int) -> jax.Array:
    """[T or more, ..., X] -> [T, ..., n, X]: the n steps after each step, 0 past the end."""
    a = jnp.pad(a, [(0, max(0, time + n - len(a)))] + [(0, 0)] * (a.ndim - 1))
    return each_step(a, time, range(1, n + 1))


def each_step(a: jax.Array, time: Any, starts: Sequence[int]) -> jax.Array:
    """[S, ..., X] -> [T, ..., n, X]: at step t the n elements starts + t.

    By one gather: a stack of so many slices is long in compilation.
    """
    if len(starts) == 1:
        return jnp.expand_dims(a[starts[0] : starts[0] + time], -2)
    at = jnp.arange(time, dtype=jnp.int32)[:, None] + jnp.asarray(starts, jnp.int32)[None]
    return jnp.moveaxis(a.at[at].get(mode="promise_in_bounds"), 1, -2)


def steps_first(a: jax.Array) -> jax.Array:
    """[..., K, X] -> [K, ..., X]."""
    return jnp.moveaxis(a, -2, 0)


def exogenous(name: str, letter: str, values: Any, size: int, times: Any, valid: Any, dtype: Any) -> Any:
    """Exogenous inputs, checked against the series and in its type; None if there are none. valid: [T, ...] bool."""
    T, *batch = valid.shape
    values = None if values is None else arrays.numbers(values, name)
    expected = " or ".join(str((time, *batch, size)) for time in times)
    if size and (values is None or jnp.shape(values) not in [(time, *batch, size) for time in times]):
        came = None if values is None else jnp.shape(values)
        raise ValueError(f"{name}: expected [T, ..., {letter}] = {expected}, got {came}")
    if not size and values is not None:
        raise ValueError(f"{name}: expected None with {name}_size=0, got {checks.describe(values)}")
    if values is None:
        return None
    finite(name, values[:T], valid[..., None], dtype)
    return jnp.asarray(values, dtype)
