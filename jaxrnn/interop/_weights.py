"""Another program's arrays by name: each is read once, checked, and copied; what is left over is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
from jaxrnn._core.jax_internals import is_traced


class Weights:
    """Arrays by name, to be taken one by one.

    name: the argument that they came in, for messages. dtype: the type that they are cast to; None: their own.
    Raises TypeError if `values` is no mapping, or has names that are no strings.
    """

    def __init__(self, values: Any, name: str, dtype: Any = None):
        if not isinstance(values, Mapping):
            raise TypeError(f"{name}: expected a mapping of arrays by name, got {checks.describe(values)}")
        if not all(isinstance(key, str) for key in values):
            raise TypeError(f"{name}: expected a mapping of arrays by name, got the names {list(values)}")
        self.name, self.dtype, self._left = name, dtype, dict(values)

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def left(self) -> Iterable[str]:
        """The names that were not taken yet."""
        return list(self._left)

    def take(self, key: str, axes: Mapping[str, int | None]) -> jax.Array:
        """The array of that name, a copy, which must have these axes: letters and sizes, None for one of any size.

        Raises KeyError if there is none, ValueError for another shape or numbers that are not finite, TypeError for
        another type.
        """
        value = self._found(key, axes)
        del self._left[key]
        return array(value, self._said(key), axes, self.dtype)

    def shape(self, key: str, axes: Mapping[str, int | None]) -> tuple[int, ...]:
        """The shape of the array of that name, which stays to be taken. Raises as `take` does, but for numbers."""
        return _fitting(self._found(key, axes), self._said(key), axes, self.dtype).shape

    def _said(self, key: str) -> str:
        return f"{self.name}[{key!r}]"

    def _found(self, key: str, axes: Mapping[str, int | None]) -> Any:
        if key not in self._left:
            raise KeyError(f"{self._said(key)} is missing: expected {_axes(axes)}, and there are only {self.left()}")
        return self._left[key]

    def end(self) -> None:
        """Raise ValueError if an array was not taken: it would be ignored in silence."""
        if self._left:
            left = ", ".join(f"{key!r} {checks.describe(value)}" for key, value in self._left.items())
            raise ValueError(f"{self.name}: expected no more arrays than the cell has, got {left} as well")


def array(value: Any, name: str, axes: Mapping[str, int | None], dtype: Any = None) -> jax.Array:
    """A copy of `value`, floating numbers with these axes, as `Weights.take` gives it."""
    value = _fitting(value, name, axes, dtype)
    if not is_traced(value):
        finite = np.isfinite(np.asarray(value, np.float64))
        if not finite.all():
            at = np.unravel_index(int(np.argmin(finite)), finite.shape)
            raise ValueError(f"{name}: expected finite numbers, got {np.asarray(value)[at]} at {checks.place(at)}")
    return jnp.array(value, dtype=dtype, copy=True)


def _fitting(value: Any, name: str, axes: Mapping[str, int | None], dtype: Any) -> Any:
    """`value` as an array. Raises unless it has these axes, and is of floating numbers that JAX has here."""
    value = arrays.numbers(value, name)
    came = checks.describe(value)
    shape = tuple(axes.values())
    if len(shape) != value.ndim or any(n not in (None, m) for n, m in zip(shape, value.shape, strict=True)):
        raise ValueError(f"{name}: expected {_axes(axes)}, got {came}")
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(f"{name}: expected real floating-point numbers, got {came}")
    if dtype is None and jax.dtypes.canonicalize_dtype(value.dtype) != value.dtype:
        raise TypeError(
            f"{name}: {value.dtype} while JAX has no float64 here: pass dtype='float32', or call "
            "jax.config.update('jax_enable_x64', True) at the start of the program"
        )
    return value


def known_zero(array: Any) -> bool:
    """Whether an array of ours is 0 for sure, and may be left out where others have no place for it."""
    return not is_traced(array) and not np.any(np.asarray(array))


def library(array: Any) -> Any:
    """NumPy for its own arrays, jax.numpy for JAX's: each keeps the type."""
    return np if isinstance(array, np.ndarray) else jnp


def outward(tree: Any) -> Any:
    """A pytree for others: each array a NumPy array of its own; what is traced stays as it is."""
    return jax.tree.map(lambda a: a if is_traced(a) else np.array(a, copy=True), tree)


def _axes(axes: Mapping[str, int | None]) -> str:
    sizes = ", ".join(letters if n is None else f"{letters}={n}" for letters, n in axes.items())
    return f"[{sizes}]"
