"""A cell over a whole sequence, in serving, and what will run: all of it is at the top level too."""

from jaxrnn.run._burn_in import burn_in
from jaxrnn.run._explain import Explanation, Layer, explain
from jaxrnn.run._streaming import State, Streaming, streaming
from jaxrnn.run._unroll import unroll

__all__ = ["Explanation", "Layer", "State", "Streaming", "burn_in", "explain", "streaming", "unroll"]
