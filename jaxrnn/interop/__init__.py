"""Weights and models in and out: params from other programs' arrays, and a record as plain JSON."""

from jaxrnn.interop._config import from_config, to_config
from jaxrnn.interop._equinox import from_equinox, to_equinox
from jaxrnn.interop._flax import from_flax, to_flax
from jaxrnn.interop._textbook import concatenated

__all__ = ["concatenated", "from_config", "from_equinox", "from_flax", "to_config", "to_equinox", "to_flax"]
