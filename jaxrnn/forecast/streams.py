"""Series as a network reads them: float32 in units of their own, with covariates, one after another in flat arrays."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.forecast.autoregression import Autoregression, State
from jaxrnn.forecast.calendar import cycles, features
from jaxrnn.forecast.tables import Panel

FARTHEST = 1e15  # sizes from the shift: the squares of float32 end at 1e38
IDENTITY = "unique_id"
ROWS = 512  # series whose autoregressions run at once


class Standard(NamedTuple):
    """A column of numbers and what makes its mean 0 and its deviation 1."""

    name: str
    mean: float
    deviation: float


class Streams(NamedTuple):
    """N series, flat: that of series n is at starts[n] to starts[n] + lengths[n]."""

    ys: np.ndarray  # [sum of T] float32, NaN where missing
    past: np.ndarray  # [sum of T, P] float32
    future: np.ndarray  # [sum of T, F] float32
    starts: np.ndarray  # [N]
    lengths: np.ndarray  # [N]
    categories: np.ndarray  # [N, C] int32
    reals: np.ndarray  # [N, S] float32

    def window(
        self, which: Any, begin: Any, steps: int, until: Any, *, reach: int = 0, ahead: int = 0
    ) -> dict[str, np.ndarray]:
        """Of series `which` [B], `steps` steps from `begin` [B] on: a batch of the network, rows first.

        "memory" [B, reach] are the values before them, and "future" has `ahead` steps more. NaN, or 0 in covariates,
        stands for all that is before a series' first step or from `until` [B] on.
        """

        def read(flat, at, empty):
            inside = (at >= 0) & (at < until[:, None])
            place = np.where(inside, self.starts[which][:, None] + at, 0)
            if not flat.size:
                return np.full((*at.shape, *flat.shape[1:]), empty, flat.dtype)
            return np.where(inside.reshape(*inside.shape, *[1] * (flat.ndim - 1)), flat[place], flat.dtype.type(empty))

        at, before = begin[:, None] + np.arange(steps), begin[:, None] + np.arange(-reach, 0)
        return {
            "ys": read(self.ys, at, np.nan),
            "memory": read(self.ys, before, np.nan),
            "past": read(self.past, at, 0),
            "future": read(self.future, begin[:, None] + np.arange(steps + ahead), 0),
            "categories": self.categories[which],
            "reals": self.reals[which],
        }


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How columns become inputs, as the training data set it: what has not been seen then is read as the mean."""

    freq: str
    dated: bool
    cycles: tuple[str, ...]
    past: tuple[Standard, ...]
    future: tuple[Standard, ...]
    reals: tuple[Standard, ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]
    base: Autoregression | None = None

    @property
    def future_size(self) -> int:
        """F, with the calendar."""
        return len(self.future) + 2 * len(self.cycles)

    def streams(self, panel: Panel, shift: np.ndarray, size: np.ndarray, *, static: bool = True) -> Streams:
        """The series of a panel, (y - shift) / size; without `static`, of nothing that stays."""
        self.check(panel, static)
        lengths = panel.lengths
        empty = np.zeros(0, np.float32)
        ys = [scaled(y, *unit) for y, *unit in zip(panel.values, shift, size, strict=True)]
        times = np.concatenate(panel.times) if self.cycles else np.zeros(lengths.sum())
        future = [standardised(panel, self.future), features(self.cycles, times)]
        return Streams(
            np.concatenate([empty, *ys]),
            standardised(panel, self.past),
            np.concatenate(future, -1),
            np.cumsum(lengths) - lengths,
            lengths,
            self.labelled(panel) if static else np.zeros((len(panel), 0), np.int32),
            self.real(panel) if static else np.zeros((len(panel), 0), np.float32),
        )

    def regress(self, streams: Streams, state: State | None = None, last: int = 0) -> tuple[Any, Any]:
        """What `base.run` returns for series, after `state` if it is given: (forecasts [N, last, K], the state)."""
        N, T = len(streams.lengths), streams.lengths
        assert self.base is not None
        state = self.base.begin(N) if state is None else state
        parts = []
        for rows in np.split(np.arange(N), range(ROWS, N, ROWS)):
            block = np.full((len(rows), T[rows].max(initial=0)), np.nan)
            for line, n in zip(block, rows, strict=True):
                line[: T[n]] = streams.ys[streams.starts[n] : streams.starts[n] + T[n]]
            parts.append(self.base.run(block, T[rows], state.take(rows), last))
        found, states = zip(*parts, strict=True)
        return np.concatenate(found), State(*map(np.concatenate, zip(*states, strict=True)))

    def check(self, panel: Panel, static: bool) -> None:
        """Raise ValueError for a panel of another frequency or without a column that is read."""
        if panel.freq != self.freq or panel.dated != self.dated:
            kind = {True: "dates", False: "whole numbers"}
            raise ValueError(
                f"table: expected steps of {self.freq!r} and {kind[self.dated]} as ds, those of the training data, got "
                f"{panel.freq!r} and {kind[panel.dated]}"
            )
        statics = [one.name for one in self.reals] + [name for name, _ in self.categories if name != IDENTITY]
        present(panel, [one.name for one in (*self.past, *self.future)] + statics * static, "table")

    def labelled(self, panel: Panel) -> np.ndarray:
        """The number of each series' label in each category [N, C]; of an unknown one, how many there are."""
        found = np.zeros((len(panel), len(self.categories)), np.int32)
        for c, (name, labels) in enumerate(self.categories):
            number: dict[str | None, int] = {label: n for n, label in enumerate(labels)}
            found[:, c] = [number.get(label, len(labels)) for label in labels_of(panel, name)]
        return found

    def real(self, panel: Panel) -> np.ndarray:
        """The numbers that stay [N, S], standardised."""
        found = [_standard(np.array([constant(panel, n, r.name) for n in range(len(panel))]), r) for r in self.reals]
        return np.stack(found, -1) if found else np.zeros((len(panel), 0), np.float32)


def learn_encoding(
    panel: Panel,
    static: Any,
    future: Any,
    past: Any,
    identity: bool,
    calendar: bool,
    base: Autoregression | None = None,
) -> Encoding:
    """The encoding of the columns with these names, by the data of a panel."""
    names = {"static": _names(static, "static"), "future": _names(future, "future"), "past": _names(past, "past")}
    for argument, some in names.items():
        present(panel, some, argument)
    many = [name for some in names.values() for name in some]
    if len({*many}) < len(many):
        raise ValueError(f"static, future, past: expected each column once, got {many}")
    numeric = {name: all(one.dtype != object for one in panel.columns[name]) for name in many}
    reals, categories = [], [(IDENTITY, tuple(map(str, panel.ids)))] if identity else []
    for name in names["static"]:
        if numeric[name]:
            reals.append(_learn(name, np.array([constant(panel, n, name) for n in range(len(panel))])))
        else:
            categories.append((name, tuple(sorted({label for label in labels_of(panel, name) if label is not None}))))
    varying = {}
    for argument in ("future", "past"):
        text = [name for name in names[argument] if not numeric[name]]
        if text:
            raise TypeError(
                f"{argument}: expected columns of numbers, got strings in {text}; write 0 and 1 for each kind"
            )
        varying[argument] = tuple(_learn(name, np.concatenate(panel.columns[name])) for name in names[argument])
    repeats = cycles(panel.frequency, int(panel.lengths.max())) if panel.dated and calendar else ()
    return Encoding(
        panel.freq, panel.dated, repeats, varying["past"], varying["future"], tuple(reals), tuple(categories), base
    )


def units(panel: Panel, season: int, shifted: bool | None) -> tuple[np.ndarray, np.ndarray]:
    """(shift [N], size [N]), float64: (y - shift) / size is held by float32, whatever the unit and the level of y.

    size: the mean of |y_t - y_{t-season}|, the error of a seasonal naive forecast, of which one over 30 times the
    median counts as that; where it is 0 the standard deviation, the median of |y|, or 1. shift: the median where
    `shifted`, or, if that is None, where it is over 1000 sizes; else 0.
    """
    shift, size = np.zeros(len(panel)), np.ones(len(panel))
    for n, values in enumerate(panel.values):
        seen = values[~np.isnan(values)]
        if not len(seen):
            continue
        whole = max(np.abs(seen).max(), np.finfo(float).tiny)  # so that no square overflows
        moved = np.abs(values[season:] / whole - values[:-season] / whole) if len(values) > season else np.zeros(1)
        moved, level = moved[~np.isnan(moved)], np.median(seen)
        if len(moved) and np.median(moved) > 0:
            moved = np.minimum(moved, 30 * np.median(moved))
        sizes = (moved.mean() if len(moved) else 0, (seen / whole).std(), np.abs(level) / whole)
        least = 4 * np.finfo(float).eps  # of the largest: below it is rounding
        size[n] = next((one * whole for one in sizes if one > least), whole if seen.any() else 1.0)
        if shifted or (shifted is None and np.abs(level) > 1000 * size[n]):
            shift[n] = level
    return shift, size


def scaled(y: np.ndarray, shift: float, size: float) -> np.ndarray:
    """(y - shift) / size in float32, at most FARTHEST from 0."""
    with np.errstate(over="ignore"):
        return np.clip((y - shift) / size, -FARTHEST, FARTHEST).astype(np.float32)


def standardised(panel: Panel, columns: tuple[Standard, ...]) -> np.ndarray:
    """Columns of a panel, series after series [sum of T, columns]."""
    found = [_standard(np.concatenate(panel.columns[one.name]), one) for one in columns]
    return np.stack(found, -1) if found else np.zeros((panel.lengths.sum(), 0), np.float32)


def labels_of(panel: Panel, name: str) -> list[str | None]:
    """What each series has in a column of labels."""
    if name == IDENTITY:
        return [str(one) for one in panel.ids]
    return [None if (label := constant(panel, n, name)) is None else str(label) for n in range(len(panel))]


def constant(panel: Panel, n: int, name: str) -> Any:
    """What series n has in a column that is to stay; None or NaN if it has nothing. Raises ValueError if it varies."""
    column = panel.columns[name][n]
    there = [v for v in column if v is not None] if column.dtype == object else column[~np.isnan(column)].tolist()
    if len({*there}) > 1:
        raise ValueError(
            f"static: expected one value of {name!r} for each series, got {there[0]!r} and "
            f"{next(v for v in there if v != there[0])!r} in {panel.ids[n]!r}; future or past take what changes"
        )
    return there[0] if there else None if column.dtype == object else np.nan


def present(panel: Panel, names: Any, argument: str) -> None:
    """Raise ValueError for names that are no columns of the panel."""
    for name in names:
        if name not in panel.columns:
            raise ValueError(f"{argument}: expected a column {name!r}, got a table with {[*panel.columns]} beside y")


def _names(value: Any, argument: str) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"{argument}: expected a tuple of columns, got {value!r}; write ({value!r},)")
    return tuple(value)


def _learn(name: str, values: np.ndarray) -> Standard:
    seen = values[np.isfinite(values)]
    deviation = float(seen.std()) if len(seen) else 0.0
    return Standard(name, float(seen.mean()) if len(seen) else 0.0, deviation if deviation > 0 else 1.0)


def _standard(values: np.ndarray, one: Standard) -> np.ndarray:
    """Standardised; 0, the mean, where there is no number."""
    return np.nan_to_num((values - one.mean) / one.deviation, posinf=0, neginf=0).astype(np.float32)
