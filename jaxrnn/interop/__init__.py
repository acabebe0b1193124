"""Weights and models in and out: params from other programs' arrays, a record as plain JSON, and both in one file."""

from jaxrnn._core.quantized import Int8
from jaxrnn.interop._config import from_config, to_config
from jaxrnn.interop._export import export
from jaxrnn.interop._files import Saved, load, save
from jaxrnn.interop._int8 import dequantize, quantize
from jaxrnn.interop._textbook import concatenated

__all__ = [
    "Int8",
    "Saved",
    "concatenated",
    "dequantize",
    "export",
    "from_config",
    "load",
    "quantize",
    "save",
    "to_config",
]
