"""One label for each step of a sequence: many to many, aligned."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn import checks, initializers
from jaxrnn.cell import Carry, Cell, Params, product
from jaxrnn.models.symbols import embedded, embedding, sizes, valid_steps
from jaxrnn.record import Record, factory
from jaxrnn.unroll import unroll


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Tagger(Record):
    """A tagger of sequences; see `tagger`, which makes it."""

    cell: Cell
    classes: int
    vocabulary_size: int | None
    embedding_size: int | None
    embedding_dropout: float

    def init(self, key: jax.Array, input_size: int | None = None) -> Params:
        """Parameters: "cell", "readout" [H, C], "bias" [C], and "embedding" [V, E] where there is one.

        input_size: D, of sequences of features; of symbols it is known.
        """
        size = self.embedding_size or self.vocabulary_size or input_size
        checks.init(key, size)
        k1, k2, k3 = jax.random.split(key, 3)
        params: dict[str, Any] = {"cell": self.cell.init(k1, size)}
        stored = max((a.dtype for a in jax.tree.leaves(params)), key=lambda d: d.itemsize)
        if self.embedding_size is not None:
            params["embedding"] = embedding(k2, self.vocabulary_size, self.embedding_size, stored)
        H = self.cell.outputs(params["cell"], jax.ShapeDtypeStruct((size,), stored)).shape[-1]
        params["readout"] = initializers.lecun_normal()(k3, (H, self.classes), stored)
        params["bias"] = jnp.zeros(self.classes, stored)
        return params

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The carry that every sequence begins with."""
        return self.cell.initial_carry(params["cell"], batch_shape)

    def _inputs(self, params, xs, **how):
        if self.vocabulary_size is None:
            return xs
        return embedded(params, xs, self.vocabulary_size, dropout=self.embedding_dropout, **how)

    def _readout(self, params, y):
        logits = product(y, params["readout"], y.dtype)
        return logits + params["bias"].astype(logits.dtype)

    def apply(self, params: Params, carry: Carry | None, xs: jax.Array, **options: Any) -> tuple[Carry, jax.Array]:
        """xs [T, ..., D], or [T, ...] int -> (carry, logits [T, ..., C]). `options` are those of `unroll`."""
        key = options.get("key")
        if key is not None:
            key, options["key"] = jax.random.split(key)
        xs = self._inputs(params, xs, valid=valid_steps(len(xs), options), key=key)
        carry, ys = unroll(self.cell, params["cell"], carry, xs, **options)
        return carry, self._readout(params, ys)

    def step(self, params: Params, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """One step x [..., D], or [...] int -> (carry, logits [..., C]); not for a bidirectional."""
        carry, y = self.cell.step(params["cell"], carry, self._inputs(params, x))
        return carry, self._readout(params, y)

    def loss(
        self,
        params: Params,
        carry: Carry | None,
        xs: jax.Array,
        labels: jax.Array,
        *,
        weights: jax.Array | None = None,
        **options: Any,
    ) -> tuple[jax.Array, Carry]:
        """Mean cross entropy per step in nats, and the carry: (loss [], carry). labels [T, ...] int.

        weights [T, ...]: how much each step counts (None: 1). What `lengths` or `mask` take away does not count, nor
        what has weight 0: there a label may be any number. No step that counts: 0.
        """
        valid = jnp.broadcast_to(valid_steps(len(xs), options), jnp.shape(labels))
        if weights is not None:
            valid = valid & (weights != 0)
        checks.tokens(labels, self.classes, "labels", valid=valid)
        carry, logits = self.apply(params, carry, xs, **options)
        nats = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(valid, labels, 0))
        weights = jnp.ones_like(nats) if weights is None else jnp.asarray(weights, nats.dtype)
        nats, weights = jnp.where(valid, nats, 0), jnp.where(valid, weights, 0)
        return (nats * weights).sum() / jnp.maximum(weights.sum(), jnp.finfo(nats.dtype).tiny), carry


@factory
def tagger(
    cell: Cell,
    classes: int,
    *,
    vocabulary_size: int | None = None,
    embedding_size: int | None = None,
    embedding_dropout: float = 0.0,
) -> Tagger:
    """A tagger: p(class at t | xs) = softmax(y_t readout + bias), ys from `cell` over xs.

    cell: any cell, or a composition; a bidirectional sees what follows too. classes: C, numbered from 0.
    vocabulary_size: sequences are of symbols 0 to V - 1, as learned vectors of `embedding_size` (None: one-hot).
        None: sequences are of features [T, ..., D]. embedding_dropout: of whole symbols, where there is a key.
    Raises TypeError or ValueError for options that do not fit.
    """
    checks.positive(classes, "classes")
    sizes(vocabulary_size, embedding_size, embedding_dropout)
    return Tagger(cell, classes, vocabulary_size, embedding_size, embedding_dropout)
