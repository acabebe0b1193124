"""Cells as ONNX's own nodes RNN, LSTM and GRU."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrnn._core.cell import Cell
from jaxrnn.interop._onnx.activations import Spec
from jaxrnn.interop._onnx.gates import Packed, packed
from jaxrnn.interop._onnx.graph import Graph, Tensor


def node(graph: Graph, cell: Cell, params: Any, carry: Any, xs: Any, backwards: bool) -> Any:
    """(carry, ys) of one node, for a cell in one direction, or in both with outputs side by side; None: no node does.

    carry and xs hold Tensors: h, and c, [B, H], and xs [T, B, D].
    """
    if not isinstance(xs, Tensor):
        return None
    if cell.name == "bidirectional":
        if backwards or cell.options["merge"] != "concat":
            return None
        ways = [packed(cell.options[way], params[way]) for way in ("forward", "backward")]
        carries = [carry["forward"], carry["backward"]]
    else:
        ways, carries = [packed(cell, params)], [carry]
    if any(way is None or not alike(way, ways[0]) for way in ways):
        return None
    finals, ys = _write(graph, [way for way in ways if way is not None], carries, xs, backwards)
    return (dict(zip(("forward", "backward"), finals, strict=True)) if len(finals) == 2 else finals[0]), ys


def alike(way: Packed, other: Packed | None) -> bool:
    """Whether two directions fit in one node."""
    return other is not None and (way.operator, way.flags, way.clip, _shapes(way)) == (
        other.operator,
        other.flags,
        other.clip,
        _shapes(other),
    )


def _shapes(way):
    return {name: (a.shape, a.dtype) for name, a in way.weights.items()}


def _write(graph: Graph, ways: list[Packed], carries: list[Any], xs: Tensor, backwards: bool) -> Any:
    first, lengths = ways[0], graph.root.lengths
    H, dtype = first.weights["R"].shape[1], first.weights["R"].dtype
    x = xs if xs.dtype == dtype else graph.op("Cast", xs, to=graph.kind(dtype))
    weights = {name: graph.constant(np.stack([w.weights[name] for w in ways]), name) for name in first.weights}
    states = [_stacked(graph, leaves) for leaves in zip(*carries, strict=True)]
    inputs = [x, weights["W"], weights["R"], weights["B"], lengths or "", *states, *filter(None, [weights.get("P")])]
    kinds = ["Y", "Y_h", "Y_c"][: 1 + len(states)]
    direction = "bidirectional" if len(ways) == 2 else "reverse" if backwards else "forward"
    Y, *finals = graph.ops(
        first.operator,
        *inputs,
        names=kinds,
        hidden_size=H,
        direction=direction,
        **_attributes([a for w in ways for a in w.activations], first),
    )
    shape = (*xs.shape[:2], len(ways) * H)
    if len(ways) == 1:
        ys = graph.op("Squeeze", Y, graph.ints(1), name="outputs")
    else:  # [T, dirs, B, H] -> [T, B, dirs·H]
        ys = graph.op("Reshape", graph.op("Transpose", Y, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1), name="outputs")
    made = []
    for d, carry in enumerate(carries):
        leaves = [_final(graph, name, d, like) for name, like in zip(finals, carry, strict=True)]
        made.append(type(carry)(*leaves))
    return made, Tensor(ys, shape, dtype)


def _attributes(activations: list[Spec], first: Packed) -> dict[str, Any]:
    """An activation takes as many of the alphas and betas as it has numbers, in their order. Defaults are said too."""
    columns = ([a.numbers[i] for a in activations if len(a.numbers) > i] for i in (0, 1))
    numbers = {f"activation_{k}": column for k, column in zip(("alpha", "beta"), columns, strict=True) if column}
    clip = {} if first.clip is None else {"clip": first.clip}
    return {"activations": [a.kind for a in activations], **numbers, **clip, **first.flags}


def _stacked(graph: Graph, leaves: Any) -> str:
    """[B, H] for each direction -> [dirs, B, H]."""
    parts = [graph.op("Unsqueeze", leaf, graph.ints(0)) for leaf in leaves]
    return parts[0] if len(parts) == 1 else graph.op("Concat", *parts, axis=0)


def _final(graph: Graph, name: str, d: int, like: Tensor) -> Tensor:
    """The final state of a direction. ONNX Runtime gives 0 for a row of no steps: this, what the row began with."""
    final = graph.op("Gather", name, np.int64(d), axis=0)
    lengths = graph.root.lengths
    if lengths is not None:
        empty = graph.op("Unsqueeze", graph.op("Equal", lengths, np.int32(0)), graph.ints(1), name="empty")
        final = graph.op("Where", empty, like, final)
    return Tensor(final, like.shape, like.dtype)
