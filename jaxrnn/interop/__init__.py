"""Weights and models in and out: other programs' arrays and ONNX, a record as plain JSON, files, programs, int8."""

from jaxrnn._core.quantized import Int8
from jaxrnn.interop._config import from_config, to_config
from jaxrnn.interop._cudnn import from_cudnn, to_cudnn
from jaxrnn.interop._equinox import from_equinox, to_equinox
from jaxrnn.interop._export import export
from jaxrnn.interop._files import Saved, load, save
from jaxrnn.interop._flax import from_flax, to_flax
from jaxrnn.interop._haiku import from_haiku, to_haiku
from jaxrnn.interop._int8 import dequantize, quantize
from jaxrnn.interop._keras import from_keras, to_keras
from jaxrnn.interop._onnx.activations import OnnxActivation, onnx_activation
from jaxrnn.interop._onnx.export import to_onnx
from jaxrnn.interop._onnx.reading import from_onnx
from jaxrnn.interop._textbook import concatenated
from jaxrnn.interop._torch import from_torch, to_torch
from jaxrnn.interop._torchrecurrent import from_torchrecurrent

__all__ = [
    "Int8",
    "OnnxActivation",
    "Saved",
    "concatenated",
    "dequantize",
    "export",
    "from_config",
    "from_cudnn",
    "from_equinox",
    "from_flax",
    "from_haiku",
    "from_keras",
    "from_onnx",
    "from_torch",
    "from_torchrecurrent",
    "load",
    "onnx_activation",
    "quantize",
    "save",
    "to_config",
    "to_cudnn",
    "to_equinox",
    "to_flax",
    "to_haiku",
    "to_keras",
    "to_onnx",
    "to_torch",
]
