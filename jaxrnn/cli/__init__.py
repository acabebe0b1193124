"""The command line: `jaxrnn`, or `python -m jaxrnn`.

    jaxrnn train --text FILE_OR_FOLDER       a language model learns to write like a text
    jaxrnn sample --prime "def main("        it writes
    jaxrnn evaluate --text FILE              how well it predicts a text
    jaxrnn forecast sales.csv --horizon 48 --freq h --minutes 2 --out forecast.csv
    jaxrnn export --out model.onnx           a trained model for ONNX Runtime, for JAX alone, or as one file
    jaxrnn explain lstm --hidden 64          which engine a cell runs in, and what that costs
    jaxrnn cells lem                         the cells there are, one on a page

`jaxrnn COMMAND --help` has the options and more examples. With --json the result is one line of JSON on stdout. The
exit status is 0, 1 where a run failed, 2 for wrong usage. Completion in a shell, once (bash; zsh has the same):

    jaxrnn --tyro-write-completion bash ~/.local/share/bash-completion/completions/jaxrnn
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Union

from jaxrnn._core.optional import optional
from jaxrnn.cli import program

__all__ = ["main"]

COMMANDS = {
    "train": "char_lm",
    "sample": "writing",
    "evaluate": "_evaluate",
    "forecast": "_forecast",
    "export": "_export",
    "explain": "_explain",
    "cells": "_cells",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command (None: that of the command line), and return its exit status: 0, 1 if it failed, 2 if misused."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given == ["--version"]:
            print(f"jaxrnn {importlib.metadata.version('jaxrnn')}")
        elif given and given[0] in COMMANDS:
            command = _module(given[0])
            how = given[1:], f"jaxrnn {given[0]}"
            program.run(command.Options, command.main, "char_lm", command.__doc__, *how)
        else:
            _whole(given or ["--help"])
    except ImportError as error:  # before a command began: tyro is not there
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
            return 2 if isinstance(stop, program.Usage) else 1
        return stop.code or 0
    return 0


def _module(command: str) -> Any:
    return importlib.import_module(f"jaxrnn.cli.{COMMANDS[command]}")


def _whole(arguments: list[str]) -> None:
    """Help, completion for shells, and what is wrong with what is no command."""
    tyro = optional("tyro", "train", "the command line")
    modules = {name: _module(name) for name in COMMANDS}
    kinds = [
        Annotated[module.Options, tyro.conf.subcommand(name, description=(module.__doc__ or "").partition("\n")[0])]
        for name, module in modules.items()
    ]
    tyro.cli(Union[tuple(kinds)], args=arguments, prog="jaxrnn", description=(__doc__ or "").partition(".\n\n")[2])  # noqa: UP007
