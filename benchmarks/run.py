"""Print the tables of all benchmarks, and write them to benchmarks/results. `make bench`; --seconds for each row."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import peers

RESULTS = Path(__file__).parent / "results"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each row is timed")
    parser.add_argument("--name", default="peers", help="the table is written to benchmarks/results/NAME.md")
    options = parser.parse_args()
    text = peers.table(options.seconds)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{options.name}.md").write_text(text)
    print("\n" + text)
