"""The library's docstrings, which are plain text with formulas, as reStructuredText."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Collection, Iterator

# A line that begins with one of these begins a paragraph, although no empty line is above it.
HEADS = ("Raises ", "Good for: ", "Paper: ", "Sources: ")


def convert(text: str, names: Collection[str], link: Callable[[str], str | None]) -> list[str]:
    """The lines of `text`: indented blocks stay as they are, the rest is flowing text and lists of arguments.

    names: of the arguments or fields, so that "key: for noise" is an entry of a list where `key` is one. link: a full
    name for what stands in backquotes, or None for what leads nowhere.
    """
    lines = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines += [*_block(block.expandtabs().splitlines(), names, link), ""]
    return lines


def _block(lines: list[str], names: Collection[str], link: Callable) -> Iterator[str]:
    """One block between empty lines."""
    if all(line.startswith("    ") for line in lines) or _is_table(lines):
        yield from _literal(lines)
        return
    for head, rest in _entries(lines, names):
        argument = re.match(r"[^:]*(?=: )", head) if _is_argument(head, names) else None
        pad = "  " if argument else ""
        body = _body([head[argument.end() + 2 :] if argument else head, *rest], link)
        first = next(body)
        yield f"- {'' if not argument else f'**{_escaped(argument[0])}**: '}{first}" if argument else first
        yield from (pad + line if line else "" for line in body)
        yield ""


def _entries(lines: list[str], names: Collection[str]) -> Iterator[tuple[str, list[str]]]:
    """The block cut where an argument or one of HEADS begins: (first line, the lines after it)."""
    head, rest = lines[0].strip(), []
    for line in lines[1:]:
        if line.startswith(HEADS) or _is_argument(line, names):
            yield head, rest
            head, rest = line, []
        else:
            rest.append(line)
    yield head, rest


def _body(lines: list[str], link: Callable) -> Iterator[str]:
    """One entry: its text in one line, then what is indented within it, as lists or as it is."""
    text, inner = [lines[0]], []
    base = 4 if len(lines) > 1 and lines[1].startswith("    ") else 0
    for line in lines[1:]:
        line = line[base:] if line[:base].isspace() or not base else line
        opens = re.match(r"[a-z][\w ,()]*: ", line) and lines[0].rstrip().endswith((":", " of"))
        if opens or (inner and line.startswith("    ")):
            inner.append([line] if opens else [*inner.pop(), line.strip()])
        elif line.startswith("    "):
            inner.append(["::", line])
        elif inner:  # text goes on after what was indented
            inner.append([line])
        else:
            text.append(line)
    yield _flow(" ".join(text), link)
    for part in inner:
        yield ""
        if part[0] == "::":
            yield from _literal(part[1:])
        else:
            yield f"- {_flow(' '.join(part), link)}"
    yield ""


def _literal(lines: list[str]) -> Iterator[str]:
    """A block as it is. It is coloured as Python where it is a call of this library."""
    text = textwrap.dedent("\n".join(lines))
    yield f".. code-block:: {'python' if _is_python(text) else 'text'}"
    yield ""
    yield from ("    " + line for line in text.splitlines())


def _is_python(text: str) -> bool:
    try:
        compile(text, "docstring", "exec")
    except SyntaxError:
        return False
    return bool(re.search(r"\w\(", text)) and not re.search(r"^\s*[a-z]'", text, re.M)


def _is_table(lines: list[str]) -> bool:
    """Columns, which are told by the space between them."""
    return len(lines) > 2 and sum(bool(re.search(r"\S {3,}\S", line)) for line in lines) > len(lines) / 2


def _is_argument(line: str, names: Collection[str]) -> bool:
    found = re.match(r"([\w*]+(?:, [\w*]+)*): ", line)
    return bool(found) and all(name.strip("*") in names for name in found[1].split(", "))


def _escaped(text: str) -> str:
    return re.sub(r"([\\*_|`])", r"\\\1", text)


def _flow(text: str, link: Callable) -> str:
    """Text in one line, with what stands in backquotes as code, linked where it names something public."""
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    done = []
    for k, part in enumerate(parts):
        if k % 2 == 0:
            done.append(_escaped(part))
        elif target := link(part):
            done.append(rf"\ :py:obj:`{_escaped(part)} <{target}>`\ ")
        else:
            done.append(rf"\ ``{part}``\ ")
    return "\\ " + "".join(done).strip()
