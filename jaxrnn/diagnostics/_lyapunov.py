"""Lyapunov exponents: the rates at which neighbouring trajectories diverge."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks, figure
from jaxrnn._core.cell import Carry, Cell, Inputs, Params
from jaxrnn._core.lapack import one_by_one
from jaxrnn._core.numerics import wide
from jaxrnn.diagnostics._inside import flat, flat_step, labelled, rows
from jaxrnn.diagnostics._jacobians import linear


class LyapunovExponents(NamedTuple):
    """The result of `lyapunov_exponents`, in nats per step."""

    exponents: jax.Array  # [..., N] in decreasing order
    course: jax.Array  # [steps, ..., N] the estimates after each step, to see whether they have converged


def lyapunov_exponents(
    cell: Cell, params: Params, carry: Carry | None, xs: Inputs, *, warm_up: int = 0
) -> LyapunovExponents:
    """All N Lyapunov exponents of a cell driven by xs [T, ..., D], in nats per step: exponents [..., N].

        J_t Q_{t-1} = Q_t R_t,    exponents = mean over t of log |diag R_t|

    N is the size of the carry as a vector, as in `jacobians`. The largest says whether trajectories diverge (above 0:
    chaos) or converge (below 0: the past is forgotten at this rate, and gradients vanish). A direction that the step
    maps to 0 gives -inf. xs of zeros: the autonomous map. warm_up: steps, fewer than T, that are run but not counted,
    until the trajectory is on the attractor and Q is aligned with it. Every row has all T steps, as exponents are means
    over them. One QR decomposition of [N, N] per step and row.
    Raises ValueError or TypeError for arguments that do not fit.
    Benettin et al. 1980, Meccanica 15; for recurrent networks Vogt et al. 2022, arXiv 2006.14123.
    """
    time, batch = checks.unroll(cell, params, carry, xs, None, None, None, False, None, None)
    if not 0 <= warm_up < time:
        raise ValueError(f"warm_up: expected 0 or more and fewer than T={time}, got {warm_up!r}")
    carry = cell.initial_carry(params, batch) if carry is None else carry
    logs = _logs(cell, params, carry, xs, batch)[warm_up:]
    course = logs.cumsum(0) / jnp.arange(1, len(logs) + 1, dtype=logs.dtype).reshape(-1, *[1] * (logs.ndim - 1))
    order = jnp.argsort(-course[-1], axis=-1)
    course = jnp.take_along_axis(course, order[None], axis=-1)
    return LyapunovExponents(course[-1], course)


_qr = one_by_one(jnp.linalg.qr)


@functools.partial(jax.jit, static_argnames=("cell", "batch"))
def _logs(cell, params, carry, xs, batch):
    """log |diag R_t|, [T, ..., N]."""
    v, unflat = flat(carry, batch)
    f = flat_step(cell, params, unflat)
    sums = wide(v.dtype)  # QR knows no half types

    def one(state, x):
        v, q = state
        v, pushed = linear(f, v, x, q.astype(v.dtype))
        q, r = _qr(pushed.astype(sums))
        return (v, q), jnp.log(jnp.abs(jnp.diagonal(r)))

    q = jnp.broadcast_to(jnp.eye(v.shape[-1], dtype=sums), (*batch, v.shape[-1], v.shape[-1]))
    return jax.lax.scan(rows(one, len(batch)), (v, q), xs)[1]


def plot_lyapunov_exponents(exponents: Any, *, ax: Any = None) -> Any:
    """The exponents [..., N] in decreasing order, with a line for each entry of a dict {label: exponents [..., N]}."""
    ax = figure.axes(ax)
    named = labelled(exponents if isinstance(exponents, dict) else {"": exponents})
    for i, (label, values) in enumerate(named.items()):
        values = np.asarray(values.exponents if isinstance(values, LyapunovExponents) else values, np.float64)
        values = np.moveaxis(np.where(np.isfinite(values), values, np.nan), -1, 0)
        largest = np.median(values[0])
        text = f"{label}: largest {largest:+.3f}" if label else f"largest {largest:+.3f}"
        x = np.arange(1, len(values) + 1)
        figure.line(ax, x, values, text, figure.colour(i), marker="o", markersize=3, linewidth=1.2)
    ax.axhline(0, color="0.3", linewidth=1, linestyle="--")
    title = "Lyapunov exponents: above 0 trajectories part"
    return figure.finish(ax, x="index, from the largest", y="exponent (nats per step)", title=title, legend=True)
