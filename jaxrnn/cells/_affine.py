"""What cells share whose kernels see no carry: the drive of all blocks, and the stage that is affine in the carry."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage, features
from jaxrnn._core.numerics import product, row, wide
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense


def affine(element: Callable[[Any, Any], tuple[Any, Any]]) -> Stage:
    """The stage new = a * old + b, leaf by leaf, in the type of sums, with (a, b) = element(params, u).

    a and b are trees like the carry, and as many axes as its leaves have they have too; those of size 1 are repeated.
    """

    def one(old, a, b):
        sums = wide(old.dtype)
        return (a.astype(sums) * old.astype(sums) + b.astype(sums)).astype(old.dtype)

    return Stage(None, lambda params, s, u, v: jax.tree.map(one, s, *element(params, u)))


def widened(tree: Any) -> Any:
    """A carry or a drive in the type of sums; flags, which are no numbers, stay."""
    return jax.tree.map(lambda a: a if a.dtype == bool else a.astype(wide(a.dtype)), tree)


def pair(z: jax.Array) -> jax.Array:
    """Real parts [..., N] beside imaginary parts [..., N] -> complex [..., N]."""
    return lax.complex(*jnp.split(z, 2, axis=-1))


def parts(h: jax.Array) -> jax.Array:
    """Complex [..., N] -> real parts beside imaginary parts [..., 2N]."""
    return jnp.concatenate([h.real, h.imag], axis=-1)


def complex_of(dtype: Any) -> Any:
    """The complex type for a real one: of half-precision types complex64."""
    return jnp.dtype("complex128" if wide(dtype) == jnp.float64 else "complex64")


def read(S: jax.Array, q: jax.Array) -> jax.Array:
    """What queries q [..., heads, K] read in memories S [..., heads, K, V]: [..., heads, V]."""
    return (q[..., None] * S).sum(-2)


class Driven(Dense):
    """The parts of a cell whose one kernel sees x only, with a block of its own width for each name.

    widths: name -> columns. Names of one letter whose blocks are all H wide are the `gates` of the cell.
    Parameters: kernel [D, sum of widths], and bias [sum of widths] where `bias_init` is among the options.
    """

    def __init__(self, hidden_size: int, options: Any, **widths: int):
        super().__init__(hidden_size, "", options)
        if set(widths.values()) == {self.H} and all(len(name) == 1 for name in widths):
            self.gates = "".join(widths)
        self.widths = widths

    def init(self, key: Any, input_size: Any, **more: Callable) -> Any:
        """New params. more: name -> a function of a key, which draws a further one."""
        checks.init(key, input_size)
        k1, k2, *keys = jax.random.split(key, 2 + len(more))

        def beside(draw, key, *rows):
            each = zip(jax.random.split(key, len(self.widths)), self.widths.values(), strict=True)
            return jnp.concatenate([draw(k, (*rows, width), self.param_dtype) for k, width in each], axis=-1)

        params = {"kernel": beside(self.options["kernel_init"], k1, input_size)}
        if "bias_init" in self.options:
            params["bias"] = beside(self.options["bias_init"], k2)
        return params | {n: draw(k).astype(self.param_dtype) for (n, draw), k in zip(more.items(), keys, strict=True)}

    def drive(self, params: Any, x: jax.Array) -> jax.Array:
        """x [..., D] -> x @ kernel + bias, rounded to the type to compute in."""
        u = product(x, params["kernel"], self.compute(params))
        return (u + row(params["bias"], u) if "bias" in params else u).astype(self.compute(params))

    def of(self, u: jax.Array) -> list[jax.Array]:
        """The blocks of the drive, in the order of `widths`, in the type of sums."""
        ends = list(itertools.accumulate(self.widths.values()))
        return jnp.split(u.astype(wide(u.dtype)), ends[:-1], axis=-1)

    def squash(self, z: jax.Array) -> jax.Array:
        """The gate activation of z: sigmoid."""
        return jax.nn.sigmoid(z)

    def new(self, name: str, z: jax.Array) -> jax.Array:
        """What a gate lets into the state, under its name in the traces."""
        return tap(name, tap("candidate", z))

    def zeros(self, params: Any, *shape: int, dtype: Any = None) -> jax.Array:
        """Zeros in the type to compute in."""
        return jnp.zeros(shape, dtype or self.compute(params))

    def affine(self, carry: type, element: Callable, *, drive: Callable | None = None, **parts: Any) -> Cell:
        """The cell whose one stage is `affine(element)`; `parts` as of `made`."""
        return self.made(carry, affine(element), drive=drive, element=element, **parts)

    def made(self, carry: type, *stages: Stage, init: Any = None, start: Any = None, drive: Any = None, **parts: Any):
        """The cell with these stages. init, drive: None for those here; start: None for zeros [H] in each field."""

        def zeros(params):
            return carry(*(self.zeros(params, self.H) for _ in carry._fields))

        return Cell(init or self.init, start or zeros, features, drive or self.drive, stages, gates=self.gates, **parts)
