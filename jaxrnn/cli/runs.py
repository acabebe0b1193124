"""Where a run writes: a new folder for each run, and how a stopped run is found and gone on with."""

from __future__ import annotations

import json
import os
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

from jaxrnn._core.files import replace, replacing
from jaxrnn.cli.description import load_description

ROOT = Path("runs")
HELD: dict[Path, int] = {}  # the folders that this process writes in, and their open lock files


def folder(experiment: str, asked: Path | None, *, new: bool) -> Path:
    """The folder of a new run, made and claimed, or of one that is there.

    `asked`, or else the next free, or the last that holds a run, runs/<experiment>-<number>. Exits with a message where
    a new run would write over another, or where there is none to go on with.
    """
    if new and asked is not None:
        check_free(asked)
        _make(asked, exist_ok=True)
        claim(asked)
        check_free(asked)  # again: another may have begun and ended in between
        return asked
    if asked is not None:
        return asked
    names = [re.fullmatch(rf"{experiment}-(\d+)", path.name) for path in ROOT.glob("*")]
    numbers = {int(name[1]) for name in names if name}
    if not new:
        numbers = {number for number in numbers if (ROOT / f"{experiment}-{number}" / "model.json").exists()}
        if not numbers:
            sys.exit(f"no run of {experiment} in {ROOT.absolute()}: make train makes one, and jaxrnn train")
        return ROOT / f"{experiment}-{max(numbers)}"
    number = max(numbers, default=0) + 1
    while not _make(ROOT / f"{experiment}-{number}"):  # another that began at the same time has it
        number += 1
    claim(ROOT / f"{experiment}-{number}")
    return ROOT / f"{experiment}-{number}"


def check_free(out: Path) -> None:
    """Exit with a message where a folder holds a run."""
    if (out / "model.json").exists() or any((out / "checkpoints").glob("*")):
        sys.exit(f"out: {out} holds a run; --resume goes on with it, another --out keeps it")


def claim(out: Path) -> None:
    """Be the only process that writes in `out`, until this one ends, however it does. Exits where another is."""
    place = out.resolve()
    if place in HELD or os.name != "posix":
        return
    import fcntl

    number = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        sys.exit(f"out: another run is at work in {out}; wait until it ends, or give another --out")
    except OSError:
        pass  # a file system without locks
    HELD[place] = number


def _make(out: Path, *, exist_ok: bool = False) -> bool:
    """Whether a folder could be made: False where there is one, if that is not `exist_ok`."""
    try:
        out.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and not exist_ok:
            return False
        sys.exit(f"out: expected a folder to write in, got {out}: {error.strerror}")
    return True


def plain(options: Any) -> dict[str, Any]:
    """Options as plain JSON."""
    return json.loads(json.dumps(vars(options), default=str))


def saved(kind: type, out: Path) -> Any:
    """The options of the run in `out`, to be gone on with. Raises ValueError for others than `plain` gives.

    What a run of before an option was there has of it is in `kind.BEFORE`.
    """
    hints, values = typing.get_type_hints(kind), load_description(out)[2].get("options")
    if not isinstance(values, dict) or not set(values) <= set(hints):
        raise ValueError(f"{out / 'model.json'}: expected options of {', '.join(hints)}, got {values}")
    values = {name: _typed(value, hints[name]) for name, value in values.items()}
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise ValueError(f"{out / 'model.json'}: expected {name} to be of {hints[name]}, got {value!r}")
    return kind(**{**getattr(kind, "BEFORE", {}), **values, "out": out, "resume": True})


def _typed(value: Any, hint: Any) -> Any:
    """What JSON has made of a value, as it was."""
    if isinstance(value, str) and Path in (hint, *typing.get_args(hint)):
        return Path(value)
    return tuple(value) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return value in inner
    if isinstance(hint, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)


def check_resumable(options: Any, may_change: tuple[str, ...]) -> None:
    """Exit with a message where an option is not that of the run in `options.out`, and may not be new."""
    before = saved(type(options), options.out)
    for name, asked in vars(options).items():
        was, allowed = getattr(before, name), ", ".join(may_change)
        if asked != was and name not in may_change:
            sys.exit(f"{name}: the run in {options.out} has {was}, and cannot go on with {asked}; new may be {allowed}")


def logged_until(log: Path, step: int) -> list[dict]:
    """The lines of a log up to a step, without what a kill or a full disk left of one."""
    lines = []
    for text in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("step"), int) and line["step"] <= step:
            lines.append(line)
    return lines


def write_lines(path: Path, lines: list[dict]) -> None:
    """Lines of JSON, in the place of what was there."""
    replace(path, "".join(json.dumps(line) + "\n" for line in lines))


def save_figure(figure: Any, path: Path, dpi: int = 150) -> None:
    """The figure in a file, in the place of what was there."""
    with replacing(path) as file:
        figure.savefig(file, dpi=dpi, format=path.suffix[1:])
