"""Prints docs/cells.md: every cell of `jaxrnn.FAMILIES`, as `jaxrnn.describe` sees it. `make cells`."""

from __future__ import annotations

from collections.abc import Iterator

import jaxrnn
from jaxrnn.run import Description

HEAD = """\
# Cells

Written by `make cells` from the cells and their docstrings; `jaxrnn.describe("lstm")` prints a section of it.
H = D = 128 throughout, a convolution over images of 16 by 16. Parameters are those that `init` makes; FLOPs are those
of the matrix products and convolutions of one step of one row, the drive's included, a multiply-add as two. "In the
loop" is what must wait for the step before: *affine*: new = a · old + b, no product; *none*: pointwise, no product;
else the number of products, in turn. Every cell runs in `engines.scan` and `engines.checkpointed`, and those in three
parts in `engines.deferred`, which is then the default.

The figure of each is of a cell of 32 units as `init` makes it: on the left y of four units for one pulse and a plateau
of the input, on the right what is left of the derivative of y by an input k steps before, in root mean square over
inputs of noise, with `elman` beside it. `docs/responses.py` draws them; nothing has learnt there.
"""


def page() -> str:
    """The whole text."""
    families = {family: [jaxrnn.describe(make) for make in cells] for family, cells in jaxrnn.cells.FAMILIES.items()}
    lines = [HEAD]
    for family, cells in families.items():
        lines += [f"\n## {family[0].upper()}{family[1:]}\n", *table(cells)]
    for cells in families.values():
        for cell in cells:
            lines += section(cell)
    return "\n".join(lines) + "\n"


def table(cells: list[Description]) -> Iterator[str]:
    """The cells of a family, one in a row."""
    yield "| cell | carry | parameters | in the loop | FLOPs a step | year | good for |"
    yield "|---|---|--:|---|--:|---|---|"
    for cell in cells:
        name = cell.call.partition("(")[0]
        first = cell.kind.split()[0]
        loop = {"no": "none", "one": "1"}.get(first, first)
        row = f"[`{name}`](#{name})", ", ".join(cell.carry), f"{cell.size:,}", loop, f"{cell.flops:,}", str(cell.year)
        yield f"| {' | '.join(row)} | {cell.good_for.rstrip('.').replace('|', '&#124;')} |"


def section(cell: Description) -> Iterator[str]:
    """One cell: what is not in the table."""
    name = cell.call.partition("(")[0]
    yield f"\n### {name}\n\n{cell.title}. {cell.good_for[:1].upper()}{cell.good_for[1:]}\n"
    yield f"```\n{cell.equation}\n```\n"
    for label, shapes in ("carry", cell.carry), ("parameters", cell.params):
        yield f"- {label}: {', '.join(f'{name} {shape}' for name, shape in shapes.items())}"
    yield f"- {cell.kind}; engines: {', '.join(cell.engines)}"
    if cell.sources:
        yield f"- sources: {cell.sources}"
    yield f"- {cell.paper}"
    yield f"\n![The response of a new {name}, and how long it feels an input](responses/{name}.svg)"


if __name__ == "__main__":
    print(page(), end="")
