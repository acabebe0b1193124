"""Weights and models in and out: params from other programs' arrays, and a record as plain JSON."""

from jaxrnn.interop._config import from_config, to_config
from jaxrnn.interop._cudnn import from_cudnn, to_cudnn
from jaxrnn.interop._textbook import concatenated
from jaxrnn.interop._torch import from_torch, to_torch
from jaxrnn.interop._torchrecurrent import from_torchrecurrent

__all__ = [
    "concatenated",
    "from_config",
    "from_cudnn",
    "from_torch",
    "from_torchrecurrent",
    "to_config",
    "to_cudnn",
    "to_torch",
]
