"""Linear memory: for how long an input can be read out of the states."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn._core import checks, figure
from jaxrnn._core.cell import Carry, Cell, Engine, Inputs, Params
from jaxrnn.diagnostics._inside import labelled
from jaxrnn.run import unroll


class MemoryCurve(NamedTuple):
    """The result of `memory_curve`."""

    scores: np.ndarray  # [delays + 1, D] R² of x_{t-k}, k = 0, 1, ..., delays
    capacity: float  # their sum: at most H for inputs that are independent


def memory_curve(
    cell: Cell,
    params: Params,
    carry: Carry | None,
    xs: Inputs,
    *,
    delays: int = 100,
    warm_up: int = 100,
    ridge: float = 1e-9,
    engine: Engine | None = None,
    key: jax.Array | None = None,
) -> MemoryCurve:
    """How well a linear map can read x_{t-k} out of y_t, for k = 0, 1, ..., delays: xs [T, ..., D].

        R²_k = squared correlation of x_{t-k} and its best linear readout from y_t,    capacity = sum of R²_k

    xs should be noise, such as `jax.random.uniform(key, (2000, 1, 1), minval=-1)`, independent between steps and
    between its D channels. The readout, with a bias, is fitted by ridge regression in float64 on the first half of the
    steps after `warm_up`, and scored on the second half, over all rows. T should be many times H; the chance level of a
    score is about 2 / T. ridge: relative to the mean variance of y. The capacity is at most H (Jaeger omits k = 0).
    engine, key: as for `unroll`; every row has all T steps, as missing steps cannot be scored.
    Raises ValueError for too few steps. Jaeger 2001, "Short term memory in echo state networks", GMD report 152;
    the bound: Dambre et al. 2012, "Information processing capacity of dynamical systems".
    """
    checks.unroll(cell, params, carry, xs, None, None, None, False, engine, key)
    checks.positive(delays, "delays")
    x = np.asarray(xs, np.float64)
    first = max(delays, warm_up)
    if len(x) - first < 4:
        raise ValueError(f"xs: expected T of at least max(delays, warm_up) + 4 = {first + 4} steps, got {len(x)}")
    _, ys = unroll(cell, params, carry, xs, engine=engine, key=key)
    y = np.asarray(ys, np.float64)
    y, x = (a.reshape(len(a), -1, a.shape[-1]) for a in (y, x))
    past = np.stack([x[first - k : len(x) - k] for k in range(delays + 1)], -1)  # [steps, rows, D, delays + 1]
    y, half = y[first:], (len(x) - first) // 2

    def table(a):
        return a.reshape(-1, int(np.prod(a.shape[2:])))

    mean, target = table(y[:half]).mean(0), table(past[:half])
    states = table(y[:half]) - mean
    covariance = states.T @ states
    # A constant unit would make it singular.
    covariance += (ridge * np.trace(covariance) / len(covariance) + np.finfo(float).tiny) * np.eye(len(covariance))
    weights = np.linalg.lstsq(covariance, states.T @ (target - target.mean(0)), rcond=None)[0]
    read, truth = (table(y[half:]) - mean) @ weights, table(past[half:])
    scores = _squared_correlation(read, truth).reshape(x.shape[-1], delays + 1).T
    return MemoryCurve(scores, float(scores.sum()))


def _squared_correlation(a, b):
    a, b = a - a.mean(0), b - b.mean(0)
    parts = (a**2).sum(0) * (b**2).sum(0)
    return np.divide((a * b).sum(0) ** 2, parts, out=np.zeros_like(parts), where=parts > 0)


def plot_memory_curve(curve: Any, *, ax: Any = None) -> Any:
    """R² against the delay, with its sum in the legend, for one `MemoryCurve` or several, {label: curve}."""
    ax = figure.axes(ax)
    for i, (label, one) in enumerate(labelled(curve if isinstance(curve, dict) else {"": curve}).items()):
        text = f"capacity {one.capacity:.1f}"
        style: dict[str, Any] = dict(marker="o", markersize=2.5, linewidth=1.5)
        values = one.scores.mean(-1)
        ax.plot(values, color=figure.colour(i), label=f"{label}: {text}" if label else text, **style)
    ax.set_ylim(-0.02, 1.05)
    y = "R² of the linear readout of x at t - k"
    return figure.finish(ax, x="delay k (steps)", y=y, title="How long an input is remembered", legend=True)
