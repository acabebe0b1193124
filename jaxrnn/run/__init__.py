"""Running a cell: over a whole sequence, step by step for serving, and what will run. Also exported by `jaxrnn`."""

from jaxrnn.run._burn_in import burn_in
from jaxrnn.run._cores import cores_as_devices
from jaxrnn.run._describe import Description, describe
from jaxrnn.run._explain import Explanation, Layer, explain
from jaxrnn.run._streaming import State, Streaming, streaming
from jaxrnn.run._tune import Tuned, tune
from jaxrnn.run._unroll import unroll

__all__ = [
    "Description",
    "Explanation",
    "Layer",
    "State",
    "Streaming",
    "Tuned",
    "burn_in",
    "cores_as_devices",
    "describe",
    "explain",
    "streaming",
    "tune",
    "unroll",
]
