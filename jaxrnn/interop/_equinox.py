"""Equinox's LSTMCell and GRUCell: weights in and out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn.cells import CELLS
from jaxrnn.interop._layers import Direction, assembled, layers, plain, refused
from jaxrnn.interop._weights import Weights, known_zero, outward

GATES = {"lstm": 4, "gru": 3}
BIASES = {"lstm": ("bias",), "gru": ("bias", "bias_n")}
KINDS = {"LSTMCell": "lstm", "GRUCell": "gru"}


def from_equinox(weights: Any, *, dtype: Any = None) -> tuple[Cell, Params]:
    """(cell, params) of an eqx.nn.LSTMCell or eqx.nn.GRUCell, or of a list of them, which is a stack.

    weights: the cell, or a mapping of its arrays: {"weight_ih": ..., "weight_hh": ..., "bias": ..., "bias_n": ...}.
        Equinox need not be installed for a mapping.
    dtype: the type to cast to, such as "float32"; None: that of the weights.

    | Equinox | jaxrnn |
    |---|---|
    | weight_ih [G·H, D] | kernel [D, G·H], transposed; the gates have one order |
    | weight_hh [G·H, H] | recurrent_kernel [H, G·H], transposed |
    | bias [G·H] | bias |
    | bias_n [H] of GRUCell | recurrent_bias of n; that of r and z is 0 |
    | no biases (use_bias=False) | zeros |

    A cell of Equinox has no batch axis and is called as cell(x, state); the state of its LSTMCell is (h, c). Its
    GRUCell has one bias for r and for z, `gru` has two: under SGD they move twice as far together, so for the same
    training freeze those of recurrent_bias.

    Raises KeyError for a name that is missing, ValueError for one too many, for another shape and numbers that are not
    finite, TypeError for other modules and types.

        cell, params = from_equinox(eqx.nn.GRUCell(5, 64, key=key))
        carry, ys = jaxrnn.unroll(cell, params, None, xs)  # xs [T, ..., 5] -> ys [T, ..., 64]
        cell, params = from_equinox([first, second])  # stack(gru(64), gru(64))
    """
    listed = isinstance(weights, list | tuple)
    if listed and not weights:
        raise ValueError("weights: expected one cell or more, got an empty list")
    cells = weights if listed else [weights]
    rows = [(_layer(w, f"weights[{i}]" if listed else "weights", dtype),) for i, w in enumerate(cells)]
    cell, params = assembled(rows)
    checks.params(cell, params)  # that layers fit one another
    return cell, params


def _layer(value: Any, name: str, dtype: Any) -> Direction:
    if not isinstance(value, Mapping):
        kind = _kind(value, name)
        value = {field: getattr(value, field) for field in ("weight_ih", "weight_hh", *BIASES[kind])}
    given = Weights({field: array for field, array in value.items() if array is not None}, name, dtype)
    U = given.take("weight_hh", {"G·H": None, "H": None}).T
    H, columns = U.shape
    kinds = [kind for kind, G in GATES.items() if columns == G * H]
    if not kinds:
        came = U.T.shape
        raise ValueError(f"{name}['weight_hh']: expected [G·H, H] with G = 3 (GRUCell) or 4 (LSTMCell), got {came}")
    [kind] = kinds
    params = {"kernel": given.take("weight_ih", {"G·H": columns, "D": None}).T, "recurrent_kernel": U}
    stored = params["kernel"].dtype
    biased = any(field in given for field in BIASES[kind])
    params["bias"] = given.take("bias", {"G·H": columns}) if biased else jnp.zeros(columns, stored)
    if kind == "gru":
        of_n = given.take("bias_n", {"H": H}) if biased else jnp.zeros(H, stored)
        params["recurrent_bias"] = jnp.concatenate([jnp.zeros(2 * H, of_n.dtype), of_n])
    given.end()
    return Direction(CELLS[kind](H, param_dtype=stored), params)


def _kind(module: Any, name: str) -> str:
    """Ours of a cell of Equinox. Raises TypeError for anything else."""
    kind = type(module)
    if kind.__name__ not in KINDS or not kind.__module__.startswith("equinox."):
        came = checks.describe(module) if hasattr(module, "dtype") else kind
        raise TypeError(
            f"{name}: expected an LSTMCell or GRUCell of Equinox, its arrays by name, or a list, got {came}"
        )
    return KINDS[kind.__name__]


def to_equinox(cell: Cell, params: Params, *, bias: bool = True, into: Any = None) -> Any:
    """The arrays of an eqx.nn.LSTMCell or eqx.nn.GRUCell that computes what the cell does; of a stack a list of them.

    They are NumPy arrays by Equinox's names.
    bias: False for a cell without biases (use_bias=False), if all of ours are 0.
    into: a cell of Equinox, of a stack a list of them, of which copies with these arrays are returned instead. It must
        have the sizes and types of ours, and says bias itself.

    The table of `from_equinox`, from right to left. Of `gru`, the recurrent biases of r and z are added to the bias:
    the same function to rounding. Under SGD those two biases move twice as far as Equinox's one.

    Raises TypeError for what Equinox does not have: other cells and options (activations, peepholes, ...), two
    directions, dropout within a stack; and for another cell in `into`. ValueError for other sizes and types of it, and
    for biases that are not known to be 0 where there are none.

        arrays = to_equinox(cell, params)  # {"weight_ih": ..., "weight_hh": ..., "bias": ...}
        module = to_equinox(cell, params, into=eqx.nn.LSTMCell(5, 64, key=key))
    """
    rows, options = layers(cell, params, "Equinox")
    if options["dropout"]:
        raise refused(
            cell, "Equinox", "no dropout between the cells of a list", "dropout=0.0, and eqx.nn.Dropout between"
        )
    if any(len(row) > 1 for row in rows):
        raise refused(cell, "Equinox", "no layer of two directions", "one cell for each direction")
    flat = [direction for [direction] in rows]
    if into is None:
        made = [outward(_theirs(direction, bias)) for direction in flat]
        return made if len(made) > 1 else made[0]
    targets = list(into) if isinstance(into, list | tuple) else [into]
    if len(targets) != len(flat):
        raise ValueError(f"into: expected {len(flat)} cells, as {cell!r} has layers, got {len(targets)}")
    filled = [_filled(target, direction) for target, direction in zip(targets, flat, strict=True)]
    return filled if isinstance(into, list | tuple) else filled[0]


def _theirs(direction: Direction, bias: bool) -> dict[str, jax.Array]:
    cell, params = direction
    plain(cell, "Equinox", dict.fromkeys(GATES, ()))
    p = {name: jnp.asarray(a) for name, a in params.items()}
    arrays = {"weight_ih": p["kernel"].T, "weight_hh": p["recurrent_kernel"].T}
    if not bias:
        ours = [params[name] for name in ("bias", "recurrent_bias") if name in params]
        if not all(map(known_zero, ours)):
            raise ValueError(f"bias: expected True, as the biases of {cell!r} are not known to be 0, got False")
        return arrays
    arrays["bias"] = p["bias"]
    if cell.name == "gru":
        H = len(p["recurrent_kernel"])
        d, arrays["bias_n"] = jnp.split(p["recurrent_bias"], [2 * H])
        arrays["bias"] += jnp.concatenate([d, jnp.zeros_like(arrays["bias_n"])])
    return arrays


def _filled(module: Any, direction: Direction) -> Any:
    """A copy of a cell of Equinox with the arrays of ours."""
    if _kind(module, "into") != direction.cell.name:
        raise TypeError(f"into: expected the cell of {direction.cell!r}, got {type(module).__name__}")
    arrays = _theirs(direction, module.use_bias)
    for name, ours in arrays.items():
        theirs = getattr(module, name)
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            wanted, came = checks.describe(ours), checks.describe(theirs)
            raise ValueError(f"into: expected {type(module).__name__} with {name} {wanted}, got {came}")
    copied = [a if is_traced(a) else jnp.array(a, copy=True) for a in arrays.values()]
    return sys.modules["equinox"].tree_at(lambda m: [getattr(m, name) for name in arrays], module, copied)
