"""Eight devices, in a process of its own: `python tests/eight_devices.py` prints the table."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from two_processes import trained

TESTS = Path(__file__).parents[1]


def test_eight_devices():
    """Each row of the default engine is equal to one device, and has no collective inside a loop of a gradient."""
    env = os.environ | {"PYTHONPATH": str(TESTS.parent)}
    command = [sys.executable, str(TESTS / "eight_devices.py"), "deferred"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count(" equal") >= 9


def test_two_processes():
    """Two processes with two devices each train as one process with one does."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    env = os.environ | {"PYTHONPATH": str(TESTS.parent)}
    command = [sys.executable, str(TESTS / "two_processes.py"), port]
    both = [
        subprocess.Popen([*command, str(i)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    found = [np.array(out.splitlines()[-1].split(), float) for out, _ in said]
    np.testing.assert_array_equal(*found)
    losses, size = trained()
    np.testing.assert_allclose(found[0], [*losses, size], rtol=1e-5)
    assert losses[-1] < losses[0]
