"""What a page says of a class beyond its docstring: fields, with the comments beside them, and methods."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator

import docstrings


def annotated(kind: type) -> list[str]:
    """The public fields of a record, in order."""
    if dataclasses.is_dataclass(kind):
        return [f.name for f in dataclasses.fields(kind) if not f.name.startswith("_")]
    return list(getattr(kind, "_fields", ()))


def members(kind: type) -> list[str]:
    """The public methods and properties that the class, or a private base of it, has beyond its fields."""
    there = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("jaxrnn"):
            there |= {n: v for n, v in vars(base).items() if not n.startswith("_") and n not in annotated(kind)}
    kinds = property | functools.cached_property | classmethod | staticmethod
    return [n for n, v in there.items() if (callable(v) or isinstance(v, kinds)) and v.__doc__]


def arguments(value: object) -> set[str]:
    """What may stand as "name: text" in the docstring."""
    found = set(annotated(value)) if isinstance(value, type) else set()
    try:
        return found | set(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return found


@functools.cache
def comments(kind: type) -> dict[str, tuple[str, str]]:
    """Annotation and trailing comment of each field, as they are written."""
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        return {}
    lines, body = source.splitlines(), ast.parse(source).body[0].body
    found = {}
    for node in body:
        if isinstance(node, ast.AnnAssign):
            line = lines[node.end_lineno - 1]
            comment = line.encode()[node.end_col_offset :].decode().strip()
            said = comment.removeprefix("#").strip() if comment.startswith("#") else ""
            found[node.target.id] = ast.unparse(node.annotation), said
    return found


def fields(kind: type, link: Callable) -> Iterator[str]:
    """A list of the fields."""
    for name in annotated(kind):
        annotation, comment = comments(kind).get(name, ("", ""))
        text = docstrings.convert(comment, (), link)[0] if comment else ""
        yield f"- **{name}**\\ {f': {text}' if text else ''} (``{annotation}``)" if annotation else f"- **{name}**"
    yield ""


def about(value: object) -> str:
    """A line on public data, which has no docstring."""
    size = (
        f"a ``{type(value).__name__}`` of {len(value)}" if isinstance(value, dict | tuple | list) else f"``{value!r}``"
    )
    return f"{size[0].upper()}{size[1:]}."
