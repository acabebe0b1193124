"""Keras' layers as plain records: read from Keras' own configurations, or from our cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Params
from jaxrnn.interop._layers import members, plain, refused

GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
MERGES = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": "multiply"}
CONTAINERS = ("Bidirectional", "RNN", "StackedRNNCells", "Sequential")

# Keras' names of functions that jaxrnn has too, by its names. Not gelu, whose default is the exact one (jax.nn's is
# the approximation), and not leaky_relu, whose slope is 0.2 (jax.nn's is 0.01).
SAME = (
    "celu",
    "elu",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
)
ACTIVATIONS = {name: name for name in SAME} | {"linear": "identity", "exponential": "exp", "softsign": "soft_sign"}
ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}  # in jax.nn and in Keras

# The options of a layer that its outputs depend on, with their defaults, by jaxrnn's names where it has one.
STATE = {"units": None, "activation": "tanh", "dropout": 0.0, "recurrent_dropout": 0.0}
OPTIONS: dict[str, dict[str, Any]] = {
    "SimpleRNN": STATE,
    "LSTM": {**STATE, "gate_activation": "sigmoid"},
    "GRU": {**STATE, "gate_activation": "sigmoid", "reset_after": True},
}
CELLS = {"elman": "SimpleRNN", "lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU"}


class OneWay(NamedTuple):
    """A layer that runs one way: its class, its options by jaxrnn's names, and, from a cell, its params."""

    kind: str
    options: dict[str, Any]
    use_bias: bool = True
    dtype: str | None = None  # to compute in, if that is not the type of its weights
    params: Params = None

    def __str__(self) -> str:
        names = {"gate_activation": "recurrent_activation"}
        said = []
        for name, value in self.options.items():
            if name.endswith("activation"):
                value = _theirs(value)
            if not name.endswith("dropout") or value:
                said.append(f"{names.get(name, name)}={value!r}")
        return f"{self.kind}({', '.join(said)})"


class BothWays(NamedTuple):
    """Bidirectional: the layers of either direction, which are one unless it is around StackedRNNCells."""

    merge: str  # by jaxrnn's name
    forward: list[Way]
    backward: list[Way]

    def __str__(self) -> str:
        merge = {ours: theirs for theirs, ours in MERGES.items()}[self.merge]
        return f"Bidirectional({listed(self.forward)}, {listed(self.backward)}, merge_mode={merge!r})"


Way = OneWay | BothWays


def listed(layers: list[Way]) -> str:
    """The layers as Keras would have them written, from the lowest to the highest."""
    return " + ".join(map(str, layers))


def ways(layers: list[Way]) -> Iterator[OneWay]:
    """The layers that run one way, in the order in which Keras lists their weights."""
    for layer in layers:
        if isinstance(layer, OneWay):
            yield layer
        else:
            yield from ways(layer.forward)
            yield from ways(layer.backward)


def parsed(config: Any, name: str) -> list[Way]:
    """The layers of one of Keras' configurations, of a name, or of a list of them; `name`: the argument it came in.

    Raises TypeError for what is no such layer, or has an option that jaxrnn does not.
    """
    layers = _parsed(config, name, backwards=False)
    if not layers:
        raise ValueError(f"{name}: expected a recurrent layer at least, got none")
    return layers


def _parsed(config: Any, name: str, backwards: bool) -> list[Way]:
    if isinstance(config, list | tuple):
        return [layer for one in config for layer in _parsed(one, name, backwards)]
    kind, options = _named(config, name)

    def inner(key: str, default: Any = None, backwards: bool = backwards) -> list[Way]:
        found = options.get(key) or default
        if not found:
            raise ValueError(f"{name}: expected {key!r} in the config of {kind}, got the keys {sorted(options)}")
        return _parsed(found, name, backwards)

    if kind == "Sequential":
        layers = options.get("layers", [])
        return _parsed([one for one in layers if _named(one, name)[0] != "InputLayer"], name, backwards)
    if kind == "StackedRNNCells":
        return inner("cells")
    if kind == "Bidirectional":
        merge = options.get("merge_mode", "concat")
        if merge not in MERGES:
            raise _no(name, "Bidirectional", f"merge_mode={merge!r}", f"one of {', '.join(MERGES)}")
        again = _named(options.get("layer"), name)
        turned = {"class_name": again[0], "config": {**again[1], "go_backwards": True}}
        return [BothWays(MERGES[merge], inner("layer", None, False), inner("backward_layer", turned, True))]
    if not kind.endswith("Cell") and bool(options.get("go_backwards", False)) != backwards:
        cure = "the same weights without it, and unroll(..., reverse=True), whose ys stay at the positions of xs"
        raise _no(name, kind, f"go_backwards={not backwards} here", cure)
    return inner("cell") if kind == "RNN" else [_one(kind.removesuffix("Cell"), options, name)]


def _named(config: Any, name: str) -> tuple[str, Mapping[str, Any]]:
    """(the class, its options) of a configuration, if it is a layer of Keras that is known here."""
    if isinstance(config, str):
        config = {"class_name": config}
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise TypeError(
            f"{name}: expected a configuration of Keras, such as {{'class_name': 'LSTM', 'config': {{'units': 4}}}}, "
            f"or a name such as 'LSTM', got {checks.describe(config)}"
        )
    kind, module, options = config["class_name"], config.get("module", "keras"), config.get("config", {})
    own = not isinstance(module, str) or module.split(".")[0] != "keras" or config.get("registered_name") is not None
    known = {*GATES, *(f"{kind}Cell" for kind in GATES), *CONTAINERS, "InputLayer"}
    if own or kind not in known or not isinstance(options, Mapping):
        label = options.get("name") if isinstance(options, Mapping) else None
        raise TypeError(
            f"{name}: expected layers of Keras that are SimpleRNN, LSTM, GRU, a cell of theirs, or "
            f"{', '.join(CONTAINERS)} of such, got {f'{label!r}, ' if label else ''}"
            f"{'a class outside of Keras, ' if own else ''}{kind}; from a model, pass a list of its recurrent layers"
        )
    return kind, options


def _one(kind: str, given: Mapping[str, Any], name: str) -> OneWay:
    options = {}
    for option, default in OPTIONS[kind].items():
        theirs = "recurrent_activation" if option == "gate_activation" else option
        options[option] = given.get(theirs, default)
        if option.endswith("activation"):
            options[option] = _ours(options[option], theirs, kind, given, name)
    if options["recurrent_dropout"] and kind != "SimpleRNN":
        rate = f"recurrent_dropout={options['recurrent_dropout']}, a mask for each gate"
        raise _no(
            name, kind, rate, "the same weights without it, in variational_dropout(cell, recurrent=...), one mask"
        )
    policy = given.get("dtype")
    policy = policy.get("config", {}).get("name") if isinstance(policy, Mapping) else policy
    computes = policy.removeprefix("mixed_") if isinstance(policy, str) and policy.startswith("mixed_") else None
    return OneWay(kind, options, bool(given.get("use_bias", True)), computes)


def _ours(value: Any, option: str, kind: str, given: Mapping[str, Any], name: str) -> str:
    """jaxrnn's name for an activation of Keras."""
    value = ALIASES.get(value, value) if isinstance(value, str) else "linear" if value is None else value
    known = ", ".join(ACTIVATIONS)
    if not isinstance(value, str) or value not in ACTIVATIONS:
        if isinstance(value, Mapping):  # a function of the user's own, or a layer
            value = value["config"] if isinstance(value.get("config"), str) else value.get("class_name")
        raise _no(name, kind, f"{option}={value!r}", f"one of {known}")
    if value == "hard_sigmoid" and {"implementation", "time_major"} & set(given):
        raise _no(name, kind, "the hard_sigmoid of Keras 2, 0.2 x + 0.5 (Keras 3: x / 6 + 0.5)", f"one of {known}")
    return ACTIVATIONS[value]


def _theirs(value: Any) -> str | None:
    """Keras' name for an activation of jaxrnn, None if it has none."""
    value = ALIASES.get(value, value)
    return {ours: theirs for theirs, ours in ACTIVATIONS.items()}.get(value)


def _no(name: str, kind: str, asked: str, nearest: str) -> TypeError:
    return TypeError(f"{name}: jaxrnn has no {kind} with {asked}; the nearest that it has: {nearest}")


def of_cell(cell: Cell, params: Params) -> list[Way]:
    """The layers that a cell is in Keras. Raises TypeError for what Keras does not have."""
    options = cell.options
    if cell.name == "stack":
        if options["skip"] or options["dropout"]:
            raise refused(cell, "Keras", "no such option of StackedRNNCells", "skip=False, dropout=0.0")
        return [layer for c, p in members(cell, params) for layer in of_cell(c, p)]
    if cell.name == "bidirectional":
        if options["merge"] not in MERGES.values():
            raise refused(cell, "Keras", "no such merge_mode", f"merge= one of {', '.join(MERGES.values())}")
        sides = (of_cell(options[way], params[way]) for way in ("forward", "backward"))
        return [BothWays(options["merge"], *sides)]
    rates, inner = {"dropout": 0.0, "recurrent_dropout": 0.0}, cell
    if cell.name == "variational_dropout":
        inner = options["cell"]
        rates = {"dropout": options["input"], "recurrent_dropout": options["recurrent"]}
        if options["output"] or (options["recurrent"] and inner.name != "elman"):
            raise refused(cell, "Keras", "no such mask in its layers", "variational_dropout(cell, input=...)")
    free = ("activation", "gate_activation")
    plain(
        inner,
        "Keras",
        {"elman": ("activation",), "lstm": (*free, "output_activation"), "gru": free} | {"gru_reset_before": free},
    )
    own = inner.options
    for name in (*free, "output_activation"):
        if own.get(name) is not None and _theirs(own[name]) is None:
            raise refused(cell, "Keras", f"no {name}={own[name]!r}", f"one of {', '.join(ACTIVATIONS.values())}")
    if own.get("output_activation") not in (None, own["activation"]):
        raise refused(cell, "Keras", "one activation for g and c", "output_activation=None")
    kind = CELLS[inner.name]
    known = {**own, **rates, "units": own["hidden_size"], "reset_after": inner.name == "gru"}
    for name in set(free) & set(OPTIONS[kind]):
        known[name] = ALIASES.get(own[name], own[name])
    return [OneWay(kind, {name: known[name] for name in OPTIONS[kind]}, params=params)]
