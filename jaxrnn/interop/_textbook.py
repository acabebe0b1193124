"""Params from a kernel over the concatenation of x and h, as textbooks write it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params


def concatenated(
    cell: Cell,
    kernel: Any,
    bias: Any,
    *,
    input_size: int,
    order: str = "xh",
    gates: str | None = None,
    transposed: bool = False,
    recurrent_bias: Any = None,
    peephole: Any = None,
    projection: Any = None,
) -> Params:
    """Params of `cell` from one kernel over [x | h]: kernel [D+H, G·H] and bias [G·H], for [x | h] @ kernel + bias.

    order: "xh", rows of x first, or "hx", rows of h first, as in the drawings that write W·[h, x].
    gates: the letters of the blocks of columns, in their order, such as "igfo"; None: as `cell.gates`.
    transposed: the kernel is W [G·H, D+H], for W @ [x; h].
    recurrent_bias: [G·H], its blocks in the order of the kernel's, for `gru`; [H], of n, for `mgu_reset_after`.
    peephole, projection: in the cell's own layout, if it has them. With a projection [H, P] the kernel is [D+P, G·H].

    kernel, bias and recurrent_bias may each be a mapping from a gate's letter to its own block instead:
    {"i": W_i, ...} with W_i [D+H, H] (transposed [H, D+H]), {"i": b_i, ...} with b_i [H].

    The values are used as they are: no forget bias is added. They are cast to the cell's param_dtype.

    `gru_reset_before` reads n's block as a kernel over [x | r h]. `gru` reads it as n = tanh(x W + b + r (h U + d)),
    where d has no place in a concatenation: recurrent_bias is 0 unless given, which is exact for a text without d_n
    (d_r and d_z only add to the bias). So does `mgu_reset_after`. In both GRUs, z keeps the old state: if a text's z
    lets the new one in, h' = (1 - z) h + z n, negate z's block of kernel and bias. In `gated`, g lets the new one in.

    Raises ValueError or TypeError for arguments that do not fit the cell.
    """
    D = checks.positive(input_size, "input_size")
    expected = _expected(cell, D)
    P, width = expected["recurrent_kernel"].shape
    letters, H = cell.gates, width // len(cell.gates)
    if order not in ("xh", "hx"):
        raise ValueError(f"order: expected 'xh' (rows of x first) or 'hx' (rows of h first), got {order!r}")
    if gates is not None and sorted(gates) != sorted(letters):
        raise ValueError(f"gates: expected the letters of {letters!r} in the order of the kernel, got {gates!r}")
    for name, value in ("recurrent_bias", recurrent_bias), ("peephole", peephole), ("projection", projection):
        if value is not None and name not in expected:
            raise TypeError(f"{name}: expected None, as {cell!r} has no such parameter, got {checks.describe(value)}")

    def in_order(name, value, rows, transposed=False):
        """The blocks side by side in the cell's order: [*rows, G·H]."""
        if not isinstance(value, Mapping):
            whole = _array(name, value, {**rows, "G·H": width}, transposed)
            blocks = dict(zip(gates or letters, jnp.split(whole, len(letters), axis=-1), strict=True))
        elif value.keys() == set(letters):
            blocks = {gate: _array(f"{name}[{gate!r}]", value[gate], {**rows, "H": H}, transposed) for gate in letters}
        else:
            raise ValueError(f"{name}: expected one block for each gate of {letters!r}, got the keys {list(value)}")
        return jnp.concatenate([blocks[gate] for gate in letters], axis=-1)

    both = in_order("kernel", kernel, {"D+P" if "projection" in expected else "D+H": D + P}, transposed)
    of_x, of_h = (both[:D], both[D:]) if order == "xh" else (both[P:], both[:P])
    params = {"kernel": of_x, "recurrent_kernel": of_h, "bias": in_order("bias", bias, {})}
    if "recurrent_bias" in expected:
        held = expected["recurrent_bias"].shape
        d = np.zeros(held) if recurrent_bias is None else recurrent_bias
        whole = held == (width,)
        params["recurrent_bias"] = in_order("recurrent_bias", d, {}) if whole else _array("recurrent_bias", d, {"H": H})
    if "peephole" in expected:
        params["peephole"] = _array("peephole", peephole, {"(G-1)·H": width - H})
    if "projection" in expected:
        params["projection"] = _array("projection", projection, {"H": H, "P": P})
    return jax.tree.map(lambda array, like: array.astype(like.dtype), params, expected)


def _expected(cell: Cell, input_size: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes and types of the cell's params. Raises TypeError if `concatenated` cannot make them."""
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), input_size)) if isinstance(cell, Cell) else None
    given = {"kernel", "recurrent_kernel", "bias"}
    also = {"recurrent_bias", "peephole", "projection"}
    if not (isinstance(params, dict) and given <= params.keys() <= given | also and cell.gates):
        raise TypeError(
            f"cell: expected one whose params are kernel, recurrent_kernel and bias, such as jaxrnn.lstm(H), "
            f"got {cell!r}; a stack takes one call for each layer"
        )
    return params


def _array(name: str, value: Any, axes: dict[str, int], transposed: bool = False) -> jax.Array:
    """`value` with these axes, which it has in reverse order if transposed; or an error that says what was expected."""
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    came = checks.describe(None if value is None else array)
    letters, shape = list(axes), tuple(axes.values())
    if transposed:
        letters, shape = letters[::-1], shape[::-1]
    if array.shape != shape:
        cure = f"; is it for transposed={not transposed}?" if len(shape) > 1 and array.shape == shape[::-1] else ""
        raise ValueError(f"{name}: expected [{', '.join(letters)}] = {shape}, got {came}{cure}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name}: expected real floating-point numbers, got {came}")
    return jnp.asarray(array.T if transposed else array)
