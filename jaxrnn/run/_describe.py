"""A cell on one page: from the form of its docstring, and from the cell itself."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import textwrap
from collections.abc import Callable

import jax

from jaxrnn import cells, engines
from jaxrnn._core import checks, clock
from jaxrnn._core.cell import Cell
from jaxrnn._core.composition import looks_ahead, one_input, shown
from jaxrnn.run._explain import flops

# What a cell that must be given more than its size is described with.
EXAMPLES = {"shape": (16, 16)}


@dataclasses.dataclass(frozen=True)
class Description:
    """What `describe` found; prints as a page of text.

    equation, sources, good_for, paper: from the docstring of the cell's factory, "" where it has no such part; carry
    and params: shapes without batch axes, by name; element: whether the carry is affine in the one before; stages: of
    a cell in three parts, 0 for others; flops: of the matrix products of one step of one row, a multiply-add as two.
    """

    call: str
    title: str
    equation: str
    carry: dict[str, str]
    params: dict[str, str]
    size: int
    element: bool
    stages: int
    kind: str
    engines: tuple[str, ...]
    flops: int
    sources: str
    good_for: str
    paper: str

    @property
    def year(self) -> int | None:
        """Of the paper."""
        found = re.search(r"\b(?:19|20)\d\d\b", self.paper)
        return int(found[0]) if found else None

    def __str__(self) -> str:
        def named(shapes):
            return ", ".join(f"{name} {shape}" for name, shape in shapes.items())

        rows = {
            "carry": named(self.carry),
            "parameters": f"{self.size:,}: {named(self.params)}",
            "kind": self.kind,
            "engines": ", ".join(self.engines),
            "products": f"{self.flops:,} FLOPs a step",
            "sources": self.sources,
            "good for": self.good_for,
            "paper": self.paper,
        }
        lines = [f"{name + ':':<12}{value}" for name, value in rows.items() if value]
        folded = [textwrap.fill(line, 120, subsequent_indent=" " * 12, break_on_hyphens=False) for line in lines]
        head = [f"{self.call}: {self.title}" if self.title else self.call]
        return "\n".join([*head, *([textwrap.indent(self.equation, "    ")] * bool(self.equation)), *folded])


def describe(cell: str | Callable[..., Cell] | Cell, input_size: int = 128) -> Description:
    """A cell on one page: equation, carry, parameters, engines, FLOPs, paper, and what it is good for.

        print(jaxrnn.describe("lstm"))

    cell: a name in CELLS or a factory, described with H = 128; or a cell. input_size: D. Nothing is computed.
    Raises KeyError for an unknown name, TypeError for what is no cell.
    """
    if isinstance(cell, str) and cell not in cells.CELLS:
        raise KeyError(f"cell: expected a name in jaxrnn.CELLS, which has {', '.join(cells.CELLS)}, got {cell!r}")
    cell = _made(cells.CELLS[cell] if isinstance(cell, str) else cell)
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size))
    x = one_input(cell, params, input_size)
    carry = jax.eval_shape(cell.start, params)
    step = None if looks_ahead(cell, params, x) else jax.make_jaxpr(cell.step)(params, carry, x)
    runs = ["scan", "checkpointed"]
    if cell.has_parts and engines.handover(cell, params, carry, clock.read(cell, params, x)) is None:
        runs.append("deferred")
    title, equation, parts = _read(inspect.getdoc(cell.origin.factory) or "" if cell.origin else "")
    return Description(
        call=repr(cell),
        title=title,
        equation=equation,
        carry=_shapes(carry),
        params=_shapes(params),
        size=sum(math.prod(a.shape) for a in jax.tree.leaves(params)),
        element=cell.element is not None,
        stages=len(cell.stages),
        kind=_kind(cell),
        engines=tuple(runs),
        flops=0 if step is None else flops(step.jaxpr),
        sources=parts["Sources"],
        good_for=parts["Good for"],
        paper=parts["Paper"],
    )


def _made(cell):
    """The cell, or what its factory makes with H = 128."""
    if isinstance(cell, Cell):
        return cell
    if not hasattr(cell, "is_factory"):
        raise TypeError(f"cell: expected a cell, its factory or its name, got {checks.describe(cell)}")
    asked = [p.name for p in inspect.signature(cell).parameters.values() if p.default is p.empty]
    return cell(128, **{name: EXAMPLES[name] for name in asked[1:]})


def _shapes(tree):
    """The leaves of a tree by name, as "[5, 3]", with their type if it is not float32."""

    def one(a):
        return f"{list(a.shape)}" + ("" if a.dtype == "float32" else f" {a.dtype}")

    return {shown(path): one(a) for path, a in jax.tree_util.tree_leaves_with_path(tree)}


def _kind(cell):
    """What stands between one step and the next, in words."""
    if cell.element is not None:
        return "affine in its carry"
    if not cell.has_parts:
        return "a plain step" if cell.plain_step is not None else "a composition"
    count = sum(stage.recur is not None for stage in cell.stages)
    words = {0: "no product in the loop", 1: "one product in the loop"}
    return words.get(count, f"{count} products in the loop, in turn")


def _read(text):
    """(title, equation, the parts after it by name) of a docstring in the form that CONTRIBUTING.md gives."""
    title = text.partition(": ")[0].strip() if text else ""
    block = re.search(r"\n\n((?: {4,}\S.*\n|\n(?= {4,}))+)", text + "\n")
    parts = {}
    for name in ("Sources", "Good for", "Paper"):
        found = re.search(rf"^{name}: (.*(?:\n(?![A-Z][a-z ]+: |\w+: |\n).*)*)", text, re.MULTILINE)
        parts[name] = " ".join(found[1].split()) if found else ""
    return title, textwrap.dedent(block[1]).strip("\n") if block else "", parts
