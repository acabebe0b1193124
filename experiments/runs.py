"""Where an experiment writes: a new folder for each run, and how a stopped run is found and gone on with."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import typing
from pathlib import Path
from typing import Any

from experiments.description import load_description
from jaxrnn._core.optional import optional

ROOT = Path("runs")


def folder(experiment: str, asked: Path | None, *, new: bool) -> Path:
    """The folder of a new run, or of one that is there: `asked`, or the next free, or last, runs/<experiment>-<number>.

    Exits with a message where a new run would write over another, or where there is none to go on with.
    """
    if asked is None:
        names = [re.fullmatch(rf"{experiment}-(\d+)", path.name) for path in ROOT.glob("*")]
        numbers = [int(name[1]) for name in names if name]
        if not new and not numbers:
            sys.exit(f"no run of {experiment} in {ROOT.absolute()}: make train makes one")
        return ROOT / f"{experiment}-{max(numbers, default=0) + new}"
    if new and (asked / "model.json").exists():
        sys.exit(f"out: {asked} holds a run; --resume goes on with it, another --out keeps it")
    return asked


def plain(options: Any) -> dict[str, Any]:
    """Options as plain JSON."""
    return json.loads(json.dumps(vars(options), default=str))


def parse(kind: type, experiment: str, description: str | None) -> Any:
    """Options from the command line; with --resume, what is not said there is as it was in the run."""
    tyro = optional("tyro", "train", "reading the options")
    options = tyro.cli(kind, description=description)
    if options.resume:
        out = folder(experiment, options.out, new=False)
        options = tyro.cli(kind, description=description, default=dataclasses.replace(saved(kind, out), out=out))
    return options


def saved(kind: type, out: Path) -> Any:
    """The options of the run in `out`, to be gone on with."""
    types, values = typing.get_type_hints(kind), load_description(out)[2]["options"]
    for name, value in values.items():
        if value is not None and Path in typing.get_args(types[name]):
            values[name] = Path(value)
    return kind(**{**values, "out": out, "resume": True})


def check_resumable(options: Any, may_change: tuple[str, ...]) -> None:
    """Exit with a message where an option is not that of the run in `options.out`, and may not be new."""
    before = saved(type(options), options.out)
    for name, asked in vars(options).items():
        was, allowed = getattr(before, name), ", ".join(may_change)
        if asked != was and name not in may_change:
            sys.exit(f"{name}: the run in {options.out} has {was}, and cannot go on with {asked}; new may be {allowed}")


def keep_until(log: Path, step: int) -> None:
    """Drop what a killed run logged after its last checkpoint; for a new run, begin the log."""
    lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step] if log.exists() else []
    log.write_text("".join(line + "\n" for line in lines))
