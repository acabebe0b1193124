"""What `learn` remembers beside its arrays: its reports, what was best, and how to read both from checkpoints."""

from __future__ import annotations

import functools
import operator
from typing import Any

import jax
import numpy as np

from jaxrnn._core.described import path_name
from jaxrnn.train._checkpoints import Checkpoints


class Record:
    """The reports of a run, and the updates since the last one; `plain` gives and takes all of it as JSON."""

    def __init__(self, plain: dict | None = None):
        plain = plain or {"rows": [], "best": None, "waited": 0, "seconds": 0.0, "begun": {}, "data": None}
        self.rows: list[dict[str, float]] = [dict(row) for row in plain["rows"]]
        self.best: list | None = plain["best"]  # [its value, the step]
        self.waited: int = plain["waited"]  # reports since
        self.seconds: float = plain["seconds"]
        self.begun: dict[str, list] = dict(plain["begun"])  # name: [how many updates, their sum or largest]
        self.data: Any = plain["data"]  # of the iterator

    def plain(self) -> dict:
        """Plain JSON; numbers are read again as they are."""
        return {name: getattr(self, name) for name in ("rows", "best", "waited", "seconds", "begun", "data")}

    def add(self, seen: dict[str, np.ndarray]) -> None:
        """Updates [n] since the last report."""
        for name, values in seen.items():
            if name == "healthy":
                continue
            join = max if name == "gradient_norm" else operator.add
            # One after another, so that an interrupt between them changes no bit; `sum` would round otherwise.
            n, so_far = self.begun.get(name, (0, 0.0))
            self.begun[name] = [n + len(values), functools.reduce(join, values.astype(float).tolist(), so_far)]

    def report(self, step: int) -> dict[str, float]:
        """The row of a report: what came since the last one."""
        means = {name: so_far / (1 if name == "gradient_norm" else n) for name, (n, so_far) in self.begun.items()}
        self.begun = {}
        return {"step": step, **means, "seconds": self.seconds}

    def judge(self, row: dict[str, float], value: float) -> bool:
        """Whether this report is the best so far."""
        if self.best is not None and not value < self.best[0]:
            self.waited += 1
            return False
        self.best, self.waited = [value if value == value else float("inf"), row["step"]], 0
        return True

    def history(self) -> dict[str, np.ndarray]:
        """A value for each report, by name."""
        return {name: np.array([row[name] for row in self.rows]) for name in (self.rows[0] if self.rows else ())}


def described(tree: Any) -> dict[str, str]:
    """The type and shape of each array, by name."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {path_name(path): f"{a.dtype}{list(a.shape)}" for path, a in leaves}


def save(checkpoints: Checkpoints, step: int, arrays: Any, record: Record) -> None:
    """Arrays of the run, which are a mapping, and its record."""
    checkpoints.save(step, arrays, {"learn": record.plain(), "arrays": described(arrays)})


def gone_on(checkpoints: Checkpoints, arrays: Any) -> tuple[Any, Record] | None:
    """The arrays and the record of the newest whole checkpoint; None if there is none.

    Raises ValueError where they are those of another run.
    """
    if checkpoints.latest() is None:
        return None
    beside, folder = checkpoints.beside(), checkpoints.folder
    if not isinstance(beside, dict) or "learn" not in beside:
        raise ValueError(
            f"checkpoints: expected those of `learn` in {folder}, got another program's; give another folder"
        )
    here, there = described(arrays), beside["arrays"]
    for name in sorted([*here, *there], key=lambda name: not name.startswith("params")):
        if here.get(name) != there.get(name):
            raise ValueError(
                f"checkpoints: expected {name} {here.get(name, 'absent')}, as in this run, got "
                f"{there.get(name, 'none')} in {folder}, which is another run's; give another folder"
            )
    return checkpoints.restore(arrays), Record(beside["learn"])
