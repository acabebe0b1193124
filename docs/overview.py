"""docs/overview.svg, the figure of README.md and of the start page, from the tables in benchmarks/results.

python docs/overview.py
"""

from __future__ import annotations

import json
import math
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks/results"
BLUE, ORANGE, GREEN, GREY, INK = "#2b6cb0", "#c2410c", "#2f855a", "#718096", "#1a202c"
PEERS = {"best JAX peer / jaxrnn": "best of five JAX libraries", "torch / jaxrnn": "PyTorch"}


def records(name: str) -> list[dict]:
    """Of a table."""
    return [json.loads(line) for line in (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def ratios() -> dict[tuple[str, str], float]:
    """Geometric mean over the shapes of `peers`, of a gradient on one device, by cell and peer."""
    rows = [row for row in records("peers") if row["what"] == "gradient"]
    found = {}
    for cell in ("elman", "gru", "lstm"):
        for peer in PEERS:
            logs = [math.log(row[peer]) for row in rows if row["cell"] == cell]
            found[cell, peer] = math.exp(sum(logs) / len(logs))
    return found


def draw():
    """On the left bars of time, on the right lines of memory."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    bars = ratios()
    labels = [f"{cell}, beside {PEERS[peer]}" for cell, peer in bars]
    colours = [BLUE if ratio >= 1 else ORANGE for ratio in bars.values()]
    left.barh(labels, [ratio - 1 for ratio in bars.values()], left=1, color=colours, height=0.7)
    for k, ratio in enumerate(bars.values()):
        left.annotate(
            f"{ratio:.2f}", (max(ratio, 1), k), (3, 0), textcoords="offset points", va="center", fontsize=9, color=INK
        )
    left.invert_yaxis()
    left.axvline(1, color=INK, linewidth=0.8)
    left.set_xlim(0.6, max(bars.values()) * 1.12)
    left.set_title("Their time over ours, of a gradient", fontsize=10, color=INK)
    rows = [row for row in records("memory") if row["loss of"] == "last carry"]
    for engine, colour in (("scan", GREY), ("deferred", BLUE), ("checkpointed", GREEN)):
        of = [row for row in rows if row["engine"] == engine]
        ts, sizes = [row["T"] for row in of], [row["temporary MB"] for row in of]
        right.loglog(ts, sizes, "o-", color=colour, linewidth=2, markersize=4)
        below = engine == "deferred"
        right.annotate(
            f"{engine}: {sizes[-1]:,.0f} MB", (ts[-1], sizes[-1]), (-4, -46 if below else 7), ha="right",
            textcoords="offset points", fontsize=9, color=colour,
        )  # fmt: skip
    right.set_xlabel("steps T", fontsize=9, color=INK)
    right.set_ylim(top=2e4)
    right.set_title("Memory of a gradient in MB, by engine", fontsize=10, color=INK)
    for axis in (left, right):
        axis.tick_params(labelsize=9, colors=INK)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    return figure


if __name__ == "__main__":
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "jaxrnn", "font.family": "sans-serif"}):
        draw().savefig(HERE / "overview.svg", metadata={"Date": None, "Creator": None}, facecolor="white")
