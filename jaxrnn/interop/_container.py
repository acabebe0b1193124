"""The file of `save`: arrays in the safetensors format, and JSON with digests in the metadata of its header."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn._core.optional import optional
from jaxrnn.train import Damaged

FORMAT = 1
# Types of arrays by NumPy's name, and by that of safetensors.
TYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "complex64": "C64", "bool": "BOOL",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8",
}  # fmt: skip
# The begin of our metadata, in the header as it stands in the file. A quote within a string of it has a backslash, so
# that nothing else in a header looks like this.
MARK = re.compile(rb'"jaxrnn format (\d+)":"')
DIGEST = re.compile(rb'"jaxrnn format \d+":"\{\\"sha256\\":\\"([0-9a-f]{64})\\"')


def written(held: dict[str, np.ndarray], content: dict[str, Any]) -> bytes:
    """A file of arrays by name and plain JSON; `read` gives both back."""
    package = optional("safetensors.numpy", "files", "saving a model")
    # The digest comes first, where DIGEST finds it; it is that of the file with these zeros in its place. All is under
    # one name, because safetensors writes several in any order.
    content = {"sha256": "0" * 64, "arrays": {name: _entry(a) for name, a in held.items()}, **content}
    data = package.save(held, {f"jaxrnn format {FORMAT}": json.dumps(content, separators=(",", ":"))})
    at = _digest_at(data)
    return data[: at.start(1)] + _digest(data, at).encode() + data[at.end(1) :]


def _digest_at(data: bytes) -> Any:
    """Where in a file its digest stands, as a match of DIGEST, None if nowhere."""
    return DIGEST.search(data, 8, 8 + int.from_bytes(data[:8], "little"))


def _digest(data: bytes, at: Any) -> str:
    """The digest of a file, in which its own place counts as zeros."""
    view = memoryview(data)
    digest = hashlib.sha256(view[: at.start(1)])
    digest.update(b"0" * 64)
    digest.update(view[at.end(1) :])
    return digest.hexdigest()


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a file's metadata says, and its arrays by name, which are those that it lists."""
    package, data = optional("safetensors", "files", "loading a model"), path.read_bytes()
    try:
        found = dict(package.deserialize(data))
    except package.SafetensorError as error:
        raise Damaged(f"{path} is damaged, cut short, or no safetensors file: {error} ({len(data):,} bytes)") from None
    end = 8 + int.from_bytes(data[:8], "little")
    mark = MARK.search(data, 8, end)
    if mark is None:
        raise ValueError(
            f'{path}: expected a file of jaxrnn.save, got one without "jaxrnn format {FORMAT}" in its metadata: its '
            "header is damaged, or another program wrote it, and safetensors.numpy.load_file gives its arrays"
        )
    if not 1 <= int(mark[1]) <= FORMAT:
        newest = f"expected a format up to {FORMAT}, the newest that this jaxrnn reads"
        raise ValueError(f"{path}: {newest}, got {int(mark[1])}; install the jaxrnn that wrote it, or a newer one")
    at = _digest_at(data)
    if at is None or _digest(data, at) != at[1].decode():
        raise Damaged(f"{path} is damaged: {_damage(data[8:end], found)}")
    content = _content(path, data[8:end])
    same(path, *_lists(content, found))
    return content, {
        name: np.frombuffer(found[name]["data"], jnp.dtype(entry["dtype"])).reshape(found[name]["shape"])
        for name, entry in content["arrays"].items()
    }


def _content(path: Any, header: bytes) -> dict[str, Any]:
    """What our metadata says. Raises ValueError for what `save` does not write."""
    try:
        content = json.loads(json.loads(header)["__metadata__"][f"jaxrnn format {FORMAT}"])
        if set(content) != {"sha256", "arrays", "record", "factories", "input_size", "int8", "vocabulary", "extra"}:
            raise ValueError(f"the names {sorted(content)}")
        for name, kind in ("factories", list), ("int8", dict):
            if not isinstance(content[name], kind):
                raise ValueError(f"{name} {content[name]!r}")
        if not all(
            entry["dtype"] in TYPES and [*entry["shape"], entry["sha256"]] for entry in content["arrays"].values()
        ):
            raise ValueError("a type that it has not")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: expected the metadata of jaxrnn.save, got {type(error).__name__}: {error}") from None
    return content


def _lists(content: dict[str, Any], found: dict[str, Any]) -> Any:
    """The types and shapes of arrays by name, as the metadata says, and as they are in the file."""
    listed = {name: [TYPES[entry["dtype"]], *entry["shape"]] for name, entry in content["arrays"].items()}
    return listed, {name: [tensor["dtype"], *tensor["shape"]] for name, tensor in found.items()}


def _damage(header: bytes, found: dict[str, Any]) -> str:
    """What is not as it was written, in a file whose digest says that something is not."""
    try:
        content = _content("its header", header)
        same("its arrays", *_lists(content, found))
    except ValueError as error:
        return str(error)
    for name, entry in content["arrays"].items():
        if hashlib.sha256(found[name]["data"]).hexdigest() != entry["sha256"]:
            return f"its array {name!r} has another digest than when it was written"
    return "its header has another digest than when it was written"


def same(path: Any, wanted: dict[str, list], came: dict[str, list]) -> None:
    """Raise ValueError, with its name, if an array is missing, not wanted, or of another shape."""
    for name, shape in wanted.items():
        if name not in came:
            raise ValueError(f"{path}: expected the array {name!r} {shape}, got none of that name")
        if came[name] != shape:
            raise ValueError(f"{path}: expected the array {name!r} {shape}, got {came[name]}")
    more = [name for name in came if name not in wanted]
    if more:
        raise ValueError(f"{path}: expected no arrays but {list(wanted)}, got {more} as well")


def _entry(a: np.ndarray) -> dict[str, Any]:
    return {"dtype": a.dtype.name, "shape": list(a.shape), "sha256": hashlib.sha256(a.tobytes()).hexdigest()}
