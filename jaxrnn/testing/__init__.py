"""The promises of this library, tried on anybody's cell."""

from jaxrnn.testing._check_cell import check_cell
from jaxrnn.testing._report import Report

__all__ = ["Report", "check_cell"]
