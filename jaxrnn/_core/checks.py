"""Errors at trace time that name the argument, what was expected in the axis letters, what was given, and the fix.

Nothing is computed here: only shapes and types are read, and values only if they are concrete (not traced).
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.clock import alone, beside, marked
from jaxrnn._core.described import describe, leaf_name, path_name, shape
from jaxrnn._core.jax_internals import is_symbolic_dim, is_traced
from jaxrnn._core.quantized import is_int8


def positive(value: Any, argument: str) -> int:
    """`value` as an int of at least 1, or an error that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{argument}: expected an int of at least 1, got {value!r}")
    return int(value)


def floating(dtype: Any, argument: str) -> None:
    """Raise TypeError for a dtype that is not real floating-point; None, meaning that of the parameters, passes."""
    if dtype is not None and not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{argument}: expected a floating type such as 'float32' or 'bfloat16', got {dtype.name!r}")


def init(key_: Any, input_size: Any) -> None:
    """Raise unless `key_` is one key and `input_size` a positive int."""
    key(key_)
    positive(input_size, "input_size")


def key(key: Any) -> None:
    """Raise TypeError unless `key` is one PRNG key."""
    is_key = hasattr(key, "dtype") and (
        (jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0)
        or (key.dtype == jnp.uint32 and key.ndim == 1)
    )
    if not is_key:
        raise TypeError(f"key: expected one jax.random.key(seed), got {leaf_name(key)}")


def batch_shape(value: Any) -> tuple[int, ...]:
    """`value` as a tuple of sizes, or an error."""
    if isinstance(value, int | np.integer):
        raise TypeError(f"batch_shape: expected a tuple of sizes, got {value!r}; write ({value},)")
    if not hasattr(value, "__iter__"):
        raise TypeError(f"batch_shape: expected a tuple of sizes, got {value!r}; one row without a batch axis is ()")
    if any(not (is_symbolic_dim(n) or (isinstance(n, int | np.integer) and n >= 0)) for n in value):
        raise ValueError(f"batch_shape: expected a tuple of sizes, got {tuple(value)!r}")
    return tuple(value)


@functools.lru_cache(maxsize=256)
def _params_like(cell: Any, input_size: int) -> Any:
    """The shapes of the params that `init` makes; None where it cannot be traced with this size."""
    try:
        return jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size))
    except Exception:  # a user's own cell may take sizes of another form; its params are then not checked
        return None


def params(cell: Any, params: Any) -> None:
    """Raise ValueError for params whose names or shapes are not those of the cell."""
    if cell.input is None:
        return
    try:
        features = jax.tree.leaves(cell.input(params))[0].shape
    except Exception:  # params of something else, from which the cell cannot read its input size
        features = (1,)
    expected = _params_like(cell, features[-1]) if features else None
    if expected is None:
        return
    # By names and not by containers: an OrderedDict or a FrozenDict of flax holds params as well as a dict.
    # Nor by arrays without a number in them, which version 0.1 had where there is no input.
    came, wanted = (
        {
            path_name(path): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(t, is_int8)
            if 0 not in getattr(leaf, "shape", ())
        }
        for t in (params, expected)
    )
    named = came.keys() == wanted.keys() and all(hasattr(leaf, "shape") for leaf in came.values())
    letters = describe(expected) if named else f"with the arrays {', '.join(wanted)}"
    if not named or any(shape(came[name]) != shape(leaf) for name, leaf in wanted.items()):
        raise ValueError(
            f"params: expected those of {cell!r}, {letters}, got {describe(params)}; "
            "make them with cell.init(key, input_size)"
        )


def carry(cell: Any, params: Any, carry: Any) -> tuple[int, ...]:
    """Raise for a carry that does not fit the cell; return its leading axes."""
    expected = jax.eval_shape(cell.start, params)
    cure = "make one with cell.initial_carry(params, batch_shape)"
    if jax.tree.structure(carry) != jax.tree.structure(expected):
        if type(carry) is tuple and len(carry) == len(getattr(expected, "_fields", ())):
            cure = f"write {type(expected).__name__}({', '.join(f'{name}=...' for name in expected._fields)})"
        raise ValueError(
            f"carry: expected what {cell!r} carries, {describe(expected)} after any batch axes, "
            f"got {describe(carry)}; {cure}"
        )
    leading: tuple[int, ...] | None = None
    for (path, leaf), like in zip(jax.tree_util.tree_leaves_with_path(carry), jax.tree.leaves(expected), strict=True):
        name, came, rank = f"carry{jax.tree_util.keystr(path)}", shape(leaf), len(like.shape)
        if came[len(came) - rank :] != like.shape or len(came) < rank:
            wanted = _axes("[..., H]", like)
            raise ValueError(f"{name}: expected {wanted}, got {came}; {cure}")
        if leading is not None and came[: len(came) - rank] != leading:
            raise ValueError(f"carry: expected the same leading axes in every field, got {describe(carry)}; {cure}")
        leading = came[: len(came) - rank]
        dtype = jnp.result_type(leaf)
        if dtype != like.dtype:
            raise TypeError(
                f"{name}: expected {like.dtype}, the type that {cell!r} keeps it in with these params, got {dtype}; "
                f"cast it, or {cure}"
            )
    return leading or ()


def inputs(cell: Any, params: Any, xs: Any, name: str, letters: str) -> tuple[int, ...]:
    """Raise for inputs whose features or types do not fit; return the leading axes."""
    if cell.input is None:
        leaves = jax.tree.leaves(xs)
        return shape(leaves[0])[:-1] if leaves else ()
    expected, times = cell.input(params), []
    xs = marked(expected, xs, lambda x: alone(x, name, letters, times))
    if jax.tree.structure(xs) != jax.tree.structure(expected):
        if hasattr(expected, "shape"):
            wanted = f"one array {_axes(letters, expected)}"
            cure = f"write jnp.asarray({name})" if isinstance(xs, list) else f"{cell!r} takes nothing beside it"
        else:
            wanted = f"the inputs of {cell!r}, {describe(expected)} after {letters.replace(', D]', ']')}"
            cure = "pass them in that structure"
        raise TypeError(f"{name}: expected {wanted}, got {describe(xs)}; {cure}")
    leading: tuple[int, ...] | None = None
    for (path, leaf), like in zip(jax.tree_util.tree_leaves_with_path(xs), jax.tree.leaves(expected), strict=True):
        here, came, rank = name + jax.tree_util.keystr(path), shape(leaf), len(like.shape)
        if not hasattr(leaf, "dtype"):
            raise TypeError(f"{here}: expected an array {letters}, got {leaf_name(leaf)}; wrap it in jnp.asarray")
        if came[len(came) - rank :] != like.shape or len(came) < rank:
            raise ValueError(
                f"{here}: expected {_axes(letters, like)}, got {came}; the last axis holds the input features, "
                "as many as the input_size that the params were made with"
            )
        if jnp.issubdtype(like.dtype, jnp.floating) and not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(
                f"{here}: expected real floating-point features, got {leaf.dtype}; "
                "symbols want jax.nn.one_hot or an embedding first, counts want .astype(float)"
            )
        if leading is not None and came[: len(came) - rank] != leading:
            raise ValueError(f"{name}: expected the same leading axes in every leaf, got {describe(xs)}")
        leading = came[: len(came) - rank]
    for x in times:
        beside(x, name, letters)
    return leading or ()


def _axes(letters: str, like: Any) -> str:
    """The axes of an array whose last ones are those of `like`: a vector's by its letter, others by their sizes."""
    front, _, letter = letters.rpartition(", ")
    if len(like.shape) == 1:
        return f"{letters} with {letter[:-1]}={like.shape[0]}"
    return f"{', '.join([front, *map(str, like.shape)])}]"


def step(cell: Any, params_: Any, carry_: Any, x: Any) -> None:
    """Raise if the params, carry and input of a step do not fit one another."""
    params(cell, params_)
    rows, batch = carry(cell, params_, carry_), inputs(cell, params_, x, "x", "[..., D]")
    if cell.input is not None and rows != batch:
        raise ValueError(
            f"carry: expected leading axes {batch}, as x has, got {rows}; "
            f"make it with cell.initial_carry(params, {batch})"
        )


def unroll(cell: Any, params_: Any, carry_: Any, xs: Any, *rows: Any) -> tuple[int, tuple[int, ...]]:
    """Raise if the arguments of `unroll`, all of them in its order, do not fit one another; return T and batch axes.

    lengths, mask and reset are as `rows.read` gives them.
    """
    lengths, mask, reset, reverse, engine, key_ = rows
    if not hasattr(cell, "start"):
        came = getattr(cell, "__name__", None) or describe(cell)
        raise TypeError(
            f"cell: expected a Cell, such as jaxrnn.gru(hidden_size), got {came}; "
            "the order is (cell, params, carry, xs)"
        )
    if engine is not None and not callable(engine):
        raise TypeError(
            f"engine: expected a function (cell, params, carry, xs) -> (carry, ys), such as jaxrnn.engines.scan, "
            f"got {engine!r}"
        )
    if not isinstance(reverse, bool):
        raise TypeError(f"reverse: expected True or False, known when traced, got {reverse!r}")
    if key_ is not None:
        key(key_)
    params(cell, params_)
    leading = inputs(cell, params_, xs, "xs", "[T, ..., D]")
    if not leading:
        raise ValueError(f"xs: expected [T, ..., D], got {describe(xs)}: no time axis; one step is cell.step")
    time, batch = leading[0], leading[1:]
    if carry_ is not None:
        rows = carry(cell, params_, carry_)
        if cell.input is None:
            batch = rows
        if rows != batch:
            if rows == leading:
                cure = "if xs is one step [..., D], call cell.step"
            else:
                cure = f"pass carry=None, or make it with cell.initial_carry(params, {batch})"
            raise ValueError(f"carry: expected leading axes {batch}, as xs [T, ..., D] has after T, got {rows}; {cure}")
    _flags(mask, "mask", time, batch, "False holds the carry")
    _flags(reset, "reset", time, batch, "True restarts the carry")
    if lengths is not None:
        _lengths(lengths, mask, time, batch)
    return time, batch


def _flags(flags: Any, name: str, time: int, batch: tuple[int, ...], meaning: str) -> None:
    if flags is None:
        return
    if getattr(flags, "dtype", None) != jnp.bool_:
        raise TypeError(
            f"{name}: expected [T, ...] of bool ({meaning}), got {describe(flags)}; write jnp.asarray({name}, bool)"
        )
    if shape(flags) != (time, *batch):
        raise ValueError(
            f"{name}: expected [T, ...] = {(time, *batch)}, the axes of xs before its features, got {shape(flags)}"
        )


def _lengths(lengths: Any, mask: Any, time: int, batch: tuple[int, ...]) -> None:
    if type(lengths) is not int and not jnp.issubdtype(getattr(lengths, "dtype", bool), jnp.integer):
        raise TypeError(
            f"lengths: expected [...] of int, steps in each row, got {describe(lengths)}; "
            "write jnp.asarray(lengths, int)"
        )
    if shape(lengths) != batch:
        raise ValueError(
            f"lengths: expected [...] = {batch}, the axes of xs between T and its features, got {shape(lengths)}; "
            "xs is time first"
        )
    if is_traced(lengths):
        return
    steps = np.asarray(lengths)
    wrong = (steps < 0) | (steps > time)
    if wrong.any():
        row = np.unravel_index(int(np.argmax(wrong)), steps.shape)
        raise ValueError(f"lengths: expected 0 to T={time} steps, got {int(steps[row])}{_in_row(row)}")
    if mask is None or is_traced(mask):
        return
    past = np.asarray(mask) & (np.arange(time).reshape(-1, *[1] * steps.ndim) >= steps)
    if past.any():
        at, *row = (int(i) for i in np.unravel_index(int(np.argmax(past)), past.shape))
        raise ValueError(
            f"mask: disagrees with lengths: True at step {at}{_in_row(row)}, which has {int(steps[tuple(row)])} "
            "steps; a mask given with lengths may only take steps away"
        )


def _in_row(index: Any) -> str:
    return f" in row {place(index)}" if len(index) else ""


def place(index: Any) -> str:
    """An index for a message: a number, or a tuple of several."""
    index = tuple(int(i) for i in index)
    return str(index[0]) if len(index) == 1 else str(index)
