"""Long tables as people have them, and what is in their columns: numbers, names of series, timestamps."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxrnn._core.optional import optional

KEYS = ("unique_id", "ds", "y")
MISSING = ("", "NA", "NaN", "nan", "null", "None")  # cells of a file in which there is nothing
ZONE = re.compile(r"\d(Z|[+-]\d\d:?\d\d)$")


class Table(dict[str, np.ndarray]):
    """A long table: columns by name, [rows] each. `pandas.DataFrame(table)` makes a frame of it."""

    def __repr__(self) -> str:
        rows = len(next(iter(self.values()), ()))
        shown = [list(self)] + [[str(column[k]) for column in self.values()] for k in range(min(rows, 5))]
        widths = [max(len(row[c]) for row in shown) for c in range(len(self))]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in shown]
        return "\n".join([*lines, f"... {rows} rows" if rows > 5 else f"{rows} rows"])

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame."""
        return optional("pandas", "forecast", "a DataFrame").DataFrame(dict(self))

    def to_csv(self, path: str | Path) -> None:
        """Write the table as a file of comma-separated values; NaN is an empty cell."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self)
            for row in zip(*self.values(), strict=True):
                writer.writerow("" if cell is None or cell != cell else cell for cell in row)


def read_csv(path: str | Path) -> Table:
    """A file of comma-separated values with a line of names as a long table.

    A column of whole numbers is int64, and of numbers float64, NaN where a cell is empty, NA or NaN; others have
    strings, and None where a cell is empty.
    Raises ValueError for a file without rows, and for a line with too many or too few cells.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        names, *rows = [row for row in csv.reader(file) if row] or [[]]
    if not rows:
        raise ValueError(f"{path}: expected a line of names and rows of numbers, got {len(names)} names and no row")
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise ValueError(f"{path}: expected {len(names)} cells in each row, got {len(row)} in row {number}: {row}")
    return Table({name: _typed(list(cells)) for name, cells in zip(names, zip(*rows, strict=True), strict=True)})


def _typed(cells: list[str]) -> np.ndarray:
    for kind in (int, float):
        try:
            return np.array([kind(c if kind is int or c.strip() not in MISSING else "nan") for c in cells])
        except (ValueError, OverflowError):
            pass
    return np.array([cell or None for cell in cells], object)


def columns_of(table: Any) -> dict[str, np.ndarray]:
    """The columns of any kind of table, [rows] each."""
    if isinstance(table, str | Path):
        table = read_csv(table)
    if isinstance(table, Mapping):
        found = {str(name): np.asarray(column) for name, column in table.items()}
    elif hasattr(table, "columns"):
        found = {str(name): np.asarray(table[name]) for name in table.columns}
    else:
        series = [numbers(np.asarray(one), f"series {n}") for n, one in enumerate(table)]
        which = np.repeat(np.arange(len(series)), [len(one) for one in series])
        found = {"unique_id": which, "y": np.concatenate(series)} if series else {"y": np.zeros(0)}
    shapes = {name: column.shape for name, column in found.items()}
    if len({*shapes.values()}) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise ValueError(f"table: expected columns [rows] of one length, got the shapes {shapes}")
    if found and not len(next(iter(found.values()))):
        raise ValueError("table: expected rows, got none")
    return found


def nothing(value: Any) -> bool:
    """Whether an object is None, NaN, NaT or pandas' NA."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or (value != value) is True


def numbers(column: np.ndarray, name: str) -> np.ndarray:
    """A column as float64 [rows], NaN where there is nothing; TypeError, naming the row, for what is no number."""
    if column.ndim != 1:
        raise ValueError(f"{name}: expected numbers [rows], got {column.shape}")
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    if column.dtype.kind in "OUST":
        found = np.empty(len(column))
        for row, value in enumerate(column.tolist()):
            try:
                found[row] = np.nan if nothing(value) or value in MISSING else float(value)
            except (TypeError, ValueError):
                raise TypeError(f"{name}: expected numbers, got {value!r} in row {row}") from None
        return found
    raise TypeError(f"{name}: expected numbers, got {column.dtype}")


def tidy(column: np.ndarray) -> np.ndarray:
    """A column as float64 if it is of numbers, else as objects, None where there is nothing."""
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    found = np.array([None if nothing(value) else value for value in column.tolist()], object)
    if all(value is None or isinstance(value, int | float | np.number) for value in found):
        return numbers(found, "")
    return np.array([None if value is None else str(value) for value in found], object)


def identities(column: np.ndarray | None, rows: int) -> tuple[tuple[str | int, ...], np.ndarray]:
    """The names of series in the order of their first rows, and which of them each row is of."""
    if column is None:
        return ("series",), np.zeros(rows, np.int64)
    if column.dtype.kind not in "iu":
        objects = column.tolist()
        missing = [row for row, value in enumerate(objects) if nothing(value)]
        if missing:
            raise ValueError(f"unique_id: expected a name in each row, got {objects[missing[0]]!r} in row {missing[0]}")
        column = np.array([str(value) for value in objects])
    names, first, which = np.unique(column, return_index=True, return_inverse=True)
    rank = np.argsort(first)
    return tuple(names[rank].tolist()), np.argsort(rank)[which.reshape(-1)]


def as_column(ids: Any) -> np.ndarray:
    """The names of series as a column: int64, or objects."""
    return np.array(ids, object if any(isinstance(name, str) for name in ids) else np.int64)


def counted(which: np.ndarray) -> np.ndarray:
    """The number of each row within its series."""
    order = np.argsort(which, kind="stable")
    starts = np.flatnonzero(np.diff(which[order], prepend=-1))
    found = np.empty(len(which), np.int64)
    found[order] = np.arange(len(which)) - np.repeat(starts, np.diff(starts, append=len(which)))
    return found


def timestamps(column: np.ndarray) -> np.ndarray:
    """A column of dates as datetime64[s], or of whole numbers as int64.

    Raises TypeError, naming the row, for what is neither, and for times with a time zone or with parts of seconds.
    """
    if column.dtype.kind in "iu":
        return column.astype(np.int64)
    if column.dtype.kind == "M":
        found = column.astype("datetime64[s]")
        wrong = np.flatnonzero((found != column) | np.isnat(found))
    elif column.dtype.kind == "f":
        found = np.nan_to_num(column, posinf=0, neginf=0).astype(np.int64)
        wrong = np.flatnonzero(found != column)
    else:
        column = np.array([str(value) for value in column.tolist()])
        found, wrong = _parsed(column)
    if len(wrong):
        row, value = wrong[0], str(column[wrong[0]])
        cure = "; convert to UTC, or to the local time, without a time zone" if ZONE.search(value) else ""
        raise TypeError(
            f"ds: expected dates such as 2024-01-31 or 2024-01-31 18:00, or whole numbers, got {value!r} in row {row}"
            f"{cure}"
        )
    return found


def _parsed(texts: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Dates as they are written, and the rows in which there is none."""
    for kind in ("datetime64[s]", np.int64):
        try:
            if not (kind != np.int64 and any(ZONE.search(text) or text.isdigit() for text in texts)):
                found = texts.astype(kind)
                return found, [] if kind is np.int64 else np.flatnonzero(np.isnat(found)).tolist()
        except ValueError:
            pass
    wrong = []
    for row, text in enumerate(texts):
        try:
            if ZONE.search(text) or text.isdigit() or np.isnat(np.datetime64(text, "s")):
                wrong.append(row)
        except (ValueError, TypeError):
            wrong.append(row)
    return np.zeros(len(texts), "datetime64[s]"), wrong
