"""What a run says to a person: how long it will take, a line of its own text, its figures as a table, its curve."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxrnn._core.optional import optional
from jaxrnn.cli import runs
from jaxrnn.cli.program import shown

MEASURED = 10, 30  # the steps between which it is, in the order in which they are asked for: the first ones compile


class Paced:
    """Windows by number as they are, that once say how long the rest takes: `say(seconds of a step, steps left)`.

    every: after so many steps the clock does something else; no more of them are measured.
    """

    def __init__(self, windows: Any, steps: int, every: int, say: Callable[[float, int], None]):
        self._windows, self._steps, self._say = windows, steps, say
        self._last = min(MEASURED[1], every)
        self._asked, self._began = 0, 0.0

    def __getitem__(self, k: int) -> Any:
        self._asked += 1
        if self._asked == MEASURED[0]:
            self._began = time.perf_counter()
        elif self._asked == self._last > MEASURED[0]:
            self._say((time.perf_counter() - self._began) / (self._last - MEASURED[0]), self._steps - k)
        return self._windows[k]


def lasting(seconds: float) -> str:
    """So many seconds in words."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def clock(seconds: float) -> str:
    """What time it will be in so many seconds."""
    return time.strftime("%H:%M", time.localtime(time.time() + seconds))


def first_line(text: str) -> str:
    """The first whole line of a text that has more than a word in it, for a terminal."""
    lines = [" ".join(line.split()) for line in text.split("\n")]
    return shown(next((line for line in lines[1:-1] if " " in line), " ".join(lines)))[:58]  # a terminal has 80 columns


def table(found: dict[str, float], marked: tuple[str, ...]) -> str:
    """Figures from the worst to the best, a bar for each, an arrow at those marked."""
    width, most = max(map(len, found)), max(found.values())
    lines = []
    for name, value in sorted(found.items(), key=lambda pair: -pair[1]):
        bar = "#" * max(1, round(30 * value / most))
        lines.append(f"  {value:6.3f}  {'->' if name in marked else '  '} {name:<{width}}  {bar}")
    return "\n".join(lines)


def meaning(bits: float, symbols: str, uniform: float) -> str:
    """A sentence that says what so many bits are."""
    one = symbols.removesuffix("s")
    return textwrap.fill(
        f"Bits per {one}: how many yes-or-no questions one has to ask, on average, to be told the next {one}. At "
        f"{bits:.2f} it is as unsure as if {2**bits:.1f} of them were equally likely; who knows nothing has "
        f"{2**uniform:,.0f} to choose from.",
        100,
    )


def plot(lines: list[dict], found: dict, path: Path) -> None:
    """Train and held-out bits per symbol against steps, with the rulers as level lines."""
    optional("matplotlib", "train", "the loss curve").use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    steps = [line["step"] for line in lines]
    axes.plot(steps, [line.get("loss", math.nan) for line in lines], label="train", color="tab:blue", alpha=0.6)
    axes.plot(
        steps, [line["held_out"] for line in lines], label="held out", color="tab:orange", marker="o", markersize=3
    )
    for name, value in found.items():
        if name not in ("uniform", "unigram"):  # far above the curve
            axes.axhline(value, color="gray", linewidth=0.8, linestyle="--")
            axes.annotate(
                name, (steps[-1] / 100, value), xytext=(0, 2), textcoords="offset points", fontsize=8, color="gray"
            )
    axes.set(xlabel="updates", ylabel="bits per symbol", xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    runs.save_figure(figure, path, dpi=120)
    plt.close(figure)
