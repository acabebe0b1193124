"""Digests over what a checkpoint wrote: a file that holds the SHA-256 of every other in its folder, and of itself."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from jaxrnn._core.files import replace

NAME = "sha256.json"


class Damaged(ValueError):
    """What was saved is not there as it was written."""


def seal(folder: Path, beside: Any) -> None:
    """Write the seal of a folder's files, and `beside`, plain JSON, in it; from then on the folder counts as whole."""
    files = {name: _digest(path) for name, path in _files(folder).items()}
    body = json.dumps({"files": files, "beside": beside}, sort_keys=True)
    replace(folder / NAME, f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}\n")


def unseal(folder: Path) -> Any:
    """What `seal` was given beside a folder's files. Raises Damaged, with a file's name, if one is not what it was."""
    try:
        own, body, end = (folder / NAME).read_text(encoding="utf-8").split("\n")
        if end or hashlib.sha256(body.encode()).hexdigest() != own:
            raise ValueError("it has another digest than when it was written")
        written = json.loads(body)
    except (OSError, ValueError) as error:
        raise Damaged(f"{folder / NAME} is damaged: {error}") from None
    present = _files(folder)
    for name, digest in written["files"].items():
        if name not in present:
            raise Damaged(f"{folder / name} is missing")
        try:
            now = _digest(present[name])
        except OSError as error:
            raise Damaged(f"{folder / name} cannot be read: {error.strerror}") from None
        if now != digest:
            raise Damaged(f"{folder / name} is damaged: it has another digest than when it was written")
    return written["beside"]


def is_sealed(folder: Path) -> bool:
    """Whether a folder has a seal, whole or not."""
    return (folder / NAME).exists()


def _files(folder: Path) -> dict[str, Path]:
    """The regular files in a folder, but for the seal, by their names from there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
