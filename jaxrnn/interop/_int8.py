"""Kernels in eight bits, for models that are small on disk and in memory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.numerics import wide
from jaxrnn._core.quantized import Int8, is_int8, rounded

KERNELS = "kernel", "recurrent_kernel", "projection", "readout"


def quantize(params: Params, *, dynamic: bool = False, names: tuple[str, ...] = KERNELS) -> Params:
    """The params with their kernels in int8: a quarter of the size of float32, used as params are.

        small = jaxrnn.interop.quantize(params)
        carry, ys = jaxrnn.unroll(cell, small, None, xs)
        jaxrnn.save("model.safetensors", cell, small)

    A kernel [..., N, M] becomes `Int8(values [..., N, M], scales [..., M])`: values round(kernel / scale), from -127 to
    127, with scale = max |column| / 127, so that each unit of each gate has its own scale and no number is off by more
    than half of it (and by what the type of the kernel, which the scales keep, rounds). Biases, embeddings and all else
    stay as they are.

    dynamic: False: the values are multiplied in the type of the cell, and sums by the scales. True: what they are
        multiplied with is rounded to int8 as well, when it runs, each row by its own largest number, and the sums are
        of integers, exact: for machines that multiply int8 faster. The result is less exact.
        `weight_norm` makes new kernels, in floats: it runs as with dynamic=False.
    names: the params that are kernels, by the last name of their path; those with fewer than two axes are left alone.

    In int8 nothing is trained: `jax.grad` by these params raises TypeError. By inputs and carries there are gradients,
    those of the kernels as rounded; rounding of the other operand counts as if it were not there (straight through).
    `dequantize` gives floats again. It can be traced.
    Raises ValueError if no parameter has such a name, or for numbers that are not finite; TypeError for what is in int8
    already.
    """
    if isinstance(names, str):
        raise TypeError(f"names: expected a tuple of names, got {names!r}; write ({names!r},)")
    found = []

    def one(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if is_int8(leaf):
            raise TypeError(f"params: expected floats, got {name} in int8 already; dequantize gives floats again")
        if jax.tree_util.keystr(path[-1:], simple=True) not in names or len(checks.shape(leaf)) < 2:
            return leaf
        found.append(name)
        return _quantized(arrays.ours(leaf, name), name, dynamic)

    made = jax.tree_util.tree_map_with_path(one, params, is_leaf=is_int8)
    if not found:
        raise ValueError(f"names: expected names of kernels in params, got {names!r}, and {checks.describe(params)}")
    return made


def dequantize(params: Params) -> Params:
    """The params with each kernel in int8 as an array of floats, the numbers that it stands for."""
    return jax.tree.map(lambda leaf: leaf.astype(leaf.dtype) if is_int8(leaf) else leaf, params, is_leaf=is_int8)


def _quantized(kernel: Any, name: str, dynamic: bool) -> Int8:
    if not jnp.issubdtype(kernel.dtype, jnp.floating):
        raise TypeError(f"params: expected floating-point numbers in {name}, got {checks.describe(kernel)}")
    if not is_traced(kernel) and not np.isfinite(np.asarray(kernel, np.float64)).all():
        raise ValueError(f"params: expected finite numbers in {name}, which are rounded by the largest, got others")
    exact = jnp.asarray(kernel).astype(wide(kernel.dtype))
    scales = rounded(exact, -2)[1].astype(kernel.dtype)  # first in the type that they are kept in
    values = jnp.round(exact / jnp.where(scales == 0, 1, scales).astype(exact.dtype))
    return Int8(jnp.clip(values, -127, 127).astype(jnp.int8), scales[..., 0, :], dynamic)
