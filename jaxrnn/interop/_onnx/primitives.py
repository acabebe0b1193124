"""JAX's primitives as ONNX nodes: a table of functions (graph, equation, *inputs) -> the name of the output.

Elementwise primitives read a broadcast operand as it was before, where another has the full shape: ONNX broadcasts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from jaxrnn.interop._onnx.graph import Graph, Tensor

END = np.iinfo(np.int64).max


def elementwise(kind: str, negated: bool = False, only: str = "") -> Callable:
    """A node for each; negated: with Not behind it; only: the letters of kinds of types that it takes."""

    def write(graph: Graph, e: Any, *inputs: Any) -> str:
        if only and any(np.dtype(a.dtype).kind not in only for a in inputs):
            raise NotImplementedError(f"of {', '.join(str(a.dtype) for a in inputs)}")
        name = graph.op(kind, *narrowed(e, inputs))
        return graph.op("Not", name) if negated else name

    return write


def narrowed(e: Any, inputs: Any) -> list[Any]:
    """The inputs, each before it was broadcast if one of them has the shape of the output without that."""
    shape = e.outvars[0].aval.shape
    full = any(a.shape == shape and not getattr(a, "narrow", "") for a in inputs)
    return [a.narrow if full and getattr(a, "narrow", "") else a for a in inputs]


def _select_n(graph, e, which, *cases):
    if len(cases) != 2 or which.dtype != np.bool_:
        raise NotImplementedError("of more than two cases")
    which, no, yes = narrowed(e, (which, *cases))
    return graph.op("Where", which, yes, no)


def _clamp(graph, e, low, x, high):
    return graph.op("Min", graph.op("Max", x, low), high)


def _convert(graph, e, x):
    return graph.op("Cast", x, to=graph.kind(e.params["new_dtype"]))


def _integer_pow(graph, e, x):
    y = e.params["y"]
    return graph.op("Mul", x, x) if y == 2 else graph.op("Pow", x, np.asarray(y, x.dtype))


def _one(x):
    return np.ones((), x.dtype)


def _dot_general(graph, e, a, b):
    (over_a, over_b), (batch_a, batch_b) = e.params["dimension_numbers"]
    preferred = e.params["preferred_element_type"] or a.dtype
    if not a.dtype == b.dtype == preferred:
        a, b = (graph.op("Cast", x, to=graph.kind(preferred)) for x in (a, b)) if a.dtype != b.dtype else (a, b)
    ranks = len(e.invars[0].aval.shape), len(e.invars[1].aval.shape)
    plain = not batch_a and tuple(over_a) == (ranks[0] - 1,) and tuple(over_b) == (0,) and ranks[1] <= 2
    if plain:
        return graph.op("MatMul", a, b)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    left, right = ["" for _ in range(ranks[0])], ["" for _ in range(ranks[1])]
    for i, j in [*zip(batch_a, batch_b, strict=True), *zip(over_a, over_b, strict=True)]:
        left[i] = right[j] = next(letters)
    left, right = ([x or next(letters) for x in side] for side in (left, right))
    free = [x for i, x in enumerate(left) if i not in (*batch_a, *over_a)]
    free += [x for j, x in enumerate(right) if j not in (*batch_b, *over_b)]
    out = "".join([*(left[i] for i in batch_a), *free])
    return graph.op("Einsum", a, b, equation=f"{''.join(left)},{''.join(right)}->{out}")


def _reshape(graph, e, x):
    if e.params["dimensions"] is not None:
        raise NotImplementedError("with dimensions")
    return graph.op("Reshape", x, graph.sized(e.params["new_sizes"]))


def _broadcast_in_dim(graph, e, x, *_):
    """The result as a Tensor that also knows what it was before: most are read by elementwise nodes."""
    shape, axes = tuple(e.params["shape"]), e.params["broadcast_dimensions"]
    added = [i for i in range(len(shape)) if i not in axes]
    if isinstance(x, np.ndarray):
        narrow = graph.constant(np.expand_dims(x, tuple(added)))
    else:
        narrow = graph.op("Unsqueeze", x, graph.ints(*added)) if added else x.name
    before = [x.shape[axes.index(i)] if i in axes else 1 for i in range(len(shape))]
    if tuple(before) == shape:
        return narrow
    return Tensor(graph.op("Expand", narrow, graph.sized(shape)), shape, e.outvars[0].aval.dtype, narrow)


def _transpose(graph, e, x):
    return graph.op("Transpose", x, perm=list(e.params["permutation"]))


def _squeeze(graph, e, x):
    return graph.op("Squeeze", x, graph.ints(*e.params["dimensions"]))


def _expand_dims(graph, e, x):
    return graph.op("Unsqueeze", x, graph.ints(*e.params["dimensions"]))


def _concatenate(graph, e, *inputs):
    return graph.op("Concat", *inputs, axis=e.params["dimension"])


def _stacked(graph, e, *inputs):
    axis = e.params["axis"]
    return graph.op("Concat", *(graph.op("Unsqueeze", x, graph.ints(axis)) for x in inputs), axis=axis)


def _sliced(graph, e, x):
    rows = []
    steps = e.params["strides"] or (1,) * len(x.shape)
    for axis, (start, stop, step, size) in enumerate(
        zip(e.params["start_indices"], e.params["limit_indices"], steps, x.shape, strict=True)
    ):
        if not isinstance(stop, int):  # symbolic: the size, or so much less
            less = size - stop
            stop = END if less == 0 else -int(less)
        if (start, step) != (0, 1) or stop not in (END, size):
            rows.append((int(start), stop, axis, step))
    if not rows:
        return _same(graph, e, x)
    starts, stops, axes, steps = (graph.ints(*column) for column in zip(*rows, strict=True))
    return graph.op("Slice", x, starts, stops, axes, steps)


def _rev(graph, e, x):
    axes = e.params["dimensions"]
    back = graph.ints(*[-1] * len(axes))
    return graph.op("Slice", x, back, graph.ints(*[-END] * len(axes)), graph.ints(*axes), back)


def _parts(graph, e, x):
    names = [f"part_{i}" for i in range(len(e.outvars))]
    return graph.ops("Split", x, graph.ints(*e.params["sizes"]), names=names, axis=e.params["axis"])


def _iota(graph, e):
    shape, along, dtype = tuple(e.params["shape"]), e.params["dimension"], np.dtype(e.params["dtype"])
    size = graph.op("Squeeze", graph.sized(shape[along : along + 1]), graph.ints(0))
    numbers = graph.op("Range", np.int64(0), size, np.int64(1))
    numbers = numbers if dtype == np.int64 else graph.op("Cast", numbers, to=graph.kind(dtype))
    others = [i for i in range(len(shape)) if i != along]
    if not others:
        return numbers
    narrow = graph.op("Unsqueeze", numbers, graph.ints(*others))
    return Tensor(graph.op("Expand", narrow, graph.sized(shape)), shape, dtype, narrow)


def reduced(kind: str, of_bool: bool = False) -> Callable:
    """A node that reduces axes, which are an input since 13 (ReduceSum) or 18; of_bool: by way of int32."""

    def write(graph: Graph, e: Any, x: Any) -> str:
        axes = list(e.params["axes"])
        x = graph.op("Cast", x, to=graph.kind(np.int32)) if of_bool else x
        if kind == "ReduceSum" or graph.opset >= 18:
            name = graph.op(kind, x, graph.ints(*axes), keepdims=0)
        else:
            name = graph.op(kind, x, axes=axes, keepdims=0)
        return graph.op("Cast", name, to=graph.kind(np.bool_)) if of_bool else name

    return write


def arg(kind: str) -> Callable:
    """The place of the largest or smallest, the first of several."""

    def write(graph: Graph, e: Any, x: Any) -> str:
        x = graph.op("Cast", x, to=graph.kind(np.int32)) if x.dtype == np.bool_ else x
        place = graph.op(kind, x, axis=e.params["axes"][0], keepdims=0)
        return graph.op("Cast", place, to=graph.kind(e.params["index_dtype"]))

    return write


def _cumsum(graph, e, x):
    return graph.op("CumSum", x, np.int64(e.params["axis"]), reverse=int(e.params["reverse"]))


def _gather(graph, e, x, at):
    """A slice at a known place, rows of a table, and `take_along_axis` of the first axis; indices are within bounds."""
    n, sizes, out = e.params["dimension_numbers"], e.params["slice_sizes"], e.outvars[0].aval.shape
    batching, last = n.operand_batching_dims, len(at.shape) - 1
    if isinstance(at, np.ndarray) and last == 0 and not batching:
        rows = [(int(i), int(i) + sizes[axis], axis) for i, axis in zip(at, n.start_index_map, strict=True)]
        starts, stops, axes = (graph.ints(*column) for column in zip(*rows, strict=True))
        cut = graph.op("Slice", x, starts, stops, axes)
        return graph.op("Squeeze", cut, graph.ints(*n.collapsed_slice_dims)) if n.collapsed_slice_dims else cut
    along = tuple(range(1, 1 + len(batching)))
    free = [i for i in range(len(out)) if i not in n.offset_dims]  # where the axes of the indices stand
    if n.collapsed_slice_dims == n.start_index_map and len(n.start_index_map) == 1:
        [axis] = n.start_index_map
        rows = graph.op("Squeeze", at, graph.ints(last))
        whole = all(size == x.shape[i] for i, size in enumerate(sizes) if i != axis)
        if not batching and sizes[axis] == 1 and whole and free == list(range(axis, axis + last)):
            return graph.op("Gather", x, rows, axis=axis)
        beside = axis == 0 and batching == n.start_indices_batching_dims == along and free == list(range(last))
        if beside and along and last == 1 + len(along):
            rows = graph.op("Unsqueeze", rows, graph.ints(*n.offset_dims)) if n.offset_dims else rows
            return graph.op("GatherElements", x, graph.op("Expand", rows, graph.sized(out)), axis=0)
    raise NotImplementedError("of this form; it has a[2:5], table[indices] and take_along_axis(a, indices, 0)")


def _round(graph, e, x):
    if e.params["rounding_method"] != lax.RoundingMethod.TO_NEAREST_EVEN:
        raise NotImplementedError("away from zero; jnp.round is to the nearest even number")
    return graph.op("Round", x)


def _dim_as_value(graph, e):
    size = graph.op("Squeeze", graph.size(e.params["dim"]), graph.ints(0))
    return graph.op("Cast", size, to=graph.kind(e.outvars[0].aval.dtype))


def _same(graph, e, x, *_):
    return x.name if isinstance(x, Tensor) else graph.constant(x)


SIMPLE = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "add": "Add", "add_any": "Add", "asin": "Asin", "asinh": "Asinh",
    "atan": "Atan", "atanh": "Atanh", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "div": "Div", "eq": "Equal",
    "erf": "Erf", "exp": "Exp", "floor": "Floor", "ge": "GreaterOrEqual", "gt": "Greater",
    "le": "LessOrEqual", "log": "Log", "logistic": "Sigmoid", "lt": "Less", "max": "Max", "min": "Min", "mul": "Mul",
    "neg": "Neg", "pow": "Pow", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt", "sub": "Sub",
    "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip

PRIMITIVES: dict[str, Callable] = {
    **{name: elementwise(kind) for name, kind in SIMPLE.items()},
    "and": elementwise("And", only="b"),
    "or": elementwise("Or", only="b"),
    "xor": elementwise("Xor", only="b"),
    "not": elementwise("Not", only="b"),
    "ne": elementwise("Equal", negated=True),
    "log1p": lambda graph, e, x: graph.op("Log", graph.op("Add", x, _one(x))),
    "expm1": lambda graph, e, x: graph.op("Sub", graph.op("Exp", x), _one(x)),
    "exp2": lambda graph, e, x: graph.op("Pow", np.asarray(2, x.dtype), x),
    "is_finite": lambda graph, e, x: graph.op("Not", graph.op("Or", graph.op("IsInf", x), graph.op("IsNaN", x))),
    "rem": lambda graph, e, x, y: graph.op("Mod", x, y, fmod=1),
    "round": _round,
    "rsqrt": lambda graph, e, x: graph.op("Reciprocal", graph.op("Sqrt", x)),
    "square": lambda graph, e, x: graph.op("Mul", x, x),
    "argmax": arg("ArgMax"),
    "argmin": arg("ArgMin"),
    "batch_axis_placed": _same,
    "broadcast_in_dim": _broadcast_in_dim,
    "clamp": _clamp,
    "concatenate": _concatenate,
    "convert_element_type": _convert,
    "copy": _same,
    "cumsum": _cumsum,
    "dim_as_value": _dim_as_value,
    "dot_general": _dot_general,
    "expand_dims": _expand_dims,
    "gather": _gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "optimization_barrier": _same,
    "reduce_and": reduced("ReduceMin", of_bool=True),
    "reduce_max": reduced("ReduceMax"),
    "reduce_min": reduced("ReduceMin"),
    "reduce_or": reduced("ReduceMax", of_bool=True),
    "reduce_prod": reduced("ReduceProd"),
    "reduce_sum": reduced("ReduceSum"),
    "reshape": _reshape,
    "rev": _rev,
    "select_n": _select_n,
    "slice": _sliced,
    "split": _parts,
    "squeeze": _squeeze,
    "stack": _stacked,
    "stop_gradient": _same,
    "transpose": _transpose,
}
