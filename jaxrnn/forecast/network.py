"""The network of a trained forecaster: a `models.forecaster`, and an embedding of each category."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn._core.cell import Carry, Params
from jaxrnn._core.record import Record, factory
from jaxrnn.models import Forecaster, Prediction


def steps_first(a: jax.Array) -> jax.Array:
    """[B, T, ...] -> [T, B, ...]."""
    return jnp.swapaxes(a, 0, 1)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Network(Record):
    """See `network`. A batch is a dict of arrays, rows first, as `Streams.window` gives it."""

    model: Forecaster
    sizes: tuple[tuple[int, int], ...]
    reals: int

    def init(self, key: jax.Array) -> Params:
        """Parameters: "model", and "embeddings", a tuple of [labels, E]."""
        keys = jax.random.split(key, 1 + len(self.sizes))
        tables = [0.1 * jax.random.normal(k, size, jnp.float32) for k, size in zip(keys[1:], self.sizes, strict=True)]
        return {"model": self.model.init(keys[0]), "embeddings": tuple(tables)}

    def begin(self, params: Params, batch: dict) -> Carry:
        """The carry of each row before its first step, which remembers the values before it."""
        before = steps_first(batch["memory"])[..., None] if self.model.reach else None
        return self.model.initial_carry(params["model"], (len(batch["ys"]),), before=before)

    def _inputs(self, params: Params, batch: dict) -> dict[str, Any]:
        """What the model is given beside ys: steps first."""
        found = {name: steps_first(batch[name]) for name in ("past", "future") if batch[name].shape[-1]}
        parts = [batch["reals"]] if self.reals else []
        for c, table in enumerate(params["embeddings"]):
            table = jnp.concatenate([table, table.mean(0, keepdims=True)])  # the last is for labels not seen
            parts.append(table[batch["categories"][:, c]])
        return {**found, "static": jnp.concatenate(parts, -1)} if parts else found

    def loss(self, params: Params, batch: dict, key: Any) -> jax.Array:
        """The mean loss over a batch of windows, whose "weights" [B, T] say how much each step counts as an origin.

        Pinball losses and errors are in the units of the batch, which are the sizes of the series.
        """
        inputs, ys = self._inputs(params, batch), steps_first(batch["ys"])[..., None]
        if self.model.head in ("quantile", "implicit_quantile", "point"):
            inputs["units"] = jnp.ones(ys.shape[1:], ys.dtype)
        carry, weights = self.begin(params, batch), steps_first(batch["weights"])
        return self.model.loss(params["model"], carry, ys, weights=weights, key=key, **inputs)[0]

    def advance(self, params: Params, carry: Carry, batch: dict) -> Carry:
        """The carry after "lengths" [B] steps of a batch."""
        inputs, ys = self._inputs(params, batch), steps_first(batch["ys"])[..., None]
        return self.model.apply(params["model"], carry, ys, lengths=batch["lengths"], **inputs)[0]

    def predict(self, params: Params, carry: Carry, batch: dict, **options: Any) -> Prediction:
        """The K steps after a batch of one step, with "future" [B, 1 + K, F] of those to come too: leaves [..., B]."""
        inputs, ys = self._inputs(params, batch), steps_first(batch["ys"])[..., None]
        found = self.model.predict(params["model"], ys, carry=carry, **inputs, **options)
        return jax.tree.map(lambda a: a[..., 0], found)

    def sample(self, params: Params, carry: Carry, batch: dict, key: jax.Array, n: int) -> jax.Array:
        """n sampled paths [n, K, B], as `predict`."""
        inputs, ys = self._inputs(params, batch), steps_first(batch["ys"])[..., None]
        return self.model.sample(params["model"], ys, key, n, carry=carry, **inputs)[..., 0]


@factory
def network(model: Forecaster, sizes: tuple[tuple[int, int], ...] = (), reals: int = 0) -> Network:
    """A network: `model` beside embeddings of `sizes` (labels, E) and `reals` numbers, all of them its `static` inputs.

    A label that was not there in training has the mean of the embeddings.
    """
    return Network(model, sizes, reals)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Deployed(Record):
    """The arrays of a trained forecaster: those of `members` networks, and of `series` series after them."""

    network: Network
    members: int
    series: int
    reach: int = 0
    lags: int = 0

    def init(self, key: jax.Array) -> Params:
        """{"members": the params of each, "series": what is kept of each series, "base": of its autoregression}.

        Of the last, each float64 is two uint32.
        """
        net, N = self.network, self.series
        params = [net.init(k) for k in jax.random.split(key, self.members)]
        carry = tuple(net.model.initial_carry(one["model"], (N,)) for one in params)
        kept = {
            "ys": jnp.zeros((N, 1), jnp.float32),
            "past": jnp.zeros((N, 1, net.model.past_size), jnp.float32),
            "categories": jnp.zeros((N, len(net.sizes)), jnp.int32),
            "reals": jnp.zeros((N, net.reals), jnp.float32),
        }
        shapes = [(self.reach,), (), (self.lags + 2, self.lags + 2), (self.lags + 1,)] if self.lags else []
        base = tuple(jnp.zeros((N, *shape, 2), jnp.uint32) for shape in shapes)
        return {"members": tuple(params), "carries": carry, "series": kept, "base": base}


@factory
def deployed(network: Network, members: int, series: int, reach: int = 0, lags: int = 0) -> Deployed:
    """The record by which a trained forecaster is saved; `reach` and `lags` are those of its autoregression."""
    return Deployed(network, members, series, reach, lags)


@functools.partial(jax.jit, static_argnums=0)
def begin(net: Network, params: Params, batch: dict) -> Carry:
    """`net.begin`, compiled."""
    return net.begin(params, batch)


@functools.partial(jax.jit, static_argnums=0)
def advance(net: Network, params: Params, carry: Carry, batch: dict) -> Carry:
    """`net.advance`, compiled."""
    return net.advance(params, carry, batch)


@functools.partial(jax.jit, static_argnums=0, static_argnames=("levels", "paths"))
def predict(net: Network, params: Params, carry: Carry, batch: dict, **options: Any) -> Prediction:
    """`net.predict`, compiled."""
    return net.predict(params, carry, batch, **options)


@functools.partial(jax.jit, static_argnums=(0, 5))
def sample(net: Network, params: Params, carry: Carry, batch: dict, key: jax.Array, n: int) -> jax.Array:
    """`net.sample`, compiled."""
    return net.sample(params, carry, batch, key, n)
