"""Forecasting from long tables of series: train, forecast, follow new rows, save and load."""

from jaxrnn.forecast.columns import Table, read_csv
from jaxrnn.forecast.fitting import fit
from jaxrnn.forecast.tables import Panel, panel
from jaxrnn.forecast.trained import Trained, load

__all__ = ["Panel", "Table", "Trained", "fit", "load", "panel", "read_csv"]
