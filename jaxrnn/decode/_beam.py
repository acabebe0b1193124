"""Beam search: the likeliest texts that a search of bounded width finds."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Carry, Params
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.loops import loop
from jaxrnn.decode import _limits as limits
from jaxrnn.decode._limits import Allowed, Step


class Hypotheses(NamedTuple):
    """The result of `beam`: N hypotheses for each row, the best first.

    tokens [length, ..., N] int32      what was written, the end symbol included; `pad` after it
    scores [..., N]                    what they are ranked by; -inf where there is no such hypothesis
    log_probabilities [..., N]         log P(tokens | prime), the end symbol included
    lengths [..., N] int32             symbols written, the end symbol included; 0 where there is no hypothesis
    ended [..., N] bool                whether it reached an end symbol within `length`
    carry                              leaves [..., N, features], after reading all of tokens but the last
    """

    tokens: jax.Array
    scores: jax.Array
    log_probabilities: jax.Array
    lengths: jax.Array
    ended: jax.Array
    carry: Carry


def beam(
    step: Step,
    params: Params,
    carry: Carry,
    prime: Any,
    length: int,
    *,
    width: int,
    end: int | Sequence[int] | None = None,
    length_penalty: float = 0.0,
    n_best: int = 1,
    allowed: Allowed | jax.Array | None = None,
    pad: int = -1,
) -> Hypotheses:
    """Read `prime` [P, ...] int, P >= 1, then search for the `n_best` best texts of at most `length` symbols.

    A hypothesis is the n symbols written after the prime; it has ended if the last is an end symbol. Its score is

        log P(its symbols | prime) / ((5 + n) / 6) ** length_penalty

    with the end symbol counted in P and in n (Wu et al. 2016, arXiv 1609.08144, without their coverage). Penalty 0:
    the sum of log-probabilities, which favours short texts; 0.6 to 1 is usual.

    The search keeps `width` hypotheses for each row. At each step, those that have not ended are extended by each of
    the V symbols, those that have ended stay as they are, and the `width` with the highest scores are kept, ended or
    not; ties go to the one whose parent ranked higher, then to the lower symbol. So an ended one keeps its place until
    `width` better ones are found, width 1 is greedy generation, and a width of at least the number of texts finds the
    best of all. Hypotheses that have not ended after `length` symbols are ranked as they are. The loop stops earlier,
    with the same result, when in every row the n_best best have ended and no other can overtake them.

    end: the number of a symbol, or several; None: every text has `length` symbols.
    allowed: which symbols may come next, as for `generate`; a function sees the same axes as `step`. It removes
        candidates and changes no probability: scores are the model's. A hypothesis with no symbol allowed is dropped.
    step, carry: as for `generate`, with any batch axes, those of prime. `step` is called under `vmap` over the
        hypotheses, so it sees its usual axes. A leaf whose first axes are the batch axes is kept for each hypothesis.
        A leaf that `step` returns unchanged (such as an attention memory) or that has no batch axes (such as a step
        count) is shared by all hypotheses, and is returned as such: it must not depend on the tokens.

    One loop, compiled once for each (step, P, length, width, ...), so pass the same `model.step`. It has no gradient
    in reverse mode: to get one, score the tokens with the model. Works under jit and vmap.
    Raises ValueError or TypeError, when traced, for arguments that do not fit; as `generate`, ValueError for a prime
    with what is no symbol, and FloatingPointError for NaN logits: inside jit, a row that meets them has scores of NaN
    and no hypotheses.
    """
    for name, value in {"length": length, "width": width, "n_best": n_best}.items():
        checks.positive(value, name)
    if n_best > width:
        raise ValueError(f"n_best: expected at most width={width}, got {n_best}")
    if not is_traced(length_penalty) and not 0 <= length_penalty < math.inf:
        raise ValueError(f"length_penalty: expected a number of at least 0, got {length_penalty!r}")
    options = limits.ends(end), length_penalty, n_best, *limits.split(allowed), pad
    carry = arrays.ours(carry, "carry")
    prime = limits.prime(prime, step, params, carry)
    found, broken = _beam(step, params, carry, prime, length, width, *options)
    limits.told(broken)
    return found


@functools.partial(jax.jit, static_argnames=("step", "length", "width", "end", "n_best", "rule", "pad"))
def _beam(step, params, carry, prime, length, width, end, alpha, n_best, rule, mask, pad):
    batch = prime.shape[1:]
    axis = len(batch)  # that of the hypotheses, in leaves that are kept for each
    untouched = limits.trace(step, params, carry, batch, end)
    carry, _ = loop(lambda carry, token: (step(params, carry, token)[0], None), carry, prime[:-1])

    leaves, structure = jax.tree.flatten(carry)
    own = [limits.has_rows(jnp.shape(a), batch) and not same for a, same in zip(leaves, untouched, strict=True)]
    axes = [axis if mine else None for mine in own]

    def advance(leaves, token, written):
        carry, logits = step(params, jax.tree.unflatten(structure, leaves), token)
        ahead = limits.log_probabilities(logits)
        return jax.tree.leaves(carry), limits.forbid(rule, mask, ahead, carry, token, written)

    advance = jax.vmap(advance, in_axes=(axes, axis, None), out_axes=(axes, axis))

    leaves = [_widened(a, axis, width) if mine else a for a, mine in zip(leaves, own, strict=True)]
    common = [not (mine or same) for mine, same in zip(own, untouched, strict=True)]
    first = _widened(prime[-1], axis, width)
    dtype = _dtype(advance, leaves, first, any(common))

    def penalty(n):
        return ((5 + n.astype(dtype)) / 6) ** jnp.asarray(alpha, dtype)

    def follow(old, new, ended, parent):
        """A leaf of the new hypotheses: that of their parents, from before the step if the parent had ended."""
        if end:
            new = jnp.where(jnp.expand_dims(ended, range(axis + 1, new.ndim)), old, new)
        return _taken(new, parent)

    def body(state):
        t, leaves, token, total, lengths, ended, tokens, parents, broken, _ = state
        new, ahead = advance(leaves, token, t)
        going = ~ended & (total > -jnp.inf)
        broken = broken | (going & jnp.isnan(ahead).any(-1)).any(-1)
        symbols = ahead.shape[-1]
        # An ended hypothesis has one candidate, itself, in the place of symbol 0.
        itself = jnp.where(jnp.arange(symbols) == 0, total[..., None], -jnp.inf)
        candidates = jnp.where(ended[..., None], itself, total[..., None] + ahead)
        grown = jnp.where(ended, lengths, t + 1)
        scores = (candidates / penalty(grown)[..., None]).reshape(*batch, width * symbols)
        best, at = lax.top_k(scores, width)  # on ties the first
        parent, symbol = at // symbols, (at % symbols).astype(jnp.int32)
        total = jnp.take_along_axis(candidates.reshape(scores.shape), at, -1)
        leaves = [follow(a, b, ended, parent) if mine else b for a, b, mine in zip(leaves, new, own, strict=True)]
        before, lengths = _taken(ended, parent), _taken(grown, parent)
        tokens = tokens.at[t].set(jnp.where(before, pad, symbol))
        parents = parents.at[t].set(parent.astype(jnp.int32))
        ended = before | limits.among(symbol, end)
        # A log-probability never rises, and is divided by at most the penalty of the whole length.
        hope = jnp.where(ended, -jnp.inf, total / penalty(jnp.int32(length))).max(-1)
        settled = (ended | (total == -jnp.inf))[..., :n_best].all(-1) & (best[..., n_best - 1] >= hope)
        return t + 1, leaves, symbol, total, lengths, ended, tokens, parents, broken, settled.all()

    places, written = (*batch, width), (length, *batch, width)
    state = (
        jnp.int32(0),
        leaves,
        first,
        jnp.broadcast_to(jnp.where(jnp.arange(width) == 0, 0, -jnp.inf).astype(dtype), places),  # one at first
        jnp.zeros(places, jnp.int32),
        jnp.zeros(places, bool),
        jnp.full(written, pad, jnp.int32),
        jnp.broadcast_to(jnp.arange(width, dtype=jnp.int32), written),
        jnp.zeros(batch, bool),
        jnp.bool_(False),
    )
    state = lax.while_loop(lambda state: (state[0] < length) & ~state[-1], body, state)
    _, leaves, _, total, lengths, ended, tokens, parents, broken, _ = state

    best = jnp.broadcast_to(jnp.arange(n_best, dtype=jnp.int32), (*batch, n_best))
    total, lengths, ended = (a[..., :n_best] for a in (jnp.where(broken[..., None], jnp.nan, total), lengths, ended))
    found = total > -jnp.inf
    hypotheses = Hypotheses(
        jnp.where(found, _read_back(tokens, parents, best), pad),
        total / penalty(lengths),
        total,
        jnp.where(found, lengths, 0),
        found & ended,
        jax.tree.unflatten(structure, [_taken(a, best) if mine else a for a, mine in zip(leaves, own, strict=True)]),
    )
    return hypotheses, broken


def _widened(a, axis, width):
    """a [..., features] -> [..., W, features], W copies."""
    a = jnp.expand_dims(a, axis)
    return jnp.broadcast_to(a, (*a.shape[:axis], width, *a.shape[axis + 1 :]))


def _taken(a, at):
    """a [..., W, features] -> [..., N, features], the hypotheses `at` [..., N]."""
    return jnp.take_along_axis(a, jnp.expand_dims(at, range(at.ndim, a.ndim)), at.ndim - 1, mode="clip")


def _read_back(tokens, parents, at):
    """The symbols [length, ..., N] of the hypotheses `at` [..., N], following parents from the last to the first."""

    def back(at, written):
        tokens, parents = written
        return _taken(parents, at), _taken(tokens, at)

    return loop(back, at, (tokens, parents), reverse=True)[1]


def _dtype(advance, leaves, token, common):
    """The type of the log-probabilities. Raises ValueError for a shared leaf that would differ between hypotheses."""
    try:
        return jax.eval_shape(advance, leaves, token, jnp.int32(0))[1].dtype
    except ValueError as error:
        if not common:
            raise
        raise ValueError(
            "carry: expected the batch axes of prime in front in every leaf that depends on the tokens; a leaf without "
            "them is one for all hypotheses, and step makes another of it for each"
        ) from error
