"""Recurrent neural networks in JAX as pure functions: a cell is written once and run over time in every way."""

from jaxrnn import cells, data, decode, engines, initializers, interop, models, train, wrappers
from jaxrnn.cell import Cell, Stage
from jaxrnn.cells import *  # noqa: F403 - the names are listed once, in cells/__init__.py
from jaxrnn.config import from_config, to_config
from jaxrnn.explain import explain
from jaxrnn.record import factory
from jaxrnn.streaming import streaming
from jaxrnn.unroll import unroll
from jaxrnn.wrappers import learned_carry, stack, with_mask, with_reset

__version__ = "0.1.0"
__all__ = [
    "Cell",
    "Stage",
    "cells",
    "data",
    "decode",
    "engines",
    "explain",
    "factory",
    "from_config",
    "initializers",
    "interop",
    "learned_carry",
    "models",
    "stack",
    "streaming",
    "to_config",
    "train",
    "unroll",
    "with_mask",
    "with_reset",
    "wrappers",
]
__all__ += cells.__all__
