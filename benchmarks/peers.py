"""A whole sequence, forward and with its gradient, beside every library: is jaxrnn the fastest, and how near the floor?

Ratios are theirs / jaxrnn: above 1, jaxrnn is the faster. The floor is what the matrix products alone would take at
the speed of this machine's best product. The contenders are in `contenders.py`.
"""

from __future__ import annotations

import sys

from benchmarks.contenders import ALL, JAX_PEERS, PEERS, WHAT, contender, present
from benchmarks.protocol import Report, floor_ms, gemm_peak, geometric_mean, interleaved, rnn_flops, setting, show
from benchmarks.protocol import table_row as row_of

# B, T, D, H
SHAPES = (
    "32,128,128,256",
    "20,35,200,200",
    "64,50,512,512",
    "1,1000,64,128",
    "128,64,64,64",
    "8,512,32,32",
    "256,32,128,128",
    "4,2000,16,64",
)
JAX, TORCH, FLOOR = "best JAX peer / jaxrnn", "torch / jaxrnn", "floor / jaxrnn"


def table(
    seconds: float = 3.0,
    cells: tuple[str, ...] = ALL,
    shapes: tuple[str, ...] = SHAPES,
    peers: tuple[str, ...] = PEERS,
    dtype: str = "float32",
    engine: str | None = None,
) -> Report:
    """Milliseconds (minimum) of jaxrnn and each peer, ratios, jaxrnn's temporary memory and seconds to compile.

    seconds: how long a row is timed. dtype: float32 or bfloat16. engine: one of jaxrnn.engines by name; None: what
    `unroll` takes by itself. Medians, and every JAX peer's memory and compilation, are in the JSON lines.
    """
    if unknown := set(peers) - set(PEERS):
        sys.exit(f"peers: expected some of {', '.join(PEERS)}, got {', '.join(sorted(unknown))}")
    here = [name for name in peers if present(name)]
    facts = setting("flax", *dict.fromkeys(JAX_PEERS[n][0] if n in JAX_PEERS else n for n in here if n != "cudnn"))
    facts |= {"type": dtype, "engine": engine or "as unroll chooses"}
    if "torch" in here:
        import torch

        facts["threads of torch"] = str(torch.get_num_threads())
    facts["best product"] = f"{gemm_peak(dtype) / 1e9:.0f} GFLOP/s"
    ratios = [JAX, *([TORCH] if "torch" in here else []), FLOOR]
    names = [f"{name} ms" for name in ("jaxrnn", *here)]
    report = Report(facts, ["cell", "B, T, D, H", "what", *names, *ratios, "temporary MB", "compile s"])
    for cell in cells:
        for shape in shapes:
            for what in WHAT:
                report.add(row(report, cell, tuple(map(int, shape.split(","))), what, here, dtype, engine, seconds))
    report.notes.insert(0, summary(report.rows, ratios))
    return report


def row(report, cell, shape, what, peers, dtype, engine, seconds) -> dict:
    """All contenders, side by side on one problem."""
    mine = contender("jaxrnn", cell, shape, what, dtype, engine)
    able = [name for name in peers if name == "torch" or cell in JAX_PEERS[name][3]]
    theirs = report.build({n: lambda n=n: contender(n, cell, shape, what, dtype) for n in able})
    made = {"jaxrnn": mine, **theirs}
    times = interleaved({name: each.call for name, each in made.items()}, seconds=seconds)
    found = {"cell": cell, "B, T, D, H": ", ".join(map(str, shape)), "what": what}
    for name, each in made.items():
        found[f"{name} ms"], found[f"{name} median ms"] = times[name]
        if name != "torch":
            found[f"{name} temporary MB"], found[f"{name} compile s"] = each.temporary_mb, each.compile_s
    found["temporary MB"], found["compile s"] = mine.temporary_mb, mine.compile_s
    best, jax_peers = times["jaxrnn"], [times[name] for name in theirs if name != "torch"]
    if jax_peers:
        found[JAX] = min(t.minimum for t in jax_peers) / best.minimum
        found[f"{JAX}, medians"] = min(t.median for t in jax_peers) / best.median
    if "torch" in times:
        found[TORCH] = times["torch"].minimum / best.minimum
        found[f"{TORCH}, medians"] = times["torch"].median / best.median
    found["floor ms"] = floor_ms(rnn_flops(cell, *shape, what), dtype)
    found[FLOOR] = found["floor ms"] / best.minimum
    return found


def summary(rows: list[dict], ratios: list[str]) -> str:
    """Geometric means of the ratios, over all rows and by cell, and the rows in which jaxrnn is the slower."""
    lines = [row_of(["geometric mean", "rows", *ratios]), row_of(["---"] * (2 + len(ratios)))]
    groups = {what: [r for r in rows if r["what"] == what] for what in WHAT}
    for cell in dict.fromkeys(r["cell"] for r in rows):
        groups |= {f"{cell}, {what}": [r for r in rows if (r["cell"], r["what"]) == (cell, what)] for what in WHAT}
    for name, group in {"all": rows, **groups}.items():
        means = [geometric_mean(r[ratio] for r in group if ratio in r) for ratio in ratios]
        lines.append(row_of([name, str(len(group)), *map(show, means)]))
    text = ["\n".join(lines)]
    for ratio in (r for r in ratios if r != FLOOR):
        below = [r for r in rows if r.get(ratio, 1.0) < 1.0]
        items = [f"- {r['cell']} ({r['B, T, D, H']}) {r['what']}: {r[ratio]:.2f}" for r in below]
        counted = sum(ratio in r for r in rows)
        text.append(
            "\n".join([f"{ratio} is below 1.0 in {len(below)} of {counted} rows{':' if items else '.'}", *items])
        )
    return "\n\n".join(text)
