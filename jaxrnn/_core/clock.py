"""Time between steps, for cells that know it: inputs (x, dt), and what a step that is not taken adds to a clock.

A cell whose `input` is a `TimedInput` takes x [..., D] alone, with dt = 1, or `Timed`: (x, dt), (x, dt, observed).
A carry's field `elapsed` [..., N] is a clock: a masked step adds its dt there, and leaves the rest of the carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core.described import describe, shape


class Timed(NamedTuple):
    """Inputs of a cell that knows time; a plain tuple of two or three is read as one."""

    x: Any  # [..., D]; a NaN is a missing value
    dt: Any = None  # [...] the time since the step before, in any unit; None: 1
    observed: Any = None  # [..., D] bool: False is a missing value too


class TimedInput(jax.ShapeDtypeStruct):
    """The `input` of a cell that knows time: one x, which may come alone or in `Timed`."""


def timed_features(params: Any) -> TimedInput:
    """The `input` of a cell that knows time and whose kernel is [D, G·H]."""
    return TimedInput(params["kernel"].shape[:1], params["kernel"].dtype)


def timed(like: Any) -> TimedInput:
    """The same shape and type as the input of a cell that knows time."""
    return TimedInput(like.shape, like.dtype)


def untimed(like: Any) -> Any:
    """The `input` of a cell in whose step several cells take turns: x alone, for dt would pass once for each."""
    return jax.ShapeDtypeStruct(like.shape, like.dtype) if isinstance(like, TimedInput) else like


def knows_time(cell: Any, params: Any) -> bool:
    """Whether the cell takes `Timed`."""
    return cell.input is not None and isinstance(cell.input(params), TimedInput)


def read(cell: Any, params: Any, xs: Any) -> Any:
    """xs with `Timed` wherever the cell's `input` has a `TimedInput`."""
    if cell.input is None:
        return xs
    return marked(cell.input(params), xs, lambda x: x if isinstance(x, Timed) else Timed(*_members(x)))


def _members(x):
    return x if isinstance(x, tuple) else (x,)


def marked(like: Any, xs: Any, f: Callable[[Any], Any]) -> Any:
    """xs with f of what stands where `like` has a `TimedInput`; xs itself where it has another structure."""
    expected, tree = jax.tree.flatten(like)
    try:
        parts = tree.flatten_up_to(xs)
    except (TypeError, ValueError):
        return xs
    return tree.unflatten([f(x) if isinstance(e, TimedInput) else x for e, x in zip(expected, parts, strict=True)])


def each(f: Callable[[Timed], Any], xs: Any) -> Any:
    """xs with f of every `Timed` in it."""
    return jax.tree.map(lambda x: f(x) if _is(x) else x, xs, is_leaf=_is)


def _is(x):
    return isinstance(x, Timed)


def known(x: Timed) -> jax.Array:
    """[..., D] bool: which values of x are there."""
    there = ~jnp.isnan(x.x)
    return there if x.observed is None else there & x.observed


def values(xs: Any) -> Any:
    """x alone, missing values as 0; inputs without a time as they are."""
    return each(lambda t: jnp.where(known(t), t.x, jnp.zeros_like(t.x)), xs)


def timing(x: Any, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """(x, dt [..., 1]) for a cell's drive, of any form that it may get; missing values are 0, dt is in `dtype`."""
    x = x if isinstance(x, Timed) else Timed(*_members(x))
    dt = jnp.ones(x.x.shape[:-1], dtype) if x.dt is None else x.dt
    return values(x), dt[..., None].astype(dtype)


def clock(xs: Any) -> Any:
    """The dt of the first `Timed` in xs, None if there is none, or it says nothing of time."""
    return next((x.dt for x in jax.tree.leaves(xs, is_leaf=_is) if _is(x)), None)


def waited(carry: Any, dt: Any) -> Any:
    """What a masked step makes of the carry: its clock, if it has one, goes on by dt [...], by 1 for None."""
    if not hasattr(carry, "elapsed"):
        return carry
    was = carry.elapsed
    by = jnp.ones_like(was) if dt is None else jnp.broadcast_to(dt[..., None].astype(was.dtype), was.shape)
    return carry._replace(elapsed=was + by)


def stopped(xs: Any, mask: Any) -> Any:
    """xs with dt = 1 where the mask is False: a skipped step computes nothing that is used, and so nothing infinite."""
    return each(lambda x: x if x.dt is None else x._replace(dt=jnp.where(mask, x.dt, jnp.ones_like(x.dt))), xs)


def along(cell: Any, params: Any, y: Any, xs: Any) -> Any:
    """y, what a layer reads, with the time in xs if both know of one; nothing in y is missing."""
    if isinstance(y, Timed):
        return y if knows_time(cell, params) else values(y)
    if isinstance(xs, Timed) and knows_time(cell, params):
        return Timed(y, xs.dt)
    return y


def keeping_time(xs: Any, blank: Any, there: Any) -> Any:
    """`blank`, which is xs [T, ...] with 0 for masked steps, with each dt as it was, but 0 where not `there`.

    A masked step lasts as long as any; past the end of a row there is no time.
    """

    def one(x, blanked):
        if not _is(x):
            return blanked
        dt = jnp.ones(x.x.shape[:-1], x.x.dtype) if x.dt is None else x.dt
        return blanked._replace(dt=dt if there is None else jnp.where(there, dt, jnp.zeros_like(dt)))

    return jax.tree.map(one, xs, blank, is_leaf=_is)


def backwards(xs: Any, lengths: Any) -> Any:
    """xs [T, ...] for a loop from right to left: at t the time to the step at t + 1, at a row's last step its dt_0."""

    def turned(x):
        if x.dt is None or x.dt.shape[0] == 0:
            return x
        after = jnp.roll(x.dt, -1, 0)
        if lengths is not None:
            steps = jnp.arange(len(after), dtype=jnp.int32).reshape(-1, *[1] * lengths.ndim)
            last = jnp.clip(lengths, 0, len(after))[None] - 1
            after = jnp.where(steps < last, after, jnp.where(steps == last, x.dt[:1], jnp.zeros_like(after)))
        return x._replace(dt=after)

    return each(turned, xs)


def alone(x: Any, name: str, letters: str, times: list[Timed]) -> Any:
    """The x of inputs that may be a tuple with its time, which is put into `beside`."""
    if not isinstance(x, tuple):
        return x
    if not 1 <= len(x) <= 3:
        raise TypeError(
            f"{name}: expected x {letters} alone, (x, dt) or (x, dt, observed), got a tuple of {len(x)}; "
            "dt has the axes of x before its features, observed those of x"
        )
    times.append(Timed(*x))
    return x[0]


def beside(timed: Timed, name: str, letters: str) -> None:
    """Raise for a dt or an observed that does not fit the x beside it."""
    x, dt, observed = timed
    if dt is not None and (shape(dt) != shape(x)[:-1] or not jnp.issubdtype(getattr(dt, "dtype", bool), jnp.floating)):
        raise (TypeError if shape(dt) == shape(x)[:-1] else ValueError)(
            f"{name}: expected dt, the time since the step before, {letters.replace(', D]', ']')} of floats with "
            f"the axes of x before its features, {shape(x)[:-1]}, got {describe(dt)}"
        )
    if observed is not None and (shape(observed) != shape(x) or getattr(observed, "dtype", None) != jnp.bool_):
        raise (TypeError if shape(observed) == shape(x) else ValueError)(
            f"{name}: expected observed, False where a value is missing, {letters} of bool as x, {shape(x)}, "
            f"got {describe(observed)}"
        )
