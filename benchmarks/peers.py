"""A whole sequence, forward and with its gradient, beside every library: is jaxrnn the fastest, and how near the floor?

Ratios are theirs / jaxrnn: above 1, jaxrnn is the faster. The floor is what the matrix products alone would take at
the speed of this machine's best product. "On cores": a device of JAX for each core, the batch's rows shared among them,
in a process of its own; a JAX peer counts there in the better of its two forms, and ours runs on one device where the
rows cannot be shared equally. PyTorch has a process of its own. The contenders are in `contenders.py`, `in_torch.py`.
"""

from __future__ import annotations

import sys

import jax

from benchmarks import in_torch
from benchmarks.contenders import ALL, JAX_PEERS, PEERS, WHAT, check, contender, present, torch_device
from benchmarks.protocol import Report, floor_ms, geometric_mean, rnn_flops, setting, show
from benchmarks.protocol import table_row as row_of
from benchmarks.turns import Apart, Contender, Times, cores, interleaved

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
BEST, TORCH_BEST = "best JAX peer / jaxrnn on cores", "torch / jaxrnn on cores"


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
    return rows_of(shapes, cells, here, dtype, engine, seconds)


def rows_of(shapes, cells, peers, dtype, engine, seconds) -> Report:
    """The table for peers that are here."""
    packages = dict.fromkeys(JAX_PEERS[n][0] if n in JAX_PEERS else n for n in peers if n != "cudnn")
    facts = setting("flax", *packages, dtype=dtype)
    facts |= {"type": dtype, "engine": engine or "as unroll chooses"}
    many = Apart(cores()) if jax.default_backend() == "cpu" and cores() > 1 else None
    torch = Apart() if "torch" in peers else None
    ratios = [JAX, *([BEST] if many else []), *([TORCH] if torch else [])]
    ratios += [*([TORCH_BEST] if many and torch else []), FLOOR]
    names = ["jaxrnn", *(["jaxrnn on cores"] if many else []), *peers]
    columns = ["cell", "B, T, D, H", "what", *(f"{name} ms" for name in names), *ratios, "temporary MB", "compile s"]
    report = Report(facts, columns)
    for cell in cells:
        for shape in shapes:
            for what in WHAT:
                problem = cell, tuple(map(int, shape.split(","))), what, dtype
                report.add(row(report, problem, peers, engine, seconds, many, torch))
    report.notes.insert(0, summary(report.rows, ratios))
    return report


def row(report, problem, peers, engine, seconds, many, torch) -> dict:
    """All contenders, side by side on one problem: in this process, on many devices in another, PyTorch in a third."""
    cell, shape, what, dtype = problem
    able = ["jaxrnn", *(name for name in peers if name == "torch" or cell in JAX_PEERS[name][3])]
    makers = {n: lambda n=n: contender(n, *problem, engine) for n in able if n != "torch"}
    if many and shape[0] % cores() == 0:
        makers |= {f"{n} on cores": lambda n=n: many.make(contender, n, n, *problem, engine) for n in makers}
    if "torch" in able:
        makers["torch"] = lambda: torch.make(in_torch.layer, "torch", *problem, torch_device())
    made = report.build({name: lambda make=make: checked(make(), *problem[:3]) for name, make in makers.items()})
    times = interleaved({name: each.call for name, each in made.items()}, seconds=seconds)
    found = {"cell": cell, "B, T, D, H": ", ".join(map(str, shape)), "what": what}
    for name, each in made.items():
        found[f"{name} ms"], found[f"{name} median ms"] = times[name]
        if name != "torch":
            found[f"{name} temporary MB"], found[f"{name} compile s"] = each.temporary_mb, each.compile_s
    mine = made["jaxrnn"]
    found["temporary MB"], found["compile s"] = mine.temporary_mb, mine.compile_s
    found |= compared(times)
    found["floor ms"] = floor_ms(rnn_flops(cell, *shape, what), dtype)
    found[FLOOR] = found["floor ms"] / times["jaxrnn"].minimum
    return found


def compared(times: dict[str, Times]) -> dict[str, float]:
    """The ratios: on one device each; and ours on cores, where rows can be shared, beside the better of their forms."""
    theirs = [name for name in times if not name.startswith(("jaxrnn", "torch"))]
    single = [times[name] for name in theirs if not name.endswith(" on cores")]
    one, on_cores = times["jaxrnn"], times.get("jaxrnn on cores", times["jaxrnn"])
    pairs = {JAX: (single, one), BEST: ([times[name] for name in theirs], on_cores)}
    if "torch" in times:
        pairs |= {TORCH: ([times["torch"]], one), TORCH_BEST: ([times["torch"]], on_cores)}
    found = {}
    for ratio, (others, mine) in pairs.items():
        if others:
            found[ratio] = min(t.minimum for t in others) / mine.minimum
            found[f"{ratio}, medians"] = min(t.median for t in others) / mine.median
    return found


def checked(made: Contender, cell: str, shape: tuple, what: str) -> Contender:
    """The same contender, whose results were looked at: outputs or a whole gradient."""
    check(made.call(), cell, shape, what)
    return made


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
