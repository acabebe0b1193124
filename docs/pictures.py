"""Figures of the tables in benchmarks/results: each ratio as a bar, to the right of 1 or to the left.

`write` makes an SVG in docs/_build/pictures for each table that has ratios, and `above` is what a page of the site has
above its table.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
FOLDER = ROOT / "docs/_build/pictures"
BLUE, ORANGE, INK = "#2b6cb0", "#c2410c", "#1a202c"

# Title; the columns that name a row; those with ratios, and whether a small one is the better one.
TABLES = {
    "peers": ("Beside other libraries", ("cell", "what", "B, T, D, H"), "/ jaxrnn", False),
    "peers-jax012": ("Beside other libraries, jax 0.12", ("cell", "what", "B, T, D, H"), "/ jaxrnn", False),
    "peers-bfloat16": ("Beside other libraries, bfloat16", ("cell", "what", "B, T, D, H"), "/ jaxrnn", False),
    "peers-gpu": ("Beside other libraries, on a GPU", ("cell", "what", "B, T, D, H"), "/ jaxrnn", False),
    "language_model": ("Train step of a language model", ("model", "B, T"), "/ jaxrnn", False),
    "language_model-gpu": ("Train step of a language model, on a GPU", ("model", "B, T"), "/ jaxrnn", False),
    "engine_choice": ("The engine of unroll", ("cell", "what", "B, T, D, H"), "scan / deferred", False),
    "real_uses": ("Programs as they are written", ("program",), "/ jaxrnn|/ best of jaxrnn", False),
    "catalogue": ("Every cell", ("cell",), "ratio", False),
    "streaming": ("One step after another", ("cell", "H"), "", False),
    "derivatives": ("Other derivatives", ("cell", "what", "B, T, H"), "/ deferred", False),
    "exported": ("What was exported to ONNX", ("cell", "B, T, H"), "/ ours", False),
    "packing": ("Ragged batches", ("cell", "mean T", "contender"), "of padded$", False),
    "eight_bits": ("Kernels in eight bits", ("kernels",), "float32 / this", False),
    "composition": ("What a wrapper costs", ("cell", "with", "what", "B, T, H"), "ratio$", True),
    "memory": ("Memory of a gradient", ("engine", "T", "loss of"), "of scan's", True),
    "memory-gpu": ("Memory of a gradient, on a GPU", ("engine", "T", "loss of"), "of scan's", True),
    "scaling": ("Time against T, B and H", (), "", False),
}


def rows(name: str) -> list[dict]:
    """A table's records. Those of `streaming` are read from its text, which has ratios in brackets."""
    if name == "streaming":
        table = next(part for part in text(name).split("\n\n") if part.startswith("|"))
        lines = [line.strip("|").split("|") for line in table.splitlines()]
        head = [cell.strip() for cell in lines[0]]
        half = next(k for k, cell in enumerate(head) if cell.startswith("loop"))
        head = [f"{'loop' if k >= half else 'call'}: {cell} / jaxrnn" if k > 1 else cell for k, cell in enumerate(head)]
        found = [dict(zip(head, map(ratio, line), strict=True)) for line in lines[2:]]
        return [{key: value for key, value in row.items() if "jaxrnn / jaxrnn" not in key} for row in found]
    lines = (RESULTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def ratio(cell: str) -> str | float:
    """The first number in brackets, else the text."""
    found = re.search(r"\(([\d.]+)", cell)
    return float(found[1]) if found else cell.strip()


def text(name: str) -> str:
    """The table as it is committed."""
    return (RESULTS / f"{name}.md").read_text(encoding="utf-8")


def machine(name: str) -> str:
    """The processor and what else the first line of a table says of it."""
    said = dict(part.strip().partition(" ")[::2] for part in text(name).splitlines()[0].split(";"))
    parts = [
        said["device"],
        *(f"{said[key]} {key}" for key in ("cores", "threads") if key in said),
        f"jax {said['jax']}",
    ]
    return ", ".join(parts)


def columns(name: str, records: list[dict]) -> list[str]:
    """Those with ratios, without the floor, which is no contender."""
    pattern = TABLES[name][2] if name != "streaming" else "/ jaxrnn"
    found = dict.fromkeys(key for record in records for key in record if re.search(pattern, key))
    return [key for key in found if "floor" not in key and "median" not in key]


def draw(name: str):
    """A panel for each column, a bar for each row."""
    from matplotlib.figure import Figure

    title, labels, _, small = TABLES[name]
    records = rows(name)
    panels = columns(name, records)
    records = [r for r in records if any(isinstance(r.get(c), float | int) for c in panels)]
    figure = Figure(figsize=(2.6 + 2.2 * len(panels), 1.3 + 0.19 * len(records)), layout="constrained")
    figure.suptitle(f"{title}: {machine(name)}", fontsize=9, color=INK)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, column in zip(axes, panels, strict=True):
        values = [r[column] if isinstance(r.get(column), float | int) else math.nan for r in records]
        good = [(v < 1) if small else (v >= 1) for v in values]
        widths = [v - 1 for v in values]
        axis.barh(range(len(values)), widths, left=1, height=0.75, color=[BLUE if g else ORANGE for g in good])
        for k, value in enumerate(values):
            if not math.isnan(value):
                axis.annotate(
                    f"{value:.2f}", (value, k), (2 if value >= 1 else -2, 0), textcoords="offset points",
                    fontsize=6, va="center", ha="left" if value >= 1 else "right", color=INK,
                )  # fmt: skip
        known = [v for v in values if not math.isnan(v)]
        axis.set_xscale("log")
        axis.set_xlim(min(0.8, *known) / 1.5, max(1.25, *known) * 1.5)
        axis.axvline(1, color=INK, linewidth=0.8)
        axis.set_title(column, fontsize=7, color=INK)
        axis.tick_params(labelsize=6, colors=INK, length=2)
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axis.xaxis.set_minor_formatter(lambda x, _: "")
        for side in ("top", "right", "left"):
            axis.spines[side].set_visible(False)
    axes[0].set_yticks(range(len(records)), [" ".join(str(r[key]) for key in labels) for r in records])
    axes[0].invert_yaxis()
    axes[0].set_ylim(len(records) - 0.4, -0.6)
    return figure


def write() -> None:
    """Every figure that is older than its table, or not there."""
    import matplotlib as mpl

    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        path, source = FOLDER / f"{name}.svg", RESULTS / f"{name}.md"
        newest = max(source.stat().st_mtime, Path(__file__).stat().st_mtime)
        if name != "scaling" and not (path.exists() and path.stat().st_mtime > newest):
            with mpl.rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "jaxrnn"}):
                draw(name).savefig(path, metadata={"Date": None}, facecolor="white")


def above(name: str) -> str:
    """A page's heading, the figure and what its colours say."""
    title, _, _, small = TABLES[name]
    if name == "scaling":
        return f"# {title}\n\n![Lines of the time of a gradient against T, B and H, for each engine](scaling.png)\n\n"
    records = rows(name)
    ratios = [r[c] for r in records for c in columns(name, records) if isinstance(r.get(c), float | int)]
    lost = sum(ratio > 1 if small else ratio < 1 for ratio in ratios)
    what = "above 1 (orange) this costs more than without" if small else "below 1 (orange) the other is the faster"
    alt = f"A bar for each row and ratio of the table below, on a logarithmic axis; {lost} are on the losing side of 1"
    said = f"{what[0].upper()}{what[1:]}. The table has the numbers."
    return f"# {title}\n\n{said}\n\n![{alt}](/docs/_build/pictures/{name}.svg)\n\n"


def source_read(app, docname, content) -> None:
    """A table that is committed has no heading: it gets one, and its figure."""
    folder, _, name = docname.rpartition("/")
    if folder == "benchmarks/results" and name in TABLES:
        content[0] = above(name) + content[0]


def setup(app):
    """Sphinx's hooks."""
    app.connect("builder-inited", lambda app: write())
    app.connect("source-read", source_read)
