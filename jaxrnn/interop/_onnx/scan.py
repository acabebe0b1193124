"""A cell as one ONNX Scan over its step, with the drive before it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, advance
from jaxrnn._core.rows import select
from jaxrnn.interop._onnx.convert import call
from jaxrnn.interop._onnx.graph import Graph, Tensor


def node(graph: Graph, cell: Cell, params: Any, carry: Any, xs: Any, backwards: bool, valid: Any) -> Any:
    """(carry, ys) of one Scan: carry of Tensors [B, ...], xs of Tensors [T, B, ...]; valid [T, B], a Tensor or None.

    Where a step is not valid, the carry is held and y is 0.
    """
    drive, plain = cell.drive, cell.plain_step
    if drive is not None:
        xs = call(graph, drive, params, xs)

    def step(params, carry, x, valid):
        if drive is not None:
            new = advance(cell.stages, params, carry, x)
            y = cell.output(params, new)
        else:
            assert plain is not None
            new, y = plain(params, carry, x)
        if valid is None:
            return new, y
        return select(valid, new, carry), select(valid, y, jax.tree.map(jnp.zeros_like, y))

    body = Graph(graph.opset, graph)
    steps = (xs, valid)
    states, carry_tree = jax.tree.flatten(carry)
    rows, steps_tree = jax.tree.flatten(steps)
    # What does not depend on the inputs is the same at every step, or has to be given its time axis.
    scanned = [i for i, row in enumerate(rows) if isinstance(row, Tensor)]
    fixed = [row for row in rows if not isinstance(row, Tensor)]
    if fixed or not scanned:
        raise TypeError(
            f"cell: to_onnx expects a drive that depends on xs, got that of {cell!r}, of which parts do not"
        )
    inside = [Tensor(body.fresh("state"), s.shape, s.dtype) for s in states]
    now = [Tensor(body.fresh("now"), r.shape[1:], r.dtype) for r in rows]
    new, y = call(body, step, params, jax.tree.unflatten(carry_tree, inside), *jax.tree.unflatten(steps_tree, now))
    outs, y_tree = jax.tree.flatten((new, y))
    # An output has a name of its own, also where it is an input or a constant.
    named = [Tensor(body.op("Identity", a, name=f"new_{i}"), a.shape, a.dtype) for i, a in enumerate(outs)]
    named = _distinct(body, named)
    inner = body.made(
        body.fresh("step"),
        [body.info(a.name, a.shape, a.dtype) for a in (*inside, *now)],
        [body.info(a.name, a.shape, a.dtype) for a in named],
    )
    count = len(states)
    ways = [int(backwards)] * len(rows)
    made = graph.ops(
        "Scan",
        *states,
        *rows,
        names=["final"] * count + ["outputs"] * (len(named) - count),
        body=inner,
        num_scan_inputs=len(rows),
        scan_input_directions=ways,
        scan_output_directions=[int(backwards)] * (len(named) - count),
    )
    time = rows[0].shape[0]
    results = [
        Tensor(name, a.shape if i < count else (time, *a.shape), a.dtype)
        for i, (name, a) in enumerate(zip(made, named, strict=True))
    ]
    return jax.tree.unflatten(y_tree, results)


def _distinct(body, named):
    """Two outputs that are one tensor, such as h and y, under two names."""
    seen, out = set(), []
    for a in named:
        while a.name in seen:
            a = Tensor(body.op("Identity", a, name=f"{a.name}_again"), a.shape, a.dtype)
        seen.add(a.name)
        out.append(a)
    return out
