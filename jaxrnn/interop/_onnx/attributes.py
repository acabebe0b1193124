"""A recurrent node from its attributes and arrays: the cell and params of each of its directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.interop._layers import Direction
from jaxrnn.interop._onnx.activations import NUMBERS, PLAIN, Spec
from jaxrnn.interop._onnx.gates import ACTIVATIONS, GATES, Packed, unpacked

USUAL = {"RNN": ["Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}
FLAGS = {"RNN": [], "LSTM": ["input_forget"], "GRU": ["linear_before_reset"]}


def directions(said: str, values: dict[str, Any]) -> int:
    """The number of directions. said: the node, for messages; values: its attributes."""
    direction = values.get("direction", b"forward").decode()
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ValueError(f"{said}: direction: expected forward, reverse or bidirectional, got {direction!r}")
    return 1 + (direction == "bidirectional")


def recurrent(
    kind: str, said: str, values: dict[str, Any], constant: Callable[[str, dict[str, int | None]], Any]
) -> tuple[tuple[Direction, ...], int, int]:
    """(its directions, D, H) of a node. constant(key, axes): the array W, R, B or P, or None for a B or P that is not.

    Raises ValueError, which names the node, for what does not fit.
    """
    dirs, G = directions(said, values), len(GATES[kind])
    R = constant("R", {"dirs": dirs, f"{G}·H": None, "H": values.get("hidden_size")})
    H = R.shape[2]
    if R.shape[1] != G * H:
        raise ValueError(f"{said}: R: expected [dirs, {G}·H, H] with H={H}, got {R.shape}")
    W = constant("W", {"dirs": dirs, f"{G}·H": G * H, "D": None})
    B = constant("B", {"dirs": dirs, f"{2 * G}·H": 2 * G * H})
    arrays = {"W": W, "R": R, "B": np.zeros((dirs, 2 * G * H), R.dtype) if B is None else B}
    P = constant("P", {"dirs": dirs, "3·H": 3 * H}) if kind == "LSTM" else None
    arrays |= {} if P is None else {"P": P}
    flags = {name: int(values.get(name, 0)) for name in FLAGS[kind]}
    acts, clip = activations(kind, said, values, dirs), values.get("clip") or None
    found = []
    for d in range(dirs):
        packed = Packed(kind, acts[d], flags, clip, {name: a[d] for name, a in arrays.items()})
        try:
            cell, params = unpacked(packed)
        except ValueError as error:
            raise ValueError(f"{said}: {error}") from None
        found.append(Direction(cell, jax.tree.map(jnp.asarray, params)))
    return tuple(found), W.shape[2], H


def activations(kind: str, said: str, values: dict[str, Any], dirs: int) -> list[tuple[Spec, ...]]:
    """The activations of each direction. Each takes as many of the alphas and betas as it has numbers, in order."""
    count = ACTIVATIONS[kind]
    names = [a.decode() for a in values.get("activations", [])] or USUAL[kind] * dirs
    if len(names) != count * dirs:
        raise ValueError(f"{said}: activations: expected {count} for each of {dirs} directions, got {names}")
    given = [list(values.get(f"activation_{k}", [])) for k in ("alpha", "beta")]
    specs = []
    for name in names:
        known = {k.lower(): k for k in (*NUMBERS, *PLAIN)}.get(name.lower())
        if known is None:
            of = ", ".join(sorted([*NUMBERS, *PLAIN]))
            raise ValueError(f"{said}: activations: expected of {of}, got {name!r}")
        usual = NUMBERS[known][0] if known in NUMBERS else ()
        numbers = (given[i].pop(0) if given[i] else n for i, n in enumerate(usual))
        specs.append(Spec(known, tuple(float(n) for n in numbers)))
    return [tuple(specs[d * count :][:count]) for d in range(dirs)]
