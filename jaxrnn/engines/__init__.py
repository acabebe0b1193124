"""Ways to run a cell over time, one per file: `(cell, params, carry, xs) -> (carry, ys)`, all of them equal."""

from jaxrnn.engines.checkpointed import checkpointed
from jaxrnn.engines.deferred import deferred
from jaxrnn.engines.scan import scan

__all__ = ["checkpointed", "deferred", "scan"]
