"""Types and products: the types in which a cell multiplies and sums, and activation functions by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn._core.custom_rules import own_reverse
from jaxrnn._core.jax_internals import is_symbolic_dim
from jaxrnn._core.quantized import Int8, rounded
from jaxrnn._core.taps import tap


def wide(dtype: Any) -> np.dtype:
    """The type to sum in and to draw random numbers in: float32 for half-precision types, else the type itself."""
    return max(jnp.dtype(dtype), jnp.dtype(jnp.float32), key=lambda d: d.itemsize)


def widest(tree: Any) -> np.dtype:
    """The widest floating type in a pytree, for parameters that are added to it; float32 if there is none."""
    types = [a.dtype for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.floating)]
    return max(types, key=lambda d: d.itemsize, default=jnp.dtype(jnp.float32))


def common(*arrays: Any) -> np.dtype:
    """The type in which arrays, or numbers, of several meet: JAX's own, said, for JAX may be told to take none itself.

    (`jax_numpy_dtype_promotion`. It looks at the types alone.)
    """
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*arrays)


# Functions that a name stands for: of one array, and of two. Lists, and not whatever jax.numpy has: names come from
# files too, and `save` and `fromfile` are some.
NONLINEARITIES: dict[str, Callable] = {
    name: getattr(module, name)
    for module, names in (
        (
            jax.nn,
            "celu elu gelu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu log_sigmoid log_softmax "
            "mish relu relu6 selu sigmoid silu soft_sign softmax softplus sparse_plus sparse_sigmoid squareplus "
            "standardize swish tanh",
        ),
        (jnp, "abs absolute arcsinh arctan cbrt cos exp expm1 log1p sign sin sinc sinh square"),
    )
    for name in names.split()
}
PAIRWISE: dict[str, Callable] = {
    name: getattr(jnp, name)
    for name in ("add", "divide", "hypot", "logaddexp", "maximum", "minimum", "multiply", "subtract")
}


def known_name(value: Callable) -> str | None:
    """The name that stands for a function in the lists above, None if none does."""
    name = getattr(value, "__name__", "")
    return name if any(known.get(name) is value for known in (NONLINEARITIES, PAIRWISE)) else None


def nonlinearity(value: str | Callable, argument: str) -> Callable:
    """The function of that name in `NONLINEARITIES`; a function is returned as it is."""
    if callable(value):
        return value
    if isinstance(value, str) and value in NONLINEARITIES:
        return NONLINEARITIES[value]
    raise ValueError(
        f"{argument}: expected a function or its name in jax.nn, such as 'tanh', 'relu' or 'sigmoid', got {value!r}"
    )


FEW_ROWS = 16  # below this, XLA on a CPU has only a slow loop for a half-precision product


def compute_dtype(dtype: Any, params: Any) -> jnp.dtype:
    """The type a cell computes in: `dtype` if given, else that of its kernel."""
    return jnp.dtype(params["kernel"].dtype if dtype is None else dtype)


def product(a: jax.Array, kernel: jax.Array | Int8, dtype: jnp.dtype) -> jax.Array:
    """a [..., N] @ kernel [N, M] with operands in `dtype` -> [..., M].

    Half-precision types are summed, and returned, in float32: the gates are then computed in float32, and only what is
    stored (the drive, the carry) is rounded. On a CPU, products of few rows are also multiplied in float32, which gives
    the same products (those of two half-precision numbers are exact there) and is up to 50 times as fast.

    The kernel may be in int8, as `interop.quantize` makes it: its scales multiply the sums. If it is dynamic, each row
    of a is rounded to int8 too, and the sums are of integers; derivatives are those without this rounding.
    """
    a = tap("operand", a)
    if not isinstance(kernel, Int8):
        return tap("product", _product(a, kernel, dtype))
    by = _product_of_integers if kernel.dynamic else _scaled_product
    return tap("product", by(a.astype(dtype), kernel.values, kernel.scales))


def _product(a, kernel, dtype):
    a, kernel = a.astype(dtype), kernel.astype(dtype)
    rows = math.prod(a.shape[:-1])
    if not is_symbolic_dim(rows) and rows < FEW_ROWS and jax.default_backend() == "cpu":
        a, kernel = a.astype(wide(dtype)), kernel.astype(wide(dtype))
    return lax.dot_general(a, kernel, _axes(a), preferred_element_type=wide(dtype))


def _axes(a):
    """Those that a product with a kernel sums over, for `lax.dot_general`."""
    return ((a.ndim - 1,), (0,)), ((), ())


def _scaled_product(a, values, scales):
    sums = _product(a, values, a.dtype)
    return sums * row(scales, sums)


def _rounded_product(a, values, scales):
    """The same with a rounded to int8, each row by its largest number."""
    a = a.astype(wide(a.dtype))
    of_a, by = rounded(a, -1)
    sums = lax.dot_general(of_a, values, _axes(a), preferred_element_type=jnp.int32).astype(a.dtype)
    return sums * by * row(scales, sums)


def _pulled_back(args, saved, ct):
    a, values, scales = args
    of_a, of_scales = jax.vjp(lambda a, scales: _scaled_product(a, values, scales), a, scales)[1](ct)
    return of_a, jnp.zeros_like(values), of_scales


# Rounding has no slope, so the derivatives are those of the product without it.
_product_of_integers = own_reverse(
    _rounded_product, lambda *args: (_rounded_product(*args), ()), _pulled_back, axes=0, written=_scaled_product
)


def row(vector: jax.Array, like: jax.Array) -> jax.Array:
    """A parameter vector [N] in the type and rank of `like` [..., N].

    JAX would add the axes by itself, unless `jax_numpy_rank_promotion` forbids it.
    """
    return jnp.expand_dims(vector.astype(like.dtype), range(like.ndim - vector.ndim))


def aligned(first: Any, *others: Any) -> list[jax.Array]:
    """Arrays, or numbers, in the type of the first and with as many axes each: JAX adds none if it is told not to."""
    arrays = [jnp.asarray(a, first.dtype) for a in (first, *others)]
    axes = max(a.ndim for a in arrays)
    return [jnp.expand_dims(a, range(axes - a.ndim)) for a in arrays]


def like(new: Any, old: Any) -> Any:
    """`new` cast to the types of `old`, so that an update keeps the types of its carry."""
    return jax.tree.map(lambda n, o: n.astype(o.dtype), new, old)


def clip_cotangent(bound: float, a: jax.Array) -> jax.Array:
    """Return `a`; its cotangent is clipped to ±bound, its tangent is as it is."""

    def clipped(args, saved, ct):
        return (jnp.clip(ct, -bound, bound),)

    return own_reverse(lambda a: a, lambda a: (a, ()), clipped, axes=0)(a)
