"""Time against T, B and H: where does each engine begin to win, and is anything worse than linear in T and B?

Every engine and flax.linen, an LSTM with D = H; one axis changes at a time, the others stay. The floor is the matrix
products alone. The figure shows what the table has in numbers.
"""

from __future__ import annotations

from typing import Any

from benchmarks.contenders import WHAT, linen, ours
from benchmarks.protocol import Report, compiled, engines, floor_ms, interleaved, rnn_flops, setting

AXES = {
    "T": (8, 32, 128, 512, 2048),
    "B": (1, 4, 16, 64, 256),
    "H": (16, 32, 64, 128, 256, 512),
}
MIDDLE = {"T": 128, "B": 16, "H": 128}
TITLES = {"T": "T, time steps", "B": "B, rows", "H": "H, hidden units"}
PEER, FLOOR = "flax.linen", "floor"
# Okabe and Ito's colours, which most eyes tell apart; engines take them in order.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
MARKS = "osD^vPX"


def table(
    seconds: float = 2.0, what: str = "gradient", cell: str = "lstm", axes: tuple[str, ...] = tuple(AXES)
) -> Report:
    """Milliseconds (minimum) of each engine and flax.linen, one of T, B, H changing at a time.

    seconds: how long each point is timed. what: gradient or forward. axes: which of T, B, H.
    """
    facts = setting("flax") | {"cell": cell, "what": what, "type": "float32"}
    report = Report(facts, ["axis", "B, T, D, H", *(f"{name} ms" for name in (*engines(), PEER, FLOOR))])
    measured: dict[tuple, dict] = {}
    for axis in axes:
        for value in AXES[axis]:
            at = MIDDLE | {axis: value}
            shape = at["B"], at["T"], at["H"], at["H"]
            if shape not in measured:  # the middle belongs to every axis
                measured[shape] = point(report, cell, shape, what, seconds)
            report.add({"axis": axis, "B, T, D, H": ", ".join(map(str, shape)), axis: value, **measured[shape]})
    report.figure = figure(report, axes, cell, what)
    return report


def point(report: Report, cell: str, shape: tuple, what: str, seconds: float) -> dict[str, float]:
    """All contenders on one problem."""
    makers: dict[str, Any] = {n: lambda run=run: ours(cell, *shape, engine=run) for n, run in engines().items()}
    makers[PEER] = lambda: linen(cell, *shape)
    made = report.build({name: lambda make=make: compiled(*WHAT[what](*make())) for name, make in makers.items()})
    times = interleaved({name: each.call for name, each in made.items()}, seconds=seconds)
    row = {f"{name} ms": t.minimum for name, t in times.items()} | {
        f"{n} median ms": t.median for n, t in times.items()
    }
    return row | {f"{FLOOR} ms": floor_ms(rnn_flops(cell, *shape, what))}


def figure(report: Report, axes: tuple[str, ...], cell: str, what: str):
    """One panel for each axis, both scales logarithmic; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        report.note("No figure: matplotlib is not installed.")
        return None
    fig = Figure(figsize=(4 * len(axes) + 0.6, 4.2), layout="constrained")
    panels = fig.subplots(1, len(axes), sharey=True, squeeze=False)[0]
    styles = {PEER: dict(color="#777777", marker="x"), FLOOR: dict(color="black", linestyle=":", linewidth=1.2)}
    for i, name in enumerate(engines()):
        styles[name] = dict(color=COLOURS[i % len(COLOURS)], marker=MARKS[i % len(MARKS)], markersize=4)
    for axis, panel in zip(axes, panels, strict=True):
        rows = [r for r in report.rows if r["axis"] == axis]
        for name in (*engines(), PEER, FLOOR):
            known = [(r[axis], r[f"{name} ms"]) for r in rows if f"{name} ms" in r]
            panel.plot(*zip(*known, strict=True), label=name, **styles[name])
        panel.set(xscale="log", yscale="log", xlabel=TITLES[axis])
        panel.set_xticks(AXES[axis], [str(v) for v in AXES[axis]])
        panel.minorticks_off()
        panel.grid(True, which="major", color="#dddddd", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
        others = ", ".join(f"{'D = H' if a == 'H' else a} = {MIDDLE[a]}" for a in AXES if a != axis)
        panel.set_title(others, fontsize=10)
    panels[0].set_ylabel(f"milliseconds, {cell} {what}")
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=7, frameon=False)
    return fig
