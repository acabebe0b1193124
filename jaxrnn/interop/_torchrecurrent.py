"""Weights of torchrecurrent, PyTorch's collection of published cells, for those that compute what one of ours does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrnn._core.arrays import numbers
from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn.cells import cornn, gated, gru_reset_before, indrnn, janet, lstm, mgu, multiplicative_lstm
from jaxrnn.interop._layers import Direction, assembled
from jaxrnn.interop._torch import detached
from jaxrnn.interop._weights import Weights, known_zero

# PyTorch's modules as they print, by the names of jax.nn. Not GELU, which jax.nn approximates, nor Softplus, which
# PyTorch approximates.
ACTIVATIONS = {
    "ELU(alpha=1.0)": "elu",
    "Hardsigmoid()": "hard_sigmoid",
    "Identity()": "identity",
    "LeakyReLU(negative_slope=0.01)": "leaky_relu",
    "ReLU()": "relu",
    "SiLU()": "silu",
    "Sigmoid()": "sigmoid",
    "Tanh()": "tanh",
}
OTHERS = {
    "LEM": "its h' reads the old c, where lem and the paper read the new one",
    "LightRU": "its candidate does not read h, where that of gated does",
    "MUT1": "its gates are not those of a GRU",
    "MUT3": "its z reads tanh(h), where that of a GRU reads h",
    "OriginalLSTM": "it has no forget gate",
    "WMCLSTM": "its gates see c through a matrix and tanh, where the peepholes of lstm are diagonal",
}


def from_torchrecurrent(
    weights: Any,
    *,
    kind: str | None = None,
    prefix: str = "",
    nonlinearity: str | None = None,
    gate_nonlinearity: str | None = None,
    dt: float | None = None,
    gamma: float | None = None,
    epsilon: float | None = None,
    dtype: Any = None,
) -> tuple[Cell, Params]:
    """(cell, params) of one of torchrecurrent's layers or cells (version 0.2), such as MGU or MGUCell.

    weights: the module, or its state dict: tensors or other arrays by its names. PyTorch need not be installed then.
    kind: for a state dict, which does not say it: a key of the table. A module says it and all options below.
    prefix: what the names begin with in the state dict of a larger model, as for `from_torch`.
    nonlinearity, gate_nonlinearity, dt, gamma, epsilon: for a state dict, the options of the kind; none has a default.
    dtype: the type to cast to, such as "float32"; None: that of the weights.

    | kind | options | jaxrnn |
    |---|---|---|
    | coRNN | dt, gamma, epsilon | `cornn`: c is z, weight_hh and weight_ch the two halves of recurrent_kernel |
    | IndRNN | nonlinearity | `indrnn`: vector_u is recurrent_weight |
    | JANET | | `janet`: their beta is trained, ours an option, constant from here on; their h and c are one h |
    | LiGRU | both nonlinearities | `gated`: their gate keeps the old state, so g is negated |
    | MGU | both nonlinearities | `mgu` |
    | MultiplicativeLSTM | | `multiplicative_lstm`, if bias_hh, which is within the product, is 0 |
    | MUT2 | | `gru_reset_before`: their gates are z, r, n, and z lets the new state in, so it is negated |
    | PeepholeLSTM | both nonlinearities | `lstm(peepholes=True)` |
    | UGRNN | | `gated`: their candidate comes first, their gate keeps the old state |

    Kernels are transposed; all biases of a gate are added. Layers become a `stack`, dropout between them its dropout.
    Other kinds are other cells: LEM's h' reads the old c, where `lem` and its paper read the new one; the original LSTM
    has no forget gate. Arrays of many have the same names and shapes, so `kind` is not guessed.

    Raises TypeError for another kind, for an option that is missing or is beside a module, KeyError for a name that is
    missing, ValueError for one too many, another shape, numbers that are not finite, and what our cell cannot hold.

        cell, params = from_torchrecurrent(torchrecurrent.MGU(5, 4, num_layers=2))
        cell, params = from_torchrecurrent(state, kind="JANET", prefix="encoder.")
    """
    given: dict[str, Any] = {
        "nonlinearity": nonlinearity,
        "gate_nonlinearity": gate_nonlinearity,
        "dt": dt,
        "gamma": gamma,
        "epsilon": epsilon,
    }
    given = {name: value for name, value in given.items() if value is not None}
    modules, dropout = None, 0.0
    if hasattr(weights, "state_dict"):
        module: Any = dict(weights.named_modules(remove_duplicate=False)).get(prefix.removesuffix("."))
        said = _kind(module)
        if kind not in (None, said) or given:
            raise TypeError(
                f"kind and options: expected none beside {module!r}, which says them, got {kind!r}, {given}"
            )
        if said is None:
            raise TypeError(f"weights: expected a module of torchrecurrent, got {module!r}")
        kind, modules, dropout = said, list(getattr(module, "cells", [module])), getattr(module, "dropout", 0.0)
        weights = {prefix + name: value for name, value in module.state_dict().items()}
    if kind not in KINDS:
        why = OTHERS.get(
            kind or "", "jaxrnn has no such cell" if kind else "a state dict does not say which cell it is of"
        )
        raise TypeError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}: {why}")
    if isinstance(weights, Mapping):
        weights = {key: detached(value) for key, value in weights.items() if str(key).startswith(prefix)}
    arrays = Weights(weights, "weights", dtype)
    wanted = KINDS[kind].options
    if modules is None and set(given) != set(wanted):
        raise TypeError(f"options: expected {', '.join(wanted) or 'none'} for {kind}, got {', '.join(given) or 'none'}")
    rows, D, k = [], None, 0
    while not k or f"{prefix}cells.{k}.weight_ih" in arrays:
        at = f"{prefix}cells.{k}." if f"{prefix}cells.{k}.weight_ih" in arrays else prefix
        options = given if modules is None else {name: _option(modules[k], name) for name in wanted}
        rows.append((_layer(KINDS[kind], weights, arrays, at, D, options),))
        D, k = rows[-1][0].cell.options["hidden_size"], k + 1
    arrays.end()
    return assembled(rows, dropout=dropout)


def _dense(w: dict[str, Any], *order: int) -> Params:
    """Kernels transposed, biases added. order: their block for each of ours, ~n if our gate is 1 - theirs: negated."""
    params = {"kernel": w["weight_ih"].T, "recurrent_kernel": w["weight_hh"].T, "bias": w["bias_ih"] + w["bias_hh"]}
    if not order:
        return params

    def ordered(a):
        blocks = jnp.split(a, len(order), axis=-1)
        return jnp.concatenate([-blocks[~n] if n < 0 else blocks[n] for n in order], axis=-1)

    return {name: ordered(a) for name, a in params.items()}


def _cornn(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    params = _dense({**w, "bias_hh": w["bias_hh"] + w["bias_ch"]})
    params["recurrent_kernel"] = jnp.concatenate([w["weight_hh"].T, w["weight_ch"].T])
    return cornn(H, dt=o["dt"], gamma=o["gamma"], epsilon=o["epsilon"], **made), params


def _indrnn(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    params = {"kernel": w["weight_ih"].T, "recurrent_weight": w["vector_u"], "bias": w["bias_ih"] + w["bias_hh"]}
    return indrnn(H, activation=o["nonlinearity"], **made), params


def _janet(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    return janet(H, beta=float(w["beta"]), **made), _dense(w)


def _ligru(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    if o["gate_nonlinearity"] not in ("sigmoid", "hard_sigmoid"):
        raise ValueError(
            f"gate_nonlinearity: expected 'sigmoid' or 'hard_sigmoid', got {o['gate_nonlinearity']!r}: the gate of "
            "gated is 1 - theirs, which for others is none of a negated sum"
        )
    return gated(H, activation=o["nonlinearity"], gate_activation=o["gate_nonlinearity"], **made), _dense(w, ~0, 1)


def _mgu(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    return mgu(H, activation=o["nonlinearity"], gate_activation=o["gate_nonlinearity"], **made), _dense(w)


def _multiplicative(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    if not known_zero(w["bias_hh"]):
        raise ValueError(
            "weights['bias_hh']: expected zeros, as of recurrent_bias=False: their m is (x W_m + b_m) (h U_m + b_hh), "
            "and multiplicative_lstm has no b_hh"
        )
    b_m, bias = jnp.split(w["bias_ih"], [H])
    return multiplicative_lstm(H, **made), {
        "kernel": w["weight_ih"].T,
        "recurrent_kernel": jnp.concatenate([w["weight_hh"].T, w["weight_mh"].T], axis=-1),
        "bias": jnp.concatenate([b_m, bias + w["bias_mh"]]),
    }


def _mut2(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    return gru_reset_before(H, **made), _dense(w, 1, ~0, 2)


def _peephole(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    options = {"activation": o["nonlinearity"], "gate_activation": o["gate_nonlinearity"], **made}
    return lstm(H, peepholes=True, **options), {**_dense(w), "peephole": w["weight_ph"]}


def _ugrnn(H: int, w: dict[str, Any], o: dict[str, Any], **made: Any) -> tuple[Cell, Params]:
    return gated(H, **made), _dense(w, ~1, 0)


class _Kind(NamedTuple):
    """How one of their cells becomes ours."""

    ours: Callable[..., tuple[Cell, Params]]
    shapes: dict[str, str]  # of each array: how many blocks of H rows, and the letter of its columns
    options: tuple[str, ...] = ()  # what is no array
    known: str = ""  # the array whose values decide something


def _gates(G: int, of_h: int | None = None) -> dict[str, str]:
    of_h = of_h or G
    return {"weight_ih": f"{G}D", "weight_hh": f"{of_h}H", "bias_ih": f"{G}", "bias_hh": f"{of_h}"}


ACTS = ("nonlinearity", "gate_nonlinearity")
KINDS = {
    "IndRNN": _Kind(_indrnn, {"weight_ih": "1D", "vector_u": "1", "bias_ih": "1", "bias_hh": "1"}, ACTS[:1]),
    "JANET": _Kind(_janet, {**_gates(2), "beta": ""}, known="beta"),
    "LiGRU": _Kind(_ligru, _gates(2), ACTS),
    "MGU": _Kind(_mgu, _gates(2), ACTS),
    "MUT2": _Kind(_mut2, _gates(3)),
    "MultiplicativeLSTM": _Kind(_multiplicative, {**_gates(5, 1), "weight_mh": "4H", "bias_mh": "4"}, known="bias_hh"),
    "PeepholeLSTM": _Kind(_peephole, {**_gates(4), "weight_ph": "3"}, ACTS),
    "UGRNN": _Kind(_ugrnn, _gates(2)),
    "coRNN": _Kind(_cornn, {**_gates(1), "weight_ch": "1H", "bias_ch": "1"}, ("dt", "gamma", "epsilon")),
}


def _layer(
    kind: _Kind, weights: Mapping, arrays: Weights, at: str, D: int | None, options: dict[str, Any]
) -> Direction:
    """The layer whose names begin with `at`, which reads D features."""
    G = int(kind.shapes["weight_ih"][0])
    rows, D = arrays.shape(f"{at}weight_ih", {"G·H": None, "D": D})
    if rows % G:
        raise ValueError(f"weights['{at}weight_ih']: expected [{G}·H, D], got {(rows, D)}")
    H = rows // G
    columns = {"D": D, "H": H}
    w = {}
    for name, shape in kind.shapes.items():
        axes = {f"{n}·H": int(n) * H for n in shape[:1]} | {letter: columns[letter] for letter in shape[1:]}
        w[name] = arrays.take(at + name, axes)
    if kind.known:
        value = weights[at + kind.known]
        if is_traced(value):
            raise TypeError(
                f"weights['{at}{kind.known}']: expected values, got some that JAX traces; leave it constant"
            )
        w[kind.known] = np.asarray(numbers(value, kind.known), np.float64)
    return Direction(*kind.ours(H, w, options, param_dtype=w["weight_ih"].dtype.name))


def _kind(module: Any) -> str | None:
    """The kind of a module of torchrecurrent, a layer or a cell."""
    names = [c.__name__ for c in type(module).__mro__ if c.__module__.startswith("torchrecurrent.cells.")]
    return names[0].removesuffix("Cell") if names else None


def _option(module: Any, name: str) -> Any:
    """What a cell of theirs says."""
    if name not in ACTS:
        return getattr(module, name)
    said = repr(getattr(module, {"nonlinearity": "act", "gate_nonlinearity": "gate_act"}[name]))
    if said not in ACTIVATIONS:
        raise ValueError(f"{name}: expected one of {', '.join(ACTIVATIONS)}, which jax.nn has too, got {said}")
    return ACTIVATIONS[said]
