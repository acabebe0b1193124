"""The cells of flax: which of ours each is, and its arrays in our layout and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn.interop._layers import plain, refused
from jaxrnn.interop._weights import Weights, known_zero


class Form(NamedTuple):
    """How a cell of flax stores what one of ours computes."""

    api: str
    kind: str
    cell: str
    gates: int
    inputs: tuple[str, ...]  # its layers that read x: their kernels, side by side, are our kernel
    hidden: tuple[str, ...]  # those that read h
    bias: str  # which of the two have the bias
    inner: bool = False  # the last of those that read h has a bias too, which is inside a reset


LSTM = ("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho")
DENSE = ("dense_i",), ("dense_h",)
MGU = ("if", "in"), ("hf", "hn")

# Of several that hold a cell of ours, the first is taken where none is named. LSTMCell and OptimizedLSTMCell of linen
# store the same.
FORMS = (
    Form("linen", "SimpleCell", "elman", 1, ("i",), ("h",), "inputs"),
    Form("linen", "OptimizedLSTMCell", "lstm", 4, *LSTM, "hidden"),
    Form("linen", "LSTMCell", "lstm", 4, *LSTM, "hidden"),
    Form("linen", "GRUCell", "gru", 3, ("ir", "iz", "in"), ("hr", "hz", "hn"), "inputs", inner=True),
    Form("linen", "MGUCell", "mgu_reset_after", 2, *MGU, "inputs", inner=True),
    Form("linen", "MGUCell", "gated", 2, *MGU, "inputs"),  # reset_gate=False
    Form("nnx", "SimpleCell", "elman", 1, *DENSE, "inputs"),
    Form("nnx", "OptimizedLSTMCell", "lstm", 4, *DENSE, "hidden"),
    Form("nnx", "LSTMCell", "lstm", 4, ("ii", "if_", "ig", "io"), LSTM[1], "hidden"),
    Form("nnx", "GRUCell", "gru", 3, *DENSE, "inputs"),
)

SYMMETRIC = ("sigmoid", "hard_sigmoid")  # s(-z) = 1 - s(z)


def form_of(flat: Mapping[str, Any], name: str) -> Form:
    """The form whose names, and shapes where two share names, are nearest to those of the arrays.

    What it lacks or has too many is found where they are taken. Raises ValueError for names of no cell.
    """
    layers = {key.rpartition("/")[0] for key in flat}
    if layers == {"ih", "hh"}:
        raise TypeError(f"{name}: expected a recurrent cell of flax, got a ConvLSTMCell, whose arrays are not taken")
    form = min(FORMS, key=lambda f: len(layers ^ {*f.inputs, *f.hidden}))
    if not layers & {*form.inputs, *form.hidden}:
        names = "; ".join(sorted({f"{f.kind} {', '.join((*f.inputs, *f.hidden))}" for f in FORMS}))
        raise ValueError(f"{name}: expected the layers of a cell of flax ({names}), got {sorted(flat) or 'none'}")
    if form.hidden == DENSE[1]:
        rows, columns = _rows_columns(flat.get("dense_h/kernel"))
        gates = columns // rows if rows else 0
        known = {f.gates: f for f in FORMS if f.hidden == DENSE[1]}
        if rows and (gates not in known or columns % rows):
            each = ", ".join(f"{G} of {f.kind}" for G, f in known.items())
            came = checks.describe(flat["dense_h/kernel"])
            raise ValueError(f"{name}: expected dense_h/kernel [H, G·H] with G {each}, got {came}")
        form = known.get(gates, form)
    if form.kind == "MGUCell" and "hn/bias" not in flat:
        form = next(f for f in FORMS if f.cell == "gated")
    return form


def _rows_columns(array: Any) -> tuple[int | None, int]:
    shape = () if array is None else checks.shape(array)
    return shape if len(shape) == 2 else (None, 0)  # type: ignore[return-value]


def ours(form: Form, flat: Mapping[str, Any], given: Weights, prefix: str) -> Params:
    """Our params from the arrays of the form, which are taken from `given`, where each name has the prefix."""
    H, D = (_rows_columns(flat.get(f"{layers[0]}/kernel"))[0] for layers in (form.hidden, form.inputs))
    per = form.gates // len(form.hidden)
    new, columns = f"{per}H" if per > 1 else "H'", None if H is None else per * H

    def side(layers, field, axes):
        return [given.take(f"{prefix}{layer}/{field}", axes) for layer in layers]

    arrays = {
        "kernel": side(form.inputs, "kernel", {"D": D, new: columns}),
        "recurrent_kernel": side(form.hidden, "kernel", {"H": H, new: columns}),
        "bias": side(getattr(form, form.bias), "bias", {new: columns}),
    }
    if form.inner:
        arrays["recurrent_bias"] = side(form.hidden[-1:], "bias", {new: columns})
    elif form.cell == "gru" and f"{prefix}dense_h/bias" in given:  # a version of flax whose GRU has it
        arrays["recurrent_bias"] = side(form.hidden, "bias", {new: columns})
    types = {str(a.dtype) for listed in arrays.values() for a in listed}
    if len(types) > 1:
        raise TypeError(f"{given.name}: expected arrays of one type, got {sorted(types)}; pass dtype='float32'")
    params = {name: jnp.concatenate(listed, axis=-1) for name, listed in arrays.items()}
    if form.cell == "gru":
        d = params.get("recurrent_bias", jnp.zeros_like(params["bias"]))
        params["recurrent_bias"] = jnp.concatenate([jnp.zeros(params["bias"].size - d.size, d.dtype), d])
    return _with_f_for_g(params) if form.cell == "gated" else params


def theirs(form: Form, cell: Cell, params: Params) -> dict[str, dict[str, jax.Array]]:
    """The inverse of `ours`. Of a GRU, the parts of recurrent_bias that add to bias do so."""
    p = {name: jnp.asarray(a) for name, a in params.items()}
    H = p["recurrent_kernel"].shape[0]
    p = _with_f_for_g(p) if form.cell == "gated" else p
    inner = p.get("recurrent_bias")
    if form.cell == "gru":
        d, inner = jnp.split(p["recurrent_bias"], [2 * H])
        p["bias"] += jnp.concatenate([d, jnp.zeros_like(inner)])
        of_n = params["recurrent_bias"][2 * H :]
        if not form.inner and not known_zero(of_n):
            reason = "no recurrent bias in its GRUCell (google/flax#5594), and that of n is not known to be 0 here"
            raise refused(cell, "flax.nnx", reason, "api='linen'")
    tree = {}
    for layers, field in (form.inputs, "kernel"), (form.hidden, "recurrent_kernel"):
        blocks = jnp.split(p[field], len(layers), axis=-1)
        tree |= {layer: {"kernel": block} for layer, block in zip(layers, blocks, strict=True)}
    biased = getattr(form, form.bias)
    for layer, block in zip(biased, jnp.split(p["bias"], len(biased)), strict=True):
        tree[layer]["bias"] = block
    if form.inner:
        tree[form.hidden[-1]]["bias"] = inner
    return tree


def _with_f_for_g(params: Params) -> Params:
    """Params of `gated` for a gate f that keeps the old state, or back: f = 1 - g, the sigmoid of g's sum negated."""
    H = params["recurrent_kernel"].shape[0]
    return {name: jnp.concatenate([-a[..., :H], a[..., H:]], axis=-1) for name, a in params.items()}


def with_old(params: Params, by: int) -> Params:
    """Params of `elman` with `by` times the identity in recurrent_kernel: h + h U = h (U + 1)."""
    U = params["recurrent_kernel"]
    return params | {"recurrent_kernel": U + by * jnp.eye(len(U), dtype=U.dtype)}


def form_for(cell: Cell, api: str, kind: str | None) -> Form:
    """The form that holds a cell of ours. Raises TypeError if there is none, ValueError for another kind."""
    known = {f.cell: ("activation", "gate_activation") for f in FORMS}
    plain(cell, "flax", known)
    forms = [f for f in FORMS if (f.api, f.cell) == (api, cell.name)]
    if not forms:
        raise refused(cell, "flax.nnx", "no MGUCell", "api='linen'")
    symmetric(cell, lambda reason, nearest: refused(cell, "flax", reason, nearest))
    named = [f for f in forms if kind in (None, f.kind)]
    if not named:
        raise ValueError(f"kind: expected {' or '.join(f.kind for f in forms)} of {cell!r}, got {kind!r}")
    return named[0]


def symmetric(cell: Cell, error: Callable[[str, str], TypeError]) -> None:
    """Raise unless 1 - g is the gate of the negated sum, where that is needed."""
    if cell.name == "gated" and cell.options["gate_activation"] not in SYMMETRIC:
        reason = "a gate that keeps the old state, which is 1 - g only where s(-z) = 1 - s(z)"
        raise error(reason, f"gate_activation={' or '.join(map(repr, SYMMETRIC))}")
