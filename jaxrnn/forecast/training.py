"""The training of one network on windows of series, and what it is judged by."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn import train
from jaxrnn.forecast import network
from jaxrnn.forecast.kept import run_up
from jaxrnn.forecast.network import Network
from jaxrnn.forecast.streams import Encoding, Streams
from jaxrnn.forecast.tables import Panel

LEVEL = 0.8  # of the interval that is judged beside the median
TRIED = 15  # steps in which the seconds of a step are found
JUDGED = 2048  # series that are forecast for validation, at most
ORIGINS = 64  # from which forecasts are judged in all, at least, where the series are long enough
SHARES = np.linspace(0, 1, 21)  # of the autoregression, that are tried
SPREADS = 1.0, 4.0  # the least and the most of it: what went well lately is no reason for narrower ones
REPORTS = 12  # in a training, where nothing is said


class Plan(NamedTuple):
    """How a network is trained."""

    window: int
    batch: int
    steps: int
    rate: float
    decay: float
    average: float | None
    every: int
    patience: int | None
    progress: bool


class Windows:
    """windows[k]: the batch of step k, drawn by (seed, k) alone."""

    def __init__(self, net: Network, streams: Streams, until: np.ndarray, shares: np.ndarray, plan: Plan, seed: Any):
        self._net, self._streams, self._until, self._plan, self._seed = net, streams, until, plan, seed
        self._shares = shares / shares.sum()

    def __getitem__(self, k: int) -> dict[str, np.ndarray]:
        rng, (window, batch, *_) = np.random.default_rng([*self._seed, k]), self._plan
        which = rng.choice(len(self._shares), batch, p=self._shares)
        end = self._until[which]
        begin = rng.integers(0, np.maximum(end - window, 0) + 1)
        found = self._streams.window(which, begin, window, end, reach=self._net.model.reach)
        # The first steps of a window, in which the cell has seen too little, count only where a series begins there.
        warm = (window - self._net.model.horizon) // 3
        counts = (np.arange(window) >= warm) | (begin == 0)[:, None]
        return found | {"weights": counts.astype(np.float32)}


@functools.lru_cache(maxsize=8)
def loss_of(net: Network) -> Callable:
    """The loss of a network, one function for equal networks, so that it is compiled once."""
    return net.loss


def train_on(
    net: Network, windows: Windows, plan: Plan, key: jax.Array, judge: Any = None, on_report: Any = None
) -> train.Learnt:
    """The network trained on windows, as planned."""
    start, noise = jax.random.split(key)
    options = {name: getattr(plan, name) for name in ("steps", "rate", "decay", "average", "every", "progress")}
    options |= {"patience": None if judge is None else plan.patience, "validation": judge, "on_report": on_report}
    return train.learn(loss_of(net), net.init(start), windows, key=noise, **options)


def affordable(net: Network, windows: Windows, plan: Plan, judge: Any, seconds: float) -> int:
    """How many steps take about so many seconds, with their reports and what is compiled: measured on the first."""
    key, stamps = jax.random.key(0), [time.perf_counter()]
    short = plan._replace(steps=2 * TRIED, every=TRIED, progress=False)
    params = train_on(net, windows, short, key, on_report=lambda *_: stamps.append(time.perf_counter())).params
    step = (stamps[2] - stamps[1]) / TRIED
    seconds -= stamps[1] - stamps[0] - TRIED * step  # what was compiled
    if judge is not None:
        judge(params)
        began = time.perf_counter()
        judge(params)
        seconds -= REPORTS * (time.perf_counter() - began)
    return max(1, int(seconds / step))


class Judged(NamedTuple):
    """Origins in the last steps of series, which are kept back from training: what a network says there, and what came.

    An origin is a row: a series as it was then.
    """

    net: Network
    streams: Streams  # of rows, each up to the end of what is forecast from its origin
    actual: np.ndarray  # [K, rows]
    base: tuple[np.ndarray, np.ndarray] | None  # forecasts and deviations [K, rows] of the autoregression

    def said(self, params: Any, options: dict[str, Any]) -> Any:
        """The `Prediction` of a network from all origins, leaves [..., K, rows]."""
        net, ends, K = self.net, self.streams.lengths, self.net.model.horizon
        batch = self.streams.window(np.arange(len(ends)), ends - K - 1, 1, ends, ahead=K)
        carry = run_up(net, params, self.streams, ends - K, steps=8 * K + 4 * max(net.model.reach, 32))
        return jax.tree.map(np.float64, jax.device_get(network.predict(net, params, carry, batch, **options)))

    def options(self) -> dict[str, Any]:
        """Those of `said`: the median and an interval of LEVEL, where there is one."""
        if self.net.model.head == "point":
            return {"levels": ()}
        drawn = {} if self.net.model.strategy == "direct" else {"key": jax.random.key(0), "paths": 50}
        return {"levels": (LEVEL,), **drawn}

    def judge(self, params: Any) -> dict[str, float]:
        """validation: the pinball loss of 10, 50 and 90%, in the sizes of the series; mase: the error of the median."""
        said, there = self.said(params, self.options()), ~np.isnan(self.actual)
        bounds = ((1 - LEVEL) / 2, said.lower), ((1 + LEVEL) / 2, said.upper)
        quantiles = [(0.5, said.median), *((q, bound[0]) for q, bound in bounds if len(bound))]
        off = [(q, self.actual - value) for q, value in quantiles]
        losses = np.mean([2 * np.maximum(q * e, (q - 1) * e) for q, e in off], 0)
        return {"validation": _mean(losses, there), "mase": _mean(np.abs(off[0][1]), there)}

    def share(self, members: list[Any]) -> float:
        """The share of the way from the members' median to the autoregression with the least absolute error."""
        median = np.median([self.said(params, self.options()).median for params in members], 0)
        assert self.base is not None
        there, way = ~np.isnan(self.actual), np.nan_to_num(self.base[0] - median)
        errors = [_mean(np.abs(self.actual - median - share * way), there) for share in SHARES]
        return float(SHARES[int(np.argmin(errors))])

    def spread(self, members: list[Any], share: float = 0.0) -> float:
        """The factor by which intervals are to be as wide for LEVEL of what came to be in them.

        The distance of what came from the median, in units of the side of the interval that it is on, has this factor
        as its quantile: conformalised quantile regression (Romano, Patterson and Candes 2019) with a product in place
        of a sum, for series of all sizes at once.
        """
        each = [self.said(params, self.options()) for params in members]
        said = jax.tree.map(lambda *some: np.median(some, 0), *each)
        if self.base is not None:
            said = blended(said, *self.base, share, (LEVEL,))
        off = self.actual - said.median
        side = np.where(off > 0, said.upper[0] - said.median, said.median - said.lower[0])
        there = ~np.isnan(off) & (side > 0)
        return float(np.clip(np.quantile(np.abs(off[there]) / side[there], LEVEL), *SPREADS)) if there.any() else 1.0


def blended(said: Any, center: np.ndarray, deviation: np.ndarray, share: float, levels: tuple[float, ...]) -> Any:
    """A `Prediction` whose quantiles are the weighted means of a network's and an autoregression's [K, ...].

    Where the latter's deviation is not known, the network's are moved; where its center is not, they stay.
    """
    way = share * np.nan_to_num(center - said.median)
    bounds = {}
    for name, sign in ("lower", -1), ("upper", 1):
        own = getattr(said, name)
        z = np.array([sign * NormalDist().inv_cdf((1 + level) / 2) for level in levels])
        other = center + z.reshape(-1, 1, 1) * deviation
        bounds[name] = np.where(np.isfinite(other), own + share * (other - own), own + way)
    return said._replace(mean=said.mean + way, median=said.median + way, **bounds)


def judged_of(net: Network, encoding: Encoding, streams: Streams, judged: np.ndarray, origins: int) -> Judged:
    """The last `origins` from which K steps of each judged series came."""
    series = np.flatnonzero(judged)[:: -(-int(judged.sum()) // JUDGED)]
    rows, K = np.repeat(series, origins), net.model.horizon
    ends = streams.lengths[rows] - np.tile(np.arange(origins), len(series))
    some = streams._replace(starts=streams.starts[rows], lengths=ends)
    some = some._replace(categories=streams.categories[rows], reals=streams.reals[rows])
    base = None
    if encoding.base is not None:
        said, state = encoding.regress(some._replace(lengths=ends - K), last=1)
        base = said[:, 0].T, encoding.base.deviation(state).T
    return Judged(net, some, some.window(np.arange(len(rows)), ends - K, K, ends)["ys"].T, base)


def origins_of(judged: np.ndarray, lengths: np.ndarray, K: int) -> int:
    """How many origins of each judged series: one of many series, more where there are few.

    At most an eighth of the steps of the shortest, and a third of those before its last K.
    """
    least = int(lengths[judged].min())
    return max(1, min(-(-ORIGINS // int(judged.sum())), least // 8, (least - K) // 3))


def _mean(a: np.ndarray, there: np.ndarray) -> float:
    """The mean over series [K, N] of means over what is there."""
    counts = there.sum(0)
    each = np.where(there, a, 0).sum(0)[counts > 0] / counts[counts > 0]
    return float(each.mean())


def judgeable(data: Panel, K: int) -> np.ndarray:
    """Which series are long enough to keep K steps back, and have some value in them [N]."""
    enough = [len(y) > K + 2 and (~np.isnan(y[:-K])).sum() > 1 for y in data.values]
    return np.array([some and not np.isnan(y[-K:]).all() for some, y in zip(enough, data.values, strict=True)], bool)


def shares_of(sampling: Any, data: Panel, window: int) -> np.ndarray:
    """How often each series is drawn [N]."""
    if isinstance(sampling, str):
        if sampling == "series":
            return np.ones(len(data))
        if sampling == "length":
            return np.maximum(data.lengths - window + 1, 1).astype(np.float64)
        if sampling == "scale":
            return np.array([np.nanmean(np.abs(y)) if (~np.isnan(y)).any() else 0 for y in data.values])
        raise ValueError(f"sampling: expected 'series', 'length', 'scale' or weights, got {sampling!r}")
    if isinstance(sampling, Mapping):
        sampling = [sampling.get(name, 0.0) for name in data.ids]
    shares = np.asarray(sampling, np.float64)
    if shares.shape != (len(data),) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise ValueError(
            f"sampling: expected a finite weight of at least 0 for each of {len(data)} series, got {sampling!r}"
        )
    return shares


def seed_of(key: jax.Array) -> list[int]:
    """A key as a seed of NumPy's."""
    return np.asarray(jax.random.key_data(key)).ravel().tolist()
