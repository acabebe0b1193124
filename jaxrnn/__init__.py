"""Recurrent neural networks in JAX as pure functions: a cell is written once and run over time in every way."""

import importlib

from jaxrnn import (
    cells,
    constraints,
    data,
    decode,
    diagnostics,
    engines,
    initializers,
    interop,
    loss_scale,
    models,
    ragged,
    regularizers,
    train,
    wrappers,
)
from jaxrnn.burn_in import burn_in
from jaxrnn.cell import Cell, Stage
from jaxrnn.cells import *  # noqa: F403 - the names are listed once, in cells/__init__.py
from jaxrnn.config import from_config, to_config
from jaxrnn.explain import explain
from jaxrnn.record import factory
from jaxrnn.streaming import streaming
from jaxrnn.unroll import unroll
from jaxrnn.wrappers import *  # noqa: F403 - as the cells

__version__ = "0.1.1"
__all__ = [
    "Cell",
    "Stage",
    "burn_in",
    "cells",
    "constraints",
    "data",
    "decode",
    "diagnostics",
    "engines",
    "explain",
    "factory",
    "from_config",
    "initializers",
    "interop",
    "loss_scale",
    "models",
    "ragged",
    "regularizers",
    "streaming",
    "to_config",
    "train",
    "unroll",
    "wrappers",
]
__all__ += cells.__all__
__all__ += wrappers.__all__


def __getattr__(name: str):
    """The modules for flax, which load it when they are first asked for."""
    if name not in ("linen", "nnx"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
