"""Text symbol by symbol, each chosen from the logits that those before it give."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.cell import Carry, Params
from jaxrnn._core.loops import loop
from jaxrnn.decode import _limits as limits
from jaxrnn.decode._choosers import Chooser, sampling
from jaxrnn.decode._limits import Allowed, Step


def generate(
    step: Step,
    params: Params,
    carry: Carry,
    prime: Any,
    length: int,
    *,
    key: jax.Array | None = None,
    choose: Chooser = sampling(),
    end: int | Sequence[int] | None = None,
    pad: int = -1,
    allowed: Allowed | jax.Array | None = None,
    scores: bool = False,
) -> Any:
    """Read `prime` [P, ...] int, P >= 1, then write `length` symbols: (carry, tokens [length, ...] int32).

    One compiled loop for all of it: while there is prime left the next symbol is taken from it, and afterwards from
    `choose(key, logits)`. The carry has read everything but the last token, so `generate(step, params, carry,
    tokens[-1:], more, ...)` goes on. Compiles once for each (step, P, length, choose, ...); pass the same `model.step`.

    key: what `choose` draws from, another for each symbol; one that draws nothing, as `greedy()`, needs none.
    end: the number of a symbol, or several. A row that has written one is at its end: it holds its carry, which has
        read all but that symbol, and writes `pad`. (Only leaves that lead with the batch axes are held; a count of
        steps, say, goes on.) What stands in the prime ends nothing.
    allowed: which symbols may come next, bool [V] or [..., V]; or a function (carry, token, written) -> such an array,
        of the carry after it read `token`, and of how many symbols have been written. What is forbidden is never
        written; a row for which all is forbidden ends there, with `pad`.
    scores: also return the log-probability of each symbol, [length, ...]: (carry, tokens, scores). It is the model's,
        log softmax(logits), whatever `choose` and `allowed` made of the logits; 0 for `pad`.

    Text from a vector v is text from a carry made of it, `generate(step, params, start(params, v), ...)`, or from a
    step that reads it each time, with a carry (v, the rest): a step may hand on a part of its carry as it came.
    Raises ValueError for an empty prime, TypeError for one that is not of integers, and, when traced, TypeError for a
    `choose` that draws without a key and ValueError for other arguments that do not fit.
    """
    prime = _begin(prime, key)
    ended = jnp.zeros(prime.shape[1:], bool)
    options = choose, limits.ends(end), pad, *limits.split(allowed)
    carry, _, tokens, found = _generate(step, params, carry, ended, prime, length, key, 0, *options, scores)
    return (carry, tokens, found) if scores else (carry, tokens)


@functools.partial(jax.jit, static_argnames=("step", "length", "choose", "end", "pad", "rule", "scores"))
def _generate(step, params, carry, ended, prime, length, key, first, choose, end, pad, rule, mask, scores):
    read, batch = prime.shape[0], prime.shape[1:]
    limits.trace(step, params, carry, batch, end)
    may_end = end or rule is not None or mask is not None

    def body(state, t):
        carry, token, ended = state
        token = jnp.where(t < read, prime[jnp.minimum(t, read - 1)], token)
        after, logits = step(params, carry, token)
        written = first + jnp.maximum(t - (read - 1), 0)
        open_ = limits.forbid(rule, mask, logits, after, token, written)
        token = choose(None if key is None else jax.random.fold_in(key, t), open_)
        score: Any = None
        if scores:
            score = jnp.take_along_axis(limits.log_probabilities(logits), token[..., None], -1)[..., 0]
        if not may_end:
            return (after, token, ended), (token, score)
        writes = t >= read - 1
        after = jax.tree.map(functools.partial(_hold, ended), carry, after)
        ended = ended | (writes & (jnp.max(open_, -1) == -jnp.inf))
        out = jnp.where(ended, pad, token), jnp.where(ended, 0, score) if scores else None
        return (after, token, ended | (writes & limits.among(token, end))), out

    begin = carry, jnp.zeros(batch, jnp.int32), ended
    (carry, _, ended), (tokens, found) = loop(body, begin, jnp.arange(read + length - 1, dtype=jnp.int32))
    return carry, ended, tokens[read - 1 :], found[read - 1 :] if scores else None


def _begin(prime, key):
    if key is not None:
        checks.key(key)
    return limits.prime(prime)


def _hold(ended, before, after):
    """A leaf of the carry, as it was in the rows that have ended."""
    if not limits.has_rows(jnp.shape(after), ended.shape):
        return after
    return jnp.where(jnp.expand_dims(ended, range(ended.ndim, jnp.ndim(after))), before, after)


def stream(
    step: Step,
    params: Params,
    carry: Carry,
    prime: jax.Array,
    length: int,
    *,
    key: jax.Array | None = None,
    choose: Chooser = sampling(),
    block: int = 16,
    end: int | Sequence[int] | None = None,
    pad: int = -1,
    allowed: Allowed | jax.Array | None = None,
) -> Iterator[np.ndarray]:
    """The same symbols as `generate` in law, handed over `block` at a time as they are made: arrays [<= block, ...].

    Stops after a block in which all rows have come to their end. Options as in `generate`.
    """
    prime, rule = _begin(prime, key), limits.split(allowed)
    ended = jnp.zeros(prime.shape[1:], bool)
    for first in range(0, length, block):
        key, here = (None, None) if key is None else jax.random.split(key)
        options = choose, limits.ends(end), pad, *rule, False
        carry, ended, tokens, _ = _generate(step, params, carry, ended, prime, block, here, first, *options)
        prime = tokens[-1:]
        yield np.asarray(tokens[: length - first])
        if ended.all():
            return
