"""What stands between recurrent nodes: operators that move axes, by NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def reshape(values: Any, x: Any, shape: Any) -> Any:
    """0 in the shape keeps a size, unless `allowzero`."""
    kept = not values.get("allowzero", 0)
    return x.reshape([x.shape[i] if n == 0 and kept else int(n) for i, n in enumerate(shape)])


def squeeze(values: Any, x: Any, axes: Any = None) -> Any:
    """Axes were an attribute before opset 13."""
    axes = values.get("axes") if axes is None else axes
    return np.squeeze(x, None if axes is None else tuple(int(a) for a in axes))


def unsqueeze(values: Any, x: Any, axes: Any = None) -> Any:
    """Axes were an attribute before opset 13."""
    return np.expand_dims(x, tuple(int(a) for a in (values["axes"] if axes is None else axes)))


def sliced(values: Any, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None) -> Any:
    """Places were attributes before opset 10."""
    starts, ends = (values[k] if v is None else v for k, v in (("starts", starts), ("ends", ends)))
    axes = values.get("axes", range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index: list[Any] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[int(axis)] = slice(int(start), None if step < 0 and end < -x.shape[int(axis)] else int(end), int(step))
    return x[tuple(index)]


def split(values: Any, x: Any, sizes: Any = None, *, count: int) -> Any:
    """Equal parts where no sizes are given; they were an attribute before opset 13."""
    axis = values.get("axis", 0)
    sizes = values.get("split") if sizes is None else sizes
    at = count if sizes is None else np.cumsum(sizes)[:-1]
    return np.split(x, at, axis)


def shape(values: Any, x: Any) -> Any:
    """A part of it if `start` and `end` say so."""
    return np.array(x.shape, np.int64)[values.get("start", 0) : values.get("end", x.ndim)]


GLUE: dict[str, Callable] = {
    "Cast": lambda v, x: x,
    "Concat": lambda v, *xs: np.concatenate(xs, v["axis"]),
    "Dropout": lambda v, x, *_: x,
    "Expand": lambda v, x, to: x * np.ones([int(n) for n in to], x.dtype),
    "Flatten": lambda v, x: x.reshape(int(np.prod(x.shape[: v.get("axis", 1)])), -1),
    "Gather": lambda v, x, at: np.take(x, at.astype(np.int64), v.get("axis", 0)),
    "Identity": lambda v, x: x,
    "Reshape": reshape,
    "Shape": shape,
    "Slice": sliced,
    "Squeeze": squeeze,
    "Transpose": lambda v, x: np.transpose(x, v.get("perm")),
    "Unsqueeze": unsqueeze,
}


def evaluated(kind: str, values: dict[str, Any], inputs: list[Any], count: int) -> list[Any]:
    """The outputs of a node, of which there are `count`. Raises KeyError for an operator that only computes."""
    if kind == "Split":
        return split(values, *inputs, count=count)
    return [GLUE[kind](values, *inputs)]
