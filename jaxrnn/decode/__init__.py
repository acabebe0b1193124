"""Generation from any step `(params, carry, token) -> (carry, logits)`: greedy, by sampling, or by beam search."""

from jaxrnn.decode._beam import Hypotheses, beam
from jaxrnn.decode._choosers import Chooser, greedy, sampling
from jaxrnn.decode._generation import generate, stream

__all__ = ["Chooser", "Hypotheses", "beam", "generate", "greedy", "sampling", "stream"]
