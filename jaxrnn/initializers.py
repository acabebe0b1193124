"""Initializers of parameters: functions `f(key, shape, dtype) -> array`, as in jax.nn.initializers and flax.

A cell draws each gate's block [fan_in, H] separately and puts the blocks side by side, so that `orthogonal` is
orthogonal per gate and fans are counted per gate; `joint(f)` draws all gates at once, as Keras does.
Draws are made in float32 (float64 for float64) and then cast: QR does not support bfloat16, and a bfloat16 uniform has
only 256 values.

Every initializer is a record: two made with the same arguments are equal, and so are the cells that hold them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.lapack import one_by_one
from jaxrnn._core.numerics import wide
from jaxrnn._core.record import Record, factory


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Initializer(Record):
    """`draw(key, shape, dtype)` as a record. `is_joint`: it draws the blocks of all gates at once."""

    draw: Callable[[Any, tuple[int, ...], Any], jax.Array]
    is_joint: bool = False

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return self.draw(key, shape, wide(dtype)).astype(dtype)


@factory
def zeros() -> Initializer:
    """All 0."""
    return Initializer(lambda key, shape, dtype: jnp.zeros(shape, dtype))


@factory
def constant(value: float) -> Initializer:
    """All `value`."""
    return Initializer(lambda key, shape, dtype: jnp.full(shape, value, dtype))


@factory
def identity(scale: float = 1.0) -> Initializer:
    """`scale` on the diagonal, 0 elsewhere: as in the IRNN (Le, Jaitly and Hinton 2015, arXiv 1504.00941)."""
    return Initializer(lambda key, shape, dtype: scale * jnp.eye(*shape, dtype=dtype))


@factory
def orthogonal(scale: float = 1.0) -> Initializer:
    """Orthonormal rows or columns, times `scale` (Saxe, McClelland and Ganguli 2014, arXiv 1312.6120)."""
    draw = jax.nn.initializers.orthogonal(scale)
    return Initializer(lambda key, shape, dtype: one_by_one(lambda key: draw(key, shape, dtype))(key))


@factory
def normal(stddev: float = 0.01) -> Initializer:
    """Normal with mean 0 and standard deviation `stddev`."""
    return Initializer(jax.nn.initializers.normal(stddev))


@factory
def glorot_uniform() -> Initializer:
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return Initializer(jax.nn.initializers.glorot_uniform())


@factory
def glorot_normal() -> Initializer:
    """Truncated normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return Initializer(jax.nn.initializers.glorot_normal())


@factory
def lecun_uniform() -> Initializer:
    """Uniform with variance 1 / fan_in (LeCun, Bottou, Orr and Mueller 1998)."""
    return Initializer(jax.nn.initializers.lecun_uniform())


@factory
def lecun_normal() -> Initializer:
    """Truncated normal with variance 1 / fan_in (LeCun, Bottou, Orr and Mueller 1998)."""
    return Initializer(jax.nn.initializers.lecun_normal())


@factory
def uniform_hidden(axis: int = -1, draws: int = 1) -> Initializer:
    """Uniform in ±1/sqrt(H), where H is the size of `axis`: PyTorch's default for every recurrent parameter.

    `draws`: how many draws are added; 2 gives the sum of PyTorch's two bias vectors.
    """

    def draw(key, shape, dtype):
        bound = 1 / math.sqrt(shape[axis])
        return jax.random.uniform(key, (draws, *shape), dtype, -bound, bound).sum(0)

    return Initializer(draw)


@factory
def chrono(longest: float) -> Initializer:
    """log u with u uniform in [1, longest - 1]: the bias of a gate that remembers for up to `longest` steps.

    For `lstm(forget_bias=chrono(T))`, `gru(update_bias=...)` and `gated(update_bias=...)`, which give it the sign
    that their gates need. Tallec and Ollivier 2018, arXiv 1804.11188. Raises ValueError for `longest` of 2 or less.
    """
    if longest <= 2:
        raise ValueError(f"longest: expected the longest dependency in steps, more than 2, got {longest!r}")
    return Initializer(lambda key, shape, dtype: jnp.log(jax.random.uniform(key, shape, dtype, 1.0, longest - 1.0)))


@factory
def joint(initializer: Callable) -> Initializer:
    """The same draw made once for all gates, [fan_in, G·H], instead of gate by gate."""
    return Initializer(initializer, is_joint=True)


def gates(initializer: Callable, key: Any, count: int, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """One block of `shape` [..., H] per gate, side by side: [..., G·H]."""
    if getattr(initializer, "is_joint", False):
        return initializer(key, (*shape[:-1], count * shape[-1]), dtype)
    return jnp.concatenate([initializer(k, shape, dtype) for k in jax.random.split(key, count)], axis=-1)


def remember(bias: float | Callable, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """The initial bias [H] of a remembering gate: a number, or a draw from an initializer such as chrono."""
    return bias(key, shape, dtype).astype(dtype) if callable(bias) else jnp.full(shape, bias, dtype)


def torch_defaults(cell: str) -> dict[str, Any]:
    """Options that initialize the cell named `cell` as PyTorch does: `lstm(H, **torch_defaults("lstm"))`.

    Everything uniform in ±1/sqrt(H), no forget bias; a bias that replaces PyTorch's two is the sum of two draws.
    """
    both = cell == "gru"  # the one cell here that keeps both of PyTorch's biases
    return {
        "kernel_init": uniform_hidden(),
        "recurrent_init": uniform_hidden(),
        "bias_init": uniform_hidden(draws=1 if both else 2),
        **({"recurrent_bias_init": uniform_hidden()} if both else {}),
        **({"forget_bias": 0.0, "projection_init": uniform_hidden(axis=0)} if cell == "lstm" else {}),
    }


def keras_defaults(cell: str) -> dict[str, Any]:
    """Options that initialize the cell named `cell` as Keras does: Glorot and orthogonal over all gates at once.

    Biases 0, but 1 on the LSTM's forget gate.
    """
    return {
        "kernel_init": joint(glorot_uniform()),
        "recurrent_init": joint(orthogonal()),
        "bias_init": zeros(),
        **({"forget_bias": 1.0} if cell == "lstm" else {}),
    }


def flax_defaults(cell: str) -> dict[str, Any]:
    """Options that initialize the cell named `cell` as flax.linen: LeCun normal, orthogonal per gate, biases 0."""
    return {
        "kernel_init": lecun_normal(),
        "recurrent_init": orthogonal(),
        "bias_init": zeros(),
        **({"forget_bias": 0.0} if cell == "lstm" else {}),
    }
