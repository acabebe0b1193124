"""The models of the demo as ONNX, by `jaxrnn.interop.to_onnx`, each with what a page has to know of it.

Both are exported as cells of our own, whose step is the model's and whose y has what the page shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from jaxrnn import interop, models, taps
from jaxrnn.data import Vocabulary

MODELS = Path(__file__).parent / "demo" / "models"
WORDS = {
    "i": "input gate: how much is let in",
    "f": "forget gate: how much is kept",
    "g": "candidate: what is let in",
    "o": "output gate: how much is shown",
    "r": "reset gate: how much of the state the candidate sees",
    "z": "update gate: how much is kept",
    "n": "candidate: what is let in",
    "c": "memory, tanh c: what the gates have kept",
    "h": "state h",
}


def writer(model: models.LanguageModel, params: Any, vocabulary: Vocabulary, extra: dict) -> tuple[bytes, dict]:
    """(one step as ONNX: x [B], carry.* -> y.logits [B, V], y.gates.* [B, H], new_carry.*; what the page knows of it).

    The gates are those of the last layer, which the cell marks by `jaxrnn.taps.tap`; beside them is what they steer:
    tanh c, or h.
    """

    def step(params, carry, token):
        found: dict[str, Any] = {}

        def seen(letter):
            return lambda value: found.update({letter: value}) or value  # a later layer's in place of an earlier one's

        with taps.tapped({letter: seen(letter) for letter in last(model.cell).gates}):
            carry, logits = model.step(params, carry, token)
        leaves = [(name.rpartition(".")[2], leaf) for name, leaf in named(carry)]
        letter, state = next((pair for want in "ch" for pair in leaves[::-1] if pair[0] == want), leaves[-1])
        gates = {name: value for name, value in found.items() if value.shape == state.shape}
        return carry, {"logits": logits, "gates": gates | {letter: jnp.tanh(state) if letter == "c" else state}}

    cell = jaxrnn.Cell(
        lambda key, size: model.init(key),
        model.initial_carry,
        lambda params: jax.ShapeDtypeStruct((), jnp.int32),
        plain_step=step,
    )
    proto = interop.to_onnx(cell, params, step=True)
    letters = [o.name.removeprefix("y.gates.") for o in proto.graph.output if o.name.startswith("y.gates.")]
    count = sum(np.size(getattr(a, "values", a)) for a in jax.tree.leaves(params, is_leaf=in_int8))
    return proto.SerializeToString(), {
        "vocabulary": vocabulary.to_config(),
        "gates": [[a, WORDS.get(a, f"gate {a}")] for a in sorted(letters, key="ifgorznch".find)],
        "model": str(model),
        "parameters": count,
        "start": start(model, params),
        **extra,  # "from", where the model is from; "units", if there are some to be looked at
    }


def forecaster(path: Path = MODELS / "forecaster.safetensors") -> tuple[bytes, dict]:
    """(ONNX over time: xs.y, xs.location, xs.scale [T, B, 1], carry.* -> ys [T, B, K, 1, Q]; what the page knows).

    ys are the quantiles of the next K values after each step, of which the page shows those after the last.
    """
    model, params, _, extra = jaxrnn.load(path)

    def step(params, carry, x):
        carry, said = model.step(params, carry, x["y"], models.Scale(x["location"], x["scale"]))
        return carry, said.values

    one = jax.ShapeDtypeStruct((1,), jnp.float32)
    cell = jaxrnn.Cell(
        lambda key, size: model.init(key),
        model.initial_carry,
        lambda params: {"y": one, "location": one, "scale": one},
        plain_step=step,
    )
    about = {"horizon": model.horizon, "quantiles": model.quantiles, "model": str(model), **extra}
    return interop.to_onnx(cell, params, lengths=False).SerializeToString(), {**about, "start": start(model, params)}


def last(cell: jaxrnn.Cell) -> jaxrnn.Cell:
    """The last layer of a stack, and what a wrapper is around."""
    options = cell.options or {}
    inner = options.get("cell") or (options.get("cells") or [None])[-1]
    return cell if inner is None else last(inner)


def start(model: Any, params: Any) -> dict[str, dict]:
    """The carry of one row before its first step, by the names of the inputs: {"dims", "data"}."""
    carry = model.initial_carry(params, (1,))
    return {f"carry.{name}": {"dims": a.shape, "data": np.ravel(a).tolist()} for name, a in named(carry)}


def named(tree: Any) -> list[tuple[str, Any]]:
    """The leaves with their names, as `to_onnx` names them."""
    pairs = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in pairs]


def in_int8(leaf: Any) -> bool:
    """Whether a kernel in int8 begins here, whose scales are no parameters of their own."""
    return isinstance(leaf, interop.Int8)
