"""Programs that answer one question each, and what they share."""

from __future__ import annotations

import os
import signal
import sys


def _stop(number, frame):
    """End at once, with a line and no traceback: whatever a program writes is whole at every moment."""
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")  # a progress bar had hidden the cursor
    os.write(2, b"interrupted\n")
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


# While Python looks for the module of `python -m`, and imports this, argv[0] is "-m". Importing jax takes seconds, in
# which a Ctrl-C would be a traceback; so would one after the training, whose loop takes it otherwise.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _stop)

from jaxrnn.cli import program as program  # noqa: E402 - `from experiments import program, runs`: what makes a program
from jaxrnn.cli import runs as runs  # noqa: E402 - of an experiment is what makes one of a command
