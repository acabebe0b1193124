"""Forecasting from long tables of series."""

from jaxrnn.forecast.columns import Table, read_csv
from jaxrnn.forecast.tables import Panel, panel

__all__ = ["Panel", "Table", "panel", "read_csv"]
