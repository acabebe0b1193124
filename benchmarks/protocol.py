"""How things are timed here, and how a table is kept: contenders take turns (`turns.py`); the least and the median.

A contender is a call that returns when its work is done. Compilation is timed apart, and the memory that a compiled
program takes for itself is read from the program. A floor is the least time that the matrix products alone could take,
at the speed of the best product of this machine, measured in the same run.
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # on a GPU, leave room for the other libraries

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from benchmarks.turns import Contender, cores, interleaved

jax.config.update("jax_enable_compilation_cache", False)  # else seconds to compile would be seconds to read a file


def ahead(f: Callable, *args: Any) -> tuple[Callable, dict[str, float]]:
    """A JAX function of arrays, compiled ahead for `args`, and what that cost: the fields of a Contender but its call.

    `jax.jit` it first to give options, such as arguments to donate.
    """
    start = time.perf_counter()
    program = (f if hasattr(f, "lower") else jax.jit(f)).lower(*args).compile()
    seconds = time.perf_counter() - start
    memory = program.memory_analysis()
    temporary = memory.temp_size_in_bytes / 1e6
    total = temporary + (memory.argument_size_in_bytes + memory.output_size_in_bytes) / 1e6
    return program, dict(compile_s=seconds, temporary_mb=temporary, total_mb=total)


def compiled(f: Callable, *args: Any) -> Contender:
    """A JAX function, compiled ahead, that is called with the same arguments each time."""
    program, costs = ahead(f, *args)
    return Contender(lambda: jax.block_until_ready(program(*args)), **costs)


@functools.cache
def gemm_peak(dtype: str = "float32") -> float:
    """FLOP/s of the fastest square product in JAX, operands in `dtype`, sums in float32: the best of several sizes."""
    sizes = (512, 1024, 2048) if jax.default_backend() == "cpu" else (4096, 8192)
    product = functools.partial(jnp.dot, preferred_element_type=jnp.float32)
    squares = [jax.random.normal(jax.random.key(0), (n, n)).astype(dtype) for n in sizes]
    calls = {str(n): compiled(product, a, a).call for n, a in zip(sizes, squares, strict=True)}
    times = interleaved(calls, seconds=1.5)
    return max(2 * n**3 / (1e-3 * times[str(n)].minimum) for n in sizes)


def floor_ms(flops: float, dtype: str = "float32") -> float:
    """The least milliseconds that so many FLOPs of matrix products can take."""
    return 1e3 * flops / gemm_peak(dtype)


def rnn_flops(cell: str, B: int, T: int, D: int, H: int, what: str) -> float:
    """FLOPs of the matrix products of one layer; a gradient has two products more for each one of the forward pass."""
    gates = {"elman": 1, "gru": 3, "lstm": 4}[cell]
    return 2 * B * T * (D + H) * gates * H * {"forward": 1, "gradient": 3}[what]


def engines() -> dict[str, Callable]:
    """Every engine there is, by name."""
    return {name: getattr(jaxrnn.engines, name) for name in ("checkpointed", "deferred", "scan")}


def geometric_mean(values: Iterable[float]) -> float:
    """Of ratios: the mean that says the same of a / b as of b / a. NaN of none."""
    logs = [math.log(v) for v in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def setting(*packages: str, dtype: str = "float32") -> dict[str, str]:
    """What a table depends on: versions, device, cores, its best product. No date: a table is reprinted, not dated."""
    found = {"python": platform.python_version()}
    for package in ("jax", "jaxlib", *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    device = jax.devices()[0]
    found |= {"device": f"{device.platform}, {_name(device)}", "cores": str(cores())}
    return found | {"best product": f"{gemm_peak(dtype) / 1e9:.0f} GFLOP/s"}


def _name(device: jax.Device) -> str:
    if device.platform == "cpu" and os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":")[1].strip()
    return device.device_kind


class Report:
    """A Markdown table whose rows are printed as they come, and kept with all their digits."""

    def __init__(self, setting: dict[str, str], columns: list[str]):
        self.setting, self.columns = setting, columns
        self.rows: list[dict[str, Any]] = []  # may hold more than the columns
        self.notes: list[str] = []  # paragraphs below the table
        self.figure: Any = None  # of matplotlib
        print(self.head(), flush=True)

    def head(self) -> str:
        """The lines above the first row."""
        facts = "; ".join(f"{name} {value}" for name, value in self.setting.items())
        return f"{facts}\n\n{table_row(self.columns)}\n{table_row(['---'] * len(self.columns))}"

    def add(self, row: dict[str, Any]) -> None:
        """One row, printed at once."""
        self.rows.append(row)
        print(self.line(row), flush=True)

    def note(self, text: str) -> None:
        """A paragraph below the table, once."""
        if text not in self.notes:
            self.notes.append(text)

    def line(self, row: dict[str, Any]) -> str:
        """A row in Markdown."""
        return table_row(show(row.get(column)) for column in self.columns)

    def __str__(self) -> str:
        table = "\n".join([self.head(), *map(self.line, self.rows)])
        return "\n\n".join([table, *self.notes]) + "\n"

    def build(self, makers: dict[str, Callable[[], Any]]) -> dict[str, Any]:
        """name -> what its maker makes; a note says why one could not, and the others go on without it."""
        made = {}
        for name, make in makers.items():
            try:
                made[name] = make()
            except Exception as error:  # whatever a library does with our request, the others are to be timed
                reason = (str(error).strip() or "no reason given").splitlines()[0][:200]
                self.note(f"{name} left out where it fails: {type(error).__name__}: {reason}")
        return made


def table_row(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def show(value: Any) -> str:
    """A number in three digits or as many as it has before the point; nothing as a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if not isinstance(value, float):
        return str(value)
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 4)}f}"


def records(report: Any) -> list[dict[str, Any]]:
    """The rows of a report for a file of JSON lines; of plain Markdown, those of its first table, as far as shown."""
    if isinstance(report, Report):
        return [report.setting | row for row in report.rows]
    table = re.search(r"^\|(.*)\|\n\|[-:| ]+\|\n((?:\|.*\|\n?)*)", str(report), re.M)
    if table is None:
        return []
    names = [name.strip() for name in table[1].split("|")]
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table[2].splitlines()]
    return [dict(zip(names, map(_number, cells), strict=True)) for cells in lines]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return None if text == "-" else text


def total_size(tree: Any) -> int:
    """How many numbers the arrays of a tree hold."""
    return sum(int(np.prod(a.shape)) for a in jax.tree.leaves(tree))
