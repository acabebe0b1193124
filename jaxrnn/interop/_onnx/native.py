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
    return other is not None and _form(way) == _form(other)


def _form(way):
    shapes = {name: (a.shape, a.dtype) for name, a in way.weights.items()}
    return way.operator, way.flags, way.clip, shapes, way.int8.keys(), way.dynamic


def _write(graph: Graph, ways: list[Packed], carries: list[Any], xs: Tensor, backwards: bool) -> Any:
    first, lengths = ways[0], graph.root.lengths
    H, dtype = first.weights["R"].shape[1], first.weights["R"].dtype
    x = xs if xs.dtype == dtype else graph.op("Cast", xs, to=graph.kind(dtype))
    weights = {name: _weights(graph, ways, name) for name in first.weights}
    states = [_stacked(graph, leaves) for leaves in zip(*carries, strict=True)]
    inputs = [x, weights["W"], weights["R"], weights["B"], lengths or "", *states, *filter(None, [weights.get("P")])]
    kinds = ["Y", "Y_h", "Y_c"][: 1 + len(states)]
    operator, attributes = first.operator, _attributes([a for w in ways for a in w.activations], first)
    if first.dynamic:
        operator, inputs, attributes = _dynamic(graph, ways, inputs, attributes)
    direction = "bidirectional" if len(ways) == 2 else "reverse" if backwards else "forward"
    Y, *finals = graph.ops(
        operator,
        *inputs,
        names=kinds,
        hidden_size=H,
        direction=direction,
        **attributes,
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


def _weights(graph: Graph, ways: list[Packed], name: str) -> str:
    """W, R, B or P of all directions. From int8 each row by its scale, which a runtime may do once, as it loads."""
    if name not in ways[0].int8 or ways[0].dynamic:
        return graph.constant(np.stack([w.weights[name] for w in ways]), name)
    values, scales = (np.concatenate([w.int8[name][i] for w in ways]) for i in (0, 1))
    shape = (len(ways), -1, values.shape[1])
    if scales.dtype == np.float32:
        rows = graph.op("DequantizeLinear", graph.constant(values, f"{name}_int8"), scales, axis=0)
    else:  # which it does not give
        exact = graph.op("Cast", graph.constant(values, f"{name}_int8"), to=graph.kind(scales.dtype))
        rows = graph.op("Mul", exact, scales[:, None])
    return graph.op("Reshape", rows, graph.ints(*shape), name=name)


def _dynamic(graph: Graph, ways: list[Packed], inputs: list[Any], attributes: dict[str, Any]) -> Any:
    """(operator, inputs, attributes) of ONNX Runtime's LSTM whose products are of int8; it has none but for an LSTM."""
    first = ways[0]
    if first.operator != "LSTM" or set(first.int8) != {"W", "R"} or first.weights["W"].dtype != np.float32:
        raise TypeError(
            f"params: ONNX Runtime multiplies int8 in an LSTM of float32 with both kernels in int8, got those of "
            f"{first.operator}; quantize(params) without dynamic=True keeps weights alone in int8, which any cell may"
        )
    kernels, scales = [], []
    for name in "W", "R":  # [dirs, D, 4H] here, and a scale for each column
        kernels.append(graph.constant(np.stack([w.int8[name][0].T for w in ways]), f"{name}_int8"))
        scales += [graph.constant(np.stack([w.int8[name][1] for w in ways]), f"{name}_scale")]
        scales += [graph.constant(np.zeros((len(ways), first.int8[name][1].size), np.int8), f"{name}_zero")]
    x, _, _, bias, lengths, h, c, *peepholes = inputs
    graph.root.domains["com.microsoft"] = 1
    given = [x, *kernels, bias, lengths, h, c, *(peepholes or [""]), *scales]
    return "DynamicQuantizeLSTM", given, attributes | {"domain": "com.microsoft"}


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
