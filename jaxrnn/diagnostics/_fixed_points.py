"""Fixed points of the autonomous map: where a network stands still under a constant input, and how it moves nearby."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks, figure
from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.lapack import one_by_one
from jaxrnn.diagnostics._inside import flat, flat_step
from jaxrnn.diagnostics._jacobians import eigenvalues, linear


class FixedPoints(NamedTuple):
    """K points, the slowest first."""

    carry: Any  # a carry with rows, leaves [K, ...]
    points: np.ndarray  # [K, N] the same as vectors, field after field
    speeds: np.ndarray  # [K] |F(h) - h|
    eigenvalues: np.ndarray  # [K, N] complex, of dF/dh, by decreasing modulus
    unstable: np.ndarray  # [K] number of unstable directions: eigenvalues of modulus above 1
    reached: np.ndarray  # [K] number of starts that led to it

    @property
    def stable(self) -> np.ndarray:
        """[K] whether the point is stable: no eigenvalue has a modulus above 1."""
        return self.unstable == 0


def fixed_points(
    cell: Cell,
    params: Params,
    starts: Carry,
    x: Inputs | None = None,
    *,
    speed: float = 1e-5,
    apart: float = 1e-3,
    steps: int = 200,
) -> FixedPoints:
    """The fixed points h = F(h) of a cell under a constant input x [D] (None: 0) that are reached from `starts`.

    From each start, a row of the carry `starts` (leaves [S, H]; states that the network visits, plus noise, work well),
    Levenberg-Marquardt steps lead to a minimum of |F(h) - h|², and so to unstable points too; all run in one compiled
    loop of at most `steps` iterations. Minima with a speed |F(h) - h| above `speed` are left out: raise it for slow
    points, where the network is nearly at rest. Of points closer than `apart` in every unit, the slowest is kept. Of a
    continuum of points, such as a line attractor, the result is a sample.
    Raises ValueError or TypeError for arguments that do not fit. Sussillo and Barak 2013, "Opening the black box:
    low-dimensional dynamics in high-dimensional recurrent neural networks".
    """
    checks.params(cell, params)
    checks.positive(steps, "steps")
    batch = checks.carry(cell, params, starts)
    if x is None:
        if cell.input is None:
            raise ValueError(f"x: expected an input; {cell!r} does not say what one is")
        x = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), cell.input(params))
    found = _descend(cell, params, starts, x, batch, steps)
    points, speeds, slopes = (np.asarray(a).reshape(-1, *a.shape[1:]) for a in found)

    order = np.argsort(speeds, kind="stable")  # a NaN last
    kept: list[int] = []
    reached: list[int] = []
    for i in order[speeds[order] <= speed]:
        near = [np.abs(points[i] - points[j]).max() < apart for j in kept]
        if any(near):
            reached[near.index(True)] += 1
        else:
            kept.append(i)
            reached.append(1)
    _, unflat = flat(starts, batch)
    values = eigenvalues(slopes[kept].astype(np.float64))
    return FixedPoints(
        jax.vmap(unflat)(jnp.asarray(points[kept])),
        points[kept],
        speeds[kept],
        values,
        (np.abs(values) > 1).sum(-1),
        np.array(reached, int),
    )


_solve = one_by_one(jnp.linalg.solve)


@functools.partial(jax.jit, static_argnames=("cell", "batch"))
def _descend(cell, params, starts, x, batch, steps):
    """Where each start ends: points [S, N], speeds [S], Jacobians [S, N, N]."""
    v, unflat = flat(starts, batch)
    v = v.reshape(-1, v.shape[-1])
    f, eye = flat_step(cell, params, unflat), jnp.eye(v.shape[-1], dtype=v.dtype)
    eps = jnp.finfo(v.dtype).eps

    def residual(v):
        return jnp.sum(jnp.square(f(v, x) - v))

    def one(v, q, damping):
        """A step, taken only if it lowers the residual q; else the next is shorter, closer to steepest descent."""
        new, jacobian = linear(f, v, x, eye)
        a = jacobian - eye
        shift = _solve(a.T @ a + damping * eye, a.T @ (new - v))
        there = v - shift
        q_there = residual(there)
        better = q_there < q
        damping = jnp.where(better, damping * 0.1, damping * 8).clip(eps**2, 1e9)
        return jnp.where(better, there, v), jnp.where(better, q_there, q), damping

    def moving(state):
        k, _, q, damping = state
        return (k < steps) & jnp.any((q > 0) & (damping < 1e8))

    def turn(state):
        k, v, q, damping = state
        return k + 1, *jax.vmap(one)(v, q, damping)

    start = (0, v, jax.vmap(residual)(v), jnp.full(len(v), 0.1, v.dtype))
    _, v, q, _ = jax.lax.while_loop(moving, turn, start)
    return v, jnp.sqrt(q), jax.vmap(lambda v: linear(f, v, x, eye)[1])(v)


def plot_fixed_points(found: FixedPoints, *, carries: Carry | None = None, ax: Any = None) -> Any:
    """The points in the plane of most variance: filled if stable, else hollow. carries: trajectories, [T, ..., H].

    The plane is that of the trajectories, as from `unroll(emit_carry(cell), ...)`, or else of the points themselves.
    """
    ax = figure.axes(ax, size=(5.6, 4.6))
    paths = np.zeros((0, 0, found.points.shape[-1]))
    if carries is not None:
        leaves = [np.asarray(a, np.float64) for a in jax.tree.leaves(carries)]
        paths = np.concatenate([a.reshape(len(a), -1, a.shape[-1]) for a in leaves], -1)
    cloud = paths.reshape(-1, paths.shape[-1]) if paths.size else np.asarray(found.points, np.float64)
    middle = cloud.mean(0) if len(cloud) else 0
    variance, axes = np.linalg.svd(cloud - middle, full_matrices=True)[1:]
    share = np.zeros(2)
    share[: len(variance)] = (variance**2 / max((variance**2).sum(), 1e-300))[:2]

    def shown(a):
        a = (a - middle) @ axes[:2].T
        return np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, 2 - a.shape[-1])])  # N = 1 has one axis

    for i, path in enumerate(np.moveaxis(shown(paths), 1, 0) if paths.size else ()):
        ax.plot(*path.T, color="0.6", linewidth=0.7, alpha=0.6, zorder=1, label="trajectories" if i == 0 else None)
    points = shown(np.asarray(found.points, np.float64))
    for some, label, face in (found.stable, "stable", figure.COLOURS[0]), (~found.stable, "unstable", "white"):
        edge = figure.COLOURS[0] if label == "stable" else figure.COLOURS[1]
        if some.any():
            text = f"{label} ({some.sum()})"
            ax.scatter(*points[some].T, s=55, facecolor=face, edgecolor=edge, linewidth=1.6, zorder=3, label=text)
    x, y = (f"principal component {k + 1} ({share[k]:.0%} of the variance)" for k in range(2))
    return figure.finish(ax, x=x, y=y, title="Fixed points", legend=True)
