"""Kernels in eight bits: what stands in params in place of an array, and how it is made."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

LARGEST = 127  # of the values: as many below 0 as above


@functools.partial(jax.tree_util.register_dataclass, data_fields=["values", "scales"], meta_fields=["dynamic"])
@dataclasses.dataclass(frozen=True, eq=False)
class Int8:
    """A kernel [..., N, M] as int8 values [..., N, M] times a scale for each column, [..., M]; a pytree of these two.

    It has the shape and the type of the kernel that it stands for, and `jaxrnn.product` takes it. dynamic: the other
    operand is rounded to int8 as well, row by row. A column is an output of a gate, so each gate has its own scales.
    """

    values: Any
    scales: Any
    dynamic: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the kernel."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        """The type of the kernel, which that of the scales is."""
        return self.scales.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Int8:
        """Some columns, `kernel[:, columns]`, or one of several kernels, `kernels[k]`. Raises TypeError for others."""
        if isinstance(index, tuple) and len(index) == self.ndim == 2 and index[0] == slice(None):
            return Int8(self.values[index], self.scales[index[1]], self.dynamic)
        if isinstance(index, int) and self.ndim > 2:
            return Int8(self.values[index], self.scales[index], self.dynamic)
        raise TypeError(f"{index}: expected [:, columns] or a number of one of several kernels, for one in int8")

    def astype(self, dtype: Any) -> jax.Array:
        """The kernel that it stands for, as an array."""
        sums = max(self.dtype, np.dtype("float32"), key=lambda d: d.itemsize)
        return (self.values.astype(sums) * jnp.expand_dims(self.scales.astype(sums), -2)).astype(dtype)

    def __jax_array__(self) -> jax.Array:
        return self.astype(self.dtype)


def is_int8(value: Any) -> bool:
    """Whether a value in params is a kernel in eight bits: `is_leaf` of jax.tree, for who wants them whole."""
    return isinstance(value, Int8)


def rounded(a: Any, axis: int) -> tuple[jax.Array, jax.Array]:
    """(int8 values, scales): a = values * scales to half a scale, which is the largest |a| along the axis / 127."""
    scales = jnp.max(jnp.abs(a), axis, keepdims=True) / LARGEST
    values = jnp.round(a / jnp.where(scales == 0, 1, scales).astype(a.dtype))
    return jnp.clip(values, -LARGEST, LARGEST).astype(jnp.int8), scales
