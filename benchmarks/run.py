"""Print the tables of the benchmarks, and write them to benchmarks/results.

    python -m benchmarks.run                            every table, each in a process of its own
    python -m benchmarks.run peers                      one
    python -m benchmarks.run quick                      the ratios of this machine, in under three minutes; printed only
    python -m benchmarks.run peers --cells lstm --shapes 1,1000,64,128 --seconds 1
                                                        a slice of it: printed only, unless --name is given

A table is a function `table(seconds, ...)` of the module of its name; what else it takes are its options.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.protocol import records

TABLES = (
    "peers",
    "language_model",
    "streaming",
    "memory",
    "scaling",
    "packing",
    "composition",
    "derivatives",
    "real_uses",
    "exported",
    "eight_bits",
    "engine_choice",
)
SLICES = ("quick",)  # printed only, and not by a run of all
RESULTS = Path(__file__).parent / "results"


def options_of(name: str, arguments: list[str]) -> dict:
    """What the command line gives of the arguments of a table, which may be numbers, words, or several of one kind."""
    table = importlib.import_module(f"benchmarks.{name}").table
    parser = argparse.ArgumentParser(prog=f"benchmarks.run {name}", description=inspect.getdoc(table))
    parser.add_argument("--name", help="write to results/NAME.md and NAME.jsonl")
    for option, parameter in inspect.signature(table).parameters.items():
        default = parameter.default
        several = dict(nargs="+", metavar=option.upper()) if isinstance(default, tuple) else {}
        kind = type(default[0] if several else default) if default is not None else str
        parser.add_argument(f"--{option}", type=kind, default=argparse.SUPPRESS, help=f"default {default}", **several)
    return vars(parser.parse_args(arguments))


def write(report, name: str) -> None:
    """results/NAME.md, one JSON line for each row in NAME.jsonl, and the figure if there is one."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(str(report), encoding="utf-8")
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records(report)]
    (RESULTS / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    if getattr(report, "figure", None) is not None:
        report.figure.savefig(RESULTS / f"{name}.png", dpi=150)


def main(arguments: list[str]) -> int:
    """The exit status: how many tables failed."""
    if not arguments or arguments[0].startswith("-"):
        if {"-h", "--help"} & set(arguments):
            print(__doc__, f"\nTables: {', '.join(TABLES + SLICES)}; --help after a table's name for its options.")
            return 0
        # One process each: what a table leaves in memory, or sets, is not the next one's.
        command = [sys.executable, "-m", "benchmarks.run"]
        root = Path(__file__).parents[1]
        return sum(
            subprocess.run([*command, name, *arguments], cwd=root, check=False).returncode != 0 for name in TABLES
        )
    name, *rest = arguments
    if name not in TABLES + SLICES:
        sys.exit(f"{name}: no such table; there are {', '.join(TABLES + SLICES)}")
    options = options_of(name, rest)
    to = options.pop("name")
    report = importlib.import_module(f"benchmarks.{name}").table(**options)
    print("\n" + "\n\n".join(getattr(report, "notes", [report])))  # a Report has printed its rows already
    if to or (name in TABLES and not set(options) - {"seconds"}):  # a slice must not take the place of the whole table
        write(report, to or name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
