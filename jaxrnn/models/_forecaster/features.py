"""What the network of a forecaster reads: values, lags, the last seasons, inputs, and what stays of a series."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
from jaxrnn._core.jax_internals import is_traced
from jaxrnn._core.numerics import row
from jaxrnn.models._forecaster.memory import Line, back, trailing
from jaxrnn.models._forecaster.series import Scale, finite

BOUND = 10.0  # what a causal scale may make of a value, for the network: a spike of long ago may be any multiple of it


class Read(NamedTuple):
    """What is read at T steps."""

    xs: jax.Array  # [T, ..., D], by the cell
    beside: Any  # [T, ..., F], by the readout beside the cell's output; None if nothing
    skipped: Any  # [T, ..., F'], the references among it
    references: list[tuple[jax.Array, jax.Array]]  # of each season (values [T, ..., n, N], known or not)


def sizes(model: Any) -> tuple[int, int, int]:
    """(D of the cell's inputs, how many numbers the readout reads beside its output, how many are references)."""
    N, static = model.targets, model.static_size + (model.embedding_size if model.identities else 0)
    skipped = N * sum(min(model.horizon, m) for m in model.seasons)
    levelled = N * (model.scaling in LEVELLED)
    looks = 2 * N * len(model.lags) + skipped + N * len(model.seasons) + levelled
    return 2 * N + model.past_size + model.future_size + looks + static, skipped + static, skipped


LEVELLED = ("rolling", "seasonal_naive")  # scales with a location of their own


def read(model: Any, line: Line, scale: Scale, time: Any, past: Any, future: Any, static: Any) -> Read:
    """past [T, ..., P], future [T, ..., ahead, F], static [..., S]; scale [..., N] or [T, ..., N].

    In the order of x: y_t, whether it is there, past_t, future_{t+1}; of each lag its value and whether it is there; of
    each season its values and the share of them that is known; log(scale / (|location| + scale)); static.
    """
    R = model.reach
    values, seen = back(line.values, 0, time, R), back(line.seen, 0, time, R)
    location, size = row(scale.location, values), row(scale.scale, values)

    def scaled(values, there):
        z = jnp.where(there, (values - location) / size, 0)
        return jnp.clip(z, -BOUND, BOUND) if model.causal else z

    parts = [scaled(values, seen), seen]
    parts += [] if past is None else [past]
    parts += [] if future is None else [future[..., 0, :]]
    for lag in model.lags:
        there = back(line.seen, lag, time, R)
        parts += [scaled(back(line.values, lag, time, R), there), there]
    references = [season(line, m, min(m, model.horizon), time, R) for m in model.seasons]
    beside = []
    for values_, known in references:
        each = [scaled(values_[..., k, :], known[..., k, :]) for k in range(values_.shape[-2])]
        beside += each
        parts += [*each, known.astype(values.dtype).mean(-2)]
    skipped = jnp.concatenate(beside, -1) if beside else None
    if model.scaling in LEVELLED:
        parts += [-jnp.log1p(jnp.abs(location) / size)]
    if static is not None:
        beside += [jnp.broadcast_to(static.astype(values.dtype), (*values.shape[:-1], static.shape[-1]))]
        parts += beside[-1:]
    xs = jnp.concatenate([part.astype(values.dtype) for part in parts], -1)
    return Read(xs, jnp.concatenate(beside, -1) if beside else None, skipped, references)


def season(line: Line, m: int, n: int, time: Any, reach: int) -> tuple[jax.Array, jax.Array]:
    """The last values of the phases of the next n <= m steps, y_{t+k-m}: ([T, ..., n, N], whether they are known).

    What is missing is that of the season before, as far back as is remembered; 0 if none is known.
    """

    def first_known(later, earlier):
        return jnp.where(later[1], later[0], earlier[0]), later[1] | earlier[1]

    # The farthest, m - 1 steps back, is looked for in as many seasons as fit into the memory.
    values, known = trailing(first_known, (line.values, line.seen), (reach + 1) // m, m)
    ahead = [(back(values, m - k, time, reach), back(known, m - k, time, reach)) for k in range(1, n + 1)]
    return jnp.stack([v for v, _ in ahead], -2), jnp.stack([k for _, k in ahead], -2)


def seasonal(weights: jax.Array, references: list, location: jax.Array) -> jax.Array:
    """The mean of the seasons' values, weighted by softmax of `weights` [ahead, M] among those known.

    [T, ..., ahead, N]; `location` [T, ..., 1, N] where none is known.
    """
    ahead, shares = len(weights), jax.nn.softmax(weights, -1)
    total, by = 0, 0
    for i, (values, known) in enumerate(references):
        # The phases of a season come again where the horizon is longer.
        values, known = (jnp.concatenate([a] * -(-ahead // a.shape[-2]), -2)[..., :ahead, :] for a in (values, known))
        share = jnp.where(known, row(shares[:, i : i + 1].astype(values.dtype), values), 0)
        total, by = total + share * values, by + share
    return jnp.where(by > 0, total / jnp.where(by > 0, by, 1), location)


def statics(model: Any, params: Any, static: Any, ids: Any, batch: tuple[int, ...], dtype: Any) -> Any:
    """static [..., S] and the embeddings of static_ids [...], checked, as one [..., S + E]; None if there are none.

    An id of -1 is a series that is not known: the mean of all embeddings.
    """
    parts = []
    if (static is None) != (model.static_size == 0):
        expected = f"[..., S] = {(*batch, model.static_size)}" if model.static_size else "None with static_size=0"
        raise ValueError(f"static: expected {expected}, got {checks.describe(static)}")
    if static is not None:
        static = arrays.numbers(static, "static")
        if static.shape != (*batch, model.static_size):
            raise ValueError(f"static: expected [..., S] = {(*batch, model.static_size)}, got {static.shape}")
        finite("static", static[None], np.ones((), bool), dtype)
        parts.append(jnp.asarray(static, dtype))
    if (ids is None) != (model.identities == 0):
        expected = f"[...] = {batch} of int" if model.identities else "None with identities=0"
        raise ValueError(f"static_ids: expected {expected}, got {checks.describe(ids)}")
    if ids is not None:
        ids = arrays.numbers(ids, "static_ids")
        if ids.shape != batch or not jnp.issubdtype(ids.dtype, jnp.integer):
            raise ValueError(f"static_ids: expected [...] = {batch} of int, got {checks.describe(ids)}")
        if not is_traced(ids) and ((ids < -1) | (ids >= model.identities)).any():
            raise ValueError(
                f"static_ids: expected numbers from 0 to {model.identities - 1}, or -1 for a series that is not among "
                f"them, got {np.asarray(ids).min()} to {np.asarray(ids).max()}"
            )
        table, ids = params["embedding"].astype(dtype), arrays.whole(ids, "static_ids")
        own = table[jnp.clip(ids, 0, model.identities - 1)]
        parts.append(jnp.where((ids < 0)[..., None], row(table.mean(0), own), own))
    return jnp.concatenate(parts, -1) if parts else None
