"""Recurrent neural networks in JAX as pure functions: a cell is written once and runs over time in every engine."""

import importlib
import sys

from jaxrnn import cells, data, decode, diagnostics, engines, initializers, interop, models, train, wrappers
from jaxrnn._core import taps
from jaxrnn._core.cell import Cell, Stage
from jaxrnn._core.clock import Timed, TimedInput, timing
from jaxrnn._core.numerics import product
from jaxrnn._core.record import factory
from jaxrnn.cells import *  # noqa: F403 - the names are listed once, in cells/__init__.py
from jaxrnn.data import ragged
from jaxrnn.interop import from_config, load, save, to_config
from jaxrnn.run import State, Streaming, burn_in, cores_as_devices, describe, explain, streaming, tune, unroll
from jaxrnn.train import constraints, loss_scale, regularizers
from jaxrnn.wrappers import *  # noqa: F403 - as the cells

__version__ = "0.1.1"
__all__ = [
    "Cell",
    "Stage",
    "State",
    "Streaming",
    "Timed",
    "TimedInput",
    "burn_in",
    "cells",
    "constraints",
    "cores_as_devices",
    "data",
    "decode",
    "describe",
    "diagnostics",
    "engines",
    "explain",
    "factory",
    "from_config",
    "initializers",
    "interop",
    "load",
    "loss_scale",
    "models",
    "product",
    "ragged",
    "regularizers",
    "save",
    "streaming",
    "taps",
    "timing",
    "to_config",
    "train",
    "tune",
    "unroll",
    "wrappers",
]
__all__ += cells.__all__
__all__ += wrappers.__all__

# Keeps `import jaxrnn.ragged` and the other module paths of 0.1 working.
for _module in (constraints, loss_scale, ragged, regularizers, taps):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module


def __getattr__(name: str):
    """Import the modules for flax, tests and forecasts on first access, so that `import jaxrnn` does not."""
    if name not in ("forecast", "linen", "nnx", "testing"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
