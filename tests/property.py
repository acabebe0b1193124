"""Calls of `unroll`, drawn by hypothesis, beside the loops of trees.py: `python tests/property.py 10000 --seed 1`.

Of each kind of failure one is printed as it is found, made as small as it stays one, as a call that does it again:
`python tests/property.py --case "Case(...)"`. At the end, or when it is stopped, how many cases there were, of each
kind. Seed and count tell a run, whatever the number of processes. Exits with 1 after a failure.

Last whole run: seed 21, 10,000 cases, Python 3.11 with jax 0.10.2: 5,379 compared in values, 3,940 in derivatives, 680
refused as they should be, one failed, by a fault of trees.py (the size of a residual in a bottleneck) mended since.
It took 76 minutes beside other work on two cores.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import conftest  # noqa: F401 - the tests' strictness, before JAX is imported
from drawn import Case, drawn
from outcomes import judge
from trees import trees_in

PIECE = 50  # cases that are drawn from one seed


def tried(case: Case) -> tuple[str, str]:
    """What became of a case, and if it failed, why, in one line."""
    try:
        return judge(case), ""
    except Exception as error:
        return "failed", f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def kind(case: Case, said: str) -> str:
    """A failure without its numbers, and the outermost of the tree."""
    return case.tree[0] + "".join(c for c in said[:60] if not c.isdigit())


def smaller(case: Case) -> list[Case]:
    """The cases that are one simplification away."""
    plain = {
        field.name: field.default
        for field in dataclasses.fields(case)
        if field.default is not dataclasses.MISSING and getattr(case, field.name) != field.default
    }
    changes: list[dict[str, Any]] = [{name: value} for name, value in plain.items()]
    changes += [{"tree": tree} for tree in trees_in(case.tree)]
    changes += [{"T": T} for T in {case.T // 2, case.T - 1} if T >= 0]
    changes += [{name: None} for name in ("lengths", "mask", "reset") if getattr(case, name)]
    return [dataclasses.replace(case, **change) for change in changes]


def least(case: Case, said: str, tries: int = 60) -> tuple[Case, str]:
    """The case made smaller for as long as it fails in the same way."""
    seen = {case}
    while True:
        for other in smaller(case):
            if other in seen or tries == 0:
                continue
            seen.add(other)
            tries -= 1
            found = tried(other)[1]
            if found and kind(case, found) == kind(case, said):
                case, said = other, found
                break
        else:
            return case, said


def piece(number: int, count: int) -> tuple[collections.Counter, list[tuple[Case, str]]]:
    """How many cases there were of each outcome and transformation, and the first failure of each kind."""
    counts: collections.Counter = collections.Counter()
    failures: dict[str, tuple[Case, str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in drawn(number, count):
            what, said = tried(case)
            counts.update(["cases", what, f"by {case.how}"])
            if said:
                failures.setdefault(kind(case, said), (case, said))
        return counts, [least(*found) for found in failures.values()]


def together(pieces: list[tuple[int, int]], jobs: int) -> Iterator[tuple[collections.Counter, list[tuple[Case, str]]]]:
    """What each `piece` gives, in the order that they end in, by as many processes."""
    pool = concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"))
    try:
        for done in concurrent.futures.as_completed([pool.submit(piece, *each) for each in pieces]):
            yield done.result()
    except BaseException:  # Ctrl-C, or a process that was killed
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", nargs="?", type=int, default=10_000, help="how many cases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--case", help="one case to do again, as it was printed")
    options = parser.parse_args()
    if options.case:
        print(judge(eval(options.case, {"Case": Case})))  # raises where it fails
        return
    for stop in signal.SIGINT, signal.SIGTERM:  # a shell's background job is born deaf to the first
        signal.signal(stop, signal.default_int_handler)
    began, total, failed = time.monotonic(), collections.Counter(), set()
    sizes = [min(PIECE, options.count - i) for i in range(0, options.count, PIECE)]
    pieces = [(options.seed * 1_000_003 + i, size) for i, size in enumerate(sizes)]
    try:
        # New processes now and then, for each keeps all programs that it compiled. Not by max_tasks_per_child, with
        # which an executor may wait for ever (python/cpython#115634).
        for first in range(0, len(pieces), 8 * options.jobs):
            for counts, failures in together(pieces[first : first + 8 * options.jobs], options.jobs):
                total.update(counts)
                for case, said in failures:
                    if kind(case, said) not in failed:
                        print(f"FAILED {said}\n  python tests/property.py --case {str(case)!r}", flush=True)
                    failed.add(kind(case, said))
                print(f"\r{total['cases']} of {options.count}, {total['failed']} failed", end="", file=sys.stderr)
    except KeyboardInterrupt:
        print("stopped")
    minutes = (time.monotonic() - began) / 60
    for name, n in sorted(total.items()):
        print(f"{name:20s} {n}")
    failures = f"{total['failed']} failed in {len(failed)} kinds"
    print(f"seed {options.seed}: {total['cases']} of {options.count} cases, {failures}, {minutes:.0f} min")
    sys.exit(bool(total["failed"]))


if __name__ == "__main__":
    main()
