"""The regular panel of series that forecasters read, made of a table as people have them."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np

from jaxrnn.forecast.calendar import Frequency, frequency, inferred
from jaxrnn.forecast.columns import KEYS, Table, as_column, columns_of, counted, identities, numbers, tidy, timestamps


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """Regular series: N of them, each of its own number of steps T, without gaps in time.

    ids: N names. times, values: for each series [T], datetime64[s] or int64, and float64 in which NaN is missing.
    columns: further ones by name, for each series [T], float64, or objects with None where missing.
    freq: the step. grid: the same, but steps of whole numbers where times are. notes: what was done to the table.
    """

    ids: tuple[str | int, ...]
    times: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]
    columns: dict[str, tuple[np.ndarray, ...]]
    frequency: Frequency
    notes: tuple[str, ...] = ()

    @property
    def freq(self) -> str:
        """The frequency by its name, such as "h"."""
        return str(self.frequency)

    @property
    def dated(self) -> bool:
        """Whether times are dates, and not whole numbers."""
        return bool(self.times) and self.times[0].dtype.kind == "M"

    @property
    def grid(self) -> Frequency:
        """The step of the times: `frequency`, or 1 if they are whole numbers and that is a frequency of dates."""
        return self.frequency if self.dated == self.frequency.dated else Frequency(1, "1")

    @property
    def lengths(self) -> np.ndarray:
        """The steps T of each series [N]."""
        return np.array([len(one) for one in self.values], np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        lengths = self.lengths
        span = f"{lengths.min()} to {lengths.max()} steps" if len(self) else "no steps"
        lines = [f"Panel of {len(self)} series, {span} of {self.freq!r}, columns {[*KEYS, *self.columns]}"]
        return "\n".join(lines + [f"  {note}" for note in self.notes])

    def take(self, which: Any) -> Panel:
        """The panel of some of its series, by their numbers or as [N] bool."""
        which = np.arange(len(self))[which]
        columns = {name: tuple(of[n] for n in which) for name, of in self.columns.items()}
        ids, times, values = (tuple(of[n] for n in which) for of in (self.ids, self.times, self.values))
        return dataclasses.replace(self, ids=ids, times=times, values=values, columns=columns)

    def split(self, steps: int) -> tuple[Panel, Panel]:
        """(the panel without its last `steps` steps, those steps). A series that has no more is in neither."""
        panel = self.take(self.lengths > steps)
        parts = []
        for part in (slice(None, -steps), slice(-steps, None)):
            columns = {name: tuple(one[part] for one in of) for name, of in panel.columns.items()}
            times, values = (tuple(one[part] for one in of) for of in (panel.times, panel.values))
            parts.append(dataclasses.replace(panel, times=times, values=values, columns=columns))
        return parts[0], parts[1]

    def table(self) -> Table:
        """The panel as a long table, with a row for each step, also for those that the table it came from had not."""
        ids = np.repeat(as_column(self.ids), self.lengths)
        long = {"unique_id": ids, "ds": np.concatenate(self.times), "y": np.concatenate(self.values)}
        return Table(long | {name: np.concatenate(of) for name, of in self.columns.items()})


def panel(table: Any, freq: Any = None, *, bad: str = "missing") -> Panel:
    """The Panel of a table, or of a Panel, as it is.

    table: a dict of columns, a pandas or polars frame, a `Table`, a path to a CSV file, or a list of arrays [T], one
        for each series. Columns: `y`; `unique_id` (left out: one series); `ds`, dates without a time zone or whole
        numbers (left out: steps are rows in their order); any others. Rows may come in any order. Steps of time
        without a row become NaN.
    freq: "h", "D", "MS", ... or a whole number. None: the most frequent step. Where ds are whole numbers, "h" and the
        like say which seasons there may be, and a step is 1.
    bad: what to do with an infinite y: "missing" makes it NaN, with a warning; "raise" raises.
    Raises ValueError or TypeError, naming column and row, for what is no such table.
    """
    if bad not in ("missing", "raise"):
        raise ValueError(f"bad: expected 'missing' or 'raise', got {bad!r}")
    if isinstance(table, Panel):
        if freq is not None and frequency(freq) != table.frequency:
            raise ValueError(f"freq: expected {table.freq!r}, that of the panel, got {freq!r}")
        return table
    columns = columns_of(table)
    if "y" not in columns:
        raise ValueError(f"table: expected a column y of values, and unique_id and ds, got the columns {list(columns)}")
    y, notes = _finite(numbers(columns.pop("y"), "y"), bad)
    rows = len(y)
    ids, which = identities(columns.pop("unique_id", None), rows)
    ds = timestamps(columns.pop("ds")) if "ds" in columns else None
    ds = counted(which) if ds is None else ds
    columns = {name: tidy(column) for name, column in columns.items()}
    order = np.lexsort((ds, which))
    parts = np.split(order, np.flatnonzero(np.diff(which[order])) + 1)
    found = frequency(freq) if freq is not None else inferred([np.unique(ds[part]) for part in parts])
    dated = ds.dtype.kind == "M"
    if dated and not found.dated:
        raise ValueError(f'freq: expected one of dates such as "h" or "D", for ds has dates, got {freq!r}')
    grid = found if dated == found.dated else Frequency(1, "1")
    places = [_places(ids[n], ds[part], grid) for n, part in enumerate(parts)]
    gaps = {ids[n]: place[-1] + 1 - len(place) for n, place in enumerate(places) if place[-1] + 1 > len(place)}
    if gaps:
        most = max(gaps, key=lambda name: gaps[name])
        notes.append(f"{sum(gaps.values())} steps without a row are NaN, in {len(gaps)} series, most in {most!r}")

    def laid(column, empty):
        """A column as series, `empty` where there was no row."""
        found = []
        for part, place in zip(parts, places, strict=True):
            one = np.full(place[-1] + 1, empty, column.dtype)
            one[place] = column[part]
            found.append(one)
        return tuple(found)

    times = tuple(grid.after(ds[part[0]], np.arange(place[-1] + 1)) for part, place in zip(parts, places, strict=True))
    rest = {name: laid(column, None if column.dtype == object else np.nan) for name, column in columns.items()}
    return Panel(ids, times, laid(y, np.nan), rest, found, tuple(notes))


def _finite(y: np.ndarray, bad: str) -> tuple[np.ndarray, list[str]]:
    """y with NaN for what is infinite, and a note of it."""
    rows = np.flatnonzero(np.isinf(y))
    if not len(rows):
        return y, []
    where = f"{y[rows[0]]} in row {rows[0]}" + (f" and {len(rows) - 1} more" if len(rows) > 1 else "")
    if bad == "raise":
        raise ValueError(
            f"y: expected finite numbers, or NaN where missing, got {where}; bad='missing' makes NaN of it"
        )
    warnings.warn(f"y: {where}, taken as missing; bad='raise' raises instead", stacklevel=3)
    return np.where(np.isinf(y), np.nan, y), [f"{len(rows)} infinite values are NaN"]


def _places(name: Any, ds: np.ndarray, grid: Frequency) -> np.ndarray:
    """Which step each of the rising times of a series is, from 0 on."""
    place = grid.index(ds[0], ds)
    off, twice = np.flatnonzero(place < 0), np.flatnonzero(ds[1:] == ds[:-1])
    if len(twice):
        raise ValueError(f"ds: expected one row for each time of a series, got two of {ds[twice[0]]} in {name!r}")
    if len(off):
        raise ValueError(
            f"ds: expected steps of {str(grid)!r} from {ds[0]} on in {name!r}, got {ds[off[0]]}; freq names the step"
        )
    if place[-1] > 100 * len(ds) + 1000:
        raise ValueError(
            f"ds: expected most steps of {str(grid)!r} to have a row, got {len(ds)} rows from {ds[0]} to {ds[-1]} in "
            f"{name!r}; freq names the step"
        )
    return place
