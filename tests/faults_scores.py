"""The seeded faults of mutants.py in the scores, simple forecasters, backtests and figures of `forecast`."""

from __future__ import annotations

SCORES, BASELINES = "tests/test_forecast_scores.py", "tests/test_forecast_baselines.py"
BACKTEST, FIGURES = "tests/test_forecast_backtest.py", "tests/test_forecast_figures.py"

# file: {what: (old, new, tests)}
FAULTS = {
    "forecast/_averages.py": {
        "a forecast that is missing is excused": (
            "    total = np.where(there, losses, 0)",
            "    there = there & ~np.isnan(losses)\n    total = np.where(there, losses, 0)",
            SCORES,
        ),
    },
    "forecast/scores.py": {
        "a percentage of the target alone": ("np.abs(target) + np.abs(forecast)", "2 * np.abs(target)", SCORES),
        "the scale of one step, not of a season": (
            "past[..., season:] - past[..., :-season]",
            "past[..., 1:] - past[..., :-1]",
            SCORES,
        ),
        "a miss costs half": ("upper - lower + 2 / alpha", "upper - lower + 1 / alpha", SCORES),
        "pinball the other way round": ("(p - 1) * error)", "-p * error)", SCORES),
        "absolute errors of the mean": ("np.abs(target - center)", "np.abs(target - says.mean)", SCORES),
        "a series without a scale counts": ("there & ~np.isnan(by)", "there", SCORES),
        "a score of steps over all series": (
            "first = mean(losses, there, within",
            "first = mean(losses, there, over",
            SCORES,
        ),
    },
    "forecast/_crps.py": {
        "without the tails": (
            "np.concatenate([q[..., :1], q, q[..., -1:]], -1)",
            "np.concatenate([0 * q[..., :1], q, q[..., -1:]], -1)",
            SCORES,
        ),
        "no crossing within a segment": ("cross = u * v < 0", "cross = np.zeros(u.shape, bool)", SCORES),
        "fair is not": ("(S * (S - fair))", "(S * S)", SCORES),
        "the normal density at another place": ("np.square(z) / 2)", "np.square(z))", SCORES),
        "degrees of freedom": ("(nu + np.square(z)) / (nu - 1)", "(nu + np.square(z)) / nu", SCORES),
    },
    "forecast/_pit.py": {
        "equal ones are below": ("rank = (x < y).sum(-1)", "rank = (x <= y).sum(-1)", SCORES),
        "the lower tail is the upper": ("ends[below])", "ends[0 * below])", SCORES),
    },
    "forecast/baselines.py": {
        "missing values at the end are no steps": (
            "steps = len(y) - 1 - seen[-1] + np.arange(1, horizon + 1)",
            "steps = np.arange(1, horizon + 1)",
            BASELINES,
        ),
        "one season more counts as one": ("* np.sqrt(back)", "* np.sqrt(-(-ahead // season))", BASELINES),
        "drift without its own doubt": ("steps * (1 + steps / (len(line) - 1))", "steps", BASELINES),
    },
    "forecast/_theta.py": {
        "the whole slope": ("slope / 2 * (steps", "slope * (steps", BASELINES),
        "the season goes on a step late": (
            "np.arange(T, T + steps) % season",
            "np.arange(T + 1, T + 1 + steps) % season",
            BASELINES,
        ),
        "not the best smoothing": ("best = int(np.argmin(losses))", "best = 10", BASELINES),
    },
    "forecast/_regression.py": {
        "the constant is held down": ("mean, center = x.mean(0)", "mean, center = 0 * x.mean(0)", BASELINES),
        "no degrees of freedom": ("max(len(x) - 1 - (s * shrunk).sum(), 1)", "len(x)", BASELINES),
        "filled targets count": (
            "x, y = inputs[rows], targets[rows][:, which]",
            "x, y = inputs, targets[:, which]",
            BASELINES,
        ),
        "errors do not go on": ("np.cumsum(psi[reach - 1 :] ** 2)", "psi[reach - 1 :] ** 2", BASELINES),
    },
    "forecast/_backtest.py": {
        "the origin itself is not known": ('side="right"', 'side="left"', BACKTEST),
        "all windows at one origin": ("apart * np.arange(W)[::-1]", "apart * np.zeros(W, int)", BACKTEST),
        "the oldest last": ("np.arange(W)[::-1]", "np.arange(W)", BACKTEST),
        "the scale knows what came": (
            "seasonal_error(past, season, squared=s)",
            "seasonal_error(series.values[n], season, squared=s)",
            BACKTEST,
        ),
    },
    "forecast/_runs.py": {
        "the forecaster sees what came": (
            "past = between(panel.take(there), 0 * ends[there], ends[there])",
            "past = panel.take(there)",
            BACKTEST,
        ),
        "fitted at each origin": ("(refit and model is not forecaster)", "model is not forecaster", BACKTEST),
        "rows in the order in which they came": (
            "found[n, ahead[inside]] = numbers[rows[inside]]",
            "found[n, : inside.sum()] = numbers[rows[inside]]",
            BACKTEST,
        ),
    },
    "forecast/figures.py": {
        "as many draws as steps": (
            "(~np.isnan(result.target)).any(2).sum()",
            "(~np.isnan(result.target)).sum()",
            FIGURES,
        ),
        "the past a step late": (
            "slice(max(known - steps, 0), known)",
            "slice(max(known - steps, 0) + 1, known + 1)",
            FIGURES,
        ),
    },
}
