"""Seeded faults: each is put into a copy of the package, and the tests must fail. `python tests/mutants.py [NAME ...]`.

A test that passes on a faulty program says nothing of a right one. Prints which test caught what, and the score; exits
with 1 if a mutant survives, could not be put in (its text is not there exactly once), or broke the tests' own running.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import faults
import faults_engines
import faults_files
import faults_flax
import faults_forecaster
import faults_interop
import faults_models
import faults_scores
import faults_train
import faults_wrappers

ROOT = Path(__file__).parents[1]


class Mutant(NamedTuple):
    """A fault: the text in a file of the package, what stands there instead, and the tests that must see it."""

    file: str
    old: str
    new: str
    tests: str


MODULES = (
    faults, faults_engines, faults_files, faults_flax, faults_forecaster, faults_interop, faults_models, faults_scores,
    faults_train, faults_wrappers,
)  # fmt: skip
MUTANTS = {
    f"{file.removesuffix('.py')}: {what}": Mutant(file, *texts)
    for group in (module.FAULTS for module in MODULES)
    for file, some in group.items()
    for what, texts in some.items()
}


def fault(mutant: Mutant) -> str:
    """The file's text with the fault in it."""
    text = (ROOT / "jaxrnn" / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file} holds {mutant.old!r} {text.count(mutant.old)} times, not once")
    return text.replace(mutant.old, mutant.new)


def ask(folder: Path, tests: str, quick: bool) -> tuple[int, str]:
    """pytest's exit status in a copy of the project, and the first test that failed."""
    half = ["-m", "not full"] if quick else []
    command = [sys.executable, *shlex.split(f"-m pytest -x -q -p no:cacheprovider --no-header {tests}"), *half]
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    first = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(.+?)(?: - |$)", done.stdout, re.M)
    return done.returncode, first[1] if first else done.stdout[-300:]


def copy(folder: Path) -> None:
    for name in ("jaxrnn", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def judge(name: str, quick: bool) -> tuple[str, str, float]:
    """(name, what became of it, seconds)."""
    mutant, began = MUTANTS[name], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        Path(folder, "jaxrnn", mutant.file).write_text(fault(mutant), encoding="utf-8")
        status, first = ask(Path(folder), mutant.tests, quick)
    verdict = {0: "SURVIVED", 1: f"caught by {first}"}.get(status, f"BROKE pytest ({status}): {first}")
    return name, verdict, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="mutants whose name holds one of these; none: all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    parser.add_argument("--quick", action="store_true", help="ask only the tests of `make test`")
    options = parser.parse_args()
    chosen = [name for name in MUTANTS if not options.names or any(part in name for part in options.names)]
    if not chosen:
        parser.error(f"no mutant is named so; there are: {', '.join(MUTANTS)}")
    for name in chosen:
        fault(MUTANTS[name])

    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        copy(Path(folder))
        where = "import jaxrnn; print(jaxrnn.__file__)"
        found = subprocess.run(
            [sys.executable, "-c", where], cwd=folder, capture_output=True, text=True, check=True
        ).stdout
        assert Path(found).is_relative_to(Path(folder).resolve()) or Path(found).is_relative_to(folder), found
        selections = sorted({MUTANTS[name].tests for name in chosen})
        for tests, (status, first) in zip(
            selections, pool.map(lambda t: ask(Path(folder), t, options.quick), selections), strict=True
        ):
            if status != 0:
                sys.exit(f"without any fault, pytest {tests} fails: {first}")

        survivors = []
        for name, verdict, seconds in pool.map(lambda name: judge(name, options.quick), chosen):
            print(f"{name:62s} {seconds:5.0f} s  {verdict}", flush=True)
            survivors += [name] * (not verdict.startswith("caught"))
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
