"""Forecasting from long tables of series: train, forecast, follow new rows, save and load, and know how good it is.

    model = forecast.fit(table, 48)
    result = forecast.backtest({"theta": forecast.baselines.theta, "ours": lambda p: forecast.fit(p, 48)}, table, 48)
    forecast.figures.fan(result.table("ours", -1), table)

`scores`: how good forecasts are. `baselines`: what a model has to be ahead of. `figures`: fans, errors, calibration.
"""

from jaxrnn.forecast import baselines, figures, scores
from jaxrnn.forecast._backtest import Backtest, backtest
from jaxrnn.forecast.columns import Table, read_csv
from jaxrnn.forecast.fitting import fit
from jaxrnn.forecast.tables import Panel, panel
from jaxrnn.forecast.trained import Trained, load

__all__ = [
    "Backtest",
    "Panel",
    "Table",
    "Trained",
    "backtest",
    "baselines",
    "figures",
    "fit",
    "load",
    "panel",
    "read_csv",
    "scores",
]
