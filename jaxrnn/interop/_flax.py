"""flax's recurrent layers, of linen and of nnx: weights in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn.cells import CELLS
from jaxrnn.interop import _flax_cells as forms
from jaxrnn.interop import _flax_modules as modules
from jaxrnn.interop._layers import Direction, assembled, layers, refused
from jaxrnn.interop._weights import Weights, outward


def from_flax(
    weights: Any,
    *,
    activation: Any = None,
    gate_activation: Any = None,
    residual: bool | None = None,
    merge: Any = None,
    dtype: Any = None,
) -> tuple[Cell, Params]:
    """(cell, params) of flax's RNN and Bidirectional of a SimpleCell, LSTMCell, OptimizedLSTMCell, GRUCell or MGUCell.

    weights: of linen its variables or params, {"params": {"cell": {"ii": {"kernel": ...}, ...}}} or any of the inner
        mappings, or a module bound to them; of nnx a module, `nnx.state(module, nnx.Param)`, or that as a plain dict.
        Those of a bare cell do too. A list of such is a stack. Plain mappings of arrays need no flax.
    activation, gate_activation: names or functions, as activation_fn and gate_fn of the cell. Arrays do not say them:
        without them a SimpleCell is refused, and the others are taken to have flax's defaults, "tanh" and "sigmoid".
    residual: whether the SimpleCell has residual=True; None: it has not.
    merge: of Bidirectional, "concat" (the default), "sum", "mean" or a function, as its merge_fn.
    A module says these four itself.
    dtype: the type to cast to, such as "float32"; None: that of the weights.

    | flax | jaxrnn |
    |---|---|
    | linen i with bias; h | `elman`; of residual=True with the identity added to recurrent_kernel |
    | nnx dense_i [D, H] with bias; dense_h | `elman`; the same |
    | ii, if (nnx: if_), ig, io; hi, hf, hg, ho with biases | `lstm`: kernel [D, 4H]; recurrent_kernel [H, 4H], bias |
    | nnx dense_i [D, 4H]; dense_h with bias | `lstm` |
    | linen ir, iz, in with biases; hr, hz, hn; bias of hn | `gru`; the last is recurrent_bias of n, r's and z's are 0 |
    | nnx dense_i [D, 3H] with bias; dense_h | `gru`; recurrent_bias is 0 |
    | linen if, in with biases; hf, hn; bias of hn | `mgu_reset_after` |
    | the same without bias of hn (reset_gate=False) | `gated`, f's columns and bias negated: its g is 1 - f |
    | forward_rnn, backward_rnn of Bidirectional | `bidirectional` |

    flax's carry is (c, h), ours `LSTMCarry(h, c)`. Its GRUCell has one bias for r and for z, `gru` has two: under SGD
    they move twice as far together, so for the same training freeze recurrent_bias there (of nnx wholly).

    Raises KeyError for a name that is missing, ValueError for one too many, for another shape, numbers that are not
    finite, and options that are missing or not the module's; TypeError for ConvLSTMCell, carry_init, RNN(reverse=True)
    and other modules or types.

        cell, params = from_flax(variables)  # of nn.RNN(nn.OptimizedLSTMCell(64)), [B, T, D]
        carry, ys = jaxrnn.unroll(cell, params, None, xs)  # xs [T, B, D]
        variables = {"params": {"cell": params}}  # those of jaxrnn.linen.RNN(cell)
    """
    listed = isinstance(weights, list | tuple)
    if listed and not weights:
        raise ValueError("weights: expected one layer or more, got an empty list")
    asked = {"activation": activation, "gate_activation": gate_activation, "residual": residual}
    rows, merges = [], set()
    for i, value in enumerate(weights if listed else [weights]):
        row, merged = _layer(value, f"weights[{i}]" if listed else "weights", asked, dtype)
        rows.append(row)
        if len(row) == 2:
            merges.add(_agreed("merge", merge, merged, "concat"))
    if len(merges) > 1 or (merge is not None and not merges):
        found = f"those of {sorted(map(str, merges))}" if merges else "layers of one direction"
        raise ValueError(f"merge: expected one for all layers of two directions, got {found}")
    cell, params = assembled(rows, merge=next(iter(merges), "concat"))
    checks.params(cell, params)  # that layers fit one another
    return cell, params


def _layer(value: Any, name: str, asked: dict[str, Any], dtype: Any) -> tuple[tuple[Direction, ...], Any]:
    """(a cell for each direction, the merge that a module says)."""
    merged, said = None, []
    if modules.api_of(value) is not None:
        merged, said = modules.said(value, name)
        value = modules.arrays(value, name)
    if not isinstance(value, Mapping):
        came = checks.describe(value)
        raise TypeError(f"{name}: expected flax's params, a mapping, a module of flax, or a list of such, got {came}")
    flat = modules.flattened(value)
    if any(key.startswith("rngs/") for key in flat):
        raise ValueError(f"{name}: expected parameters, got random state too: pass nnx.state(module, nnx.Param)")
    given = Weights(flat, name, dtype)
    prefix = "params/" if flat and all(key.startswith("params/") for key in flat) else ""
    ends = [prefix]
    if any(key.startswith(f"{prefix}{way}/") for key in flat for way in modules.WAYS):
        ends = [f"{prefix}{way}/" for way in modules.WAYS]
    row = []
    for i, end in enumerate(ends):
        if any(key.startswith(f"{end}cell/") for key in flat):
            end += "cell/"
        inner = {key[len(end) :]: a for key, a in flat.items() if key.startswith(end)}
        form = forms.form_of(inner, f"{name}[{end!r}]" if end else name)
        params = forms.ours(form, inner, given, end)
        row.append(_made(form, params, asked, said[i] if said else None, dtype))
    given.end()
    return tuple(row), merged


def _made(form: forms.Form, params: Params, asked: dict[str, Any], said: modules.Said | None, dtype: Any) -> Direction:
    stored = params["kernel"].dtype
    if form.cell == "elman":
        if asked["gate_activation"] is not None:
            raise ValueError(
                f"gate_activation: expected None, as SimpleCell has no gates, got {asked['gate_activation']!r}"
            )
        activation = _agreed("activation", asked["activation"], said and said.activation, None)
        if activation is None:
            raise ValueError("activation: expected a name such as 'tanh' or 'relu': SimpleCell's arrays do not say it")
        if _agreed("residual", asked["residual"], said and said.residual, False):
            params = forms.with_old(params, 1)
        options = {"activation": activation}
    else:
        if asked["residual"]:
            raise ValueError(f"residual: expected None, as {form.kind} has no such option, got {asked['residual']!r}")
        options = {
            "activation": _agreed("activation", asked["activation"], said and said.activation, "tanh"),
            "gate_activation": _agreed(
                "gate_activation", asked["gate_activation"], said and said.gate_activation, "sigmoid"
            ),
        }
    if said is not None and dtype is None and said.dtype is not None and jnp.dtype(said.dtype) != stored:
        options["dtype"] = said.dtype
    size = params["recurrent_kernel"].shape[0]
    cell = CELLS[form.cell](size, param_dtype=stored, **options)
    forms.symmetric(
        cell,
        lambda reason, nearest: TypeError(f"gate_activation: MGUCell(reset_gate=False) has {reason}; take {nearest}"),
    )
    return Direction(cell, params)


def _agreed(option: str, asked: Any, said: Any, default: Any) -> Any:
    """What was asked for or a module says, which must be the same."""
    asked = modules.normal(asked)
    if None not in (asked, said) and asked != said:
        raise ValueError(f"{option}: expected None or {said!r}, as the module says, got {asked!r}")
    found = asked if said is None else said
    return default if found is None else found


def to_flax(cell: Cell, params: Params, *, api: str | None = None, kind: str | None = None, into: Any = None) -> Any:
    """flax's params of what the cell computes: NumPy arrays under the names of RNN or Bidirectional; of a stack a list.

    api: "linen" or "nnx", whose names differ. With `into` its own.
    kind: of nnx and `lstm`, "OptimizedLSTMCell" (None) or "LSTMCell", which store other arrays.
    into: a module to fill and return instead: an RNN, Bidirectional or a bare cell, of a stack a list of them. One of
        nnx must have the sizes and types of ours, and is filled in place; of one of linen, a copy bound to the params
        is returned. Its activation_fn, gate_fn, residual, reset_gate, dtype and merge_fn must say what ours say.

    The table of `from_flax`, from right to left. Arrays do not say activations, merge and dtype: write
    activation_fn, gate_fn, merge_fn and dtype as ours are. `gated` becomes MGUCell(reset_gate=False). Of `gru`, the
    recurrent biases of r and z are added to the bias: the same function to rounding. Under SGD those two biases move
    twice as far as flax's one.

    Raises TypeError for what flax does not have: other cells and options (peepholes, ...), dropout within a stack, in
    nnx a `gru` with a recurrent bias of n that is not 0 and MGUCell (linen has both); and for another module in `into`.
    ValueError for other sizes and types of it, and for another api or kind.

        variables = {"params": to_flax(cell, params, api="linen")}  # those of nn.RNN(nn.OptimizedLSTMCell(64))
        model = to_flax(cell, params, into=nnx.RNN(nnx.GRUCell(5, 64, rngs=nnx.Rngs(0))))
    """
    rows, options = layers(cell, params, "flax")
    if options["dropout"]:
        raise refused(cell, "flax", "no dropout between the layers of a list", "dropout=0.0, and nn.Dropout between")
    if into is None:
        if api not in ("linen", "nnx"):
            raise ValueError(f"api: expected 'linen' or 'nnx', got {api!r}")
        trees = [modules.nested([_theirs(d, api, kind) for d in row]) for row in rows]
        trees = outward(trees)
        return trees if len(trees) > 1 else trees[0]
    targets = list(into) if isinstance(into, list | tuple) else [into]
    if len(targets) != len(rows):
        raise ValueError(f"into: expected {len(rows)} layers, as {cell!r} has, got {len(targets)}")
    trees = [_tree(row, target, options["merge"], api, kind) for row, target in zip(rows, targets, strict=True)]
    made = [modules.filled(target, tree) for target, tree in zip(targets, trees, strict=True)]
    return made if isinstance(into, list | tuple) else made[0]


def _theirs(direction: Direction, api: str, kind: str | None) -> Any:
    return forms.theirs(forms.form_for(direction.cell, api, kind), *direction)


def _tree(row: tuple[Direction, ...], module: Any, merge: Any, api: str | None, kind: str | None) -> Any:
    """The arrays of a layer for this module. Raises unless the module computes what the layer does."""
    came = modules.api_of(module)
    if came is None or api not in (None, came):
        raise TypeError(f"into: expected a module of flax{f'.{api}' if api else ''}, got {type(module)}")
    merged, said = modules.said(module, "into")
    if len(said) != len(row):
        wanted = "a Bidirectional" if len(row) == 2 else "an RNN or a cell"
        raise TypeError(f"into: expected {wanted}, as the layer has {len(row)} directions, got {type(module).__name__}")
    if merged != (merge if len(row) == 2 else None):
        raise TypeError(f"into: expected a merge_fn for merge={merge!r}, got {merged!r}")
    arrays = []
    for direction, says in zip(row, said, strict=True):
        cell, params = direction
        form = forms.form_for(cell, came, kind or (says.kind if says.cell == cell.name else None))
        stored = params["kernel"].dtype
        ours = {"kind": form.kind, "cell": cell.name, "size": params["recurrent_kernel"].shape[0]}
        ours |= {k: cell.options.get(k) for k in ("activation", "gate_activation")}
        ours["dtype"] = jnp.dtype(cell.options["dtype"] or stored)
        theirs = says._asdict() | {"dtype": jnp.dtype(says.dtype or stored)}
        for name, value in ours.items():
            if theirs[name] != value:
                error = ValueError if name == "size" else TypeError
                raise error(f"into: expected {name}={value!r}, as {cell!r} has, got {theirs[name]!r} of {says.kind}")
        if says.residual:
            params = forms.with_old(params, -1)
        arrays.append(forms.theirs(form, cell, params))
    tree = modules.nested(arrays, module)
    if came == "nnx":
        modules.fits(module, tree)
    return tree
