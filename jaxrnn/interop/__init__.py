"""Weights and models in and out: params from other programs' arrays, a record as plain JSON, and both in one file."""

from jaxrnn.interop._config import from_config, to_config
from jaxrnn.interop._export import export
from jaxrnn.interop._files import Saved, load, save
from jaxrnn.interop._textbook import concatenated

__all__ = ["Saved", "concatenated", "export", "from_config", "load", "save", "to_config"]
