"""Weight normalisation: kernels as directions and lengths."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.composition import leaves_named, shown, within
from jaxrnn._core.numerics import wide
from jaxrnn._core.quantized import is_int8
from jaxrnn._core.record import factory


@factory
def weight_norm(cell: Cell, *, names: tuple[str, ...] = ("kernel", "recurrent_kernel", "projection")) -> Cell:
    """The same cell with each column of its kernels written as a length times a direction: W = scale V / |V|.

    Params {"cell": those of the cell, V, "scale": {path of the kernel, such as "cell.kernel": [..., G·H]}}; |V| is over
    the axis that the product sums over, so each unit of each gate has a scale; no column may be 0. `init` sets
    scale = |V|, so W starts as the cell's own kernel. `names`: the parameters, by the last name of their path; the cell
    must have at least one. The kernels are computed once, before the loop. Around a composition it wraps the whole.
    Raises ValueError, in `init`, if no parameter has such a name. Salimans and Kingma 2016, arXiv 1602.07868.
    """

    def init(key, input_size):
        params = cell.init(key, input_size)
        kernels = leaves_named({"cell": params}, names, cell)
        scale = {path: _length(_wide(v))[..., 0, :].astype(v.dtype) for path, v in kernels.items()}
        return {"cell": params, "scale": scale}

    def made(params):
        """The cell's params, with W in place of V."""

        def one(path, v):
            scale = params["scale"].get(shown(path))
            if scale is None:
                return v
            w = _wide(v)
            return (w / _length(w) * scale[..., None, :].astype(w.dtype)).astype(v.dtype)

        return jax.tree_util.tree_map_with_path(one, {"cell": params["cell"]}, is_leaf=is_int8)

    def on_made(f: Any) -> Any:
        f = within(f)
        return None if f is None else lambda params, *args: f(made(params), *args)

    def sequence(run, params, carry, xs, key):
        return run(cell, made(params)["cell"], carry, xs, key)

    return dataclasses.replace(
        cell,
        init=init,
        start=on_made(cell.start),
        input=within(cell.input),  # of shapes alone: nothing is made
        drive=on_made(cell.drive),
        stages=tuple(Stage(on_made(s.recur), on_made(s.update), s.recurrent) for s in cell.stages),
        output=on_made(cell.output),
        plain_step=on_made(cell.plain_step),
        sequence=sequence,
        element=on_made(cell.element),
    )


def _length(v):
    """The Euclidean length of each column, keeping its axis."""
    return jnp.sqrt(jnp.square(v).sum(-2, keepdims=True))


def _wide(v):
    """v in float32 at least: the square of a small float16 underflows to 0."""
    return v.astype(wide(v.dtype))
