"""What a trial of a cell found."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class Report:
    """What `check_cell` found to hold, and what it could not try, with the reason. Prints one line for each."""

    cell: str
    checked: tuple[str, ...]
    unchecked: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.cell}: {len(self.checked)} checks passed", *(f"  {line}" for line in self.checked)]
            + ["not checked:"] * bool(self.unchecked)
            + [f"  {line}" for line in self.unchecked]
        )


class Wrong(Exception):
    """What is wrong, in words."""


class Trial:
    """The checks of one cell."""

    def __init__(self):
        self.checked: list[str] = []
        self.unchecked: list[str] = []
        self.failed: list[str] = []

    @contextlib.contextmanager
    def check(self, what: str) -> Iterator[None]:
        """A check: what is raised within it is a failure, whatever it is."""
        try:
            yield
        except Wrong as wrong:
            self.failed.append(f"{what}: {wrong}")
        except Exception as error:  # whatever somebody else's cell raises
            text = " ".join(str(error).split())
            self.failed.append(f"{what}: raised {type(error).__name__}: {text[:300]}")
        else:
            self.checked.append(what)

    def judged(self, cell: str) -> Report:
        """The report. Raises AssertionError if there were failures."""
        if self.failed:
            lines = "\n".join(f"- {line}" for line in self.failed)
            raise AssertionError(f"{cell} fails {len(self.failed)} checks (and passes {len(self.checked)}):\n{lines}")
        return Report(cell, tuple(self.checked), tuple(self.unchecked))
