"""Frequencies: the grid that the timestamps of a series lie on, its seasons, and features of the calendar."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

SECONDS = {"s": 1, "min": 60, "h": 3600, "D": 86400, "W": 7 * 86400}
MONTHS = {"M": 1, "Q": 3, "Y": 12}
# Other spellings, of older and newer pandas.
ALIASES = {"S": "s", "T": "min", "H": "h", "d": "D", "AS": "YS", "A": "YE", "M": "ME", "Q": "QE", "Y": "YE"}
DAY, WEEK = SECONDS["D"], SECONDS["W"]
CYCLES = {"day": DAY, "week": WEEK, "year": 31_556_952}  # in seconds
LONGEST = 2048  # steps of the longest season that is chosen unasked: its values are kept for each series


class Frequency(NamedTuple):
    """Steps of `count` units: "s", "min", "h", "D", "W", "B" (business days), "MS" or "ME", ..., or "1" (numbers)."""

    count: int
    unit: str

    def __str__(self) -> str:
        return self.unit if self.count == 1 else str(self.count) if self.unit == "1" else f"{self.count}{self.unit}"

    @property
    def dated(self) -> bool:
        """Whether its timestamps are dates, and not whole numbers."""
        return self.unit != "1"

    @property
    def months(self) -> int | None:
        """Months of a step, None if it is not of months."""
        return self.count * MONTHS[self.unit[0]] if self.unit[:1] in MONTHS else None

    @property
    def seconds(self) -> float | None:
        """Seconds of a step, of a mean year for months; None for whole numbers."""
        if self.months is not None:
            return self.months * CYCLES["year"] / 12
        return self.count * (DAY if self.unit == "B" else SECONDS[self.unit]) if self.dated else None

    def index(self, first: Any, times: np.ndarray) -> np.ndarray:
        """How many steps each of `times` is after `first`, int64; of one that is off the grid, the least int64.

        Months are counted from the day of `first`, or from the last day of a shorter month.
        """
        off = np.iinfo(np.int64).min
        if self.unit == "B":
            days, begin = times.astype("datetime64[D]"), np.datetime64(first, "D")
            on = np.is_busday(days) & (times - days == first - begin)
            steps = np.where(days >= begin, np.busday_count(begin, days), -np.busday_count(days, begin))
            ahead, rest = np.divmod(steps, self.count)
            return np.where(on & (rest == 0), ahead, off)
        if self.months is None:
            step = self.count if not self.dated else np.timedelta64(int(self.seconds or 0), "s")
            ahead = (times - first) // step
            return np.where(ahead * step == times - first, ahead, off)
        month, began = times.astype("datetime64[M]"), np.datetime64(first, "M")
        ahead, rest = np.divmod((month - began).astype(np.int64), self.months)
        return np.where((rest == 0) & (times == self._in_month(first, month)), ahead, off)

    def after(self, first: Any, steps: np.ndarray) -> np.ndarray:
        """The timestamps `steps` steps after `first`: int64, or datetime64[s]."""
        steps = np.asarray(steps, np.int64) * self.count
        if not self.dated:
            return first + steps
        if self.unit == "B":
            day = np.datetime64(first, "D")
            return np.busday_offset(day, steps).astype("datetime64[s]") + (first - day)
        if self.months is None:
            return first + steps * np.timedelta64(SECONDS[self.unit], "s")
        return self._in_month(first, np.datetime64(first, "M") + (steps * MONTHS[self.unit[0]]).astype("m8[M]"))

    def _in_month(self, first: Any, month: np.ndarray) -> np.ndarray:
        """The day and time of `first` in these months; the last day, if `first` is one and the unit is of ends."""
        began = np.datetime64(first, "M")
        clock = first - np.datetime64(first, "D")
        day, lengths = (np.datetime64(first, "D") - began).astype(np.int64), _days(month)
        at_end = self.unit.endswith("E") and day == _days(began) - 1
        day = lengths - 1 if at_end else np.minimum(day, lengths - 1)
        return (month.astype("datetime64[D]") + day.astype("m8[D]")).astype("datetime64[s]") + clock


def _days(month: Any) -> Any:
    """The days of a month."""
    following = month + np.timedelta64(1, "M")
    return (following.astype("datetime64[D]") - month.astype("datetime64[D]")).astype(np.int64)


def frequency(freq: Any) -> Frequency:
    """The Frequency that "h", "15min", "W-SUN", "MS", 1, ... name, as pandas spells them.

    Raises ValueError for others.
    """
    if isinstance(freq, Frequency):
        return freq
    if isinstance(freq, int | np.integer) and not isinstance(freq, bool) and freq > 0:
        return Frequency(int(freq), "1")
    found = re.fullmatch(r"(\d*)([A-Za-z]*)(-[A-Z]{3})?", freq) if freq and isinstance(freq, str) else None
    if found is not None:
        count, unit = int(found[1] or 1), ALIASES.get(found[2], found[2]) or "1"
        if count and (unit in (*SECONDS, "B", "1") or (unit[:1] in MONTHS and unit[1:] in ("S", "E"))):
            return Frequency(count, unit)
    raise ValueError(
        f'freq: expected "s", "min", "15min", "h", "D", "B", "W", "MS", "QS", "YS", ... or a whole number for numbered '
        f"steps, got {freq!r}"
    )


def inferred(times: list[np.ndarray]) -> Frequency:
    """The frequency of rising timestamps of each series: their most frequent step.

    Raises ValueError where no series has two.
    """
    steps = np.concatenate([np.diff(one) for one in times] or [np.zeros(0, np.int64)])
    if not len(steps):
        raise ValueError('freq: expected "h", "D", ..., for no series has two rows to tell it from, got None')
    dated = steps.dtype.kind == "m"
    found, counts = np.unique(steps.astype(np.int64), return_counts=True)
    step = int(found[counts.argmax()])
    if not dated:
        return Frequency(int(np.gcd.reduce(found)), "1")
    days = step / DAY
    for name, least, most in (("MS", 28, 31), ("QS", 90, 92), ("YS", 365, 366)):
        if least <= days <= most:
            stamps = np.concatenate(times)
            ends = (stamps + np.timedelta64(DAY, "s")).astype("datetime64[M]") != stamps.astype("datetime64[M]")
            return Frequency(1, name[0] + "E" if ends.all() else name)
    if days == 1 and 3 * DAY in found and np.is_busday(np.concatenate(times).astype("datetime64[D]")).all():
        return Frequency(1, "B")
    unit = next(unit for unit in ("W", "D", "h", "min", "s") if step % SECONDS[unit] == 0)
    return Frequency(step // SECONDS[unit], unit)


def seasons(freq: Frequency, length: int) -> tuple[int, ...]:
    """The seasons in steps that a frequency suggests, of which a series of `length` steps has two at least.

    Hours have (24, 168), quarters of an hour (96, 672), days (7,), business days (5,), weeks (52,), months (12,),
    quarters (4,); numbered steps have none.
    """
    if freq.unit == "B":
        found = [5 / freq.count]
    elif freq.months is not None:
        found = [12 / freq.months]
    elif freq.unit == "W":
        found = [52 / freq.count]
    else:
        found = [cycle / freq.seconds for cycle in (DAY, WEEK)] if freq.seconds else []
    return tuple(int(m) for m in found if m == int(m) and 2 <= m <= min(LONGEST, length / 2))


def cycles(freq: Frequency, length: int) -> tuple[str, ...]:
    """The cycles, "day", "week", "year", that are longer than a step and that `length` steps hold twice."""
    seconds = freq.seconds
    return tuple(name for name, cycle in CYCLES.items() if seconds and seconds < cycle <= length * seconds / 2)


def features(names: tuple[str, ...], times: np.ndarray) -> np.ndarray:
    """sin and cos of where in each cycle a time is: times [...] datetime64[s] -> [..., 2 x cycles] float32.

    A day begins at midnight, a week on Monday, and a year, of 365 or 366 days, in January.
    """
    parts = []
    for name in names:
        if name == "year":
            began = times.astype("datetime64[Y]")
            share = (times - began) / ((began + np.timedelta64(1, "Y")).astype("datetime64[s]") - began)
        else:
            late = 3 * DAY if name == "week" else 0  # 1970 began on a Thursday
            share = (times.astype("datetime64[s]").astype(np.int64) + late) % CYCLES[name] / CYCLES[name]
        parts += [np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)]
    return np.stack(parts, -1).astype(np.float32) if parts else np.zeros((*times.shape, 0), np.float32)
