"""The inputs of a cell: sequences of features as they are, or symbols as learned or one-hot vectors."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.rows import inside
from jaxrnn.train.regularizers import embedding_dropout


def sizes(vocabulary_size: Any, embedding_size: Any, dropout: float) -> None:
    """Raise ValueError for sizes that do not fit one another; None: features, and one-hot vectors."""
    if vocabulary_size is not None:
        checks.positive(vocabulary_size, "vocabulary_size")
    elif embedding_size is not None:
        raise ValueError("vocabulary_size: expected V with an embedding_size, got None")
    if embedding_size is not None:
        checks.positive(embedding_size, "embedding_size")
    elif dropout:
        raise ValueError(
            "embedding_size: expected a size with embedding_dropout, got None: one-hot inputs have no embedding"
        )
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ValueError(f"embedding_dropout: expected a probability, 0 <= embedding_dropout < 1, got {dropout!r}")


def embedding(key: Any, vocabulary_size: int, size: int, dtype: Any, *, tied: bool = False) -> jax.Array:
    """A new embedding [V, E], with entries of variance 1, or 1 / E if it is also the readout (tied)."""
    return initializers.normal(1.0 / math.sqrt(size) if tied else 1.0)(key, (vocabulary_size, size), dtype)


def embedded(
    params: Any, tokens: jax.Array, vocabulary_size: int, *, valid: Any = True, key: Any = None, dropout: float = 0.0
) -> jax.Array:
    """tokens [...] int -> vectors [..., E] of params["embedding"], or one-hot [..., V] if there is none.

    `key` and `dropout`: see `regularizers.embedding_dropout`. Tokens that are not `valid` may be any number.
    """
    tokens = arrays.whole(tokens, "tokens")
    fits(valid, checks.shape(tokens))
    tokens = jnp.where(valid, arrays.tokens(tokens, vocabulary_size, "tokens", valid=valid), 0)
    if "embedding" in params:
        return embedding_dropout(key, params["embedding"], dropout)[tokens]
    return jax.nn.one_hot(tokens, vocabulary_size, dtype=params["bias"].dtype)


def start(model: Any, key: Any, input_size: int | None) -> tuple[Params, jax.ShapeDtypeStruct]:
    """(new params {"cell", "embedding" if there is one}, the shape of y with the type to store other params in).

    input_size: D, for sequences of features; None for symbols.
    """
    V, E = model.vocabulary_size, model.embedding_size
    sized(V, input_size)
    checks.init(key, E or V or input_size)
    size = int(E or V or input_size or 0)
    k1, k2 = jax.random.split(key)
    params: dict[str, Any] = {"cell": model.cell.init(k1, size)}
    stored = max((a.dtype for a in jax.tree.leaves(params)), key=lambda d: d.itemsize)  # y may be narrower
    if V is not None and E is not None:
        params["embedding"] = embedding(k2, V, E, stored)
    y = one_output(model.cell, model.cell.outputs(params["cell"], jax.ShapeDtypeStruct((size,), stored)))
    return params, jax.ShapeDtypeStruct(y.shape, stored)


def sized(vocabulary_size: int | None, input_size: int | None) -> None:
    """Raise ValueError for a size given to symbols, which would not be used."""
    if vocabulary_size is not None and input_size is not None:
        raise ValueError(f"input_size: expected None for symbols, whose size is known, got {input_size!r}")


def one_output(cell: Cell, y: Any) -> Any:
    """`y`, the outputs of a model's cell or their shape. Raises TypeError if they are not one array."""
    if not hasattr(y, "shape"):
        raise TypeError(
            f"cell: expected one whose y is one array [..., H], for a readout, got {cell!r}, whose y is "
            f"{checks.describe(y)}; a model wants the cell without emit_carry, which unroll takes by itself"
        )
    return y


def stepped(cell: Cell, params: Params, size: int, dtype: Any) -> int:
    """H, the size of y for an x [size], by `step`, which raises for a cell that looks ahead at what it should predict.

    `outputs` and teacher forcing would accept such a cell.
    """
    x = jax.ShapeDtypeStruct((size,), dtype)
    y = jax.eval_shape(cell.step, params, jax.eval_shape(cell.start, params), x)[1]
    return one_output(cell, y).shape[-1]


def read(model: Any, params: Params, xs: jax.Array, options: dict[str, Any]) -> tuple[jax.Array, Any, dict[str, Any]]:
    """(xs [T, ..., D] or [T, ...] int as inputs of the model's cell, the valid steps, the options for `unroll`).

    A part of a key among the options goes to the embedding's dropout.
    """
    xs, key = given(model, xs), options.get("key")
    valid = valid_steps(xs.shape[0], options)
    if model.vocabulary_size is None:
        return xs, valid, options
    if key is not None:
        checks.key(key)
        key, rest = jax.random.split(key)
        options = {**options, "key": rest}
    how = {"valid": valid, "key": key, "dropout": model.embedding_dropout}
    return embedded(params, xs, model.vocabulary_size, **how), valid, options


def given(model: Any, xs: Any) -> Any:
    """xs as arrays: features as they are, symbols as int32."""
    return arrays.ours(xs, "xs") if model.vocabulary_size is None else arrays.whole(xs, "tokens")


def valid_steps(time: int, options: dict[str, Any]) -> Any:
    """[T, ...] bool: the steps that `lengths` and `mask`, options of `unroll`, allow; True if neither is given."""
    lengths, mask = options.get("lengths"), options.get("mask")
    valid = True if lengths is None else inside(lengths, time)
    return valid if mask is None else valid & jnp.asarray(arrays.ours(mask, "mask"), bool)


def fits(valid: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError if the valid steps, from lengths or a mask, do not fit sequences [T, ...] of this shape."""
    if valid is not True and checks.shape(valid) not in ((), shape):
        raise ValueError(
            f"lengths, mask: expected [...] = {shape[1:]} and [T, ...] = {shape}, the axes of xs, "
            f"got what says which of {checks.shape(valid)} steps are valid"
        )
