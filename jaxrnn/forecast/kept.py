"""What is kept of each series for forecasts to come: of any length of history, the same few arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn._core.cell import Carry, Params
from jaxrnn.forecast import network
from jaxrnn.forecast.autoregression import State
from jaxrnn.forecast.calendar import features
from jaxrnn.forecast.network import Network
from jaxrnn.forecast.streams import Encoding, Streams, units
from jaxrnn.forecast.tables import Panel

ROWS, STEPS = 512, 1024  # series and steps that go through a network at once


class Kept(NamedTuple):
    """N series after their last steps.

    The carries are those before the last step, which a forecast then makes: what it reads of the time after it, such as
    the calendar and prices to come, is known only then.
    """

    ids: tuple[str | int, ...]
    first: np.ndarray  # [N] the time of the first step
    steps: np.ndarray  # [N] how many there were
    shift: np.ndarray  # [N] float64: networks read (y - shift) / size
    size: np.ndarray  # [N] float64
    seen: np.ndarray  # [N] bool: whether any value has been observed
    last: dict[str, np.ndarray]  # a batch of the last step: "ys" [N, 1], "past" [N, 1, P], "categories", "reals"
    carries: tuple[Carry, ...]  # of each member of an ensemble, leaves [N, ...]
    base: State | None  # of the autoregression, after the last step


def unit_of(net: Network, panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """(shift [N], size [N]) of the series of a panel for a network."""
    if net.model.head == "negative_binomial":  # of counts
        return np.zeros(len(panel)), np.ones(len(panel))
    return units(panel, max(net.model.seasons[:1], default=1), True if net.model.scaling is None else None)


def keep(net: Network, members: tuple, encoding: Encoding, panel: Panel, unit: tuple[np.ndarray, np.ndarray]) -> Kept:
    """What is kept of the series of a panel."""
    streams = encoding.streams(panel, *unit)
    last = streams.window(np.arange(len(panel)), streams.lengths - 1, 1, streams.lengths)
    last = {name: last[name] for name in ("ys", "past", "categories", "reals")}
    carries = tuple(run_up(net, params, streams, streams.lengths) for params in members)
    seen = np.array([not np.isnan(y).all() for y in panel.values], bool)
    first = np.array([times[0] for times in panel.times])
    base = encoding.regress(streams)[1] if encoding.base else None
    return Kept(panel.ids, first, streams.lengths, *unit, seen, last, carries, base)


def run_up(net: Network, params: Params, streams: Streams, until: np.ndarray, steps: int | None = None) -> Carry:
    """The carry of each series before step until - 1, after at most `steps` before it (None: all)."""
    begins = np.maximum(0, until - 1 - (steps or until.max()))
    parts = []
    piece = min(STEPS, _rounded(max(1, int((until - 1 - begins).max()))))
    for rows in in_parts(len(until)):
        end, begin = until[rows], begins[rows]
        batch = streams.window(rows, begin, 1, end, reach=net.model.reach)
        carry, todo = network.begin(net, params, batch), end - 1 - begin
        for done in range(0, todo.max(), piece):
            batch = streams.window(rows, begin + done, piece, end, ahead=net.model.horizon)
            batch["lengths"] = np.clip(todo - done, 0, piece).astype(np.int32)
            carry = network.advance(net, params, carry, batch)
        parts.append(jax.device_get(carry))
    return jax.tree.map(lambda *some: np.concatenate(some), *parts)


def _rounded(steps: int) -> int:
    """At most a quarter more: few numbers of steps, so that few programs are compiled."""
    grain = max(1, (1 << steps.bit_length()) // 8)
    return -(-steps // grain) * grain


def in_parts(n: int) -> list[np.ndarray]:
    """The numbers of n series in parts of at most ROWS."""
    return np.split(np.arange(n), range(ROWS, n, ROWS))


def updated(net: Network, members: tuple, encoding: Encoding, kept: Kept, new: Panel) -> Kept:
    """What is kept after further steps of some series, which follow their last without a gap (see `following`)."""
    place = {name: n for n, name in enumerate(kept.ids)}
    rows = np.array([place[name] for name in new.ids])
    unit = kept.shift.copy(), kept.size.copy()
    fresh = ~kept.seen[rows]
    if fresh.any():  # nothing has been read in their unit yet
        for old, now in zip(unit, unit_of(net, new.take(fresh)), strict=True):
            old[rows[fresh]] = now
    streams = encoding.streams(new, unit[0][rows], unit[1][rows], static=False)
    count, longest = streams.lengths, int(streams.lengths.max())
    steps = 1 << (longest - 1).bit_length()  # few numbers of steps, so that few programs are compiled
    own = np.arange(len(rows))
    batch = streams.window(own, np.zeros_like(own), steps, count, ahead=net.model.horizon)
    last = {name: kept.last[name].copy() for name in kept.last}
    for name in ("ys", "past"):
        line = np.concatenate([kept.last[name][rows], batch[name]], 1)
        batch[name], last[name][rows] = line[:, :steps], line[own, count][:, None]
    # The step that was the last reads those of the first new one. Its own have been read before.
    batch["future"] = np.concatenate([np.zeros_like(batch["future"][:, :1]), batch["future"][:, :-1]], 1)
    batch |= {"lengths": count.astype(np.int32)} | {name: kept.last[name][rows] for name in ("categories", "reals")}
    carries = []
    for params, carry in zip(members, kept.carries, strict=True):
        now = jax.device_get(network.advance(net, params, jax.tree.map(lambda a: a[rows], carry), batch))
        carries.append(jax.tree.map(lambda a, b: _set(a, rows, b), carry, now))
    seen = kept.seen.copy()
    seen[rows] |= np.array([not np.isnan(y).all() for y in new.values], bool)
    total = kept.steps.copy()
    total[rows] += count
    base = kept.base
    if base is not None:
        base = base.put(rows, encoding.regress(streams, base.take(rows))[1])
    more = {"last": last, "carries": tuple(carries), "base": base}
    return kept._replace(steps=total, shift=unit[0], size=unit[1], seen=seen, **more)


def _set(a: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    a = a.copy()
    a[rows] = values
    return a


def following(kept: Kept, new: Panel) -> Panel:
    """New rows, beginning right after the last step of each series: steps between are NaN.

    Raises ValueError for a series that is not known, and for rows that are not after its last.
    """
    place = {name: n for n, name in enumerate(kept.ids)}
    unknown = [name for name in new.ids if name not in place]
    if unknown:
        raise ValueError(
            f"unique_id: expected series that are known, got {unknown[0]!r}; predict(table) forecasts from a table of "
            "other series"
        )
    parts = []
    for n, name in enumerate(new.ids):
        first, steps = kept.first[place[name]], kept.steps[place[name]]
        at = int(new.grid.index(first, new.times[n][:1])[0])
        if at < steps:
            last = new.grid.after(first, np.array([steps - 1]))[0]
            raise ValueError(
                f"ds: expected steps of {str(new.grid)!r} after {last}, the last of {name!r}, got {new.times[n][0]}; "
                "what has been read is not read again"
            )
        gap = at - steps
        times = new.grid.after(first, np.arange(steps, at + len(new.values[n])))
        columns = {c: _after(gap, of[n]) for c, of in new.columns.items()}
        parts.append((times, _after(gap, new.values[n]), columns))
    times, values, columns = zip(*parts, strict=True)
    return Panel(new.ids, times, values, {c: tuple(one[c] for one in columns) for c in new.columns}, new.frequency)


def _after(gap: int, a: np.ndarray) -> np.ndarray:
    return np.concatenate([np.full(gap, None if a.dtype == object else np.nan, a.dtype), a])


def to_come(encoding: Encoding, kept: Kept, grid: Any, K: int, future: Panel | None) -> tuple[np.ndarray, np.ndarray]:
    """(the times of the K steps after each series [N, K], the inputs [N, 1 + K, F] of the last step and of those).

    future: a panel of the columns that are known ahead, whose rows may begin earlier and end later.
    """
    N = len(kept.ids)
    times = np.stack([grid.after(f, n + np.arange(K)) for f, n in zip(kept.first, kept.steps, strict=True)])
    parts = [np.zeros((N, K, 0), np.float32)]
    if encoding.future:
        names = [one.name for one in encoding.future]
        if future is None:
            raise ValueError(f"future: expected a table of {names} for the {K} steps after each series, got None")
        parts.append(_read_ahead(encoding, kept, grid, times, future))
    ahead = np.concatenate([*parts, features(encoding.cycles, times)], -1)
    return times, np.concatenate([np.zeros_like(ahead[:, :1]), ahead], 1)


def _read_ahead(encoding, kept, grid, times, future):
    N, K = times.shape
    found = np.zeros((N, K, len(encoding.future)), np.float32)
    place = {name: n for n, name in enumerate(future.ids)}
    for n, name in enumerate(kept.ids):
        if name not in place:
            raise ValueError(f"future: expected {K} rows of {name!r}, got none")
        p = place[name]
        at = grid.index(future.times[p][0], times[n])
        if at[0] < 0 or at[-1] >= len(future.times[p]):
            raise ValueError(
                f"future: expected rows of {name!r} from {times[n][0]} to {times[n][-1]}, got those from "
                f"{future.times[p][0]} to {future.times[p][-1]}"
            )
        for f, one in enumerate(encoding.future):
            values = (future.columns[one.name][p][at] - one.mean) / one.deviation
            found[n, :, f] = np.nan_to_num(values, posinf=0, neginf=0)
    return found
