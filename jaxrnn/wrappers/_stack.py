"""A stack of cells."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Cell
from jaxrnn._core.clock import along, knows_time, timed, values
from jaxrnn._core.composition import one_array, one_input
from jaxrnn._core.numerics import common
from jaxrnn._core.record import factory
from jaxrnn.wrappers._noise import drop, rate


@factory
def stack(*cells: Cell, names: tuple[str, ...] | None = None, skip: bool = False, dropout: float = 0.0) -> Cell:
    """A stack of cells, each reading the y of the one below. Params and carry: {"layer_0": ..., "layer_1": ...}.

    `step` runs one layer after another; `unroll` runs each layer over all of T before the next, so that each drive is
    one product. The results are equal.

    names: names for the layers, in place of layer_0 and so on.
    skip: every layer also reads x, as [x, y below], and the stack's y is the concatenation of all layers' y (Graves
        2013, arXiv 1308.0850). To add x to a layer's y instead, wrap the layer in `residual`.
    dropout: the rate of dropout between layers, when `unroll` has a key: a new mask at each step, the rest times
        1 / (1 - dropout), none on the output of the stack; like PyTorch's `dropout`.

    In a stack with a cell that knows time, inputs (x, dt) give their dt to each such layer (docs/time.md).

    PyTorch's `bidirectional=True, num_layers=L` is `stack(*[bidirectional(lstm(H), lstm(H)) for _ in range(L)])`.
    Raises TypeError for arguments that are not cells, ValueError unless `names` has one distinct name for each.
    """
    if not cells or any(not isinstance(cell, Cell) for cell in cells):
        cure = "; write stack(*cells)" if len(cells) == 1 and isinstance(cells[0], tuple) else ""
        raise TypeError(f"stack: expected one or more cells, got {cells!r}{cure}")
    rate(dropout, "dropout")
    names = tuple(f"layer_{i}" for i in range(len(cells))) if names is None else names
    if not isinstance(names, tuple) or len(names) != len(cells) or len(set(names)) != len(names):
        raise ValueError(f"names: expected one of its own for each of {len(cells)} cells, got {names!r}")
    layers = dict(zip(names, cells, strict=True))

    def init(key, input_size):
        params, size = {}, input_size
        for (name, cell), k in zip(layers.items(), jax.random.split(key, len(cells)), strict=True):
            params[name] = cell.init(k, size)
            if name == names[0]:
                x = below = one_input(cell, params[name], input_size)
            below = cell.outputs(params[name], below)
            if skip or name != names[-1]:
                one_array("stack", cell, below)
            if skip:
                below = jax.eval_shape(_beside, x, below)
            size = below.shape[-1] if hasattr(below, "shape") else None
        return params

    def sequence(run, params, carry, xs, key):
        x, new, ys = xs, {}, []
        keys = [None] * 2 * len(cells) if key is None else list(jax.random.split(key, 2 * len(cells)))
        for i, (name, cell) in enumerate(layers.items()):
            new[name], y = run(cell, params[name], carry[name], along(cell, params[name], x, xs), keys[2 * i])
            ys.append(y)
            if key is not None and i + 1 < len(cells):
                y = drop(keys[2 * i + 1], y, dropout)
            x = _beside(values(xs), y) if skip else y
        if skip:
            dtype = common(*ys)
            y = jnp.concatenate([y.astype(dtype) for y in ys], axis=-1)
        return new, y

    first = cells[0].input

    def input(params):
        assert first is not None
        x = first(params[names[0]])
        return timed(x) if any(knows_time(cell, params[name]) for name, cell in layers.items()) else x

    return Cell(
        init,
        lambda params: {name: cell.start(params[name]) for name, cell in layers.items()},
        None if first is None else input,
        sequence=sequence,
    )


def _beside(x, y):
    return jnp.concatenate([x.astype(y.dtype), y], axis=-1)
