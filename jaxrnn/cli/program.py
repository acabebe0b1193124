"""A command or an experiment as a program: options from the command line, and one line for a mistake of its user's."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import json
import math
import os
import sys
import traceback
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxrnn._core.optional import optional
from jaxrnn.cli import runs
from jaxrnn.run import cores_as_devices

PACKAGE = Path(__file__).resolve().parents[1]


def __getattr__(name: str) -> Any:
    """FIRST, which in Annotated makes an option an argument without a name: tyro's, asked for when it is parsed."""
    if name != "FIRST":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return optional("tyro", "train", "reading the options").conf.Positional


class Usage(SystemExit):
    """Options that cannot be meant. Its line is for the user, who gets 2 from a command, as from a wrong option."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Readable:
    """The option that commands share."""

    json: bool = False
    """The result as one line of JSON on stdout; what else is said goes to stderr."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OverDevices:
    """The option that those share which train."""

    devices: int | None = None
    """On a CPU, cores that share the rows of a batch, each as a device of its own; None: all of them."""


def run(
    kind: type,
    main: Callable[[Any], object],
    experiment: str,
    description: str | None,
    arguments: Sequence[str] | None = None,
    program: str | None = None,
) -> None:
    """`main` with options of `kind` from the command line. `python -X dev` shows tracebacks of users' mistakes too.

    arguments, program: None: those that Python was started with.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a terminal cannot show must not end a run
    try:
        options = parse(kind, experiment, description, arguments, program)
        if getattr(kind, "FIGURE", hasattr(options, "out")):
            optional("matplotlib", "train", "the figure")  # which comes last
        if isinstance(options, OverDevices):  # before JAX has made its devices
            cores_as_devices(options.devices)
        asked = isinstance(options, Readable) and options.json
        with contextlib.redirect_stdout(sys.stderr) if asked else contextlib.nullcontext():
            found = main(options)
        if asked:
            print(json.dumps(found if isinstance(found, dict) else {"text": found}))
        sys.stdout.flush()
    except BrokenPipeError:  # such as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if sys.flags.dev_mode or not is_mistake(error, Path(inspect.getfile(main)).resolve().parent):
            raise
        sys.exit(in_one_line(error))


def parse(
    kind: type,
    experiment: str,
    description: str | None,
    arguments: Sequence[str] | None = None,
    program: str | None = None,
) -> Any:
    """Options from the command line; with --resume, what is not said there is as it was in the run."""
    tyro = optional("tyro", "train", "reading the options")
    how: dict[str, Any] = {"description": description, "args": arguments, "prog": program}
    options = tyro.cli(kind, **how)
    if getattr(options, "resume", False):
        out = runs.folder(experiment, options.out, new=False)
        options = tyro.cli(kind, **how, default=dataclasses.replace(runs.saved(kind, out), out=out))
    check(options)
    return options


def check(options: Any) -> None:
    """Exit with a line on a number that cannot be meant: found before the work, and not by what it breaks after it."""
    for field in dataclasses.fields(options):
        value, option = getattr(options, field.name), f"--{field.name.replace('_', '-')}"
        least = 0 if field.name == "seed" else 1
        most = 2**16 if field.name in ("hidden", "embedding") else 2**31 - 1  # a kernel of 2^16 by 2^16 is 17 GB
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            if field.name == "held_out":
                if not 0 < number < 1:
                    raise Usage(f"{option}: expected a share between 0 and 1, got {number}")
            elif isinstance(number, int):
                if not least <= number <= most:
                    raise Usage(f"{option}: expected a whole number from {least} to {most:,}, got {number}")
            elif math.isnan(number) or number < 0:
                raise Usage(f"{option}: expected a number of at least 0, got {number}")


def is_mistake(error: Exception, ours: Path = PACKAGE) -> bool:
    """Whether an error tells of the world outside, or was raised on purpose to tell of what was given.

    The latter by jaxrnn, or in the folder `ours`.
    """
    if isinstance(error, OSError | ImportError | MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return True
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = Path(last.filename).resolve()
    return any(place.is_relative_to(folder) for folder in (PACKAGE, ours)) and (last.line or "").startswith("raise ")


def in_one_line(error: Exception) -> str:
    """What it says, and where, without line breaks and control characters."""
    said = str(error.args[0] if isinstance(error, KeyError) and error.args else error) or type(error).__name__
    if isinstance(error, OSError) and not error.filename and runs.HELD:
        said += f": {next(reversed(runs.HELD))}"  # a write that fails does not know its file
    return shown(" ".join(said.split()))


def shown(text: str) -> str:
    """Text for a terminal: what would steer it (control characters, changes of direction) as escapes, \\x1b for ESC."""
    return "".join(c if c in "\n\t" or not _steers(c) else c.encode("unicode_escape").decode() for c in text)


def _steers(character: str) -> bool:
    return (
        unicodedata.category(character) == "Cc"
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
    )
