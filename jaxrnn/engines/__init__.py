"""Ways to run a cell over time, one per file: `(cell, params, carry, xs) -> (carry, ys)`, with equal results."""

from jaxrnn.engines._checkpointed import checkpointed
from jaxrnn.engines._deferred.engine import deferred
from jaxrnn.engines._deferred.handover import handover
from jaxrnn.engines._over_devices import OverDevices, over_devices, where_they_are
from jaxrnn.engines._scan import scan

__all__ = ["OverDevices", "checkpointed", "deferred", "handover", "over_devices", "scan", "where_they_are"]
