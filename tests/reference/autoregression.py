"""An autoregression of one series, fitted anew by least squares wherever its weights are renewed."""

import math

import numpy as np


def autoregression(y, lags, span, K, every, ridge):
    """(forecasts of the K steps after each step [T, K], their deviations after the last [K])."""
    filled, weights, found, examples = [], None, [], []
    for t, value in enumerate(y):
        x = inputs(filled, lags, span)
        if x is not None and not math.isnan(value):
            examples.append((x[0], value - x[1]))
        guess = math.nan
        if x is not None and weights is not None:
            guess = x[1] + x[0] @ weights[:-1] + weights[-1]
        if math.isnan(guess) and len(filled) >= span:
            guess = filled[-span]
        if math.isnan(guess) and filled:
            guess = filled[-1]
        filled.append(guess if math.isnan(value) else value)
        if (t + 1) % every == 0:
            weights = solved(examples, ridge)
        found.append(continued(filled, weights, lags, span, K))
    return np.array(found), deviations(examples, weights, max(span, *lags), lags, span, K)


def inputs(filled, lags, span):
    R = max(span, *lags)
    if len(filled) < R or any(math.isnan(v) for v in filled[-R:]):
        return None
    center = sum(filled[-span:]) / span
    return np.array([filled[-lag] - center for lag in lags]), center


def solved(examples, ridge):
    """Least squares with rows for the ridge, and a column of ones which it leaves alone."""
    if not examples:
        return None
    x, y = np.stack([a for a, _ in examples]), np.array([b for _, b in examples])
    if len(x) <= x.shape[1]:
        return None
    x0 = x - x.mean(0)
    size = math.sqrt(ridge * (x0**2).mean())
    L = x.shape[1]
    rows = np.concatenate([np.concatenate([x0, size * np.eye(L)]), np.array([[1.0]] * len(x) + [[0.0]] * L)], 1)
    w = np.linalg.lstsq(rows, np.concatenate([y, np.zeros(L)]), rcond=None)[0]
    return np.append(w[:-1], w[-1] - x.mean(0) @ w[:-1])


def continued(filled, weights, lags, span, K, clipped=True):
    R, line = max(span, *lags), list(filled)
    if weights is None or len(line) < R or any(math.isnan(v) for v in line[-R:]):
        return [math.nan] * K
    low, high = min(line[-R:]), max(line[-R:])
    low, high = low - (high - low), high + (high - low)
    for _ in range(K):
        x, center = inputs(line, lags, span)
        value = center + x @ weights[:-1] + weights[-1]
        line.append(min(max(value, low), high) if clipped else value)
    return line[-K:]


def deviations(examples, weights, R, lags, span, K):
    """By what errors of each step make of the others: the forecast is linear in the last value before it."""
    if weights is None or len(examples) - len(lags) - 1 <= 0:
        return np.full(K, math.nan)
    squares = sum((y - x @ weights[:-1] - weights[-1]) ** 2 for x, y in examples)
    one = math.sqrt(squares / (len(examples) - len(lags) - 1))
    rest = [math.nan] * 0 + [0.0] * (R - 1)
    with_error = continued([*rest, 1.0], weights, lags, span, K, False)
    without = continued([*rest, 0.0], weights, lags, span, K, False)
    psi = [1.0, *(a - b for a, b in zip(with_error, without, strict=True))][:K]
    return one * np.sqrt(np.cumsum(np.square(psi)))
