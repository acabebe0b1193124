"""Keras' SimpleRNN, LSTM and GRU, Bidirectional and stacks of them: weights in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn.cells import elman, gru, gru_reset_before, lstm
from jaxrnn.interop._keras_layers import GATES, BothWays, OneWay, Way, listed, of_cell, parsed, ways
from jaxrnn.interop._layers import Direction, assembled
from jaxrnn.interop._weights import array, known_zero, library, outward
from jaxrnn.wrappers import bidirectional, variational_dropout


def from_keras(weights: Any, config: Any = None, *, dtype: Any = None) -> tuple[Cell, Params]:
    """(cell, params) of Keras 3's SimpleRNN, LSTM, GRU, their cells, Bidirectional, RNN, StackedRNNCells, Sequential.

    weights: the layer, built; or a list of layers, the first below; or what their get_weights() gives, with `config`.
    config: what layer it is, for weights alone: Keras' own configuration {"class_name": "LSTM", "config": {...}}, as
        `keras.saving.serialize_keras_object(layer)` gives it and the config.json in a .keras file holds it, a name
        such as "LSTM", or a list of them. What it leaves out has Keras' default. Neither needs Keras installed.
    dtype: the type that the params are cast to, such as "float32"; None: that of the weights.

    | Keras, in the order of get_weights() | jaxrnn |
    |---|---|
    | SimpleRNN: kernel [D, H], recurrent_kernel [H, H], bias [H] | `elman`: the same |
    | LSTM: kernel [D, 4H], recurrent_kernel [H, 4H], bias [4H], gates i, f, c, o | `lstm`: the same, c is called g |
    | GRU: kernel [D, 3H], recurrent_kernel [H, 3H], gates z, r, h | `gru`: gates r, z, n |
    | GRU's bias [2, 3H] | its rows: bias, recurrent_bias |
    | GRU with reset_after=False: the same, bias [3H] | `gru_reset_before`: gates r, z, n |
    | Bidirectional: those of the forward layer, then of the backward layer | `bidirectional`: "forward", "backward" |
    | Sequential, StackedRNNCells: one layer's after another's | `stack`: "layer_0", "layer_1", ... |
    | no bias (use_bias=False) | zeros, which training on would change |

    A bias is taken as it is: unit_forget_bias is in Keras' init alone. dropout becomes `variational_dropout`, one mask
    for a sequence. Initializers, regularizers, constraints and seeds are not taken. return_sequences=False is the y of
    the last step; in Bidirectional it is the carry's two h. stateful is the carry that you pass on. Where a step is
    masked, Keras repeats the y before it, and `unroll` gives 0, as zero_output_for_mask does.

    Refused: go_backwards, except as Bidirectional's second layer (convert the weights without it, and call
    `unroll(..., reverse=True)`, whose ys stay at the positions of xs); merge_mode=None; recurrent_dropout in an LSTM
    or GRU, which has a mask for each gate; activations that jaxrnn has under no name (Keras' gelu and leaky_relu
    have other numbers in them than those of jax.nn); any other layer.
    Raises TypeError for those, ValueError for arrays too few or too many, another shape or numbers not finite.

        cell, params = from_keras(keras.Sequential([keras.Input((None, 5)), keras.layers.GRU(4)]))
        carry, ys = jaxrnn.unroll(cell, params, None, xs)  # xs [T, B, 5] -> ys [T, B, 4]; Keras has [B, T, ...]
        cell, params = from_keras(arrays, {"class_name": "LSTM", "config": {"recurrent_activation": "hard_sigmoid"}})
    """
    if config is None:
        made, weights = _read(weights)
    elif isinstance(weights, Mapping | str) or not isinstance(weights, Sequence):
        raise TypeError(
            f"weights: expected a list of arrays beside config, as get_weights() gives it, got {_kind(weights)}"
        )
    else:
        made = parsed(config, "config")
    arrays = _Arrays(weights, dtype)
    found, _ = _built(made, arrays, None)
    arrays.end()
    return found


def to_keras(cell: Cell, params: Params, *, into: Any = None) -> Any:
    """The arrays of the Keras layer that is `cell`, in the order of its get_weights(), as `from_keras` reads them.

    into: a layer, a Sequential, or a list of layers that is to hold them, built or not; its options must be those of
        the cell. Its weights are set, in the types that they have, and it is returned. A layer with use_bias=False
        takes biases that are zero.

    A stack gives the arrays of one layer after another: those of a Sequential, or of RNN(StackedRNNCells). There is a
    bias in each. The options of `elman`, `lstm`, `gru` and `gru_reset_before` that Keras has are activation and
    gate_activation.
    Raises TypeError for a cell that Keras does not have, ValueError for params that are not the cell's, and for `into`
    of another kind or size.

        layer = to_keras(cell, params, into=keras.layers.LSTM(4, return_sequences=True))
        kernel, recurrent_kernel, bias = to_keras(jaxrnn.lstm(4), params)
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"cell: expected a Cell of jaxrnn, got {cell!r}")
    checks.params(cell, params)
    ours = of_cell(cell, params)
    if into is None:
        return [array for one in ways(ours) for array in _arrays(one, True)]
    layers, configs = _configs(into, "into")
    theirs = parsed(configs, "into")
    if listed(ours) != listed(theirs):
        raise ValueError(f"into: expected {listed(ours)}, which is {cell!r}, got {listed(theirs)}")
    pairs = zip(ways(ours), ways(theirs), strict=True)
    given = [array for one, other in pairs for array in _arrays(one, other.use_bias)]
    if any(map(is_traced, given)):
        raise TypeError(
            "params: expected arrays with values, which into= can hold, got traced ones; call it outside jit"
        )
    D, taken = next(ways(ours)).params["kernel"].shape[0], 0
    for layer, config in zip(layers, configs, strict=True):
        if not layer.built:
            layer.build((None, D) if config["class_name"].endswith(("Cell", "Cells")) else (None, None, D))
        had = [w.shape for w in layer.get_weights()]
        part = given[taken : taken + len(had)]
        if [w.shape for w in part] != had:
            raise ValueError(f"into: expected weights {[w.shape for w in part]}, those of {cell!r}, got {had}")
        taken, D = taken + len(had), _width(parsed(config, "into"))
    taken = 0
    for layer in layers:
        n = len(layer.get_weights())
        layer.set_weights(given[taken : taken + n])
        taken += n
    return into


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _configs(given: Any, name: str) -> tuple[list[Any], list[dict[str, Any]]]:
    """(the layers, what each says of itself, as Keras writes it to a file), from a layer or a list of them."""
    layers = list(given) if isinstance(given, list | tuple) else [given]
    for layer in layers:
        if not (hasattr(layer, "get_config") and hasattr(layer, "get_weights")):
            raise TypeError(
                f"{name}: expected a layer of Keras, a keras.Sequential, or a list of layers, got {_kind(layer)}"
                + "; arrays need config=, such as 'LSTM'" * (name == "weights")
            )
    if len(set(map(id, layers))) < len(layers):
        raise ValueError(f"{name}: expected each layer once, as params of jaxrnn are not shared, got {layers}")
    kinds = map(type, layers)
    return layers, [
        {"class_name": kind.__name__, "module": kind.__module__, "config": layer.get_config()}
        for kind, layer in zip(kinds, layers, strict=True)
    ]


def _read(given: Any) -> tuple[list[Way], list[Any]]:
    """(the layers, their arrays) of a layer of Keras, or of a list of them."""
    layers, configs = _configs(given, "weights")
    made = parsed(configs, "weights")
    for layer in layers:
        if not getattr(layer, "built", True):
            raise ValueError(f"weights: expected layers that are built, got {layer!r}; call it on an input first")
    return made, [array for layer in layers for array in layer.get_weights()]


class _Arrays:
    """The arrays of get_weights(), taken in their order."""

    def __init__(self, values: Sequence[Any], dtype: Any):
        self.values, self.dtype, self.taken = list(values), dtype, 0

    def next(self, names: Sequence[str], of: str) -> list[tuple[Any, str]]:
        """The next arrays, those of the layer `of`, each with a name for messages."""
        n, self.taken = self.taken, self.taken + len(names)
        if self.taken > len(self.values):
            needed = f"{self.taken} arrays or more, at the end {', '.join(names)} of {of}"
            raise ValueError(f"weights: expected {needed}, got {len(self.values)}; use_bias=False has no bias")
        values = self.values[n : self.taken]
        return [(v, f"weights[{n + i}], {names[i]} of {of}") for i, v in enumerate(values)]

    def end(self) -> None:
        """Raise ValueError if an array was not taken."""
        left = self.values[self.taken :]
        if left:
            came = ", ".join(checks.describe(value) for value in left)
            raise ValueError(f"weights: expected {self.taken} arrays for these layers, got {came} as well")


def _built(made: list[Way], arrays: _Arrays, D: int | None) -> tuple[tuple[Cell, Params], int]:
    """((cell, params), the features of its y) of layers one above the other, whose input has D features."""
    rows = []
    for way in made:
        if isinstance(way, OneWay):
            cell, params, D = _cell(way, arrays, D)
        else:
            (forward, p), n = _built(way.forward, arrays, D)
            (backward, q), m = _built(way.backward, arrays, D)
            cell, params = bidirectional(forward, backward, merge=way.merge), {"forward": p, "backward": q}
            D = n + m if way.merge == "concat" else n
        rows.append((Direction(cell, params),))
    assert D is not None  # there is at least one layer
    return assembled(rows), D


def _cell(one: OneWay, arrays: _Arrays, D: int | None) -> tuple[Cell, Params, int]:
    of, G, options = one.kind, GATES[one.kind], dict(one.options)
    H, after = options.pop("units"), options.pop("reset_after", None)
    of_bias = "bias" if after is None else f"bias with reset_after={after}"
    found = arrays.next(["kernel", "recurrent_kernel", of_bias][: 2 + one.use_bias], of)
    wide = f"{G}·H"
    if H is None:
        H = array(*found[1], {"H": None, wide: None}, arrays.dtype).shape[0]
    H = checks.positive(H, "units")
    axes = [{"D": D, wide: G * H}, {"H": H, wide: G * H}, {"2": 2, wide: G * H} if after else {wide: G * H}]
    values = [array(*had, shape, arrays.dtype) for had, shape in zip(found, axes, strict=False)]
    kernel = values[0]
    bias = values[2] if one.use_bias else jnp.zeros(tuple(axes[2].values()), kernel.dtype)
    params = {"kernel": kernel, "recurrent_kernel": values[1]}
    params |= {"bias": bias[0], "recurrent_bias": bias[1]} if after else {"bias": bias}
    if of == "GRU":
        params = {name: _swapped(a) for name, a in params.items()}
    rates = {"input": options.pop("dropout"), "recurrent": options.pop("recurrent_dropout")}
    factory = {"SimpleRNN": elman, "LSTM": lstm, "GRU": gru if after else gru_reset_before}[of]
    cell = factory(H, param_dtype=kernel.dtype.name, dtype=one.dtype, **options)
    if any(rates.values()):
        cell = variational_dropout(cell, **rates)
    return cell, params, H


def _arrays(one: OneWay, use_bias: bool) -> list[Any]:
    """The arrays of a layer, in the order of get_weights()."""
    params = outward(one.params)
    biases = [params[name] for name in ("bias", "recurrent_bias") if name in params]
    if not use_bias and not all(map(known_zero, biases)):
        raise ValueError(f"into: expected layers with use_bias=True, as {one} has biases that are not known to be 0")
    made = [params["kernel"], params["recurrent_kernel"], biases[0]][: 2 + use_bias]
    if len(biases) == 2 and use_bias:
        made[2] = library(biases[0]).stack(biases)
    return [_swapped(a) for a in made] if one.kind == "GRU" else made


def _swapped(a: Any) -> Any:
    """[..., 3H] with its first two blocks exchanged: from z, r, h to r, z, n, and back."""
    first, second, third = library(a).split(a, 3, axis=-1)
    return library(a).concatenate([second, first, third], axis=-1)


def _width(made: list[Way]) -> int:
    last = made[-1]
    if isinstance(last, BothWays):
        n, m = _width(last.forward), _width(last.backward)
        return n + m if last.merge == "concat" else n
    return last.options["units"]
