"""How things are timed here: all contenders in one process, in turn, many times; the least and the median are kept."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def interleaved(contenders: dict[str, Callable[[], object]], *, seconds: float = 4.0, least: int = 7) -> dict:
    """Milliseconds of each contender: name -> (minimum, median).

    Each is a call that returns when its work is done. One call of each is not counted (it compiles); then they take
    turns, so that a slow minute of a shared machine is slow for all, for `seconds` in all or `least` rounds.
    """
    for call in contenders.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(next(iter(times.values()))) < least:
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: (min(t), statistics.median(t)) for name, t in times.items()}
