"""An autoregression of each series that learns as it reads, to be blended with a network."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np


class State(NamedTuple):
    """What an autoregression remembers of N series, float64."""

    line: np.ndarray  # [N, R] the last values, the newest first; NaN before the first, forecasts where missing
    steps: np.ndarray  # [N] read so far
    sums: np.ndarray  # [N, L + 2, L + 2] of the products of inputs, 1 and target
    weights: np.ndarray  # [N, L + 1], the last the constant; NaN where not known yet

    def take(self, rows: np.ndarray) -> State:
        """That of some series."""
        return State(*(a[rows] for a in self))

    def put(self, rows: np.ndarray, new: State) -> State:
        """With new ones of some series."""
        parts = [a.copy() for a in self]
        for a, b in zip(parts, new, strict=True):
            a[rows] = b
        return State(*parts)


@dataclasses.dataclass(frozen=True)
class Autoregression:
    """Ridge regression of y_t - c_t on y_{t-l} - c_t at `lags` l, with c_t the mean of the last `span` values.

    As `baselines.lagged_regression`, but that of each step knows what came until then and nothing later: the sums of
    the normal equations grow with each step, and are solved after each `every` steps.
    """

    lags: tuple[int, ...]
    span: int
    horizon: int
    every: int
    ridge: float = 0.1

    @property
    def reach(self) -> int:
        """R, the values that are remembered of a series."""
        return max(self.span, *self.lags)

    def begin(self, series: int) -> State:
        """The state of so many series before their first step."""
        L = len(self.lags)
        line, weights = np.full((series, self.reach), np.nan), np.full((series, L + 1), np.nan)
        return State(line, np.zeros(series, np.int64), np.zeros((series, L + 2, L + 2)), weights)

    def run(self, ys: np.ndarray, lengths: np.ndarray, state: State, last: int = 0) -> tuple[np.ndarray, State]:
        """ys [N, T], NaN where missing, of `lengths` [N] -> (forecasts [N, last, K], state).

        Forecasts are those of the K steps after each of the `last` steps up to the lengths; NaN where there are none.
        """
        (line, steps, sums, weights), (N, T) = (a.copy() for a in state), ys.shape
        found, lags, pending = np.full((N, last, self.horizon), np.nan), np.array(self.lags) - 1, []
        for t in range(T):
            going, y = t < lengths, ys[:, t]
            center = line[:, : self.span].mean(1)
            x = line[:, lags] - center[:, None]
            example = np.concatenate([x, np.ones((N, 1)), (y - center)[:, None]], 1)
            pending.append(np.where((going & np.isfinite(example).all(1))[:, None], example, 0))
            expected = center + (example[:, :-1] * weights).sum(1)
            for other in line[:, self.span - 1], line[:, 0]:
                expected = np.where(np.isnan(expected), other, expected)
            now = np.concatenate([np.where(np.isnan(y), expected, y)[:, None], line[:, :-1]], 1)
            line, steps = np.where(going[:, None], now, line), steps + going
            due = going & (steps % self.every == 0)
            if due.any():
                sums, pending = self._added(sums, pending), []
                weights[due] = self._solved(sums[due])
            at = last - lengths + t
            asked = going & (at >= 0)
            if asked.any():
                found[asked, at[asked]] = self.forecast(line[asked], weights[asked])
        return found, State(line, steps, self._added(sums, pending), weights)

    def forecast(self, line: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The K steps after lines of values [N, R], each of which is read as a value by those after it [N, K].

        They are not farther outside those R values than these are wide: an autoregression may explode.
        """
        R, K = self.reach, self.horizon
        low, high = line.min(1), line.max(1)
        low, high = low - (high - low), high + (high - low)
        values = np.concatenate([line[:, ::-1], np.empty((len(line), K))], 1)
        turned = self._of_values(weights)
        for k in range(K):
            value = np.einsum("nr,nr->n", values[:, k : k + R], turned) + weights[:, -1]
            values[:, R + k] = np.clip(value, low, high)
        return values[:, R:]

    def deviation(self, state: State) -> np.ndarray:
        """That of the K steps to come [N, K]: of what an error of each makes of those after it; NaN if not known."""
        L, (_, _, sums, weights) = len(self.lags), state
        mixed = np.concatenate([-weights, np.ones((len(weights), 1))], 1)  # of inputs, 1 and target: the residual
        squares = np.einsum("ni,nij,nj->n", mixed, sums, mixed)
        left = sums[:, L, L] - L - 1
        known = (left > 0) & np.isfinite(squares)
        one = np.where(known, np.sqrt(np.maximum(squares, 0) / np.maximum(left, 1)), np.nan)
        R, K, turned = self.reach, self.horizon, self._of_values(weights)
        psi = np.concatenate([np.zeros((len(one), R - 1)), np.ones((len(one), 1)), np.empty((len(one), K - 1))], 1)
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(K - 1):
                psi[:, R + k] = (psi[:, k : R + k] * turned).sum(1)
            return one[:, None] * np.sqrt(np.cumsum(psi[:, R - 1 :] ** 2, 1))

    def _of_values(self, weights):
        """The weights [N, R] of the last R values themselves, the oldest first."""
        full = np.zeros((len(weights), self.reach))
        full[:, np.array(self.lags) - 1] = weights[:, :-1]
        full[:, : self.span] += (1 - weights[:, :-1].sum(1, keepdims=True)) / self.span
        return np.ascontiguousarray(full[:, ::-1])

    def _added(self, sums, pending):
        if not pending:
            return sums
        rows = np.stack(pending, 1)
        return sums + np.matmul(rows.swapaxes(1, 2), rows)

    def _solved(self, sums):
        """Weights [N, L + 1] by the sums of series; NaN where there are fewer examples than weights."""
        L = len(self.lags)
        count = sums[:, L, L]
        known = count > L
        safe = np.maximum(count, 1)[:, None]
        mean, center = sums[:, :L, L] / safe, sums[:, L, L + 1] / safe[:, 0]
        inner = sums[:, :L, :L] - safe[..., None] * mean[:, :, None] * mean[:, None, :]
        right = sums[:, :L, L + 1] - safe * mean * center[:, None]
        variance = np.trace(inner, axis1=1, axis2=2) / (L * safe[:, 0])
        known &= variance > 0
        penalty = np.where(known, self.ridge * variance, 1)[:, None, None] * np.eye(L)
        inner = np.where(known[:, None, None], inner, 0)
        weights = np.linalg.solve(inner + penalty, right[..., None])[..., 0]
        constant = center - (mean * weights).sum(1)
        return np.where(known[:, None], np.concatenate([weights, constant[:, None]], 1), np.nan)


def candidates(season: int, week: int | None, horizon: int, longest: int) -> list[Autoregression]:
    """Those tried for series of `longest` steps with this season, and perhaps a second one: of one to three seasons."""
    far, least, found = () if week is None else range(week - 2, week + 3), max(1, longest // 3), []
    for seasons in (1, 2, 3):
        near = range(1, max(seasons * season, 12) + 2)
        lags = tuple(sorted({lag for lag in (*near, *far) if lag <= least})) or (1,)
        found.append(Autoregression(lags, max(1, min(season, least)), horizon, min(max(season, 4), 12)))
    return list(dict.fromkeys(found))


def chosen(some: list[Autoregression], ys: np.ndarray, lengths: np.ndarray) -> Autoregression:
    """The one with the least error of all forecasts of the K steps in the later half of series [N, T], NaN missing.

    The forecasts of each step knew nothing of what came: the choice is that of predictive least squares (Rissanen
    1986), with absolute errors. Of those within a hundredth of the least it is the first.
    """
    K, N, last = some[0].horizon, len(ys), max(1, int(lengths.max()) // 2)
    steps = (lengths - last)[:, None, None] + np.arange(last)[:, None] + 1 + np.arange(K)  # that are forecast
    late = (steps - np.arange(K) - 1 >= (lengths // 2)[:, None, None]) & (steps < lengths[:, None, None])
    came = ys[np.arange(N)[:, None, None], np.clip(steps, 0, ys.shape[1] - 1)]
    errors = [np.abs(one.run(ys, lengths, one.begin(N), last)[0] - came) for one in some]
    both = late & np.all([np.isfinite(e) for e in errors], 0)
    if not both.any():
        return some[0]
    count = np.maximum(both.sum((1, 2)), 1)
    scores = np.array([(np.where(both, e, 0).sum((1, 2)) / count).mean() for e in errors])
    return some[int(np.argmax(scores <= 1.01 * scores.min()))]
