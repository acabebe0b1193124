"""Layers before, after or beside a cell that see only one step, and so run outside the loop, over all of T."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params, features
from jaxrnn._core.clock import along, knows_time, timed, values
from jaxrnn._core.composition import one_array, one_input, within
from jaxrnn._core.numerics import common, nonlinearity, product, row, widest
from jaxrnn._core.record import factory


@factory
def residual(cell: Cell) -> Cell:
    """The cell with its input added to its output: y_t <- y_t + x_t; x and y must have the same size.

    Added outside the loop. Raises ValueError, when traced, if the sizes differ. He et al. 2015, arXiv 1512.03385.
    """

    def sequence(run, params, carry, xs, key):
        carry, ys = run(cell, params, carry, xs, key)
        xs = values(xs)
        _same_size("residual", cell, xs, ys)
        return carry, ys + xs.astype(ys.dtype)

    return Cell(cell.init, cell.start, cell.input, sequence=sequence, gates=cell.gates)


@factory
def highway(cell: Cell, *, gate_bias: float = -1.0, kernel_init: Callable = initializers.glorot_uniform()) -> Cell:
    """The cell with a gate between its output and its input, which have the same size: x [..., D], D = H.

        t = sigmoid(x kernel + bias),    y <- t y + (1 - t) x

    Params {"cell": ..., "kernel" [D, H], "bias" [H]}; bias starts at `gate_bias`: below 0, x passes. Computed outside
    the loop. Raises ValueError, when traced, if the sizes differ. Srivastava, Greff and Schmidhuber 2015, arXiv
    1505.00387.
    """

    def init(key, input_size):
        k1, k2 = jax.random.split(key)
        params = cell.init(k1, input_size)
        stored = widest(params)
        kernel = kernel_init(k2, (input_size, input_size), stored)
        return {"cell": params, "kernel": kernel, "bias": jnp.full(input_size, gate_bias, stored)}

    def sequence(run, params, carry, xs, key):
        carry, ys = run(cell, params["cell"], carry, xs, key)
        xs = values(xs)
        _same_size("highway", cell, xs, ys)
        z = product(xs, params["kernel"], ys.dtype)
        t = jax.nn.sigmoid(z + row(params["bias"], z))
        return carry, (t * ys.astype(t.dtype) + (1 - t) * xs.astype(t.dtype)).astype(ys.dtype)

    return Cell(init, within(cell.start), within(cell.input), sequence=sequence, gates=cell.gates)


@factory
def projection(cell: Cell, size: int, *, kernel_init: Callable = initializers.lecun_normal()) -> Cell:
    """The cell with a linear map of its output: y <- y kernel + bias, [..., size].

    Params {"cell": ..., "kernel" [H, size], "bias" [size]}. One product outside the loop; it does not affect the carry.
    For a projection inside the recurrence of an LSTM see `lstm(projection=...)`.
    Raises ValueError for a size below 1.
    """
    checks.positive(size, "size")

    def init(key, input_size):
        k1, k2 = jax.random.split(key)
        params = cell.init(k1, input_size)
        stored = widest(params)
        y = cell.outputs(params, one_input(cell, params, input_size))
        one_array("projection", cell, y)
        H = y.shape[-1]
        return {"cell": params, "kernel": kernel_init(k2, (H, size), stored), "bias": jnp.zeros(size, stored)}

    def sequence(run, params, carry, xs, key):
        carry, ys = run(cell, params["cell"], carry, xs, key)
        one_array("projection", cell, ys)
        z = product(ys, params["kernel"], ys.dtype)
        return carry, (z + row(params["bias"], z)).astype(ys.dtype)

    return Cell(init, within(cell.start), within(cell.input), sequence=sequence, gates=cell.gates)


@factory
def bottleneck(cell: Cell, size: int, *, kernel_init: Callable = initializers.lecun_normal()) -> Cell:
    """The cell on a linear map of its input: x <- x kernel, [..., size], a low-rank input kernel with few parameters.

    Params {"cell": ..., "kernel" [D, size]}. One product outside the loop. Raises ValueError for a size below 1.
    """
    checks.positive(size, "size")

    def init(key, input_size):
        checks.init(key, input_size)  # the cell sees another size
        k1, k2 = jax.random.split(key)
        params = cell.init(k1, size)
        return {"cell": params, "kernel": kernel_init(k2, (input_size, size), widest(params))}

    def sequence(run, params, carry, xs, key):
        x = values(xs)
        compute = common(x, params["kernel"].dtype)
        x = product(x, params["kernel"], compute).astype(compute)
        return run(cell, params["cell"], carry, along(cell, params["cell"], x, xs), key)

    def asked(params):
        """The cell's own input with as many features as the kernel has rows."""
        x, kernel = cell.input(params["cell"]) if cell.input else features(params), params["kernel"]
        like = jax.ShapeDtypeStruct((*x.shape[:-1], kernel.shape[0]), kernel.dtype)
        return timed(like) if knows_time(cell, params["cell"]) else like

    return Cell(init, within(cell.start), asked, sequence=sequence, gates=cell.gates)


@factory
def time_distributed(f: str | Callable, init: Callable[[Any, int], Params] | None = None) -> Cell:
    """A function of one step as a cell without a carry, for use in a `stack`: y_t = f(x_t), or f(params, x_t).

    f(x [..., D]) -> y must take any leading axes, as `unroll` calls it once on all of T; or a name in jax.nn: "relu".
    init(key, input_size) -> params: if given, f is called as f(params, x). The carry is ().
    """
    function = nonlinearity(f, "f")
    if init is not None and not callable(init):
        raise TypeError(f"init: expected a function (key, input_size) -> params, got {init!r}")

    def sequence(run, params, carry, xs, key):
        x = values(xs)
        return carry, function(x) if init is None else function(params, x)

    return Cell((lambda key, input_size: ()) if init is None else init, lambda params: (), sequence=sequence)


def _same_size(wrapper, cell, xs, ys):
    one_array(wrapper, cell, xs, "x")
    one_array(wrapper, cell, ys)
    if xs.shape != ys.shape:
        raise ValueError(
            f"{wrapper}: expected y of the shape of x, [..., H] with H=D, got x {checks.describe(xs)} and "
            f"y {checks.describe(ys)} of {cell!r}; projection(cell, D) gives y that size"
        )
