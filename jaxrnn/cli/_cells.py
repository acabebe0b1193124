"""Which cells there are, and one of them on a page: equation, carry, parameters, cost, paper.

    jaxrnn cells                    all of them, by family
    jaxrnn cells lem                one
    jaxrnn cells lem --json         the same for a program

Seconds: nothing is computed.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
from typing import Annotated, Any

from jaxrnn import cells
from jaxrnn.cli import program
from jaxrnn.run import describe


@dataclasses.dataclass(frozen=True)
class Options(program.Readable):
    """Those of `jaxrnn cells`."""

    name: Annotated[str | None, program.FIRST] = None
    """Its name. None: all of them."""
    input_size: int = 128
    """D, of the inputs that it is described with; it has H = 128 units."""


def main(options: Options) -> dict[str, Any]:
    """Print, and return what is known of the cell by name, or of all: families, names, titles."""
    if options.name is not None:
        found = describe(cell_named(options.name), options.input_size)
        if not options.json:
            print(found)
        return dataclasses.asdict(found) | {"year": found.year}
    families = {family: {make.__name__: _title(make) for make in members} for family, members in cells.FAMILIES.items()}
    if not options.json:
        width = max(map(len, cells.CELLS))
        for family, members in families.items():
            print(f"\n{family}" if family != next(iter(families)) else family)
            for name, title in members.items():
                print(f"  {name:<{width}}  {title}")
        print(f"\n{len(cells.CELLS)} cells; jaxrnn cells NAME has one on a page", file=sys.stderr)
    return families


def cell_named(name: str) -> Any:
    """The factory of that name; exits where there is none, with the nearest that there are."""
    if name not in cells.CELLS:
        near = difflib.get_close_matches(name, cells.CELLS, cutoff=0.4)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise program.Usage(f"name: expected a cell that `jaxrnn cells` lists, got {name!r}{hint}")
    return cells.CELLS[name]


def _title(make: Any) -> str:
    """The name of a cell in words, which its docstring begins with."""
    return (make.__doc__ or "").partition(": ")[0].strip()
