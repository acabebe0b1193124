"""Is the engine that `unroll` takes by itself the faster one? `scan` beside `deferred`, at the shapes of `peers`.

Ratios are the time of the faster engine over that of the one `unroll` takes: 1.0 where the choice is right. "On cores"
both share the rows of a batch among as many devices as there are cores, in a process of its own.
"""

from __future__ import annotations

import jax

import jaxrnn
from benchmarks import catalogue
from benchmarks.contenders import ALL, WHAT
from benchmarks.peers import SHAPES
from benchmarks.protocol import Report, geometric_mean, interleaved, setting
from benchmarks.turns import Apart, cores

TAKEN, RIGHT, GAIN = "deferred", "faster / taken", "scan / deferred"
NAMES = ("scan", "deferred")


def table(
    seconds: float = 1.5,
    cells: tuple[str, ...] = ALL,
    shapes: tuple[str, ...] = SHAPES,
    what: tuple[str, ...] = tuple(WHAT),
) -> Report:
    """Milliseconds (minimum) of both engines, and what is lost by always taking `deferred`.

    seconds: how long a row is timed, on one device and on cores. cells: names, or all for every cell that both engines
    run. shapes: B,T,D,H. what: forward, gradient or both.
    """
    many = Apart(cores()) if jax.default_backend() == "cpu" and cores() > 1 else None
    places = {"": None, **({" on cores": many} if many else {})}
    columns = [c for place in places for c in (*(f"{n}{place} ms" for n in NAMES), GAIN + place, RIGHT + place)]
    report = Report(setting(), ["cell", "B, T, D, H", "what", *columns])
    for cell in [name for name in jaxrnn.CELLS if has_parts(name)] if cells == ("all",) else cells:
        for shape in shapes:
            sizes = tuple(map(int, shape.split(",")))
            for kind in what:
                row = {"cell": cell, "B, T, D, H": ", ".join(map(str, sizes)), "what": kind}
                for place, apart in places.items():
                    if apart and sizes[0] % cores():
                        continue
                    made = {}
                    for n in NAMES:
                        asked = cell, sizes, kind, n
                        made[n] = apart.make(catalogue.ours, n, *asked) if apart else catalogue.ours(*asked)
                    times = interleaved({n: each.call for n, each in made.items()}, seconds=seconds)
                    least = {name: t.minimum for name, t in times.items()}
                    row |= {f"{name}{place} ms": each for name, each in least.items()}
                    row |= {f"{name}{place} median ms": t.median for name, t in times.items()}
                    row[GAIN + place] = least["scan"] / least["deferred"]
                    row[RIGHT + place] = min(least.values()) / least[TAKEN]
                report.add(row)
    for place in places:
        for kind in what:
            rows = [row for row in report.rows if row["what"] == kind and RIGHT + place in row]
            if rows:
                report.note(f"{kind}{place}: {told(rows, place)}")
    return report


def told(rows: list[dict], place: str) -> str:
    mean = geometric_mean(r[GAIN + place] for r in rows)
    worst = min(rows, key=lambda r: r[RIGHT + place])
    lost = sum(r[RIGHT + place] < 0.95 for r in rows)
    return (
        f"scan / deferred {mean:.2f} in geometric mean; {lost} of {len(rows)} rows lose more than 5%, the "
        f"worst {worst['cell']} ({worst['B, T, D, H']}) at {worst[RIGHT + place]:.2f}"
    )


def has_parts(name: str) -> bool:
    """Whether `deferred` runs the cell; those over images are left out, whose sizes are their own."""
    return catalogue.over_images(name) is False and jaxrnn.CELLS[name](4).has_parts
