"""One label for each step of a sequence: many to many, aligned."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Carry, Cell, Params
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import Record, factory
from jaxrnn.models._parts import labels as labelled
from jaxrnn.models._parts import symbols
from jaxrnn.run import unroll


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
        params, y = symbols.start(self, key, input_size)
        k = jax.random.fold_in(key, 1)
        params["readout"] = initializers.lecun_normal()(k, (y.shape[-1], self.classes), y.dtype)
        params["bias"] = jnp.zeros(self.classes, y.dtype)
        return params

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The carry that every sequence begins with."""
        return self.cell.initial_carry(params["cell"], batch_shape)

    def readout(self, params: Params, y: jax.Array) -> jax.Array:
        """y [..., H] -> logits [..., C]."""
        logits = product(y, params["readout"], y.dtype)
        return logits + row(params["bias"], logits)

    def apply(self, params: Params, carry: Carry | None, xs: jax.Array, **options: Any) -> tuple[Carry, jax.Array]:
        """xs [T, ..., D], or [T, ...] int -> (carry, logits [T, ..., C]). `options` are those of `unroll`."""
        xs, _, options = symbols.read(self, params, xs, options)
        carry, ys = unroll(self.cell, params["cell"], carry, xs, **options)
        return carry, self.readout(params, ys)

    def step(self, params: Params, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """One step x [..., D], or [...] int -> (carry, logits [..., C]); not for a bidirectional."""
        if self.vocabulary_size is not None:
            x = symbols.embedded(params, x, self.vocabulary_size)
        carry, y = self.cell.step(params["cell"], carry, x)
        return carry, self.readout(params, y)

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
        shape, valid = jnp.shape(xs), symbols.valid_steps(len(xs), options)
        shape = shape if self.vocabulary_size is not None else shape[:-1]
        symbols.fits(valid, shape)
        count = labelled.counted(labels, self.classes, shape, "[T, ...]", weights, valid)
        carry, logits = self.apply(params, carry, xs, **options)
        return labelled.mean_cross_entropy(logits, labels, weights, count), carry


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
    symbols.sizes(vocabulary_size, embedding_size, embedding_dropout)
    return Tagger(cell, classes, vocabulary_size, embedding_size, embedding_dropout)
