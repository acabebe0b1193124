"""Averages over the targets that were observed: what is missing is left out, a forecast that is missing is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrnn._core import checks

Axis = int | tuple[int, ...] | None


def axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes of an array of `ndim` that `axis` names, as numbers from 0; None names all of them, () none."""
    if axis is None:
        return tuple(range(ndim))
    named = (axis,) if isinstance(axis, int) else tuple(axis)
    if any(not -ndim <= a < ndim for a in named):
        raise ValueError(f"axis: expected axes of a target with {ndim}, from {-ndim} to {ndim - 1}, got {axis}")
    return tuple(a % ndim for a in named)


def mean(losses: np.ndarray, there: np.ndarray, axis: Axis, *, keepdims: bool = False) -> Any:
    """The mean of losses [..., K] where `there` [..., K] says so; NaN where nothing is there, without a warning.

    A loss that is there and NaN makes the mean NaN: a model that says nothing is not excused. losses may have one axis
    more at its end than there.
    """
    at = axes(axis, there.ndim)
    there = there[..., None] if losses.ndim > there.ndim else there
    total = np.where(there, losses, 0).sum(at, keepdims=keepdims)
    count = np.broadcast_to(there.sum(at, keepdims=keepdims), np.shape(total))
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)[()]


def number(values: Any, name: str) -> np.ndarray:
    """`values` as float64, or a ValueError that names them."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected numbers, as an array, got {checks.describe(values)}") from None


def like(values: Any, name: str, target: np.ndarray, size: int | None = None) -> np.ndarray:
    """`values` as float64 in the shape of target [..., K], or with an axis of `size` after that."""
    array = number(values, name)
    more = () if size is None else (size,)
    if array.shape != target.shape + more:
        letters, shape = ("[..., K]", target.shape) if size is None else ("[..., K, Q]", target.shape + more)
        raise ValueError(f"{name}: expected {letters} = {shape}, as target has, got {array.shape}")
    return array


def chances(probabilities: Any) -> np.ndarray:
    """Probabilities of quantiles [Q], increasing within (0, 1)."""
    p = number(probabilities, "probabilities")
    if p.ndim != 1 or not len(p) or not ((p > 0) & (p < 1)).all() or (np.diff(p) <= 0).any():
        raise ValueError(f"probabilities: expected some between 0 and 1, increasing, got {probabilities!r}")
    return p


def share(level: Any) -> float:
    """The share of targets that an interval is to hold, between 0 and 1."""
    if not isinstance(level, int | float | np.floating) or not 0 < level < 1:
        raise ValueError(f"level: expected the share that an interval is to hold, between 0 and 1, got {level!r}")
    return float(level)
