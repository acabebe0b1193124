"""Weights and models in and out: params from other programs' arrays, and a record as plain JSON."""

from jaxrnn.interop._config import from_config, to_config
from jaxrnn.interop._haiku import from_haiku, to_haiku
from jaxrnn.interop._keras import from_keras, to_keras
from jaxrnn.interop._textbook import concatenated

__all__ = ["concatenated", "from_config", "from_haiku", "from_keras", "to_config", "to_haiku", "to_keras"]
