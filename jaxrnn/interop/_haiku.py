"""Haiku's VanillaRNN, LSTM and GRU, and a DeepRNN of them: weights in and out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn.cells import elman, gru_reset_before, lstm
from jaxrnn.interop._layers import members, plain, refused
from jaxrnn.interop._weights import Weights, library, outward
from jaxrnn.wrappers import stack, time_distributed

# The names that Haiku gives by itself.
NAMES = {"elman": "vanilla_rnn", "lstm": "lstm", "gru_reset_before": "gru"}
DEFAULT = re.compile(r"(?:.*/)?(vanilla_rnn|lstm|gru)(?:_\d+)?")


def from_haiku(
    weights: Any, modules: str | Sequence[str | Callable] | None = None, *, skip: bool = False, dtype: Any = None
) -> tuple[Cell, Params]:
    """(cell, params) of Haiku's VanillaRNN, LSTM or GRU, or of a DeepRNN of such.

    weights: Haiku's params {module: {name: array}}, as `init` of a transformed function makes them.
    modules: the name of the core, such as "net/~/lstm"; or those of the layers of a DeepRNN, the lowest first, with the
        bare functions between them, if it has some: ["net/lstm", jax.nn.relu, "net/lstm_1"]. Other modules are not
        looked at. None: there is nothing else than one core, with the name that Haiku gives it. Params do not say
        which core is above which, and JAX sorts their names.
    skip: the layers are in `deep_rnn_with_skip_connections`.
    dtype: the type that the params are cast to, such as "float32"; None: that of the weights.

    | Haiku | jaxrnn |
    |---|---|
    | VanillaRNN: linear w [D, H], linear_1 w [H, H] | `elman(H, activation="relu")`: kernel, recurrent_kernel |
    | its linear b [H], plus linear_1 b [H] (double_bias) | bias, the sum |
    | LSTM: linear w [D+H, 4H], its rows of x, then of h; gates i, g, f, o | kernel, recurrent_kernel; i, f, g, o |
    | its linear b [4H] | bias, with 1 added to f's, which Haiku adds in each step |
    | GRU: w_i [D, 3H], w_h [H, 3H], b [3H]; gates z, r, a | `gru_reset_before`: r, z, n, z's blocks negated, as |
    |   | Haiku's z lets the new state in and jaxrnn's keeps the old |
    | DeepRNN, deep_rnn_with_skip_connections | `stack`, with skip; a function is `time_distributed` |

    ResetCore is `unroll(..., reset=...)`; an IdentityCore has no params and changes nothing. Haiku has no layer for
    both directions: convert the two cores, and join them by `jaxrnn.bidirectional`.
    Raises KeyError for a module or an array that is missing, ValueError for one too many, another shape, numbers not
    finite, or several cores without `modules`, TypeError for a convolutional LSTM, whose arrays are not taken.

        cell, params = from_haiku(hk.transform(forward).init(key, xs), ["lstm", "lstm_1"])
        carry, ys = jaxrnn.unroll(cell, params, None, xs)  # xs [T, B, D], as dynamic_unroll has them
    """
    given = _flat(weights, "weights")
    if modules is None:
        names: list[Any] = _found(given)
        if len(names) != 1:
            raise ValueError(f"modules: expected the cores' names, the lowest first, as there is not one, got {names}")
    else:
        names = [modules] if isinstance(modules, str) or callable(modules) else list(modules)
        given = {
            key: a for key, a in given.items() if any(key.startswith(f"{n}/") for n in names if isinstance(n, str))
        }
    if any("input_to_hidden" in key.split("/") for key in given):
        raise TypeError("weights: those of a convolutional LSTM are not taken; jaxrnn.conv_lstm is such a cell")
    left = Weights(given, "weights", dtype)
    layers: list[tuple[Cell, Params]] = []
    D = first = None
    for name in names:
        if callable(name):
            if skip:
                raise ValueError(f"modules: expected names of cores alone with skip=True, as in Haiku, got {name!r}")
            layers.append((time_distributed(name), ()))
            D = None
            continue
        cell, params = _core(left, name, D)
        layers.append((cell, params))
        first = params["kernel"].shape[0] if first is None else first
        D = cell.options["hidden_size"] + (first if skip else 0)
    left.end()
    if not layers:
        raise ValueError("modules: expected a core at least, got none")
    if len(layers) == 1:
        return layers[0]
    made = stack(*(cell for cell, _ in layers), skip=skip)
    return made, {f"layer_{n}": params for n, (_, params) in enumerate(layers)}


def to_haiku(
    cell: Cell,
    params: Params,
    modules: str | Sequence[str | Callable] | None = None,
    *,
    double_bias: bool | None = None,
    into: Any = None,
) -> dict[str, dict[str, Any]]:
    """Haiku's params {module: {name: array}} of a cell, as `from_haiku` reads them.

    modules: the cores' names, the lowest first (functions are passed over); None: those that Haiku gives by itself,
        such as "lstm" and "lstm_1", for cores made outside of a module of one's own.
    double_bias: whether a VanillaRNN is to have a second bias, of zeros; None: as in `into`, else as Haiku has it by
        default. Under SGD two biases move the sum of both twice as far as one.
    into: params of Haiku, of the whole network: they are returned with the new arrays in their place, in the types
        that were there, and the others as they are. They are not changed themselves.

    A stack becomes the layers of a DeepRNN, with skip=True of `deep_rnn_with_skip_connections`, and `time_distributed`
    functions have no params there either. 1 is subtracted from the bias of an LSTM's f, which Haiku adds again: equal
    to rounding, while all else is to the bit.
    Raises TypeError for a cell that Haiku does not have, KeyError or ValueError if `modules` or `into` do not fit.

        weights = to_haiku(cell, params)
        weights = to_haiku(cell, params, ["net/lstm", "net/lstm_1"], into=hk.transform(net).init(key, xs))
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"cell: expected a Cell of jaxrnn, got {cell!r}")
    checks.params(cell, params)
    cores = _cores(cell, params)
    if modules is None:
        counts: dict[str, int] = {}
        names = []
        for core, _ in cores:
            base = NAMES[core.name]
            names.append(f"{base}_{counts[base]}" if base in counts else base)
            counts[base] = counts.get(base, 0) + 1
    else:
        names = [n for n in ([modules] if isinstance(modules, str) else modules) if not callable(n)]
    if len(names) != len(cores) or len(set(names)) != len(names):
        raise ValueError(f"modules: expected a name of its own for each of {len(cores)} cores, got {names}")
    there = {} if into is None else _flat(into, "into")
    made: dict[str, Any] = {}
    for name, (core, p) in zip(names, cores, strict=True):
        two = f"{name}/linear_1/b" in there or into is None if double_bias is None else double_bias
        made |= {f"{name}/{key}": a for key, a in _arrays(core, outward(p), two).items()}
    if into is not None:
        for key in there:
            if key not in made and any(key.startswith(f"{name}/") for name in names):
                raise ValueError(f"into: expected {list(made)} in these modules, got {key!r} as well")
        for key, a in made.items():
            if key not in there:
                raise KeyError(f"into: expected an array {key!r} in the modules {names}, got {list(there)}")
            if checks.shape(there[key]) != a.shape:
                raise ValueError(f"into: expected {key!r} of shape {a.shape}, got {checks.describe(there[key])}")
            made[key] = a.astype(there[key].dtype)
    nested = {} if into is None else {module: dict(arrays) for module, arrays in into.items()}
    for key, a in made.items():
        module, _, name = key.rpartition("/")
        nested.setdefault(module, {})[name] = a
    return nested


def _flat(weights: Any, name: str) -> dict[str, Any]:
    """{module/name: array} of Haiku's params."""
    if not isinstance(weights, Mapping) or not all(isinstance(arrays, Mapping) for arrays in weights.values()):
        raise TypeError(
            f"{name}: expected params of Haiku, {{module: {{name: array}}}}, got {checks.describe(weights)}"
        )
    return {f"{module}/{key}": a for module, arrays in weights.items() for key, a in arrays.items()}


def _found(given: Mapping[str, Any]) -> list[str]:
    """The modules that have a name which Haiku gives a core."""
    parts = {"/".join(key.split("/")[:n]) for key in given for n in range(1, key.count("/") + 1)}
    return sorted(name for name in parts if DEFAULT.fullmatch(name))


def _core(left: Weights, name: str, D: int | None) -> tuple[Cell, Params]:
    """(cell, params) of the core of that name; D: the features that its input should have."""
    inner = {key.removeprefix(f"{name}/") for key in left.left() if key.startswith(f"{name}/")}
    named = DEFAULT.fullmatch(name)
    kind = named[1] if named else "gru" if "w_i" in inner else "vanilla_rnn" if "linear_1/w" in inner else "lstm"
    if not inner or (kind == "lstm" and not named and "linear/w" not in inner):
        there = sorted({key.rpartition("/")[0] for key in left.left()})
        raise KeyError(
            f"modules: expected names of VanillaRNN, LSTM or GRU, got {name!r}; there is no such among {there}"
        )
    of_bias, G = {"lstm": ("linear/b", 4), "gru": ("b", 3), "vanilla_rnn": ("linear/b", 1)}[kind]
    wide = f"{G}·H"

    def take(key: str, **axes: int | None) -> jax.Array:
        return left.take(f"{name}/{key}", axes)

    bias = take(of_bias, **{wide: None})
    H = max(1, bias.shape[0] // G)  # if that leaves a rest, w has another shape
    if kind == "lstm":
        w = take("linear/w", **{"D+H": None if D is None else D + H, wide: G * H})
        kernel, recurrent = w[: max(0, w.shape[0] - H)], w[max(0, w.shape[0] - H) :]
    elif kind == "gru":
        kernel, recurrent = take("w_i", D=D, **{wide: G * H}), take("w_h", H=H, **{wide: G * H})
    else:
        kernel, recurrent = take("linear/w", D=D, **{wide: H}), take("linear_1/w", H=H, **{wide: H})
        if f"{name}/linear_1/b" in left:
            bias = bias + take("linear_1/b", H=H)
    if bias.shape != (G * H,) or not kernel.shape[0]:
        raise ValueError(
            f"weights: expected {name!r} to be of {kind.upper()}, got a bias {bias.shape} beside {kernel.shape}"
        )
    params = {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}
    made: dict[str, Any] = {"param_dtype": kernel.dtype.name}
    if kind == "lstm":
        params = {key: _exchanged(a) for key, a in params.items()}
        params["bias"] = params["bias"].at[H : 2 * H].add(1)
        return lstm(H, **made), params
    if kind == "gru":
        return gru_reset_before(H, **made), {key: _rzn(a) for key, a in params.items()}
    return elman(H, activation="relu", **made), params


def _arrays(cell: Cell, params: Params, double_bias: bool) -> dict[str, Any]:
    """The arrays of a core, by module and name within it."""
    H, kernel, recurrent, bias = (
        cell.options["hidden_size"],
        *(params[k] for k in ("kernel", "recurrent_kernel", "bias")),
    )
    lib = library(kernel)
    if cell.name == "lstm":
        bias = lib.concatenate([bias[:H], bias[H : 2 * H] - 1, bias[2 * H :]])
        w = lib.concatenate([kernel, recurrent])
        return {"linear/w": _exchanged(w), "linear/b": _exchanged(bias)}
    if cell.name == "gru_reset_before":
        return {"w_i": _zra(kernel), "w_h": _zra(recurrent), "b": _zra(bias)}
    made = {"linear/w": kernel, "linear/b": bias, "linear_1/w": recurrent}
    return made | {"linear_1/b": lib.zeros_like(bias)} if double_bias else made


def _exchanged(a: Any) -> Any:
    """[..., 4H] from i, f, g, o to i, g, f, o, and back."""
    lib = library(a)
    first, second, third, fourth = lib.split(a, 4, axis=-1)
    return lib.concatenate([first, third, second, fourth], axis=-1)


def _rzn(a: Any) -> Any:
    """[..., 3H] from z, r, a to r, z, n: 1 - sigmoid(z) is sigmoid(-z)."""
    z, r, n = jnp.split(a, 3, axis=-1)
    return jnp.concatenate([r, -z, n], axis=-1)


def _zra(a: Any) -> Any:
    """The inverse of `_rzn`."""
    lib = library(a)
    r, z, n = lib.split(a, 3, axis=-1)
    return lib.concatenate([-z, r, n], axis=-1)


def _cores(cell: Cell, params: Params) -> list[tuple[Cell, Params]]:
    """The cores that a cell is in Haiku, the lowest first. Raises TypeError for what Haiku does not have."""
    options = cell.options
    if cell.name == "stack":
        if options["dropout"]:
            raise refused(cell, "Haiku", "no dropout between the layers of a DeepRNN", "dropout=0.0")
        if options["skip"] and any(c.name == "time_distributed" for c in options["cells"]):
            raise refused(cell, "Haiku", "no functions among layers with skip connections", "skip=False")
        return [core for c, p in members(cell, params) for core in _cores(c, p)]
    if cell.name == "time_distributed" and options["init"] is None:
        return []
    if cell.name == "bidirectional":
        raise refused(cell, "Haiku", "no layer for both directions", "a core each, of its options forward and backward")
    if cell.name == "gru":
        raise refused(cell, "Haiku", "no GRU that resets after the product", "gru_reset_before")
    plain(cell, "Haiku", {"elman": ("activation",), "lstm": (), "gru_reset_before": ()})
    if cell.name == "elman" and options["activation"] != "relu":
        raise refused(cell, "Haiku", "no VanillaRNN but that of relu", "activation='relu'")
    return [(cell, params)]
