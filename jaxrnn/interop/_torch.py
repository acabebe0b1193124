"""PyTorch's RNN, LSTM and GRU, and their cells: weights in and out."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn.cells import elman, gru, lstm
from jaxrnn.interop._layers import Direction, Layer, assembled, layers, plain, refused
from jaxrnn.interop._weights import Weights, known_zero, outward

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
NONLINEARITIES = ("tanh", "relu")


def from_torch(
    weights: Any, *, prefix: str = "", nonlinearity: str | None = None, dtype: Any = None
) -> tuple[Cell, Params]:
    """(cell, params) of a PyTorch nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell or nn.GRUCell.

    weights: the module, or its state dict: tensors or other arrays by PyTorch's names. PyTorch need not be installed.
    prefix: what the names begin with in the state dict of a larger model, such as "encoder.rnn."; names that do not are
        other layers', and left alone. Of a module, the part of that name is read.
    nonlinearity: "tanh" or "relu", for the state dict of an RNN, which does not say it. A module says it.
    dtype: the type to cast to, such as "float32"; None: that of the weights.

    | PyTorch, with _l0, _l0_reverse, _l1, ... | jaxrnn |
    |---|---|
    | weight_ih [G·H, D] | kernel [D, G·H], transposed; the gates have one order |
    | weight_hh [G·H, H], or [4H, P] | recurrent_kernel, transposed |
    | bias_ih, bias_hh [G·H] of RNN and LSTM | bias, their sum |
    | bias_ih, bias_hh [3H] of GRU | bias, recurrent_bias |
    | weight_hr [P, H] (proj_size) | projection [H, P] of `lstm(H, projection=P)` |
    | no biases (bias=False) | zeros |

    Layers become a `stack`, both directions a `bidirectional`. A module's dropout becomes that of the stack; a state
    dict does not say it. batch_first says how inputs lie, and nothing of weights: `unroll` takes [T, B, D].

    Raises KeyError for a name that is missing, ValueError for one too many, for another shape, numbers that are not
    finite, and a nonlinearity that is missing or not the module's, TypeError for another module or type.

        cell, params = from_torch(torch.nn.LSTM(5, 4, num_layers=2, bidirectional=True))
        carry, ys = jaxrnn.unroll(cell, params, None, xs)  # xs [T, B, 5] -> ys [T, B, 8]
        cell, params = from_torch(torch.load("model.pt"), prefix="encoder.rnn.")
    """
    dropout = 0.0
    if hasattr(weights, "state_dict"):
        module = _layer(weights, prefix, "weights")
        weights = {prefix + name: value for name, value in module.state_dict().items()}
        said = getattr(module, "nonlinearity", None)
        if nonlinearity not in (None, said):
            raise ValueError(f"nonlinearity: expected None or {said!r}, as {module!r} says, got {nonlinearity!r}")
        nonlinearity, dropout = said, getattr(module, "dropout", 0.0)
    if isinstance(weights, Mapping):
        found = _prefixes(weights)
        weights = {key: detached(value) for key, value in weights.items() if str(key).startswith(prefix)}
        if prefix not in found:
            cure = f"pass prefix={' or '.join(map(repr, found))}" if found else "are these weights of an RNN?"
            raise KeyError(f"weights: expected {prefix}weight_ih_l0, or {prefix}weight_ih of a cell; {cure}")
    given = Weights(weights, "weights", dtype)
    ends = _ends(given, prefix)
    form = _form_of(given, prefix, ends[0][0], nonlinearity)
    biased = any(f"{prefix}{name}{ends[0][0]}" in given for name in ("bias_ih", "bias_hh"))
    rows, D = [], None
    for ways in ends:
        row = []
        for end in ways:
            axes = {name: a for name, a in form.axes(D).items() if biased or not name.startswith("bias")}
            row.append(form.ours({name: given.take(f"{prefix}{name}{end}", a) for name, a in axes.items()}))
            D = row[0].params["kernel"].shape[0]
        rows.append(tuple(row))
        D = (form.P or form.H) * len(ways)
    given.end()
    return assembled(rows, dropout=dropout)


def to_torch(cell: Cell, params: Params, *, prefix: str = "", bias: bool = True, into: Any = None) -> Any:
    """The state dict of an nn.RNN, nn.LSTM or nn.GRU that computes what the cell does: NumPy arrays by PyTorch's names.

    prefix: what all names begin with, such as "encoder.rnn.".
    bias: False for a module without biases, if all of ours are 0.
    into: a module to fill and return instead, also one of the cells (nn.LSTMCell, ...), or with prefix the part of that
        name in it. It must have the sizes, layers, directions, nonlinearity and types of ours. Whether it has biases it
        says itself, and its dropout stays as it is.

    The table of `from_torch`, read from right to left. Of the two biases of RNN and LSTM, ours is wholly bias_ih, and
    bias_hh is 0. They are one bias twice: under SGD their sum moves twice as far, so for the same training there freeze
    one: `module.bias_hh_l0.requires_grad_(False)`. GRU has both on both sides.

    torch.from_numpy takes no bfloat16, which NumPy lacks: fill a module by `into`, which does.

    Raises TypeError for what PyTorch does not have: other cells and options (peepholes, activations, ...), layers or
    directions that differ, a merge other than "concat"; and for another module or other types in `into`. ValueError if
    `into` has other sizes, and for biases that are not 0 where there are none.

        state = to_torch(cell, params)  # {"weight_ih_l0": ..., "weight_hh_l0": ..., "bias_ih_l0": ..., ...}
        module = to_torch(cell, params, into=torch.nn.LSTM(5, 4))
    """
    rows, form = alike(cell, params, "PyTorch", {"elman": ["activation"], "lstm": ["projection"], "gru": []})
    module = None if into is None else _layer(into, prefix, "into")
    state = {}
    for n, row in enumerate(rows):
        for direction, way in zip(row, ("", "_reverse"), strict=False):
            state |= {f"{name}_l{n}{way}": a for name, a in form.theirs(direction.params).items()}
    if not (bias if module is None else module.bias):
        _all_zero({name: state.pop(name) for name in list(state) if name.startswith("bias")})
    state = {name: outward(a) for name, a in state.items()}  # one by one: a tree of JAX sorts its names
    if module is None:
        return {prefix + name: a for name, a in state.items()}
    _fill(module, form, state, len(rows), len(rows[0]))
    return into


def alike(cell: Cell, params: Params, of: str, known: Mapping[str, Collection[str]]) -> tuple[list[Layer], Form]:
    """(the layers of a network, what they have in common), for a framework with one form for all.

    of, known: as for `plain`. Raises TypeError for other cells, and layers or directions that differ.
    """
    rows, options = layers(cell, params, of)
    if options["merge"] not in (None, "concat"):
        raise refused(cell, of, "no merge but concat", "merge='concat'")
    forms = {_form(direction.cell, of, known) for row in rows for direction in row}
    if len(forms) > 1 or len({len(row) for row in rows}) > 1:
        raise refused(cell, of, "no network whose layers or directions differ", "one of its own for each")
    return rows, forms.pop()


class Form(NamedTuple):
    """What all layers and directions of a module have in common."""

    kind: str  # of GATES
    H: int
    P: int | None = None  # proj_size
    nonlinearity: str | None = None  # of an RNN

    def axes(self, D: int | None) -> dict[str, dict[str, int | None]]:
        """PyTorch's names, in its order, and their axes."""
        rows: dict[str, int | None] = {"G·H": GATES[self.kind] * self.H}
        of_h: dict[str, int | None] = {"P": self.P} if self.P else {"H": self.H}
        axes: dict[str, dict[str, int | None]] = {
            "weight_ih": rows | {"D": D},
            "weight_hh": rows | of_h,
            "bias_ih": rows,
            "bias_hh": rows,
        }
        if self.P:
            axes["weight_hr"] = {"P": self.P, "H": self.H}
        return axes

    def ours(self, w: dict[str, jax.Array]) -> Direction:
        """From PyTorch's arrays, or those but the biases."""
        params = {"kernel": w["weight_ih"].T, "recurrent_kernel": w["weight_hh"].T}
        none = jnp.zeros(w["weight_ih"].shape[0], w["weight_ih"].dtype)
        biases = w.get("bias_ih", none), w.get("bias_hh", none)
        if self.kind == "GRU":
            params["bias"], params["recurrent_bias"] = biases
        else:
            params["bias"] = biases[0] + biases[1]
        if self.P:
            params["projection"] = w["weight_hr"].T
        dtype = none.dtype.name
        if self.kind == "RNN":
            return Direction(elman(self.H, activation=self.nonlinearity or "tanh", param_dtype=dtype), params)
        if self.kind == "GRU":
            return Direction(gru(self.H, param_dtype=dtype), params)
        return Direction(lstm(self.H, projection=self.P, param_dtype=dtype), params)

    def theirs(self, params: Params) -> dict[str, Any]:
        """PyTorch's arrays, in its order."""
        bias = params["bias"]
        arrays = {"weight_ih": params["kernel"].T, "weight_hh": params["recurrent_kernel"].T, "bias_ih": bias}
        arrays["bias_hh"] = params["recurrent_bias"] if self.kind == "GRU" else jnp.zeros(bias.shape, bias.dtype)
        return arrays | ({"weight_hr": params["projection"].T} if self.P else {})


def _form_of(given: Weights, prefix: str, end: str, nonlinearity: str | None) -> Form:
    """The form of a module whose first layer's names have this end."""
    hh, hr = f"{prefix}weight_hh{end}", f"{prefix}weight_hr{end}"
    rows, columns = given.shape(hh, {"G·H": None, "H": None})
    P, H = given.shape(hr, {"P": columns, "H": None}) if hr in given else (None, columns)
    kinds = [kind for kind, G in GATES.items() if rows == G * H and (P is None or kind == "LSTM")]
    if not kinds:
        raise ValueError(
            f"weights[{hh!r}]: expected [G·H, H] with G = 1 (RNN), 3 (GRU) or 4 (LSTM), or [4H, P] beside a weight_hr "
            f"[P, H], got {(rows, columns)} and H={H}"
        )
    if kinds == ["RNN"] and nonlinearity not in NONLINEARITIES:
        came = "which the state dict of an RNN does not say" if nonlinearity is None else f"got {nonlinearity!r}"
        raise ValueError(f"nonlinearity: expected 'tanh' or 'relu', {came}")
    if kinds != ["RNN"] and nonlinearity is not None:
        raise ValueError(f"nonlinearity: expected None, as these are weights of {kinds[0]}, got {nonlinearity!r}")
    return Form(kinds[0], H, P, nonlinearity)


def _form(cell: Cell, of: str, known: Mapping[str, Collection[str]]) -> Form:
    """The form of a module that holds the cell. Raises TypeError if there is none."""
    plain(cell, of, known)
    H, P = cell.options["hidden_size"], cell.options.get("projection")
    if cell.name == "elman":
        activation = cell.options["activation"]
        if activation not in NONLINEARITIES:
            raise refused(cell, of, f"no nonlinearity {activation!r}", "activation='tanh' or 'relu'")
        return Form("RNN", H, None, activation)
    if P is not None and P >= H:
        raise refused(cell, of, "no proj_size of hidden_size or more", f"projection={H - 1}")
    return Form(cell.name.upper(), H, P)


def _ends(given: Weights, prefix: str) -> list[list[str]]:
    """How the names of each layer end, one for each direction."""
    if f"{prefix}weight_ih" in given:
        return [[""]]
    ways = ["", "_reverse"] if f"{prefix}weight_ih_l0_reverse" in given else [""]
    layers = itertools.takewhile(lambda n: f"{prefix}weight_ih_l{n}" in given, itertools.count())
    return [[f"_l{n}{way}" for way in ways] for n in layers]


def _prefixes(weights: Mapping) -> list[str]:
    """What stands before the names of an RNN or a cell in a state dict."""
    ends = ("weight_ih_l0", "weight_ih")
    return [key.removesuffix(end) for key in map(str, weights) for end in ends if key.endswith(end)]


def detached(value: Any) -> Any:
    """A tensor without its gradient, in memory that others read; anything else as it is."""
    return value.detach().cpu().contiguous() if hasattr(value, "detach") else value


def _kind(module: Any) -> str | None:
    """RNN, LSTM or GRU, also for a cell; None for other modules, whose parameters may have the same names."""
    names = [c.__name__.removesuffix("Cell") for c in type(module).__mro__ if c.__module__ == "torch.nn.modules.rnn"]
    return next((name for name in names if name in GATES), None)


def _layer(module: Any, prefix: str, name: str) -> Any:
    """The recurrent module of that prefix within a module. Raises TypeError if it is none."""
    inner = module
    if hasattr(module, "named_modules"):
        inner = dict(module.named_modules(remove_duplicate=False)).get(prefix.removesuffix("."))
    if _kind(inner) is None:
        found = _prefixes(module.state_dict()) if hasattr(module, "state_dict") else []
        cure = f"; pass prefix={' or '.join(map(repr, found))}" if any(found) else ""
        at = f" at {prefix}" if prefix else ""
        raise TypeError(f"{name}: expected nn.RNN, nn.LSTM, nn.GRU or one of their cells{at}, got {inner!r}{cure}")
    return inner


def _all_zero(biases: dict[str, Any]) -> None:
    """Raise ValueError if biases would be lost."""
    for name, bias in biases.items():
        if not known_zero(bias):
            came = "some that JAX traces" if is_traced(bias) else "others"
            raise ValueError(
                f"bias: expected zeros for {name}, which a module without biases lacks, got {came}; bias=True"
            )


def _fill(module: Any, form: Form, state: dict[str, np.ndarray], L: int, directions: int) -> None:
    """Copy the state into the module, whose sizes, options and types must be its own."""
    if any(is_traced(a) for a in state.values()):
        raise TypeError("into: expected params with values, got some that JAX traces; call to_torch outside of jit")
    D = state["weight_ih_l0"].shape[1]
    wanted = {"input_size": D, "hidden_size": form.H, "num_layers": L, "bidirectional": directions == 2}
    wanted |= {"proj_size": form.P or 0, "nonlinearity": form.nonlinearity}
    absent = {"num_layers": 1, "bidirectional": False, "proj_size": 0}  # what a cell is
    came = {option: getattr(module, option, absent.get(option)) for option in wanted}
    if came != wanted or _kind(module) != form.kind:
        said = ", ".join(f"{option}={value!r}" for option, value in wanted.items() if value != absent.get(option))
        raise ValueError(f"into: expected nn.{form.kind}({said}), got {module!r}")
    if not hasattr(module, "num_layers"):
        state = {name.removesuffix("_l0"): a for name, a in state.items()}
    torch = importlib.import_module("torch")  # the module is of it, so it is there
    for name, parameter in module.state_dict().items():
        dtype = str(parameter.dtype).removeprefix("torch.")
        if name in state and dtype != state[name].dtype.name:
            raise TypeError(
                f"into: expected {name} of {state[name].dtype}, got {dtype}; module.to(torch.{state[name].dtype})"
            )

    def tensor(a):
        # NumPy's bfloat16 is not known to PyTorch: its bits are.
        return (
            torch.from_numpy(a.view(np.int16)).view(torch.bfloat16)
            if a.dtype.name == "bfloat16"
            else torch.from_numpy(a)
        )

    module.load_state_dict({name: tensor(a) for name, a in state.items()}, strict=True)
