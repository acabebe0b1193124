"""The Jacobians of the step along a trajectory: how a small change of the carry grows, shrinks and rotates."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks, figure
from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.rows import given, select, told
from jaxrnn.diagnostics._inside import flat, flat_step, rows
from jaxrnn.wrappers import with_mask, with_reset


class Spectrum(NamedTuple):
    """What matrices [..., N, N] do to a vector."""

    norms: Any  # [...] the spectral norm, the largest factor by which a vector grows
    singular_values: Any  # [..., N] in decreasing order
    eigenvalues: Any  # [..., N] complex, by decreasing modulus


def jacobians(
    cell: Cell,
    params: Params,
    carry: Carry | None,
    xs: Inputs,
    *,
    lengths: Any = None,
    mask: Any = None,
    reset: Any = None,
) -> jax.Array:
    """d carry_t / d carry_{t-1} for every t, along the trajectory from `carry`: xs [T, ..., D] -> [T, ..., N, N].

    The carry is flattened into a vector of N numbers, field after field (an LSTM's h, then its c; a stack's layers by
    name): entry [i, j] is the derivative of the new i-th with respect to the old j-th. The first Jacobian is at the
    given carry, or the initial one. lengths, mask, reset: as for `unroll`. Where a row has no step its carry is held,
    and the Jacobian is the identity; at a restart it is 0. T·N² numbers per row. Raises TypeError for a cell that
    cannot step, such as a bidirectional one.
    """
    carry, xs, lengths, mask, reset = given(carry, xs, lengths, mask, reset)
    time, batch = checks.unroll(cell, params, carry, xs, lengths, mask, reset, False, None, None)
    carry = cell.initial_carry(params, batch) if carry is None else carry
    valid, reset = told(time, lengths, mask, reset)
    if valid is not None:
        cell, xs = with_mask(cell), (select(valid, xs, jax.tree.map(jnp.zeros_like, xs)), valid)
    if reset is not None:
        cell, xs = with_reset(cell), (xs, reset)
    return _jacobians(cell, params, carry, xs, batch)


@functools.partial(jax.jit, static_argnames=("cell", "batch"))
def _jacobians(cell, params, carry, xs, batch):
    v, unflat = flat(carry, batch)
    f = flat_step(cell, params, unflat)

    def one(v, x):
        return linear(f, v, x, jnp.eye(v.size, dtype=v.dtype))

    return jax.lax.scan(rows(one, len(batch)), v, xs)[1]


def linear(f: Any, v: jax.Array, x: Inputs, directions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """f(v, x), and its Jacobian with respect to v times `directions` [N, K]."""
    new, push = jax.linearize(lambda v: f(v, x), v)
    return new, jax.vmap(push, in_axes=-1, out_axes=-1)(directions)


def spectrum(matrices: Any) -> Spectrum:
    """Spectral norms, singular values and eigenvalues of matrices [..., N, N]; by NumPy, in float64."""
    matrices = np.asarray(matrices, np.float64)
    singular = np.linalg.svd(matrices, compute_uv=False)
    return Spectrum(singular[..., 0], singular, eigenvalues(matrices))


def eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """The eigenvalues of matrices [..., N, N]: complex [..., N], by decreasing modulus."""
    values = np.linalg.eigvals(matrices).astype(complex)
    return np.take_along_axis(values, np.argsort(-np.abs(values), axis=-1, kind="stable"), -1)


def jacobian_norms(jacobians: Any) -> np.ndarray:
    """The spectral norm of d carry_t / d carry_s for every s and t: jacobians [T, ..., N, N] -> [T (s), T (t), ...].

    That matrix is the product of the Jacobians after s up to t: norm [s, s] is 1, and for s > t it is 0. T²/2 matrix
    products per row, in NumPy and float64, where values that vanish in float32 are still above 0.
    On vanishing and exploding: Pascanu, Mikolov and Bengio 2013, arXiv 1211.5063.
    """
    jacobians = np.asarray(jacobians, np.float64)
    T, *batch, N, _ = jacobians.shape
    norms, products = np.zeros((T, T, *batch)), np.zeros_like(jacobians)
    for t, jacobian in enumerate(jacobians):
        products[:t] = jacobian @ products[:t]
        products[t] = np.eye(N)
        norms[: t + 1, t] = _norms(products[: t + 1])
    return norms


def _norms(a: np.ndarray) -> np.ndarray:
    """Spectral norms from the largest eigenvalue of AᵀA: as exact as from singular values, and three times as fast."""
    scale = np.abs(a).max((-2, -1), keepdims=True)
    a = a / np.where(scale > 0, scale, 1)  # so that squares neither underflow nor overflow
    return scale[..., 0, 0] * np.sqrt(np.linalg.eigvalsh(np.swapaxes(a, -1, -2) @ a)[..., -1].clip(0))


def plot_eigenvalues(eigenvalues: Any, *, label: str = "", ax: Any = None) -> Any:
    """Eigenvalues [...] in the complex plane, with the unit circle: inside it a mode decays, outside it grows."""
    ax = figure.axes(ax, size=(4.6, 4.6))
    values = np.ravel(np.asarray(eigenvalues))
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 400))
    if not ax.lines:
        ax.plot(np.real(circle), np.imag(circle), color="0.55", linewidth=1)
        ax.annotate("|λ| = 1", (0.73, 0.73), color="0.35")
    style: dict[str, Any] = dict(s=16, linewidth=0, alpha=min(0.8, max(0.08, 60 / max(len(values), 1))))
    colour = figure.colour(len(ax.collections))
    ax.scatter(np.real(values), np.imag(values), color=colour, label=label or None, **style)
    ax.set_aspect("equal", adjustable="datalim")
    for axis in ax.xaxis, ax.yaxis:
        axis.set_major_locator(figure.ticker().MaxNLocator(5))
    if label:
        for handle in ax.legend(frameon=False, loc="upper left").legend_handles:
            handle.set_alpha(1)
    return figure.finish(ax, x="real part", y="imaginary part", title="Eigenvalues of the step")


def plot_singular_values(singular_values: Any, *, ax: Any = None) -> Any:
    """Singular values [T, ..., N] from `spectrum` over the steps, on a logarithmic scale; above 1 a change grows."""
    ax = figure.axes(ax)
    values = np.asarray(singular_values, np.float64)
    T, N = len(values), values.shape[-1]
    values = np.moveaxis(values, -1, 0).reshape(N, T, -1)
    tiny = values.max() * 1e-12  # values below this are 0 up to rounding
    between = np.unique(np.linspace(1, N - 2, 9).astype(int)) if N > 2 else ()
    for i, k in enumerate(between):
        middle = np.median(values[k], 1)
        label = "some between" if i == 0 else None
        ax.plot(np.where(middle > tiny, middle, np.nan), color="0.6", linewidth=0.8, label=label)
    figure.line(ax, np.arange(T), values[-1], "smallest", figure.COLOURS[0], above=tiny, linewidth=2)
    figure.line(ax, np.arange(T), values[0], "largest", figure.COLOURS[1], above=tiny, linewidth=2)
    ax.axhline(1, color="0.3", linewidth=1, linestyle="--")
    ax.set_yscale("log")
    title = f"What a step does to a change of the carry (N = {N})"
    ax.legend(
        *(a[::-1] for a in ax.get_legend_handles_labels()), frameon=False, loc="center left", bbox_to_anchor=(1, 0.5)
    )
    return figure.finish(ax, x="t (steps)", y="singular value of the Jacobian at t", title=title)


def plot_jacobian_norms(norms: Any, *, label: str = "", ax: Any = None) -> Any:
    """Norms [T (s), T (t), ...] of `jacobian_norms` against t - s: median over s and rows, with a band of 10 to 90%."""
    ax = figure.axes(ax)
    norms = np.asarray(norms, np.float64)
    T = len(norms)
    by_distance = [np.stack([norms[s, s + d] for s in range(T - d)]).ravel() for d in range(T)]
    low, middle, high = np.array([np.quantile(a, (0.1, 0.5, 0.9)) for a in by_distance]).T
    low, middle, high = (np.where(a > 0, a, np.nan) for a in (low, middle, high))
    colour = figure.colour(sum(line.get_linestyle() == "-" for line in ax.lines))
    if not ax.lines:
        ax.axhline(1, color="0.3", linewidth=1, linestyle="--")
    ax.plot(range(T), middle, color=colour, linewidth=1.8, label=label or "median over s")
    ax.fill_between(range(T), low, high, color=colour, alpha=0.15, linewidth=0)
    ax.set_yscale("log")
    title = "How a change at s is felt at t"
    return figure.finish(ax, x="t - s (steps)", y="norm of d carry at t / d carry at s", title=title, legend=True)
