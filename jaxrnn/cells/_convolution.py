"""What cells on a grid share: their products are convolutions with zero padding, which keep the grid's shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.custom_rules import own_reverse
from jaxrnn._core.numerics import row, wide
from jaxrnn._core.taps import tap
from jaxrnn.cells._dense import Dense

AXES = {1: ("NWC", "WIO"), 2: ("NHWC", "HWIO"), 3: ("NDHWC", "DHWIO")}


def convolution(a: jax.Array, kernel: Any, dtype: Any) -> jax.Array:
    """a [..., *shape, N] with kernel [*window, N, M], zeros around a -> [..., *shape, M].

    As `product`: operands in `dtype`, sums of half-precision types in float32, and that is returned.
    """
    a = tap("operand", a)
    n = kernel.ndim - 2
    leading, grid = a.shape[: a.ndim - n - 1], a.shape[a.ndim - n - 1 :]
    # Cast up and not `preferred_element_type`, which the transpose of a convolution does not take.
    images, kernel = (b.astype(dtype).astype(wide(dtype)) for b in (a.reshape(math.prod(leading), *grid), kernel))
    out = _convolved(images, kernel)
    return tap("product", out.reshape(*leading, *out.shape[1:]))


def _as_written(images, kernel):
    n = kernel.ndim - 2
    image, window = AXES[n]
    return lax.conv_general_dilated(images, kernel, (1,) * n, "SAME", dimension_numbers=(image, window, image))


def _backward(args, saved, ct):
    """The kernel's gradient as one product for each place of the window.

    XLA on a CPU takes it as a convolution whose window is the grid, and within a loop by its slowest code: 20 to 50
    times the time of the products.
    """
    images, kernel = args
    window, grid = kernel.shape[:-2], images.shape[1:-1]
    sides = [((size - 1) // 2, size // 2) for size in window]
    padded = jnp.pad(images, [(0, 0), *sides, (0, 0)])
    axes = tuple(range(images.ndim - 1))

    def at(place):
        there = tuple(slice(start, start + size) for start, size in zip(place, grid, strict=True))
        return lax.dot_general(padded[:, *there], ct, ((axes, axes), ((), ())), preferred_element_type=ct.dtype)

    by_kernel = jnp.stack([at(place) for place in itertools.product(*map(range, window))])
    (by_images,) = jax.linear_transpose(lambda images: _as_written(images, kernel), images)(ct)
    return by_images, by_kernel.reshape(kernel.shape)


_convolved = own_reverse(_as_written, lambda *args: (_as_written(*args), ()), _backward, 0)


class Spatial(Dense):
    """Dense parts for units on a grid: kernel [*window, D, G·H], recurrent_kernel [*window, H, G·H], bias [G·H].

    Raises ValueError for a shape or a window that is not of 1, 2 or 3 sizes.
    """

    def __init__(self, hidden_size: int, gates: str, options: Any, shape: Any, kernel_size: Any):
        super().__init__(hidden_size, gates, options)
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.window = (kernel_size,) * len(self.shape) if isinstance(kernel_size, int) else tuple(kernel_size)
        for name, sizes in ("shape", self.shape), ("kernel_size", self.window):
            if len(sizes) not in AXES or len(sizes) != len(self.shape):
                raise ValueError(f"{name}: expected a size for each of 1, 2 or 3 axes of the grid, got {sizes!r}")
            for size in sizes:
                checks.positive(size, name)

    def blocks(
        self, initializer: str | Callable, key: Any, shape: tuple[int, ...], gates: str | None = None
    ) -> jax.Array:
        """A draw for each gate; of a kernel [N, H] one for each place of the window."""
        window = self.window if len(shape) == 2 else ()
        return super().blocks(initializer, key, (*window, *shape), gates)

    def drive(self, params: Any, x: jax.Array) -> jax.Array:
        """x [..., *shape, D] * kernel + bias -> [..., *shape, G·H], rounded to the type to compute in."""
        u = convolution(x, params["kernel"], self.compute(params))
        return (u + row(params["bias"], u)).astype(self.compute(params))

    def recur(self, gates: str = "", of: str = "h") -> Callable[[Any, Any], jax.Array]:
        """The `recur` of a stage: a field of the state convolved with all kernels, or with some gates'."""

        def recur(params, s):
            kernel = params["recurrent_kernel"]
            kernel = kernel[..., self.columns(gates)] if gates else kernel
            return convolution(getattr(s, of), kernel, self.compute(params))

        return recur

    def cell(self, carry: type, *stages: Stage, init: Callable | None = None, **_: Any) -> Cell:
        """The cell with these stages; its carry starts as zeros [*shape, H] in each field."""

        def start(params):
            return carry(*(jnp.zeros((*self.shape, self.H), self.compute(params)) for _ in carry._fields))

        def inputs(params):
            return jax.ShapeDtypeStruct((*self.shape, params["kernel"].shape[-2]), params["kernel"].dtype)

        return Cell(init or self.init, start, inputs, self.drive, stages, gates=self.gates)
