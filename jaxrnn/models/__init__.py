"""Models for common tasks: small records of pure functions around a cell, one per file."""

from jaxrnn.models._classifier import Classifier, classifier
from jaxrnn.models._encoder_decoder import EncoderDecoder, encoder_decoder
from jaxrnn.models._forecaster.distribution import Distribution
from jaxrnn.models._forecaster.factory import forecaster
from jaxrnn.models._forecaster.forecaster import Forecaster
from jaxrnn.models._forecaster.memory import Remembered
from jaxrnn.models._forecaster.series import Prediction, Scale
from jaxrnn.models._language_model import LanguageModel, language_model
from jaxrnn.models._tagger import Tagger, tagger

__all__ = [
    "Classifier",
    "Distribution",
    "EncoderDecoder",
    "Forecaster",
    "LanguageModel",
    "Prediction",
    "Remembered",
    "Scale",
    "Tagger",
    "classifier",
    "encoder_decoder",
    "forecaster",
    "language_model",
    "tagger",
]
