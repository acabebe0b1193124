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
        """Parameters: "cell", "readout" [H, C], "bias" [C], and "embedding" [V, E] if there is one.

        input_size: D, for sequences of features; None for symbols.
        """
        params, y = symbols.start(self, key, input_size)
        k = jax.random.fold_in(key, 1)
        params["readout"] = initializers.lecun_normal()(k, (y.shape[-1], self.classes), y.dtype)
        params["bias"] = jnp.zeros(self.classes, y.dtype)
        return params

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The initial carry of every sequence."""
        return self.cell.initial_carry(params["cell"], batch_shape)

    def readout(self, params: Params, y: jax.Array) -> jax.Array:
        """y [..., H] -> logits [..., C]."""
        logits = product(y, params["readout"], y.dtype)
        return logits + row(params["bias"], logits)

    def apply(self, params: Params, carry: Carry | None, xs: jax.Array, **options: Any) -> tuple[Carry, jax.Array]:
        """xs [T, ..., D], or [T, ...] int -> (carry, logits [T, ..., C]). `options` are those of `unroll`."""
        xs, _, options = symbols.read(self, params, xs, options)
        carry, ys = unroll(self.cell, params["cell"], carry, xs, **options)
        return carry, self.readout(params, symbols.one_output(self.cell, ys))

    def step(self, params: Params, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """One step x [..., D], or [...] int -> (carry, logits [..., C]); not for a bidirectional cell."""
        if self.vocabulary_size is not None:
            x = symbols.embedded(params, x, self.vocabulary_size)
        carry, y = self.cell.step(params["cell"], carry, x)
        return carry, self.readout(params, symbols.one_output(self.cell, y))

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

        weights [T, ...]: the weight of each step (None: 1). Steps that `lengths` or `mask` exclude, or of weight 0, do
        not count; their labels may be any number. If no step counts, the loss is 0, and so are its gradients.
        """
        xs = symbols.given(self, xs)
        shape, valid = jnp.shape(xs), symbols.valid_steps(xs.shape[0], options)
        shape = shape if self.vocabulary_size is not None else shape[:-1]
        symbols.fits(valid, shape)
        labels, weights, count = labelled.counted(labels, self.classes, shape, "[T, ...]", weights, valid)
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

    cell: any cell, or a composition; a bidirectional one also sees later steps. classes: C, numbered from 0.
    vocabulary_size: V, for sequences of symbols 0 to V - 1, as learned vectors of `embedding_size` (None: one-hot).
        None: sequences of features [T, ..., D]. embedding_dropout: rate of dropping whole symbols, with a key.
    Raises TypeError or ValueError for options that do not fit.
    """
    checks.positive(classes, "classes")
    symbols.sizes(vocabulary_size, embedding_size, embedding_dropout)
    return Tagger(cell, classes, vocabulary_size, embedding_size, embedding_dropout)
