"""A stack of HGRN cells whose lower bounds are learned together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, features
from jaxrnn._core.numerics import wide
from jaxrnn._core.record import factory
from jaxrnn.cells import hgrn, hgrn2
from jaxrnn.wrappers._stack import stack


@factory
def hgrn_stack(
    layers: int, hidden_size: int, *, heads: int | None = None, dtype: Any = None, param_dtype: Any = "float32"
) -> Cell:
    """A stack of `hgrn` cells whose lower bounds grow from layer to layer: x [..., D] -> y [..., H].

        P    = softmax over the layers of bounds
        gamma[l] = P[1] + ... + P[l],    gamma[0] = 0

    The last layer keeps the most, and no gamma reaches 1. All gradients of the bounds go through P, as in the paper.
    Params {"layers": those of the stack, "bounds": [layers, N]}, with N = H / 2, or H for hgrn2; bounds start at 0, so
    that gamma[l] = l / layers. Carry: that of the stack. It is what `stack` of the cells is, with gamma as their lower
    bounds; the normalisations and linear layers that the paper has between are not in it.

    heads: None: layers of `hgrn`; a number: of `hgrn2` with so many heads.
    dtype, param_dtype: as of the cells.
    Qin, Yang and Zhong 2023, arXiv 2311.04823. Raises ValueError or TypeError for wrong options.
    """
    types = {"lower_bound": None, "dtype": dtype, "param_dtype": param_dtype}
    member = hgrn(hidden_size, **types) if heads is None else hgrn2(hidden_size, heads=heads, **types)
    cells = stack(*[member] * checks.positive(layers, "layers"))

    def init(key, input_size):
        params = cells.init(key, input_size)
        bounds = jnp.stack([layer.pop("lower_bound") for layer in params.values()])
        return {"layers": params, "bounds": bounds}

    def tied(params):
        bounds = params["bounds"]
        P = jax.nn.softmax(bounds.astype(wide(bounds.dtype)), axis=0)
        least = (jnp.cumsum(P, axis=0) - P[:1]).astype(bounds.dtype)
        return {name: {**layer, "lower_bound": least[i]} for i, (name, layer) in enumerate(params["layers"].items())}

    def sequence(run, params, carry, xs, key):
        return run(cells, tied(params), carry, xs, key)

    def input(params):
        return features(params["layers"]["layer_0"])

    return Cell(init, lambda params: cells.start(tied(params)), input, sequence=sequence)
