"""What the figures of forecasts draw: the numbers that they were given, with labels."""

from __future__ import annotations

import numpy as np
import pytest

from jaxrnn.forecast import backtest, baselines, figures, scores

pytest.importorskip("matplotlib", reason='the extra "train" is not installed')

import matplotlib as mpl

mpl.use("Agg")


@pytest.fixture
def result(rng):
    days = np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")
    table = {
        "unique_id": np.repeat(["a", "b", "c"], len(days)),
        "ds": np.tile(days, 3),
        "y": 10 + rng.standard_normal(3 * len(days)),
    }
    models = {"naive": baselines.naive, "seasonal": baselines.seasonal_naive, "points": lambda panel: np.ones((3, 5))}
    return backtest(models, table, 5, windows=2, levels=(0.5, 0.9))


def lines(ax):
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in ax.lines}


def said(ax):
    ax.figure.canvas.draw()  # what cannot be laid out or written raises here
    assert ax.get_title(loc="left")
    return f"{ax.get_xlabel()} | {ax.get_ylabel()}"


def test_fan(result):
    """The past, the median, both intervals, the narrower above the wider, and what came; for two series."""
    figure = figures.fan(result.table("naive", 0), result.panel, ["b", "a"], shown=11, unit="cm")
    assert len(figure.axes) == 2
    for ax, n in zip(figure.axes, (1, 0), strict=True):
        assert said(ax) == "time | y (cm)"
        known, says = result.known[0, n], result.forecasts["naive"]
        drawn = lines(ax)
        np.testing.assert_array_equal(drawn["past"], result.panel.values[n][known - 11 : known])
        np.testing.assert_array_equal(drawn["what came"], result.target[0, n])
        np.testing.assert_array_equal(drawn["median"], says.median[0, n])
        bands = [(band.get_label(), band.get_paths()[0].get_extents()) for band in ax.collections]
        assert [label for label, _ in bands] == ["90% interval", "50% interval"]
        for level, (_, box) in zip((0.9, 0.5), bands, strict=True):
            low, high = says.interval(level)
            np.testing.assert_allclose([box.ymin, box.ymax], [low[0, n].min(), high[0, n].max()])
    first = figures.fan(result.table("naive", 0), result.panel)
    assert first.axes[0].get_title(loc="left") == "naive, a"


def test_error_by_horizon(result):
    ax = figures.error_by_horizon(result, "rmsse", models=["seasonal", "naive"]).axes[0]
    assert "steps ahead" in said(ax) and "RMSSE" in said(ax)
    by_step = result.summary("step")
    drawn = lines(ax)
    assert list(drawn) == ["seasonal", "naive"]
    for name, values in drawn.items():
        np.testing.assert_array_equal(values, by_step["rmsse"][by_step["model"] == name])
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 2  # without colour too


def test_calibration(result):
    """A model without quantiles is left out. The band: of as many draws as forecasts, here 6, by the binomial law."""
    left, right = figures.calibration(result, band=0.9).axes
    assert said(left) == "probability of the quantile | share of targets below it"
    assert "density" in said(right)
    drawn = lines(left)
    assert list(drawn) == ["calibrated", "naive", "seasonal"]
    says = result.forecasts["naive"]
    np.testing.assert_array_equal(drawn["naive"], scores.reliability(says.values, says.probabilities, result.target))
    points = left.collections[0].get_paths()[0].vertices
    half = np.unique(np.round(points[np.isclose(points[:, 0], 0.5, atol=0.003), 1], 6))
    # 6 fair coins: 0 heads 1 in 64, at most 1 head 7 in 64: the central 90% are from 1 to 5.
    np.testing.assert_allclose(half, [1 / 6, 5 / 6], atol=1e-5)
    densities = [patch.get_data().values for patch in right.patches]
    edges = np.array([0, *says.probabilities, 1])
    for values in densities:
        np.testing.assert_allclose((values * np.diff(edges)).sum(), 1)


def test_refused(result):
    with pytest.raises(ValueError, match="unique_id: expected a series of both the forecast and the table, got 'z'"):
        figures.fan(result.table("naive", 0), result.panel, "z")
    with pytest.raises(ValueError, match="forecast: expected one of each time"):
        figures.fan(result.table(), result.panel, "a")
    with pytest.raises(ValueError, match="score: expected one of"):
        figures.error_by_horizon(result, "mape")
    with pytest.raises(ValueError, match="models: expected some of"):
        figures.calibration(result, models=["ours"])
