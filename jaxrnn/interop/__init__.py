"""Weights from elsewhere, in and out: one file per convention or framework, none of which is imported until asked."""

from jaxrnn.interop.textbook import concatenated

__all__ = ["concatenated"]
