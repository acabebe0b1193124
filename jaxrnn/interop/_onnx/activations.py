"""The activations of ONNX's RNN, LSTM and GRU: those that jax.nn has by another name, and the rest as records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core.record import Record, factory

# Those that take numbers: the numbers where a node gives none, as ONNX Runtime has them, and the formula.
NUMBERS: dict[str, tuple[tuple[float, ...], Callable]] = {
    "Affine": ((1.0, 0.0), lambda z, alpha, beta: alpha * z + beta),
    "Elu": ((1.0,), lambda z, alpha: jnp.where(z < 0, alpha * jnp.expm1(jnp.minimum(z, 0)), z)),
    "HardSigmoid": ((0.2, 0.5), lambda z, alpha, beta: jnp.clip(alpha * z + beta, 0, 1)),
    "LeakyRelu": ((0.01,), lambda z, alpha: jnp.where(z < 0, alpha * z, z)),
    "ScaledTanh": ((1.0, 1.0), lambda z, alpha, beta: alpha * jnp.tanh(beta * z)),
    "ThresholdedRelu": ((1.0,), lambda z, alpha: jnp.where(z > alpha, z, jnp.zeros_like(z))),
}
PLAIN: dict[str, Callable] = {
    "Relu": lambda z: jnp.maximum(z, 0),
    "Sigmoid": jax.nn.sigmoid,
    "Softplus": jax.nn.softplus,
    "Softsign": lambda z: z / (1 + jnp.abs(z)),
    "Tanh": jnp.tanh,
}


class Spec(NamedTuple):
    """An activation as a node says it."""

    kind: str
    numbers: tuple[float, ...] = ()
    clip: float | None = None


# What jax.nn calls them. jax.nn.hard_sigmoid is relu6(z + 3) / 6.
NAMES = {
    "elu": Spec("Elu", (1.0,)),
    "hard_sigmoid": Spec("HardSigmoid", (1 / 6, 0.5)),
    "identity": Spec("Affine", (1.0, 0.0)),
    "leaky_relu": Spec("LeakyRelu", (0.01,)),
    "relu": Spec("Relu"),
    "sigmoid": Spec("Sigmoid"),
    "soft_sign": Spec("Softsign"),
    "softplus": Spec("Softplus"),
    "tanh": Spec("Tanh"),
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class OnnxActivation(Record):
    """An activation function of ONNX; see `onnx_activation`, which makes it."""

    spec: Spec

    def __call__(self, z: Any) -> Any:
        """The activation of z, an array."""
        kind, numbers, clip = self.spec
        z = z if clip is None else jnp.clip(z, -clip, clip)
        return NUMBERS[kind][1](z, *numbers) if kind in NUMBERS else PLAIN[kind](z)


@factory
def onnx_activation(
    kind: str, *, alpha: float | None = None, beta: float | None = None, clip: float | None = None
) -> OnnxActivation:
    """An activation of ONNX's RNN, LSTM and GRU as an option of a cell: lstm(8, activation=onnx_activation("Elu")).

        Affine           alpha z + beta                Relu      max(z, 0)
        Elu              alpha (exp(z) - 1) for z < 0  Sigmoid   1 / (1 + exp(-z))
        HardSigmoid      alpha z + beta, in 0 to 1     Softplus  log(1 + exp(z))
        LeakyRelu        alpha z for z < 0             Softsign  z / (1 + |z|)
        ScaledTanh       alpha tanh(beta z)            Tanh      tanh(z)
        ThresholdedRelu  z for z > alpha, else 0

    alpha, beta: None: ONNX Runtime's own: 1 and 0 (Affine), 0.2 and 0.5 (HardSigmoid), 0.01 (LeakyRelu), else 1.
    clip: z is clipped to ±clip first. This is `clip` of ONNX's operators, which acts on what goes into the activations
        of gates and candidates; `cell_clip` of `lstm` acts on c, and is another thing.

    A record: it prints as this call, compares, and is saved with the cell. `from_onnx` makes it where jax.nn has no
    function that is equal, and `to_onnx` writes it as it is. Raises ValueError for another kind or number.
    """
    if kind not in NUMBERS and kind not in PLAIN:
        raise ValueError(f"kind: expected one of {', '.join(sorted([*NUMBERS, *PLAIN]))}, got {kind!r}")
    usual = NUMBERS[kind][0] if kind in NUMBERS else ()
    given = {"alpha": alpha, "beta": beta}
    for name, value in list(given.items())[len(usual) :]:
        if value is not None:
            raise ValueError(f"{name}: expected None, because {kind} takes {len(usual)} numbers, got {value!r}")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip: expected a number above 0, or None, got {clip!r}")
    numbers = tuple(u if v is None else float(v) for u, v in zip(usual, given.values(), strict=False))
    return OnnxActivation(Spec(kind, numbers, clip))


def spec(option: Any, wide: bool) -> Spec | None:
    """An option of a cell as a node says it; None if no node can.

    wide: whether the cell computes in float64. The numbers of a node are float32: they must be exact then.
    """
    found = NAMES.get(option) if isinstance(option, str) else None
    found = option.spec if isinstance(option, OnnxActivation) else found
    exact = found is not None and all(float(np.float32(n)) == n for n in (*found.numbers, found.clip or 0.0))
    return None if wide and not exact else found


def option(found: Spec) -> Any:
    """The option of a cell for an activation of a node: the name in jax.nn, or a record. The inverse of `spec`."""
    near = _short(found)
    for name, named in NAMES.items():
        if near == _short(named):
            return name
    usual = NUMBERS[near.kind][0] if near.kind in NUMBERS else ()
    numbers = (None if n == u else n for n, u in zip(near.numbers, usual, strict=True))
    return onnx_activation(near.kind, **dict(zip(("alpha", "beta"), numbers, strict=False)), clip=near.clip)


def _short(found: Spec) -> Spec:
    """With the shortest decimals that are the same float32: 0.3, where a node has 0.30000001192092896."""
    numbers = tuple(float(str(np.float32(n))) for n in found.numbers)
    return Spec(found.kind, numbers, None if found.clip is None else float(str(np.float32(found.clip))))
