"""What the plots share: axes, colours that the colour-blind can tell apart, lines with a band over the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrnn._core.optional import optional

# Okabe and Ito 2008, without yellow, which projectors show badly.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


def pyplot() -> Any:
    """matplotlib.pyplot, or an ImportError that says what to install."""
    optional("matplotlib", "train", "a plot")
    import matplotlib.pyplot as plt

    return plt


def ticker() -> Any:
    """matplotlib.ticker, for the places of the ticks on an axis."""
    return optional("matplotlib.ticker", "train", "a plot")


def axes(ax: Any, *, size: tuple[float, float] = (6.4, 4.0)) -> Any:
    """The axes to draw on: those given, or those of a new figure."""
    return pyplot().subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def finish(ax: Any, *, x: str, y: str, title: str = "", legend: bool = False) -> Any:
    """The axes with labels, a light grid, and no box around them."""
    ax.set(xlabel=x, ylabel=y)
    ax.set_title(title, loc="left", fontsize="medium", fontweight="bold")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    if legend:
        ax.legend(frameon=False)
    return ax


def line(ax: Any, x: Any, values: Any, label: str, colour: str, *, above: float = -np.inf, **style: Any) -> None:
    """Draw values [T, ...]: the median over rows as a line, with a band from the 10th to the 90th percentile.

    Values that are not above `above` are left out: a logarithmic scale has no 0.
    """
    values = np.asarray(values, np.float64)
    low, middle, high = np.quantile(values.reshape(len(values), -1), (0.1, 0.5, 0.9), axis=1)
    ax.plot(x, np.where(middle > above, middle, np.nan), color=colour, label=label, **style)
    if values.size > len(values):
        low = np.where(low > above, low, np.min(middle[middle > above], initial=np.inf))
        shown = (high > above) & np.isfinite(low)
        ax.fill_between(x, low, high, where=shown, color=colour, alpha=0.15, linewidth=0)


def colour(i: int) -> str:
    """The i-th colour; after the last comes the first again."""
    return COLOURS[i % len(COLOURS)]
