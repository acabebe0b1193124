"""Where an experiment writes: a new folder for each run, and how a stopped run is found and gone on with."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from pathlib import Path
from typing import Any

from jaxrnn.checkpoint import load_description

ROOT = Path("runs")


def folder(experiment: str, asked: Path | None, *, new: bool) -> Path:
    """The folder of a new run, or of one that is there: `asked`, or the next free, or last, runs/<experiment>-<number>.

    Exits with a message where a new run would write over another, or where there is none to go on with.
    """
    if asked is None:
        numbers = [int(path.name.rpartition("-")[2]) for path in ROOT.glob(f"{experiment}-[0-9]*")]
        if not new and not numbers:
            sys.exit(f"no run of {experiment} in {ROOT.absolute()}: make train makes one")
        return ROOT / f"{experiment}-{max(numbers, default=0) + new}"
    if new and (asked / "model.json").exists():
        sys.exit(f"out: {asked} holds a run; --resume goes on with it, another --out keeps it")
    return asked


def plain(options: Any) -> dict[str, Any]:
    """Options as plain JSON."""
    return json.loads(json.dumps(vars(options), default=str))


def resumed(options: Any, out: Path, may_change: tuple[str, ...]) -> Any:
    """The options of the run in `out`, with those of `may_change` that were asked for now; `options` if it is new.

    Exits with a message where another option was asked for than the run has.
    """
    if not options.resume:
        return options
    saved = load_description(out)[2]["options"]
    kinds = typing.get_type_hints(type(options))
    changes = {"resume": True}
    for field in dataclasses.fields(options):
        name, asked, was = field.name, getattr(options, field.name), saved.get(field.name)
        if was is not None and Path in typing.get_args(kinds[name]):
            was = Path(was)
        if name in ("resume", "out"):
            continue
        if asked == field.default or asked == was:
            changes[name] = was
        elif name not in may_change:
            allowed = ", ".join(may_change)
            sys.exit(f"{name}: the run in {out} has {was}, and cannot go on with {asked}; only {allowed} may be new")
    return dataclasses.replace(options, **changes)


def keep_until(log: Path, step: int) -> None:
    """Drop what a killed run logged after its last checkpoint; for a new run, begin the log."""
    lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= step] if log.exists() else []
    log.write_text("".join(line + "\n" for line in lines))
