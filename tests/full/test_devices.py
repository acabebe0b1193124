"""Eight devices, in a process of its own: `python tests/eight_devices.py` prints the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_eight_devices():
    """Every row of the table is equal to one device, and no gradient of `deferred` has a collective inside a loop."""
    env = os.environ | {"PYTHONPATH": str(TESTS.parent)}
    command = [sys.executable, str(TESTS / "eight_devices.py")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count(" equal") >= 24
