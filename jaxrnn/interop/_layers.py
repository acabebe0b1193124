"""A network as its layers, and back: a cell, a cell in both directions, or a stack of such."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn.cells import CELLS
from jaxrnn.wrappers import bidirectional, stack


class Direction(NamedTuple):
    """A cell that runs one way, and its params."""

    cell: Cell
    params: Params


Layer = tuple[Direction, ...]  # one direction, or forward and backward


def layers(cell: Cell, params: Params, of: str) -> tuple[list[Layer], dict[str, Any]]:
    """(the layers of a cell, {"merge": of its bidirectional layers or None, "dropout": between its layers}).

    of: whose layers they are to become, such as "PyTorch", for messages.
    Raises TypeError for a cell that is not made of plain cells, `bidirectional` and one `stack`.
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"cell: expected a Cell of jaxrnn, got {cell!r}")
    checks.params(cell, params)
    options = cell.options if cell.name == "stack" else {}
    if options.get("skip"):
        raise refused(cell, of, "no layer that reads the input of the first beside the one below", "skip=False")
    ours = members(cell, params) if options else [(cell, params)]
    merges = {member.options["merge"] for member, _ in ours if member.name == "bidirectional"}
    if len(merges) > 1:
        raise refused(cell, of, f"one merge for all layers, got {sorted(map(str, merges))}", "one merge")
    made = [tuple(_directions(member, p)) for member, p in ours]
    return made, {"merge": next(iter(merges), None), "dropout": options.get("dropout", 0.0)}


def members(cell: Cell, params: Params) -> list[tuple[Cell, Params]]:
    """The cells of a `stack` and their params, the lowest first: their order in params may be another, as JAX sorts."""
    names = cell.options["names"] or [f"layer_{i}" for i in range(len(cell.options["cells"]))]
    return list(zip(cell.options["cells"], (params[name] for name in names), strict=True))


def _directions(cell: Cell, params: Params) -> list[Direction]:
    if cell.name != "bidirectional":
        return [Direction(cell, params)]
    return [Direction(cell.options[way], params[way]) for way in ("forward", "backward")]


def assembled(rows: Sequence[Layer], *, merge: str = "concat", dropout: float = 0.0) -> tuple[Cell, Params]:
    """(cell, params) of the layers: one layer is no stack. The inverse of `layers`."""
    made = []
    for row in rows:
        if len(row) == 1:
            made.append(row[0])
        else:
            forward, backward = row
            cell = bidirectional(forward.cell, backward.cell, merge=merge)
            made.append(Direction(cell, {"forward": forward.params, "backward": backward.params}))
    if len(made) == 1:
        return made[0].cell, made[0].params
    cell = stack(*(layer.cell for layer in made), dropout=dropout)
    return cell, {f"layer_{i}": layer.params for i, layer in enumerate(made)}


def plain(cell: Cell, of: str, known: Mapping[str, Collection[str]]) -> None:
    """Raise TypeError unless `cell` is one of `known`, with defaults for all options but those listed there.

    Options that only say how params are drawn (`..._init`, `..._bias`) or typed (`...dtype`) may be anything.
    """
    if cell.name not in known:
        raise refused(cell, of, "no such layer", f"one of {', '.join(known)}")
    defaults = inspect.signature(CELLS[cell.name]).parameters
    for option, value in cell.options.items():
        free = option in known[cell.name] or option.endswith(("_init", "_bias", "dtype"))
        if not free and option != "hidden_size" and value != defaults[option].default:
            raise refused(cell, of, f"no {cell.name} with {option}={value!r}", f"{option}={defaults[option].default!r}")


def refused(cell: Any, of: str, reason: str, nearest: str) -> TypeError:
    """The error for what a framework cannot hold."""
    return TypeError(f"cell: {of} has {reason}, and {cell!r} asks for it; the nearest that it has: {nearest}")
