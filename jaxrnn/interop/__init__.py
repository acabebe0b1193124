"""Weights and models in and out: params from other programs' arrays, and a record as plain JSON."""

from jaxrnn.interop._config import from_config, to_config
from jaxrnn.interop._onnx.activations import OnnxActivation, onnx_activation
from jaxrnn.interop._onnx.export import to_onnx
from jaxrnn.interop._onnx.reading import from_onnx
from jaxrnn.interop._textbook import concatenated

__all__ = ["OnnxActivation", "concatenated", "from_config", "from_onnx", "onnx_activation", "to_config", "to_onnx"]
