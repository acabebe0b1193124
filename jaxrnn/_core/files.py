"""Files that are whole or not there: a run can be killed at any moment, and others may have put links in its folder."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, open for writing bytes, that takes its place at the end, or goes where that fails.

    What is read at `path` is the old file or the whole new one, also after a machine stopped: what was written is
    synced before it takes the place, and the folder after. A symbolic link there is replaced, and not followed.
    """
    path = Path(path)
    number, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner reads; these are as open as any other new file.
        os.chmod(part, 0o666 & ~_mask())
        os.replace(part, path)
        _sync_folder(path.parent)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def replace(path: str | Path, text: str) -> None:
    """Put a text, in UTF-8, in the place of a file, as `replacing` does."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def _sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; some file systems cannot, and say so by EINVAL."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(number)


def _mask() -> int:
    """The mode bits that new files are made without; it can only be asked by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
