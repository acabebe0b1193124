"""The temporary memory of a gradient as sequences grow, for each engine: what does a long one cost?

The bytes are those that the compiled program asks for beside its arguments and results: nothing is run for them. Where
all of it fits into half of the memory that is free, it is run too, and timed.
"""

from __future__ import annotations

import functools
import itertools
import os

import jax
import numpy as np

import jaxrnn
from benchmarks.contenders import gradient_of, inputs, ours
from benchmarks.protocol import Report, compiled, engines, interleaved, setting


def last(cell, B, T, H, run):
    """(function, *arguments): as `gradient_of`, of a scalar that asks for the last carry and not for the outputs."""
    record = jaxrnn.CELLS[cell](H)

    def loss(params, xs):
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(jaxrnn.unroll(record, params, None, xs, engine=run)[0]))

    arguments = record.init(jax.random.key(0), H), inputs(B, T, H, "float32", time_major=True)
    return jax.value_and_grad(loss, argnums=(0, 1)), *arguments


def free_mb() -> float:
    """Memory of the device that is free."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return (stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0)) / 1e6
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e6


def table(
    seconds: float = 3.0,
    times: tuple[int, ...] = (1_000, 10_000, 100_000),
    cell: str = "lstm",
    batch: int = 8,
    hidden: int = 64,
) -> Report:
    """Temporary MB of a gradient for parameters and inputs, D = H, by T and engine, and milliseconds (minimum).

    seconds: how long each T is timed, three rounds at least. times: the lengths T.
    """
    facts = setting() | {"cell": cell, "B": str(batch), "D = H": str(hidden), "type": "float32"}
    columns = ["T", "loss of", "engine", "temporary MB", "of scan's", "ms", "of scan's time", "compile s"]
    report = Report(facts, columns)
    for T, what in itertools.product(times, ("all outputs", "last carry")):
        given = {
            name: gradient_of(*ours(cell, batch, T, hidden, hidden, engine=run))
            if what == "all outputs"
            else last(cell, batch, T, hidden, run)
            for name, run in engines().items()
        }
        made = report.build({name: functools.partial(compiled, *each) for name, each in given.items()})
        fits = {name: each.call for name, each in made.items() if each.total_mb < free_mb() / 2}
        took = interleaved(fits, seconds=seconds, least=3) if fits else {}
        for name, each in made.items():
            row = {"T": T, "loss of": what, "engine": name}
            row |= {"temporary MB": each.temporary_mb, "compile s": each.compile_s}
            if name in took:
                row["ms"], row["median ms"] = took[name]
            if "scan" in made:
                row["of scan's"] = each.temporary_mb / made["scan"].temporary_mb
            if "scan" in took and name in took:
                row["of scan's time"] = took[name].minimum / took["scan"].minimum
            report.add(row)
    lengths = np.array(times, float)
    for name in engines():
        sizes = [r["temporary MB"] for r in report.rows if r["engine"] == name and r["loss of"] == "last carry"]
        if len(sizes) == len(lengths) > 1:
            power = np.polyfit(np.log(lengths), np.log(sizes), 1)[0]
            report.note(f"{name}: memory grows as T to the power {power:.2f}.")
    return report
