"""A cell and its params from the recurrent nodes of an ONNX model."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.optional import optional
from jaxrnn.interop import _layers, _weights
from jaxrnn.interop._onnx.attributes import directions, recurrent
from jaxrnn.interop._onnx.gates import GATES
from jaxrnn.interop._onnx.glue import GLUE, evaluated

FIRST = 7  # the first opset whose RNN, LSTM and GRU mean what they mean now
INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
LABELS = 1 << 40  # labels of single numbers, by which they are found again behind what moves axes, start here


def from_onnx(
    model: Any, *, input: str | None = None, output: str | None = None, reverse: bool = False, dtype: Any = None
) -> tuple[Cell, Params]:
    """(cell, params) of the recurrent nodes of an ONNX model: a ModelProto, its bytes, or a path to it.

        cell, params = jaxrnn.interop.from_onnx("model.onnx")
        carry, ys = jaxrnn.unroll(cell, params, None, xs, lengths=lengths)

    RNN, LSTM and GRU nodes of opset 7 and later, one or several, one above the other: a `stack`; those in both
    directions are `bidirectional`, as one node or as a forward and a reverse one side by side. Between them may stand
    what moves axes: Transpose, Reshape, Squeeze, Concat, Slice and the like, as PyTorch's exporter and `to_onnx` write
    them; that each node reads the outputs of the one below, all of them in their order, is checked entry by entry.
    Time or batch may be first (layout, or a Transpose).

        RNN                           elman
        LSTM                          lstm: peepholes where there is P, coupled where there is input_forget
        GRU, linear_before_reset=1    gru
        GRU, linear_before_reset=0    gru_reset_before
        activations, alpha, beta      activation, gate_activation, output_activation: a name in jax.nn where it has
                                      that function, else onnx_activation
        clip                          onnx_activation(clip=...)

    Biases Wb and Rb are summed where we have one, so that a trained model gives the same function to rounding; what
    `to_onnx` wrote comes back to the bit. With input_forget, whose f is 1 - i, our f has the weights of i, negated.
    What stands in W, R, B and P for the f that it replaces, no implementation reads, and it is dropped.

    Lengths and the carry stay with the caller: sequence_lens, initial_h and initial_c are not read, but a constant
    initial state other than 0 is refused. Where ONNX Runtime and ONNX's text differ, values are these: clip acts on
    what goes into the activations of gates and candidates, and not on c on its way to h (ONNX Runtime does so; the
    text says "the input of activations"); the final state of a row of length 0 is the one it started from (ONNX
    Runtime gives 0).

    input, output: the names of tensors between which the network stands, if the model has more than it, such as an
    embedding before it; None: the first input of the graph, and its first output that
    has all steps. reverse: the nodes run from right to
    left, and so must `unroll`, which gets reverse=True as well. dtype: the type of the params; None: that of W.

    Raises ValueError for an operator, an opset or an activation that is not known, for arrays of wrong shapes or that
    are not finite, for W, R, B or P that are missing or computed as the model runs, and for a direction that is not
    asked for; TypeError for something that is no model. Each names the node.
    """
    onnx = optional("onnx", "onnx", "from_onnx")
    proto = _proto(onnx, model)
    graph = proto.graph
    _opset(onnx, proto)
    given = {t.name for t in graph.initializer}
    starts = [input] if input is not None else [i.name for i in graph.input if i.name not in given]
    if not starts:
        raise ValueError("input: expected the name of a tensor, because the graph has no inputs, got None")
    ends = [output] if output is not None else [o.name for o in graph.output]
    return _layers.assembled(_Reader(onnx, graph, starts[0], reverse, dtype).layers(ends))


class _Node(NamedTuple):
    """A recurrent node that was read: the number of its first label, and the layer that it is."""

    first: int
    shape: tuple[int, ...]  # of Y [T, dirs, B, H]
    directions: tuple[_layers.Direction, ...]
    backwards: bool
    below: Any  # the labels of X [T, B, D]


class _Reader:
    """Evaluates what leads to a tensor: constants by their values, activations by labels of their entries."""

    def __init__(self, onnx: Any, graph: Any, start: str, reverse: bool, dtype: Any):
        self.onnx, self.graph, self.start, self.reverse, self.dtype = onnx, graph, start, reverse, dtype
        self.makers = {name: node for node in graph.node for name in node.output if name}
        self.values = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        self.nodes: list[_Node] = []
        self.declared = {v.name: v for v in (*graph.input, *graph.value_info)}
        self.free = LABELS

    def layers(self, ends: list[str]) -> list[_layers.Layer]:
        """The layers from `start` to the first of `ends` that has all steps, from the lowest on."""
        end, top = next(((end, top) for end in ends if (top := self.value(end)) is not None), ("", None))
        if top is None or not self.nodes:
            raise ValueError(f"model: expected RNN, LSTM or GRU nodes between {self.start!r} and {ends}, found none")
        rows: list[_layers.Layer] = []
        said, labels = f"output {end!r}", top
        while not np.array_equal(labels, self.input()) and not np.array_equal(labels, self.input().swapaxes(0, 1)):
            row, labels = self._below(labels, said, top=not rows)
            rows.append(row)
            said = "what a recurrent node reads as X"
        return rows[::-1]

    def _below(self, labels: Any, said: str, top: bool) -> tuple[_layers.Layer, Any]:
        """The layer whose outputs, directions side by side, these labels are, and the labels that it reads."""
        found = [n for n in self.nodes if np.isin(labels, _side_by_side(n)).any()]
        alike = all(np.array_equal(found[0].below, n.below) for n in found)
        if found and sum(len(n.directions) for n in found) <= 2 and alike:
            found.sort(key=lambda n: n.backwards)
            side = np.concatenate([_side_by_side(n) for n in found], -1)
            forms = [side]  # a node that reads them with time and batch exchanged would run over the batch
            if top:
                own = [_own(n) for n in found[:1] if len(found) == 1]  # Y as the node gives it
                forms += [side.swapaxes(0, 1), *own, *(a.transpose(2, 0, 1, 3) for a in own)]
            if any(np.array_equal(labels, a) for a in forms):
                return self._layer(found), found[0].below
        raise ValueError(
            f"model: expected {said} to be the outputs of one recurrent layer, [T, B, H] with directions side by side, "
            f"or the network's input; it is {labels.shape} and has them in another order, or others"
        )

    def _layer(self, found: list[_Node]) -> _layers.Layer:
        if len(found) == 2:
            if self.reverse or [n.backwards for n in found] != [False, True]:
                raise ValueError("direction: expected a forward node beside a reverse one, got two of the same")
            return (*found[0].directions, *found[1].directions)
        [node] = found
        if len(node.directions) == 2 and self.reverse:
            raise ValueError("reverse: expected False for a bidirectional node, got True")
        if len(node.directions) == 1 and node.backwards != self.reverse:
            raise ValueError(
                f"direction: got a node that runs {'right to left' if node.backwards else 'left to right'} with "
                f"reverse={self.reverse}; a cell has no direction: pass reverse={node.backwards} here, and to unroll"
            )
        return node.directions

    def input(self) -> Any:
        """Labels of the network's input, [T, B, D]."""
        if self.start not in self.values:
            self.values[self.start] = self._labels(self._sizes())
        return self.values[self.start]

    def _sizes(self) -> tuple[int, ...]:
        """The shape of the input: as declared, with sizes of our own where those are not numbers."""
        declared = self.declared.get(self.start)
        sizes = [d.dim_value for d in declared.type.tensor_type.shape.dim] if declared is not None else [0, 0, 0]
        if len(sizes) != 3:
            raise ValueError(
                f"model: expected the input {self.start!r} as [T, B, D], got {len(sizes)} axes; name the tensor that "
                "the first recurrent layer reads in input="
            )
        return tuple(n or other for n, other in zip(sizes, (2, 3, self._features()), strict=True))

    def _features(self) -> int:
        """D, of the first recurrent node."""
        first = next((n for n in self.graph.node if n.op_type in GATES), None)
        W = None if first is None else self.value(first.input[1])
        return 1 if W is None else W.shape[-1]

    def _labels(self, shape: tuple[int, ...]) -> Any:
        labels = np.arange(self.free, self.free + int(np.prod(shape)), dtype=np.int64).reshape(shape)
        self.free += labels.size
        return labels

    def value(self, name: str) -> Any:
        """The values or labels of a tensor; None for an input of the graph other than the network's."""
        if name == self.start:
            return self.input()
        if name not in self.values:
            node = self.makers.get(name)
            outs = [None] if node is None else self._made(node)
            self.values.update(zip([name] if node is None else node.output, outs, strict=False))
        return self.values.get(name)

    def _made(self, node: Any) -> list[Any]:
        said, kind = f"node {node.name or node.output[0]!r}", node.op_type
        values = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}
        if kind in GATES and node.domain in ("", "ai.onnx"):
            return [self._recurrent(node, said, values), *[None] * (len(node.output) - 1)]
        if kind == "Constant":
            if "value" in values:
                return [self.onnx.numpy_helper.to_array(values["value"])]
            return [np.array(next(iter(values.values())))]
        inputs = [self.value(name) if name else None for name in node.input]
        if node.domain not in ("", "ai.onnx") or (kind not in GLUE and kind != "Split"):
            if all(a is None for a in inputs):
                return [None] * len(node.output)
            whose = f"{node.domain}.{kind}" if node.domain else kind
            raise ValueError(
                f"model: {said} is a {whose}, and from_onnx reads RNN, LSTM, GRU and what moves axes between them "
                f"({', '.join(sorted([*GLUE, 'Split']))}); name a part of the model with input= and output="
            )
        if any(a is None for name, a in zip(node.input, inputs, strict=True) if name):
            return [None] * len(node.output)
        return evaluated(kind, values, inputs, len(node.output))

    def _recurrent(self, node: Any, said: str, values: dict[str, Any]) -> Any:
        """Read a node, and return the labels of its Y."""
        named = dict(zip(INPUTS, node.input, strict=False))
        dirs = directions(said, values)

        def constant(key, axes):
            value = self.value(named[key]) if named.get(key) else None
            if value is None or _labelled(value):
                if key in ("B", "P") and not named.get(key):
                    return None
                why = "there is none" if not named.get(key) else f"{named[key]!r} is known only as the model runs"
                raise ValueError(f"{said}: {key}: expected an initializer [{', '.join(axes)}], and {why}")
            return np.asarray(_weights.array(value, f"{said}: {key}", axes, self.dtype))

        cells, D, H = recurrent(node.op_type, said, values, constant)
        for state in ("initial_h", "initial_c"):
            try:
                start = self.value(named[state]) if named.get(state) else None
            except ValueError:  # computed from what the caller gives
                start = None
            if start is not None and not _labelled(start) and start.any():
                raise ValueError(
                    f"{said}: {state}: expected an input of the model, or 0, got constants; unroll takes them as carry="
                )
        X = self.value(named["X"])
        if X is None or X.ndim != 3 or X.shape[2] != D:
            came = "an input of the model other than its first" if X is None else X.shape
            raise ValueError(f"{said}: X: expected [T, B, D] with D={D}, as W has, got {came}")
        batch_first = bool(values.get("layout", 0))
        X = X.swapaxes(0, 1) if batch_first else X
        shape = (X.shape[0], dirs, X.shape[1], H)
        labels = self._labels(shape)
        backwards = values.get("direction") == b"reverse"
        self.nodes.append(_Node(int(labels.min()), shape, cells, backwards, X))
        return labels.transpose(2, 0, 1, 3) if batch_first else labels


def _labelled(value: Any) -> bool:
    return value.dtype == np.int64 and value.max(initial=0) >= LABELS


def _own(node: _Node) -> Any:
    """The labels of Y [T, dirs, B, H]."""
    return np.arange(node.first, node.first + int(np.prod(node.shape))).reshape(node.shape)


def _side_by_side(node: _Node) -> Any:
    """The labels of Y as [T, B, dirs·H]."""
    T, dirs, B, H = node.shape
    return _own(node).transpose(0, 2, 1, 3).reshape(T, B, dirs * H)


def _proto(onnx: Any, model: Any) -> Any:
    if isinstance(model, onnx.ModelProto):
        return model
    try:
        if isinstance(model, bytes | bytearray | memoryview):
            return onnx.load_model_from_string(bytes(model))
        if isinstance(model, str | os.PathLike):
            return onnx.load_model(os.fspath(model))
    except OSError:
        raise
    except Exception as error:  # protobuf's own, whichever it is built with
        raise ValueError(f"model: expected an ONNX model, got what cannot be read as one: {error}") from None
    raise TypeError(f"model: expected an onnx.ModelProto, its bytes, or a path, got {checks.describe(model)}")


def _opset(onnx: Any, proto: Any) -> None:
    opsets = {o.domain: o.version for o in proto.opset_import}
    version = opsets.get("", opsets.get("ai.onnx"))
    newest = onnx.defs.onnx_opset_version()
    if version is None or not FIRST <= version <= newest:
        raise ValueError(f"model: expected ONNX's operators of opset {FIRST} to {newest}, got {version}")
