"""How the next symbol is chosen from its logits: the likeliest one, or a sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn._core.record import Record, factory


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Chooser(Record):
    """`choose(key, logits [..., V]) -> token [...] int32` as a record, so that equal choosers compile once.

    The key may be None; choosers that sample then raise TypeError.
    """

    choose: Callable[[Any, jax.Array], jax.Array]

    def __call__(self, key: Any, logits: jax.Array) -> jax.Array:
        return self.choose(key, logits)


@factory
def greedy() -> Chooser:
    """The likeliest symbol; on a tie, the first."""
    return Chooser(lambda key, logits: jnp.argmax(logits, -1).astype(jnp.int32))


@factory
def sampling(temperature: float = 1.0, *, top_k: int | None = None, top_p: float | None = None) -> Chooser:
    """A symbol drawn from softmax(logits / temperature).

    top_k: only from the k likeliest (Fan, Lewis and Dauphin 2018, arXiv 1805.04833); ties with the k-th stay in.
    top_p: only from the fewest symbols whose probabilities, at this temperature and after top_k, add up to at least
        p (Holtzman et al. 2020, arXiv 1904.09751).
    Temperature 0 is `greedy()`. Raises ValueError for numbers out of range, and, when it samples without a key,
    TypeError.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature: expected a number of at least 0, got {temperature!r}")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"top_k: expected an int of at least 1, or None, got {top_k!r}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p: expected a probability above 0, or None, got {top_p!r}")
    if temperature == 0:
        return greedy()

    def choose(key, logits):
        if key is None:
            raise TypeError(
                "key: expected one jax.random.key(seed) for a chooser that draws, got None; "
                "pass key=jax.random.key(seed), or choose=decode.greedy()"
            )
        logits = jnp.where(jnp.isneginf(logits), -jnp.inf, logits / temperature)  # inf / inf is NaN
        if top_k is not None and top_k < logits.shape[-1]:
            kth = lax.top_k(logits, top_k)[0][..., -1:]
            logits = jnp.where(logits < kth, -jnp.inf, logits)
        if top_p is not None and top_p < 1:
            down = -jnp.sort(-logits, axis=-1)
            probability = jax.nn.softmax(down, axis=-1)
            needed = jnp.cumsum(probability, -1) - probability < top_p  # those before it are not yet enough
            last = jnp.min(jnp.where(needed, down, jnp.inf), -1, keepdims=True)
            logits = jnp.where(logits < last, -jnp.inf, logits)
        return jax.random.categorical(key, logits).astype(jnp.int32)

    return Chooser(choose)
