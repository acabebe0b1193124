"""What the flax modules share: `unroll` with flax's argument names and axis order."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn._core.jax_internals import Var
from jaxrnn._core.numerics import widest
from jaxrnn._core.rows import inside, read
from jaxrnn.engines import scan
from jaxrnn.run import unroll as time_first

# Cells that compute the same. flax's MGUCell resets after the product, and its gate keeps the old state where that of
# the paper, and of `mgu`, replaces it; without its reset it is `gated`.
OURS = {
    "SimpleCell": "elman",
    "LSTMCell": "lstm",
    "OptimizedLSTMCell": "lstm",
    "GRUCell": "gru",
    "MGUCell": "mgu_reset_after",
}


def refuse_other_cells(cell: Any) -> None:
    """Raise TypeError unless `cell` is a jaxrnn Cell; for a flax cell it says which call to write instead."""
    if isinstance(cell, Cell):
        return
    kind = cell if isinstance(cell, type) else type(cell)
    if getattr(cell, "is_factory", False):
        came, cure = f"the function {cell.__name__}", f"write {cell.__name__}(hidden_size)"
    elif kind.__module__.startswith("flax."):
        size = getattr(cell, "hidden_features", getattr(cell, "features", "hidden_size"))
        size = size if isinstance(size, int) else "hidden_size"
        ours = OURS.get(kind.__name__) if getattr(cell, "reset_gate", True) else "gated"
        came, cure = f"flax's {kind.__name__}", f"write jaxrnn.{ours or 'lstm'}({size})"
        cure += ", and jaxrnn.interop.from_flax for its weights" if ours else " or another of jaxrnn.CELLS"
    else:
        came, cure = repr(cell), "write jaxrnn.lstm(hidden_size)"
    raise TypeError(f"cell: expected a Cell of jaxrnn, got {came}; {cure}")


@functools.lru_cache(maxsize=256)
def is_noisy(cell: Cell, input_size: int) -> bool:
    """Whether the results of `unroll` depend on the key: read off its jaxpr, so that no cell needs to declare it."""
    if cell.sequence is None:
        return False
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size))
    x = jax.ShapeDtypeStruct((input_size,), widest(params)) if cell.input is None else cell.input(params)
    xs = jax.tree.map(lambda a: jax.ShapeDtypeStruct((2, *a.shape), a.dtype), x)

    def run(key, params, xs):
        return time_first(cell, params, None, xs, engine=scan, key=key)

    program = jax.make_jaxpr(run)(jax.random.key(0), params, xs).jaxpr
    needed = set(filter(_is_variable, program.outvars))
    for equation in reversed(program.eqns):
        if needed.intersection(equation.outvars):
            needed.update(filter(_is_variable, equation.invars))
    return program.invars[0] in needed


def _is_variable(value: Any) -> bool:
    return isinstance(value, Var)


def unroll(
    cell: Cell,
    params: Any,
    inputs: Any,
    *,
    initial_carry: Any,
    seq_lengths: Any,
    mask: Any,
    reset: Any,
    time_major: bool,
    reverse: bool,
    keep_order: bool,
    engine: Any,
    key: Any,
) -> tuple[Any, Any]:
    """`jaxrnn.unroll` on inputs [..., T, D], or [T, ..., D] if time_major -> (carry, outputs in the same order)."""
    letters = "[T, ..., D]" if time_major else "[..., T, D]"
    leading = checks.inputs(cell, params, inputs, "inputs", letters)
    if not leading:
        raise ValueError(
            f"inputs: expected {letters}, got {checks.describe(inputs)}: no time axis; one step is `step(carry, x)`"
        )
    axis = 0 if time_major else len(leading) - 1
    batch = leading[:axis] + leading[axis + 1 :]
    seq_lengths, mask, reset = read(seq_lengths, mask, reset, "seq_lengths")
    for name, given, axes in (("seq_lengths", seq_lengths, batch), ("mask", mask, leading), ("reset", reset, leading)):
        if hasattr(given, "shape") and given.shape != axes:
            raise ValueError(f"{name}: expected {axes}, as inputs {letters} has these axes, got {given.shape}")

    def moved(tree, source, destination):
        return jax.tree.map(lambda a: jnp.moveaxis(a, source, destination), tree)

    mask, reset, inputs = moved((mask, reset, inputs), axis, 0)
    noise = {} if key is None else {"key": key}
    rows = dict(lengths=seq_lengths, mask=mask, reset=reset, reverse=reverse)
    try:
        carry, outputs = time_first(cell, params, initial_carry, inputs, **rows, engine=engine, **noise)
    except (TypeError, ValueError) as error:
        if not str(error).startswith("lengths:"):
            raise
        raise type(error)(f"seq_{error}") from None  # the name that the caller wrote
    if reverse and not keep_order:
        outputs = _in_order_of_computation(outputs, seq_lengths)
    return carry, moved(outputs, 0, axis)


def _in_order_of_computation(ys: Any, lengths: Any) -> Any:
    """ys [T, ...] of a reversed run with each row's last step first; padding stays at the end of its row."""
    if lengths is None:
        return jax.tree.map(lambda y: jnp.flip(y, 0), ys)
    time = jax.tree.leaves(ys)[0].shape[0]
    steps = inside(lengths, time).sum(0, dtype=jnp.int32)
    at = (steps[None] - 1 - jnp.arange(time, dtype=jnp.int32).reshape(-1, *[1] * steps.ndim)) % time
    return jax.tree.map(lambda y: jnp.take_along_axis(y, at.reshape(*at.shape, *[1] * (y.ndim - at.ndim)), 0), ys)
