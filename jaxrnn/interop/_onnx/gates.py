"""A cell's params in the layout of an ONNX node, and back.

    ONNX     W [G·H, D], R [G·H, H], B = [Wb | Rb] [2G·H], P [3H]: gates i, o, f, c (LSTM) and z, r, h (GRU) by rows,
             peepholes in the order i, o, f
    jaxrnn   kernel [D, G·H], recurrent_kernel [H, G·H], bias [G·H], peephole [3H]: i, f, g, o; r, z, n; i, f, o

Where input_forget couples, theirs keeps i and has f = 1 - i, ours keeps f and has i = 1 - f. As 1 - sigmoid(z) is
sigmoid(-z), our f is their i with the sign of all its weights turned; their f has none, and 0 stands in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jaxrnn import cells
from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.numerics import compute_dtype
from jaxrnn._core.quantized import is_int8
from jaxrnn.interop._onnx.activations import Spec, option, spec

OPERATORS = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU"}
GATES = {"RNN": "h", "LSTM": "iofc", "GRU": "zrh"}
OURS = {"RNN": "h", "LSTM": "ifco", "GRU": "rzh"}  # our order, in their letters
ACTIVATIONS = {"RNN": 1, "LSTM": 3, "GRU": 2}


class Packed(NamedTuple):
    """One direction of a node."""

    operator: str
    activations: tuple[Spec, ...]
    flags: dict[str, int]  # input_forget, linear_before_reset
    clip: float | None
    weights: dict[str, np.ndarray]  # W, R, B, and P if there are peepholes
    int8: Mapping[str, tuple[np.ndarray, np.ndarray]] = MappingProxyType({})  # W and R: values, a scale for each row
    dynamic: bool = False  # what these are multiplied with is rounded to int8 as well


def packed(cell: Cell, params: Params) -> Packed | None:
    """The cell as one direction of a native node; None if no node is equal to it, or if its params are computed."""
    operator, options = OPERATORS.get(cell.name), cell.options
    if operator is not None and any(map(is_int8, params.values())):
        return _packed_in_int8(cell, params)
    if operator is None or not all(isinstance(a, np.ndarray) for a in params.values()):
        return None
    dtype = compute_dtype(options["dtype"], params)
    if dtype not in (np.float32, np.float64) or options.get("cell_dtype") not in (None, dtype):
        return None
    if options.get("projection") is not None or options.get("cell_clip") is not None:
        return None
    found = _activations(cell, wide=dtype == np.float64)
    if found is None:
        return None
    named = {name: np.asarray(a).astype(dtype) for name, a in params.items()}
    flags = {"GRU": {"linear_before_reset": int(cell.name == "gru")}}.get(operator, {})
    if operator == "LSTM":
        coupled = options["coupled"]
        if coupled and not odd(found[0]):
            return None
        flags = {"input_forget": int(coupled)}
        named = _coupled_out(named) if coupled else named
    order, ours = GATES[operator], OURS[operator]
    weights = {
        "W": _ordered(named["kernel"].T, ours, order),
        "R": _ordered(named["recurrent_kernel"].T, ours, order),
        "B": np.concatenate([_ordered(b, ours, order) for b in _biases(named)]),
    }
    if "peephole" in named:
        weights["P"] = _ordered(named["peephole"], "ifo", "iof")
    return Packed(operator, tuple(a._replace(clip=None) for a in found), flags, found[0].clip, weights)


def _packed_in_int8(cell: Cell, params: Params) -> Packed | None:
    """The same for kernels in int8. Values and scales are laid out alike, each as if it were the kernel."""
    kernels = {name: a for name, a in params.items() if is_int8(a)}
    values, scales = (
        packed(cell, params | {name: np.broadcast_to(of(a), a.shape).astype(a.dtype) for name, a in kernels.items()})
        for of in (lambda a: a.values, lambda a: a.scales[None])
    )
    if values is None or scales is None:
        return None
    found = {}
    for name, w in ("kernel", "W"), ("recurrent_kernel", "R"):
        if name in kernels:  # a sign that was turned is the values' alone
            found[w] = values.weights[w].astype(np.int8), np.abs(scales.weights[w][:, 0])
    weights = {w: v * s[:, None] for w, (v, s) in found.items()}
    dynamic = any(a.dynamic for a in kernels.values())
    return values._replace(weights=values.weights | weights, int8=found, dynamic=dynamic)


def _activations(cell: Cell, wide: bool) -> list[Spec] | None:
    """Those of a node, in ONNX's order: f; f, g; f, g, h. None if it cannot say them."""
    act, gate = cell.options["activation"], cell.options.get("gate_activation")
    chosen = [act] if gate is None else [gate, act]
    if cell.name == "lstm":
        chosen.append(cell.options["output_activation"] or act)
    found = [known for a in chosen if (known := spec(a, wide)) is not None]
    if len(found) < len(chosen) or found[0].clip != found[:2][-1].clip:
        return None
    return None if cell.name == "lstm" and found[2].clip is not None else found  # c on its way to h is not clipped


def unpacked(direction: Packed) -> tuple[Cell, Params]:
    """The cell and params of one direction of a node: the inverse of `packed`. Raises ValueError if there are none."""
    operator, found, flags, clip, weights, *_ = direction
    H, dtype = weights["R"].shape[1], weights["W"].dtype.name
    acts = [option(a._replace(clip=None if n == 2 else clip)) for n, a in enumerate(found)]
    typed: dict[str, Any] = {} if dtype == "float32" else {"param_dtype": dtype}
    order, ours = GATES[operator], OURS[operator]
    Wb, Rb = (_ordered(b, order, ours) for b in np.split(weights["B"], 2))
    kernels = {name: _ordered(weights[w], order, ours).T for name, w in (("kernel", "W"), ("recurrent_kernel", "R"))}
    merged = {**kernels, "bias": Wb + Rb if Rb.any() else Wb}
    if operator == "RNN":
        return cells.elman(H, activation=acts[0], **typed), merged
    if operator == "GRU":
        typed |= {"gate_activation": acts[0], "activation": acts[1]}
        if flags["linear_before_reset"]:
            return cells.gru(H, **typed), {**kernels, "bias": Wb, "recurrent_bias": Rb}
        return cells.gru_reset_before(H, **typed), merged
    if "P" in weights:
        merged["peephole"] = _ordered(weights["P"], "iof", "ifo")
    if flags["input_forget"]:
        if not odd(found[0]):
            raise ValueError(
                f"input_forget: expected Sigmoid, or HardSigmoid around 0.5, for gates that are coupled, got "
                f"{found[0].kind}: ONNX has f = 1 - i and jaxrnn i = 1 - f, equal where 1 - a(z) = a(-z)"
            )
        merged = _coupled_in(merged)
    typed |= {"peepholes": "P" in weights, "coupled": bool(flags["input_forget"]), "gate_activation": acts[0]}
    out = None if acts[2] == acts[1] else acts[2]
    return cells.lstm(H, activation=acts[1], output_activation=out, **typed), merged


def odd(found: Spec) -> bool:
    """Whether 1 - a(z) = a(-z)."""
    return found.kind == "Sigmoid" or (found.kind == "HardSigmoid" and found.numbers[1] == 0.5)


def _biases(named):
    """Wb and Rb: where we have one bias, it is Wb."""
    bias = named["bias"]
    return bias, named.get("recurrent_bias", np.zeros_like(bias))


def _ordered(blocks, came, wanted):
    """[G·H, ...] with blocks for the letters `came`, in the order `wanted`."""
    named = dict(zip(came, np.split(blocks, len(came)), strict=True))
    return np.concatenate([named[letter] for letter in wanted])


def _coupled_out(named):
    """Params with gates f, g, o as those with gates i, f, g, o that input_forget couples."""
    f = {name: a[..., : a.shape[-1] // (2 if name == "peephole" else 3)] for name, a in named.items()}
    return {
        name: np.concatenate([-f[name], np.zeros_like(f[name]), a[..., f[name].shape[-1] :]], -1)
        for name, a in named.items()
    }


def _coupled_in(named):
    """The inverse: what stands in the place of their f is not read by them either."""
    i = {name: a[..., : a.shape[-1] // (3 if name == "peephole" else 4)] for name, a in named.items()}
    return {name: np.concatenate([-i[name], a[..., 2 * i[name].shape[-1] :]], -1) for name, a in named.items()}
