"""What tests share: problems without a zero, tolerances derived from the type, and one way to compare."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import reference

import jaxrnn


def generator(key: jax.Array) -> np.random.Generator:
    """NumPy's generator from a key of JAX, which would compile a program for each shape that it draws."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def normal_like(key: jax.Array, tree: Any, scale: float = 1.0) -> Any:
    """Normal noise in the shapes and types of a pytree of arrays or ShapeDtypeStructs; fair coins where it is bool."""
    rng = generator(key)

    def one(a):
        draw = rng.random(a.shape) < 0.5 if a.dtype == bool else scale * rng.standard_normal(a.shape)
        if jnp.issubdtype(a.dtype, jnp.complexfloating):
            draw = draw + 1j * scale * rng.standard_normal(a.shape)
        return jnp.asarray(draw.astype(a.dtype))

    return jax.tree.map(one, tree)


@functools.lru_cache(maxsize=256)
def _init(cell: Any, input_size: int) -> Any:
    return jax.tree.map(np.asarray, cell.init(jax.random.key(0), input_size))


def noisy_params(cell: Any, key: jax.Array, input_size: int, dtype: Any = None, scale: float = 0.3) -> Any:
    """Params of `cell` with normal noise on every entry, so that no bias is zero and none can be left out unseen.

    `dtype`: the type they are cast to; None keeps that of `init`.
    """
    rng = generator(key)

    def one(a):
        to, noisy = dtype or a.dtype, a + scale * rng.standard_normal(a.shape)
        if np.iscomplexobj(a):
            to, noisy = np.result_type(to, np.complex64), noisy + 1j * scale * rng.standard_normal(a.shape)
        noisy = noisy.astype(to)
        assert (noisy != 0).all()
        return jnp.asarray(noisy)

    return jax.tree.map(one, _init(cell, input_size))


def problem(
    cell: Any, key: jax.Array, T: int = 6, batch: tuple[int, ...] = (2,), D: int = 3, dtype: Any = None
) -> tuple[Any, Any, Any]:
    """(params, carry, xs): nothing is zero in them. xs is what the cell's `input` asks for, flags as coin tosses.

    The carry has the types of the cell's own; xs has those of the params.
    """
    k_params, k_carry, k_xs = jax.random.split(key, 3)
    params = noisy_params(cell, k_params, D, dtype)
    x = jax.ShapeDtypeStruct((D,), dtype or jnp.float32) if cell.input is None else cell.input(params)
    xs = jax.tree.map(lambda a: jax.ShapeDtypeStruct((T, *batch, *a.shape), a.dtype), x)
    carry = jax.eval_shape(lambda p: cell.initial_carry(p, batch), params)
    return params, normal_like(k_carry, carry, 0.5), normal_like(k_xs, xs)


@contextlib.contextmanager
def lenient() -> Iterator[None]:
    """Within it, or in a function that it decorates, JAX promotes types and ranks by itself, as it does for users.

    For code that is not ours: the tests are strict (see conftest), other libraries are not written for it.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def as_row(vector: Any, like: Any) -> Any:
    """A vector [N] as a row of `like` [..., N], said with all of its axes: in the tests JAX adds none by itself."""
    return vector.reshape(*[1] * (like.ndim - 1), -1)


def adam(*args: Any, **options: Any) -> optax.GradientTransformation:
    """optax.adam, whose own code raises a float to the power of a count, an integer: it alone is not strict."""
    made = optax.adam(*args, **options)
    return optax.GradientTransformation(made.init, lenient()(made.update))


def tolerance(dtype: Any, steps: int) -> float:
    """How far two right answers may be apart after `steps` steps, relative to the largest number: 4 eps a step.

    In a step the drive, the recurrent product, the activations and the carry are each rounded, to half an eps of a
    number of about 1 to 4; the gates hand errors on with a slope below 1, so they add up over steps at worst.
    Worst measured for T = 6 over VARIANTS and five keys: 0.46 eps a step (float64), 0.17 in half types.
    """
    return 4 * steps * float(jnp.finfo(dtype).eps)


def wider(a: Any) -> np.ndarray:
    """An array as NumPy's, in float64, or complex128."""
    return np.asarray(a, np.complex128 if np.iscomplexobj(a) else np.float64)


def assert_close(actual: Any, expected: Any, tol: float) -> None:
    """Two pytrees have one structure and shapes, and each leaf is finite and within tol · max(1, largest expected)."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, a), e in zip(jax.tree_util.tree_leaves_with_path(actual), jax.tree.leaves(expected), strict=True):
        a, e = wider(a), wider(e)
        name = jax.tree_util.keystr(path) or "value"
        assert a.shape == e.shape, f"{name}: {a.shape} is not {e.shape}"
        assert np.isfinite(e).all(), f"{name}: the expected is not finite"
        assert np.isfinite(a).all(), f"{name}: not finite"
        error = np.abs(a - e).max(initial=0.0) / max(1.0, np.abs(e).max(initial=0.0))
        assert error <= tol, f"{name}: off by {error:.3g}, tolerance {tol:.3g}"


# The cells that all of the library's promises are tried with. The others of CELLS have test_catalogue.py.
CORE = tuple(reference.STEPS)

# Each of them as it comes, and every option that changes its mathematics: name -> (factory, options).
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in CORE},
    "elman_relu": ("elman", {"activation": "relu"}),
    "gated_activations": ("gated", {"activation": "soft_sign", "gate_activation": "hard_sigmoid"}),
    "gru_activations": ("gru", {"activation": "soft_sign", "gate_activation": "hard_sigmoid"}),
    "gru_reset_before_activations": (
        "gru_reset_before",
        {"activation": "soft_sign", "gate_activation": "hard_sigmoid"},
    ),
    "lstm_activations": (
        "lstm",
        {"activation": "soft_sign", "gate_activation": "hard_sigmoid", "output_activation": "sigmoid"},
    ),
    "lstm_peepholes": ("lstm", {"peepholes": True}),
    "lstm_coupled": ("lstm", {"coupled": True}),
    "lstm_coupled_peepholes": ("lstm", {"coupled": True, "peepholes": True}),
    "lstm_projection": ("lstm", {"projection": 2}),
    "lstm_projection_peepholes": ("lstm", {"projection": 2, "peepholes": True}),
    "lstm_clip": ("lstm", {"cell_clip": 0.4}),
    "lstm_clip_coupled_projection_peepholes": (
        "lstm",
        {"cell_clip": 0.4, "coupled": True, "projection": 2, "peepholes": True},
    ),
    "mgu_activations": ("mgu", {"activation": "soft_sign", "gate_activation": "hard_sigmoid"}),
    "mgu_reset_after_activations": (
        "mgu_reset_after",
        {"activation": "soft_sign", "gate_activation": "hard_sigmoid"},
    ),
    "multiplicative_lstm_activations": (
        "multiplicative_lstm",
        {"activation": "soft_sign", "gate_activation": "hard_sigmoid"},
    ),
    "recurrent_highway_shallow": (
        "recurrent_highway",
        {"depth": 1, "activation": "soft_sign", "gate_activation": "hard_sigmoid"},
    ),
    "lem_dt_activations": ("lem", {"dt": 0.4, "activation": "soft_sign", "gate_activation": "hard_sigmoid"}),
    "indrnn_tanh": ("indrnn", {"activation": "tanh"}),
    "cornn_options": ("cornn", {"dt": 0.3, "gamma": 1.7, "epsilon": 0.6, "activation": "soft_sign"}),
}

# Cells that carry two states.
PAIRS = {"lstm", "multiplicative_lstm", "lem", "cornn"}


def carry_sizes(name: str, H: int = 5) -> tuple[int, ...]:
    """The size of each state that the cell of that row of VARIANTS carries."""
    factory, options = VARIANTS[name]
    return (options.get("projection", H), H) if factory in PAIRS else (H,)


def variant(name: str, **more: Any) -> Any:
    """The cell of that row of VARIANTS with H = 5, made anew; `more` options, such as dtype."""
    factory, options = VARIANTS[name]
    return jaxrnn.CELLS[factory](5, **options, **more)


def loop(name: str) -> Any:
    """The NumPy step of that row of VARIANTS."""
    factory, options = VARIANTS[name]
    return functools.partial(reference.STEPS[factory], **options)


def double(tree: Any) -> Any:
    """A pytree for the reference: NumPy, numbers in float64 or complex128; flags stay."""
    return jax.tree.map(lambda a: np.asarray(a) if a.dtype == bool else wider(a), tree)


def leaves_close(actual: Any, expected: Any, tol: float) -> None:
    """`assert_close` leaf by leaf, whatever holds them: the reference's carries are plain tuples."""
    assert_close(jax.tree.leaves(actual), jax.tree.leaves(expected), tol)


def weighed(tree: Any) -> Any:
    """The sum of all entries, each with a random weight of its own, the same at every call.

    A loss for gradients: a sum, or one of squares, is the same for an outcome whose axes are exchanged.
    """
    rng = np.random.default_rng(0)

    def one(a):
        dtype = a.dtype if a.dtype.itemsize >= 4 else jnp.float32
        return jnp.sum(rng.standard_normal(a.shape).astype(dtype) * a.astype(dtype))

    sums = list(map(one, jax.tree.leaves(tree)))
    dtype = max((s.dtype for s in sums), key=lambda d: d.itemsize)
    return sum(s.astype(dtype) for s in sums)


def dot(weights: Any, tree: Any) -> Any:
    """The sum of all entries but flags and counts, each with a weight of its own; of complex ones, of both parts."""
    pairs = zip(jax.tree.leaves(weights), jax.tree.leaves(tree), strict=True)
    return sum((w * a.astype(w.dtype)).real.sum() for w, a in pairs if a.dtype.kind in "fc")


def slopes_agree(grads: Any, loss: Any, exact: Any, rng: Any) -> None:
    """The gradient by each of several arguments, along a random direction, is a central difference of the NumPy `loss`.

    The step is where truncation h² and rounding eps/h meet: both are then eps^(2/3).
    """
    eps = float(np.finfo(np.float64).eps)
    h = eps ** (1 / 3)

    def direction(a, g):  # flags and counts have none
        draws = rng.standard_normal((2, *a.shape))
        return {"f": draws[0], "c": draws[0] + 1j * draws[1]}.get(g.dtype.kind, 0 * draws[0])

    def moved(tree, way, by):
        return jax.tree.map(lambda a, d: a + by * d if d.any() else a, tree, way)

    for i, (grad, value) in enumerate(zip(grads, exact, strict=True)):
        way = jax.tree.map(direction, value, grad)
        norm = np.sqrt(sum(np.sum(np.abs(d) ** 2) for d in jax.tree.leaves(way))) or 1.0  # 1: there are no numbers
        up, down = (float(loss(*exact[:i], moved(value, way, by / norm), *exact[i + 1 :])) for by in (h, -h))
        parts = [(np.asarray(g), d) for g, d in zip(jax.tree.leaves(grad), jax.tree.leaves(way), strict=True)]
        slope = sum(float(np.real(np.sum(g * d))) for g, d in parts if g.dtype.kind in "fc") / norm
        off, most = abs((up - down) / (2 * h) - slope), 100 * eps ** (2 / 3) * max(1, abs(up), abs(slope))
        assert off <= most, f"argument {i}: the slope {slope:.6g} is off by {off:.3g}, tolerance {most:.3g}"


def table(rows: Any, quick: Any, ids: Any = str) -> list[Any]:
    """The rows of a table of tests, those outside `quick` only for `make test-all`."""
    return [pytest.param(*_tuple(r), id=ids(r), marks=() if r in quick else pytest.mark.full) for r in rows]


def _tuple(row: Any) -> tuple[Any, ...]:
    return row if isinstance(row, tuple) else (row,)
