"""Modules of flax, read and filled: what they say beside their arrays. flax is there when one of them is given."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.numerics import known_name
from jaxrnn.interop._flax_cells import FORMS
from jaxrnn.interop._weights import outward

WAYS = ("forward_rnn", "backward_rnn")
CELLS = {f.kind: f.cell for f in reversed(FORMS)}


class Said(NamedTuple):
    """What a cell of flax says beside its arrays, in our words."""

    kind: str
    cell: str  # ours
    size: int
    activation: Any
    gate_activation: Any  # None if it has no gates
    residual: bool
    dtype: Any  # to compute in


def api_of(module: Any) -> str | None:
    """ "linen" or "nnx", None for what is no module of flax."""
    for api in "linen", "nnx":
        flax = sys.modules.get(f"flax.{api}")
        if flax is not None and isinstance(module, flax.Module):
            return api
    return None


def flattened(tree: Any) -> dict[str, Any]:
    """The arrays of nested mappings, by their path; a Variable of nnx is its value."""
    if not isinstance(tree, Mapping):
        return {"": tree.get_value() if hasattr(tree, "get_value") else tree}
    found = {}
    for key, value in tree.items():
        found |= {f"{key}/{path}".removesuffix("/"): leaf for path, leaf in flattened(value).items()}
    return found


def arrays(module: Any, name: str) -> Any:
    """The arrays of a module, as nested mappings. Raises TypeError for one of linen that has none."""
    if api_of(module) == "nnx":
        nnx = sys.modules["flax.nnx"]
        return nnx.state(module, nnx.Param)
    if module.scope is None:
        raise TypeError(f"{name}: expected arrays, got a module of linen, which has none: pass module.bind(variables)")
    return module.variables.get("params", {})


def said(module: Any, name: str) -> tuple[Any, list[Said]]:
    """(merge of two directions, else None; what each of its cells says). Raises TypeError for what we do not have."""
    if all(hasattr(module, way) for way in WAYS):
        cells = [getattr(module, way).cell for way in WAYS]
        return _merge(module.merge_fn), [_cell(cell, name) for cell in cells]
    if getattr(module, "reverse", False):
        raise TypeError(
            f"{name}: expected a layer whose arrays say all, got RNN(reverse=True): a cell of jaxrnn has no direction; "
            "pass its cell, and run unroll(..., reverse=True)"
        )
    return None, [_cell(getattr(module, "cell", module), name)]


def _cell(cell: Any, name: str) -> Said:
    kind = type(cell).__name__
    if kind == "ConvLSTMCell":
        raise TypeError(f"{name}: expected a recurrent cell of flax, got a ConvLSTMCell, whose arrays are not taken")
    if kind not in CELLS or not type(cell).__module__.startswith("flax."):
        raise TypeError(f"{name}: expected an RNN, Bidirectional, {', '.join(CELLS)} of flax, got {type(cell)}")
    start = cell.carry_init
    if start is not None and start is not jax.nn.initializers.zeros:
        raise TypeError(
            f"{name}: expected a carry that starts at 0, got {kind}(carry_init={getattr(start, '__name__', start)}); "
            "pass the carry to unroll, or wrap the cell in learned_carry"
        )
    gate = getattr(cell, "gate_fn", None)
    return Said(
        kind,
        CELLS[kind] if getattr(cell, "reset_gate", True) else "gated",
        getattr(cell, "hidden_features", getattr(cell, "features", 0)),
        normal(cell.activation_fn),
        None if gate is None else normal(gate),
        getattr(cell, "residual", False),
        cell.dtype,
    )


def normal(function: Any) -> Any:
    """The name of a function that has one here."""
    return (known_name(function) or function) if callable(function) else function


def _merge(function: Any) -> Any:
    if getattr(function, "__module__", "").startswith("flax.") and function.__name__ == "_concatenate":
        return "concat"
    return "sum" if function is jnp.add else normal(function)


def nested(cells: list[Any], module: Any = None) -> Any:
    """The arrays of one cell, or of two, under the names of the module; without one, those of RNN or Bidirectional."""
    if len(cells) == 2:
        return {way: {"cell": cell} for way, cell in zip(WAYS, cells, strict=True)}
    return {"cell": cells[0]} if module is None or hasattr(module, "cell") else cells[0]


def fits(module: Any, tree: Any) -> None:
    """Raise ValueError unless the arrays of a module of nnx have these names, shapes and types."""
    ours, theirs = flattened(tree), flattened(arrays(module, "into"))
    came, wanted = ({k: f"{a.dtype}{checks.shape(a)}" for k, a in flat.items()} for flat in (theirs, ours))
    wrong = [f"{k} {wanted.get(k)}, got {came.get(k)}" for k in {**wanted, **came} if wanted.get(k) != came.get(k)]
    if wrong:
        raise ValueError(f"into: expected a module with {'; '.join(wrong)}")


def filled(module: Any, tree: Any) -> Any:
    """The module with these arrays: one of nnx itself, one of linen bound to them."""
    tree = jax.tree.map(jnp.asarray, outward(tree))
    if api_of(module) == "linen":
        return module.bind({"params": tree})
    sys.modules["flax.nnx"].update(module, tree)
    return module
