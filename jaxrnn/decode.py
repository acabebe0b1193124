"""Generation from any step `(params, carry, token) -> (carry, logits)`: greedy, or sampled."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.cell import Carry, Params
from jaxrnn.engines.pieces import loop
from jaxrnn.record import Record, factory


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Chooser(Record):
    """`choose(key, logits [..., V]) -> token [...] int32` as a value, so that equal ones compile once."""

    choose: Callable[[Any, jax.Array], jax.Array]

    def __call__(self, key: Any, logits: jax.Array) -> jax.Array:
        return self.choose(key, logits)


@factory
def greedy() -> Chooser:
    """The likeliest symbol; the first of equals."""
    return Chooser(lambda key, logits: jnp.argmax(logits, -1).astype(jnp.int32))


@factory
def sampling(temperature: float = 1.0, *, top_k: int | None = None, top_p: float | None = None) -> Chooser:
    """A symbol drawn from softmax(logits / temperature).

    top_k: only from the k likeliest (Fan, Lewis and Dauphin 2018, arXiv 1805.04833); equals of the k-th stay in.
    top_p: only from the fewest symbols whose probabilities, at this temperature and after top_k, add up to at least
        p (Holtzman et al. 2020, arXiv 1904.09751).
    Temperature 0 is `greedy()`. Raises ValueError for numbers out of range.
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
        logits = logits / temperature
        if top_k is not None and top_k < logits.shape[-1]:
            kth = lax.top_k(logits, top_k)[0][..., -1:]
            logits = jnp.where(logits < kth, -jnp.inf, logits)
        if top_p is not None and top_p < 1:
            down = -jnp.sort(-logits, axis=-1)
            probability = jax.nn.softmax(down, axis=-1)
            needed = jnp.cumsum(probability, -1) - probability < top_p  # what stands before it is not yet enough
            last = jnp.min(jnp.where(needed, down, jnp.inf), -1, keepdims=True)
            logits = jnp.where(logits < last, -jnp.inf, logits)
        return jax.random.categorical(key, logits).astype(jnp.int32)

    return Chooser(choose)


def generate(
    step: Callable[[Params, Carry, jax.Array], tuple[Carry, jax.Array]],
    params: Params,
    carry: Carry,
    prime: Any,
    length: int,
    *,
    key: jax.Array,
    choose: Chooser = sampling(),
) -> tuple[Carry, jax.Array]:
    """Read `prime` [P, ...] int, P >= 1, then write `length` symbols: (carry, tokens [length, ...] int32).

    One compiled loop for all of it: while there is prime left the next symbol is taken from it, and afterwards from
    `choose(key, logits)`. The carry has read everything but the last token, so `generate(step, params, carry,
    tokens[-1:], more, ...)` goes on. Compiles once for each (step, P, length, choose); pass the same `model.step`.
    Raises ValueError for an empty prime, TypeError for one that is not of integers.
    """
    prime = jnp.asarray(prime)
    if prime.ndim < 1 or prime.shape[0] == 0:
        raise ValueError(f"prime: expected [P, ...] with at least one token to begin from, got {prime.shape}")
    if not jnp.issubdtype(prime.dtype, jnp.integer):
        raise TypeError(f"prime: expected [P, ...] of int, symbols numbered from 0, got {prime.dtype}")
    return _generate(step, params, carry, prime.astype(jnp.int32), length, key, choose)


@functools.partial(jax.jit, static_argnames=("step", "length", "choose"))
def _generate(step, params, carry, prime, length, key, choose):
    read = prime.shape[0]

    def body(state, t):
        carry, token = state
        token = jnp.where(t < read, prime[jnp.minimum(t, read - 1)], token)
        carry, logits = step(params, carry, token)
        token = choose(jax.random.fold_in(key, t), logits)
        return (carry, token), token

    first = jnp.zeros(prime.shape[1:], jnp.int32)
    (carry, _), tokens = loop(body, (carry, first), jnp.arange(read + length - 1))
    return carry, tokens[read - 1 :]


def stream(
    step: Callable,
    params: Params,
    carry: Carry,
    prime: jax.Array,
    length: int,
    *,
    key: jax.Array,
    choose=sampling(),
    block: int = 16,
) -> Iterator[np.ndarray]:
    """The same symbols as `generate` in law, handed over `block` at a time as they are made: arrays [<= block, ...]."""
    for first in range(0, length, block):
        key, here = jax.random.split(key)
        carry, tokens = generate(step, params, carry, prime, block, key=here, choose=choose)
        prime = tokens[-1:]
        yield np.asarray(tokens[: length - first])
