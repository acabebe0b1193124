"""Models shaped like the task: small records of pure functions around a cell, one per file."""

from jaxrnn.models.language_model import LanguageModel, language_model

__all__ = ["LanguageModel", "language_model"]
