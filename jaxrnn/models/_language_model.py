"""Predict the next symbol of a sequence from all symbols before it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.arrays import numbers, whole
from jaxrnn._core.arrays import tokens as symbols
from jaxrnn._core.cell import Carry, Cell, Params
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import Record, factory
from jaxrnn.models._parts.labels import mean_cross_entropy, weighed
from jaxrnn.models._parts.symbols import embedded, embedding, one_output, sizes, stepped, valid_steps
from jaxrnn.run import unroll


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LanguageModel(Record):
    """A recurrent language model; see `language_model`, which makes it."""

    cell: Cell
    vocabulary_size: int
    embedding_size: int | None
    tied: bool
    embedding_dropout: float = 0.0

    def init(self, key: jax.Array) -> Params:
        """Parameters: "cell", "bias" [V], and "embedding" [V, E], "readout" [H, V] if the model has them."""
        V, E = self.vocabulary_size, self.embedding_size
        checks.init(key, V)
        k1, k2, k3 = jax.random.split(key, 3)
        cell = self.cell.init(k2, E or V)
        stored = max((a.dtype for a in jax.tree.leaves(cell)), key=lambda d: d.itemsize)  # y may be narrower
        H = stepped(self.cell, cell, E or V, stored)
        params = {"cell": cell, "bias": jnp.zeros(V, stored)}
        if E is not None:
            params["embedding"] = embedding(k1, V, E, stored, tied=self.tied)
        if not self.tied:
            params["readout"] = initializers.lecun_normal()(k3, (H, V), stored)
        elif H != E:
            raise ValueError(
                f"embedding_size: a tied embedding is also the readout, so it must be H={H}, the size of the "
                f"cell's y, got {E}; lstm(..., projection={E}) gives y that size"
            )
        return params

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The initial carry of every sequence."""
        return self.cell.initial_carry(params["cell"], batch_shape)

    def _inputs(self, params, tokens, valid: Any = True, key: Any = None):
        return embedded(params, tokens, self.vocabulary_size, valid=valid, key=key, dropout=self.embedding_dropout)

    def readout(self, params: Params, y: jax.Array) -> jax.Array:
        """The cell's y [..., H] -> logits [..., V]."""
        readout = params["embedding"].T if self.tied else params["readout"]
        logits = product(y, readout, y.dtype)  # in float32 for a narrower y
        return logits + row(params["bias"], logits)

    def outputs(self, params: Params, carry: Carry | None, tokens: jax.Array, **options: Any) -> tuple[Carry, Any]:
        """tokens [T, ...] int -> (carry, the cell's ys [T, ..., H]): `apply` without `readout`, for losses on ys."""
        key = options.get("key")
        if key is not None:
            key, options["key"] = jax.random.split(key)
        xs = self._inputs(params, tokens, valid_steps(checks.shape(tokens)[0], options), key)
        carry, ys = unroll(self.cell, params["cell"], carry, xs, **options)
        return carry, one_output(self.cell, ys)

    def apply(self, params: Params, carry: Carry | None, tokens: jax.Array, **options: Any) -> tuple[Carry, jax.Array]:
        """tokens [T, ...] int -> (carry, logits [T, ..., V] of the next symbol). `options` are those of `unroll`.

        A `key` among them turns on the noise of the model: the embedding's dropout and the noise of the cell.
        """
        carry, ys = self.outputs(params, carry, tokens, **options)
        return carry, self.readout(params, ys)

    def step(self, params: Params, carry: Carry, token: jax.Array) -> tuple[Carry, jax.Array]:
        """token [...] int -> (carry, logits [..., V] of the next symbol), for generation."""
        carry, y = self.cell.step(params["cell"], carry, self._inputs(params, token))
        return carry, self.readout(params, one_output(self.cell, y))

    def loss(
        self,
        params: Params,
        carry: Carry | None,
        tokens: jax.Array,
        targets: jax.Array,
        *,
        weights: jax.Array | None = None,
        unit: str = "nats",
        **options: Any,
    ) -> tuple[jax.Array, Carry]:
        """Mean negative log-likelihood per target, and the carry: (loss [], carry), for `jax.grad(has_aux=True)`.

        tokens, targets [T, ...] int; weights [T, ...]: the weight of each target (None: 1). Steps that `lengths` or
        `mask` (options of `unroll`) exclude, or of weight 0, do not count; their targets may be any number, such
        as -1. If no step counts, the loss is 0, and so are its gradients. unit: "nats" or "bits". Raises ValueError for
        another unit.
        """
        if unit not in ("nats", "bits"):
            raise ValueError(f"unit: expected 'nats' or 'bits', got {unit!r}")
        tokens = whole(tokens, "tokens")
        valid = valid_steps(tokens.shape[0], options)
        if weights is not None:
            weights = numbers(weights, "weights")
            if checks.shape(weights) != tokens.shape:
                raise ValueError(f"weights: expected [T, ...] = {tokens.shape}, as tokens, got {checks.shape(weights)}")
            valid = valid & weighed(weights)
        targets = symbols(targets, self.vocabulary_size, "targets", like=tokens, valid=valid)
        carry, logits = self.apply(params, carry, tokens, **options)
        nats = mean_cross_entropy(logits, targets, weights, valid)
        return nats / (math.log(2) if unit == "bits" else 1), carry


@factory
def language_model(
    cell: Cell,
    vocabulary_size: int,
    embedding_size: int | None = None,
    *,
    tied: bool = False,
    embedding_dropout: float = 0.0,
) -> LanguageModel:
    """A recurrent language model: p(symbol | all before) = softmax(y readout + bias), y from `cell` over the symbols.

    cell: any cell, or a stack of them. vocabulary_size: V symbols, numbered from 0.
    embedding_size: symbols are read as learned vectors of this size E; None: as one-hot vectors of size V.
    tied: the readout is the transposed embedding (Press and Wolf 2017, arXiv 1608.05859), which needs E = H.
    embedding_dropout: the fraction of the vocabulary whose vectors are 0 in a call with a key: see
        `jaxrnn.regularizers.embedding_dropout`. For other dropout, wrap the cell: `dropout(stack(...), input=, ...)`.
    Raises TypeError or ValueError for options that do not fit. Mikolov et al. 2010, "Recurrent neural network based
    language model".
    """
    checks.positive(vocabulary_size, "vocabulary_size")
    sizes(vocabulary_size, embedding_size, embedding_dropout)
    if tied and embedding_size is None:
        raise ValueError("embedding_size: expected a size with tied=True, got None: one-hot inputs have no embedding")
    return LanguageModel(cell, vocabulary_size, embedding_size, tied, embedding_dropout)
