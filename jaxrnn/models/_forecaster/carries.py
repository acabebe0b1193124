"""The carry of a forecaster: that of its cell, and with it what is remembered, where the forecaster looks back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Carry
from jaxrnn._core.rows import clipped, last_step
from jaxrnn.models._forecaster.memory import Line, Remembered, kept, line
from jaxrnn.models._forecaster.scales import causal
from jaxrnn.models._forecaster.series import Look, Scale, series


def begun(model: Any, cell: Carry, batch: tuple[int, ...], dtype: Any, before: Any = None) -> Carry:
    """The initial carry, from that of the cell; `before` [any number of steps, ..., N] is remembered."""
    if not model.reach:
        if before is not None:
            raise ValueError(
                "before: expected None for a forecaster that does not look back, without lags, seasons and a causal "
                f"scaling, got {checks.describe(before)}"
            )
        return cell
    N, R = model.targets, model.reach
    scale = Scale(jnp.zeros((*batch, N), dtype), jnp.ones((*batch, N), dtype)) if model.causal else None
    values = jnp.full((*batch, R, N), jnp.nan, dtype)
    if before is not None:
        before, seen = series(before, None, None, N, dtype, name="before")
        if model.causal and len(before):
            scales = scale_at(model, line(values[..., :0, :], before, seen), scale, len(before), 0)[0]
            scale = Scale(*(a[-1] for a in scales))
        values = jnp.concatenate([values, jnp.moveaxis(jnp.where(seen, before, jnp.nan), 0, -2)], -2)[..., -R:, :]
    return Remembered(cell, values, scale)


def opened(model: Any, carry: Carry | None, batch: tuple[int, ...], dtype: Any) -> Remembered:
    """A carry that was given, as `Remembered`; of a forecaster that does not look back, it remembers 0 steps."""
    if not model.reach:
        return Remembered(carry, jnp.zeros((*batch, 0, model.targets), dtype), None)
    if carry is None:
        return begun(model, None, batch, dtype)
    shape = (*batch, model.reach, model.targets)
    if not isinstance(carry, Remembered):
        raise TypeError(
            f"carry: expected Remembered(cell, values [..., R, N] = {shape}, scale), as initial_carry and apply of a "
            f"forecaster that looks back return it, got {checks.describe(carry)}"
        )
    if jnp.shape(carry.values) != shape or (carry.scale is not None) != model.causal:
        raise ValueError(
            f"carry: expected values [..., R, N] = {shape} and {'a' if model.causal else 'no'} scale, got "
            f"{jnp.shape(carry.values)} and {checks.describe(carry.scale)}; it is of other rows or another forecaster"
        )
    return carry


def closed(model: Any, cell: Carry, look: Look, time: Any, lengths: Any) -> Carry:
    """The carry after T steps, or after `lengths` of them."""
    if not model.reach:
        return cell
    last = None
    if model.causal:
        last = look.before.scale if time == 0 else last_step(look.scale, lengths)
        if lengths is not None:  # of a row without a step, that from before
            some = (clipped(lengths, 0, time) > 0)[..., None]
            last = jax.tree.map(lambda a, b: jnp.where(some, a, jnp.asarray(b, a.dtype)), last, look.before.scale)
    return Remembered(cell, kept(look.line, time, model.reach, lengths), last)


def scale_at(model: Any, line: Line, before: Any, time: Any, reach: int) -> tuple[Scale, jax.Array]:
    """The causal scale of each step, and whether anything is known of it: leaves [T, ..., N]."""
    season = model.seasons[0] if model.seasons else 0
    return causal(model.scaling, line, before, time, reach, model.window, season)
