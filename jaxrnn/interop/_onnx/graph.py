"""An ONNX graph while it is built: nodes, initializers, and sizes that are only known when it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxrnn._core.optional import optional


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A value that a graph computes: a leaf of pytrees, beside arrays, whose numbers are known."""

    name: str
    shape: tuple[Any, ...]
    dtype: Any
    narrow: str = ""  # the same before it was broadcast, with as many axes


Value = Tensor | np.ndarray


class Graph:
    """Nodes in order. outer: of the body of a Scan, the graph around it, whose tensors it may read.

    `sizes`: {symbolic size as it prints: the tensor [1] that holds it}.
    """

    def __init__(self, opset: int, outer: Graph | None = None):
        self.onnx = optional("onnx", "onnx", "to_onnx")
        self.opset, self.outer, self.nodes, self._same = opset, outer, [], {}
        if outer is None:
            self.initializers: dict[str, Any] = {}
            self.sizes: dict[str, str] = {}
            self.members: dict[str, Any] = {}
            self.lengths: Tensor | None = None
            self.domains: dict[str, int] = {}  # of operators that are not ONNX's own, and their versions
            self._names: dict[str, int] = {}
            self._constants: dict[Any, str] = {}

    @property
    def root(self) -> Graph:
        """The outermost graph, which holds what all share."""
        return self if self.outer is None else self.outer.root

    def fresh(self, stem: str) -> str:
        """A name that no other tensor has."""
        count = self.root._names.get(stem, 0)
        self.root._names[stem] = count + 1
        return f"{stem}_{count}" if count else stem

    def op(self, kind: str, *inputs: Any, name: str = "", **attributes: Any) -> str:
        """The name of the output of a node; the node that was made before if it would be the same again."""
        return self.ops(kind, *inputs, names=[name or kind.lower()], **attributes)[0]

    def ops(self, kind: str, *inputs: Any, names: list[str], **attributes: Any) -> list[str]:
        """The same for a node with several outputs."""
        read = [a.name if isinstance(a, Tensor) else a if isinstance(a, str) else self.constant(a) for a in inputs]
        key = (kind, tuple(read), len(names), repr(sorted(attributes.items())))
        above = self
        while above is not None:
            if key in above._same:
                return above._same[key]
            above = above.outer
        made = [self.fresh(name) for name in names]
        node = self.onnx.helper.make_node(kind, read, made, name=f"{made[0]}.{kind}", **attributes)
        self.nodes.append(node)
        if "body" not in attributes:
            self._same[key] = made
        return made

    def constant(self, array: Any, name: str = "constant") -> str:
        """The name of an initializer."""
        root, array = self.root, np.ascontiguousarray(array).reshape(np.shape(array))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in root._constants:
            root._constants[key] = self.fresh(name)
            root.initializers[root._constants[key]] = self.onnx.numpy_helper.from_array(array, root._constants[key])
        return root._constants[key]

    def ints(self, *numbers: int) -> str:
        """A constant [N] of int64: axes, sizes, places."""
        return self.constant(np.array(numbers, np.int64), "ints")

    def kind(self, dtype: Any) -> int:
        """A type as ONNX numbers it."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def sized(self, shape: Iterable[Any]) -> str:
        """The name of a tensor with this shape in it, parts of which may be symbolic."""
        shape = tuple(shape)
        if all(isinstance(n, int) for n in shape):
            return self.ints(*shape)
        parts = [self.ints(n) if isinstance(n, int) else self.size(n) for n in shape]
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0, name="shape")

    def size(self, symbol: Any) -> str:
        """The tensor [1] with a symbolic size."""
        sizes = self.root.sizes
        if str(symbol) in sizes:
            return sizes[str(symbol)]
        factors = str(symbol).split("*")
        if not all(f in sizes or f.isdecimal() for f in factors):
            raise TypeError(f"cell: to_onnx has no size {symbol}; sizes that it can write are products of {set(sizes)}")
        parts = [sizes[f] if f in sizes else self.ints(int(f)) for f in factors]
        product = parts[0]
        for part in parts[1:]:
            product = self.op("Mul", product, part, name="size")
        return product

    def info(self, name: str, shape: Iterable[Any], dtype: Any) -> Any:
        """The declaration of an input or output."""
        sizes = [n if isinstance(n, int) else str(n) for n in shape]
        return self.onnx.helper.make_tensor_value_info(name, self.kind(dtype), sizes)

    def made(self, name: str, inputs: list[Any], outputs: list[Any]) -> Any:
        """The GraphProto, without nodes and initializers that no output needs."""
        wanted, nodes = {output.name for output in outputs}, []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                nodes.append(node)
                wanted |= _read(node)
        kept = []
        if self.outer is None:
            kept = [tensor for key, tensor in self.initializers.items() if key in wanted]
        return self.onnx.helper.make_graph(nodes[::-1], name, inputs, outputs, initializer=kept)


def _read(node: Any) -> set[str]:
    """All names that a node reads, in the bodies that it has too."""
    names = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            names |= _read(inner)
        names |= {output.name for output in attribute.g.output}
    return names
