"""One label for a whole sequence: many to one."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn import checks, initializers
from jaxrnn.cell import Carry, Cell, Params, product
from jaxrnn.models import pooling as pool
from jaxrnn.models.symbols import embedded, embedding, sizes, valid_steps
from jaxrnn.record import Record, factory
from jaxrnn.unroll import unroll


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Classifier(Record):
    """A classifier of sequences; see `classifier`, which makes it."""

    cell: Cell
    classes: int
    pooling: str
    vocabulary_size: int | None
    embedding_size: int | None
    embedding_dropout: float

    def init(self, key: jax.Array, input_size: int | None = None) -> Params:
        """Parameters: "cell", "pooling", "readout" [F, C], "bias" [C], and "embedding" [V, E] where there is one.

        input_size: D, of sequences of features; of symbols it is known.
        """
        size = self.embedding_size or self.vocabulary_size or input_size
        checks.init(key, size)
        k1, k2, k3, k4 = jax.random.split(key, 4)
        params: dict[str, Any] = {"cell": self.cell.init(k1, size)}
        stored = max((a.dtype for a in jax.tree.leaves(params)), key=lambda d: d.itemsize)
        if self.embedding_size is not None:
            params["embedding"] = embedding(k2, self.vocabulary_size, self.embedding_size, stored)
        H = self.cell.outputs(params["cell"], jax.ShapeDtypeStruct((size,), stored)).shape[-1]
        params["pooling"] = pool.init(self.pooling, k3, H, stored)
        F = pool.pooled_size(self.pooling, H)
        params["readout"] = initializers.lecun_normal()(k4, (F, self.classes), stored)
        params["bias"] = jnp.zeros(self.classes, stored)
        return params

    def outputs(self, params: Params, xs: jax.Array, **options: Any) -> jax.Array:
        """xs [T, ..., D], or [T, ...] int -> the cell's ys [T, ..., H]. `options` are those of `unroll`."""
        key = options.get("key")
        if self.vocabulary_size is not None:
            if key is not None:
                key, options["key"] = jax.random.split(key)
            valid = valid_steps(len(xs), options)
            xs = embedded(params, xs, self.vocabulary_size, valid=valid, key=key, dropout=self.embedding_dropout)
        return unroll(self.cell, params["cell"], None, xs, **options)[1]

    def encode(self, params: Params, xs: jax.Array, **options: Any) -> jax.Array:
        """xs [T, ..., D], or [T, ...] int -> one vector [..., F] for each sequence."""
        ys = self.outputs(params, xs, **options)
        return pool.pooled(self.pooling, params["pooling"], ys, valid_steps(len(xs), options))

    def readout(self, params: Params, y: jax.Array) -> jax.Array:
        """[..., F] -> logits [..., C]."""
        logits = product(y, params["readout"], y.dtype)
        return logits + params["bias"].astype(logits.dtype)

    def apply(self, params: Params, xs: jax.Array, **options: Any) -> jax.Array:
        """xs [T, ..., D], or [T, ...] int -> logits [..., C]. `options` are those of `unroll`: lengths, mask, key, ...

        A sequence of length 0 gets the logits of a vector of 0.
        """
        return self.readout(params, self.encode(params, xs, **options))

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The carry that every sequence begins with."""
        return self.cell.initial_carry(params["cell"], batch_shape)

    def step(self, params: Params, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """One step x [..., D], or [...] int -> (carry, logits [..., C] of what has come so far).

        Raises TypeError for another pooling than "last".
        """
        if self.pooling != "last":
            raise TypeError(f"step: expected pooling='last', which looks at one step, got {self.pooling!r}; use apply")
        if self.vocabulary_size is not None:
            x = embedded(params, x, self.vocabulary_size)
        carry, y = self.cell.step(params["cell"], carry, x)
        return carry, self.readout(params, y)

    def loss(
        self, params: Params, xs: jax.Array, labels: jax.Array, *, weights: jax.Array | None = None, **options: Any
    ) -> jax.Array:
        """Mean cross entropy in nats: labels [...] int, weights [...]: how much each sequence counts (None: 1).

        What has weight 0 may have any label. All weights 0: 0.
        """
        counted = True if weights is None else weights != 0
        checks.tokens(labels, self.classes, "labels", valid=counted)
        logits = self.apply(params, xs, **options)
        nats = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(counted, labels, 0))
        weights = jnp.ones_like(nats) if weights is None else jnp.asarray(weights, nats.dtype)
        total = jnp.where(weights != 0, nats * weights, 0).sum()
        return total / jnp.maximum(weights.sum(), jnp.finfo(nats.dtype).tiny)


@factory
def classifier(
    cell: Cell,
    classes: int,
    *,
    pooling: str = "last",
    vocabulary_size: int | None = None,
    embedding_size: int | None = None,
    embedding_dropout: float = 0.0,
) -> Classifier:
    """A classifier of whole sequences: p(class | xs) = softmax(pooled(ys) readout + bias), ys from `cell` over xs.

    cell: any cell, or a composition. classes: C, numbered from 0.
    pooling: what stands for the sequence: "last" valid y, "ends" (the last and the first, for a bidirectional), "mean",
        "max", or "attention" over valid ones: see `models.pooling`.
    vocabulary_size: sequences are of symbols 0 to V - 1, as learned vectors of `embedding_size` (None: one-hot).
        None: sequences are of features [T, ..., D]. embedding_dropout: of whole symbols, where there is a key.
    Raises TypeError or ValueError for options that do not fit.
    """
    checks.positive(classes, "classes")
    if pooling not in pool.POOLINGS:
        raise ValueError(f"pooling: expected one of {', '.join(pool.POOLINGS)}, got {pooling!r}")
    sizes(vocabulary_size, embedding_size, embedding_dropout)
    return Classifier(cell, classes, pooling, vocabulary_size, embedding_size, embedding_dropout)
