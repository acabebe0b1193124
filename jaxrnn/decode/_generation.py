"""Generation symbol by symbol, each chosen from the logits given the symbols before it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
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

    One compiled loop: the next symbol comes from the prime while it lasts, and then from `choose(key, logits)`. The
    returned carry has read everything but the last token, so `generate(step, params, carry, tokens[-1:], more, ...)`
    continues. Compiles once for each (step, P, length, choose, ...), so pass the same `model.step`.

    key: for `choose`, which gets a different one for each symbol; not needed by those that do not sample.
    end: the number of a symbol, or several. A row that has written one is at its end: it holds its carry, which has
        read all but that symbol, and writes `pad`. (Only leaves whose first axes are the batch axes are held; a step
        count, for example, goes on.) End symbols in the prime have no effect.
    allowed: which symbols may come next, bool [V] or [..., V]; or a function (carry, token, written) -> such an array,
        given the carry after reading `token` and the number of symbols written. A symbol that is not allowed is never
        written; a row with no symbol allowed ends there, with `pad`.
    scores: also return the log-probability of each symbol, [length, ...]: (carry, tokens, scores). It is the model's,
        log softmax(logits), regardless of `choose` and `allowed`; 0 for `pad`.

    To generate from a vector v, make the carry from it, `generate(step, params, start(params, v), ...)`, or use a step
    that reads v each time from a carry (v, the rest): a step may return a part of its carry unchanged.
    Raises ValueError for an empty prime, and for one with a number that is not 0 to V - 1, if its values are known;
    TypeError for one that is not of integers; when traced, TypeError for a `choose` that draws without a key and
    ValueError for other arguments that do not fit; and FloatingPointError if logits are NaN, as NaN params make them.
    Inside jit, where that is not known, a row writes -1 from its first NaN logits on.
    """
    carry, prime = _begin(step, params, carry, prime, key)
    ended = jnp.zeros(prime.shape[1:], bool)
    options = choose, limits.ends(end), pad, *limits.split(allowed)
    carry, _, broken, tokens, found = _generate(step, params, carry, ended, prime, length, key, 0, *options, scores)
    limits.told(broken)
    return (carry, tokens, found) if scores else (carry, tokens)


@functools.partial(jax.jit, static_argnames=("step", "length", "choose", "end", "pad", "rule", "scores"))
def _generate(step, params, carry, ended, prime, length, key, first, choose, end, pad, rule, mask, scores):
    read, batch = prime.shape[0], prime.shape[1:]
    limits.trace(step, params, carry, batch, end)
    may_end = end or rule is not None or mask is not None

    def body(state, t):
        carry, token, ended, broken = state
        token = jnp.where(t < read, prime[jnp.minimum(t, read - 1)], token)
        after, logits = step(params, carry, token)
        written = first + jnp.maximum(t - (read - 1), 0)
        open_ = limits.forbid(rule, mask, logits, after, token, written)
        writes = t >= read - 1
        lost = writes & jnp.isnan(open_).any(-1) & ~ended
        token = choose(None if key is None else jax.random.fold_in(key, t), open_)
        token = jnp.where(lost, -1, token)
        score: Any = None
        if scores:
            score = jnp.take_along_axis(limits.log_probabilities(logits), token[..., None], -1)[..., 0]
        if not may_end:
            return (after, token, ended, broken | lost), (token, score)
        after = jax.tree.map(functools.partial(_hold, ended), carry, after)
        ended = ended | (writes & (jnp.max(open_, -1) == -jnp.inf))
        out = jnp.where(ended, pad, token), jnp.where(ended, 0, score) if scores else None
        return (after, token, ended | (writes & limits.among(token, end)), broken | lost), out

    begin = carry, jnp.zeros(batch, jnp.int32), ended, jnp.zeros(batch, bool)
    (carry, _, ended, broken), (tokens, found) = loop(body, begin, jnp.arange(read + length - 1, dtype=jnp.int32))
    return carry, ended, broken, tokens[read - 1 :], found[read - 1 :] if scores else None


def _begin(step, params, carry, prime, key):
    if key is not None:
        checks.key(key)
    carry = arrays.ours(carry, "carry")
    return carry, limits.prime(prime, step, params, carry)


def _hold(ended, before, after):
    """A leaf of the carry after the step, or from before it in the rows that have ended."""
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
    """Symbols distributed as those of `generate`, yielded `block` at a time as they are made: arrays [<= block, ...].

    Stops after a block in which all rows have ended. Options and errors as in `generate`; an error for NaN logits comes
    in place of their block.
    """
    (carry, prime), rule = _begin(step, params, carry, prime, key), limits.split(allowed)
    ended = jnp.zeros(prime.shape[1:], bool)
    for first in range(0, length, block):
        key, here = (None, None) if key is None else jax.random.split(key)
        options = choose, limits.ends(end), pad, *rule, False
        carry, ended, broken, tokens, _ = _generate(step, params, carry, ended, prime, block, here, first, *options)
        limits.told(broken)
        prime = tokens[-1:]
        yield np.asarray(tokens[: length - first])
        if ended.all():
            return
