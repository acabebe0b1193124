"""Is the engine that `unroll` takes by itself the faster one? `scan` beside `deferred`, at the shapes of `peers`.

Ratios are the time of the faster engine over that of the one `unroll` takes: 1.0 where the choice is right.
"""

from __future__ import annotations

from benchmarks.contenders import ALL, WHAT, contender
from benchmarks.peers import SHAPES
from benchmarks.protocol import Report, geometric_mean, interleaved, setting

TAKEN, RIGHT = "deferred", "faster / taken"
NAMES = ("scan", "deferred")


def table(
    seconds: float = 1.0,
    cells: tuple[str, ...] = ALL,
    shapes: tuple[str, ...] = SHAPES,
    what: tuple[str, ...] = tuple(WHAT),
    dtype: str = "float32",
) -> Report:
    """Milliseconds (minimum) of both engines, and what is lost by always taking `deferred`.

    seconds: how long a row is timed. shapes: B,T,D,H. what: forward, gradient or both.
    """
    report = Report(
        setting() | {"type": dtype}, ["cell", "B, T, D, H", "what", "scan ms", "deferred ms", "scan / deferred", RIGHT]
    )
    for cell in cells:
        for shape in shapes:
            sizes = tuple(map(int, shape.split(",")))
            for kind in what:
                calls = {name: contender("jaxrnn", cell, sizes, kind, dtype, name).call for name in NAMES}
                times = interleaved(calls, seconds=seconds)
                least = {name: t.minimum for name, t in times.items()}
                row = {"cell": cell, "B, T, D, H": ", ".join(map(str, sizes)), "what": kind}
                row |= {f"{name} ms": each for name, each in least.items()}
                row |= {f"{name} median ms": t.median for name, t in times.items()}
                row["scan / deferred"] = least["scan"] / least["deferred"]
                row[RIGHT] = min(least.values()) / least[TAKEN]
                report.add(row)
    for kind in what:
        rows = [row for row in report.rows if row["what"] == kind]
        mean, worst = geometric_mean(r["scan / deferred"] for r in rows), min(rows, key=lambda r: r[RIGHT])
        lost = sum(r[RIGHT] < 0.95 for r in rows)
        report.note(
            f"{kind}: scan / deferred {mean:.2f} in geometric mean; {lost} of {len(rows)} rows lose more than 5%, the "
            f"worst {worst['cell']} ({worst['B, T, D, H']}) at {worst[RIGHT]:.2f}"
        )
    return report
