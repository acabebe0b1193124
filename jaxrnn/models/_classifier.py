"""One label for a whole sequence: many to one."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import checks
from jaxrnn._core.cell import Carry, Cell, Params
from jaxrnn._core.composition import looks_ahead
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import Record, factory
from jaxrnn.models._parts import labels as labelled
from jaxrnn.models._parts import pooling as pool
from jaxrnn.models._parts import symbols
from jaxrnn.run import unroll


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Classifier(Record):
    """A classifier of sequences; see `classifier`, which makes it."""

    cell: Cell
    classes: int
    pooling: str | None
    vocabulary_size: int | None
    embedding_size: int | None
    embedding_dropout: float

    def init(self, key: jax.Array, input_size: int | None = None) -> Params:
        """Parameters: "cell", "pooling", "readout" [F, C], "bias" [C], and "embedding" [V, E] if there is one.

        input_size: D, for sequences of features; None for symbols.
        """
        params, y = symbols.start(self, key, input_size)
        k1, k2 = jax.random.split(jax.random.fold_in(key, 1))
        pooling = self.pooling
        if pooling is None:
            size = int(self.embedding_size or self.vocabulary_size or input_size or 0)
            x = jax.ShapeDtypeStruct((size,), y.dtype)
            pooling = "ends" if looks_ahead(self.cell, params["cell"], x) else "last"
        params["pooling"] = pool.init(pooling, k1, y.shape[-1], y.dtype)
        F = pool.pooled_size(pooling, y.shape[-1])
        params["readout"] = initializers.lecun_normal()(k2, (F, self.classes), y.dtype)
        params["bias"] = jnp.zeros(self.classes, y.dtype)
        return params

    def encode(self, params: Params, carry: Carry | None, xs: jax.Array, **options: Any) -> tuple[Carry, jax.Array]:
        """xs [T, ..., D], or [T, ...] int -> (carry, a vector [..., F] for each sequence, the input of `readout`)."""
        carry, ys, valid = self._outputs(params, carry, xs, options)
        # If the option is None, the params show what `init` chose: their readout takes one y, or two.
        pooling = self.pooling or ("last" if len(params["readout"]) == ys.shape[-1] else "ends")
        return carry, pool.pooled(pooling, params["pooling"], ys, valid)

    def attention_weights(self, params: Params, carry: Carry | None, xs: jax.Array, **options: Any) -> jax.Array:
        """The attention weight of each step, [T, ...]. Raises TypeError for a pooling other than "attention"."""
        if self.pooling != "attention":
            raise TypeError(f"attention_weights: expected pooling='attention', got {self.pooling!r}")
        _, ys, valid = self._outputs(params, carry, xs, options)
        weights = pool.attention_weights(params["pooling"], ys, valid)
        return jnp.flip(weights, 0) if options.get("reverse") else weights

    def _outputs(self, params, carry, xs, options):
        """The carry, the cell's ys [T, ..., H] and the valid steps, in the order in which they were read."""
        xs, valid, options = symbols.read(self, params, xs, options)
        carry, ys = unroll(self.cell, params["cell"], carry, xs, **options)
        ys = symbols.one_output(self.cell, ys)
        if options.get("reverse"):
            ys, valid = jnp.flip(ys, 0), jnp.flip(jnp.broadcast_to(valid, ys.shape[:-1]), 0)
        return carry, ys, valid

    def readout(self, params: Params, y: jax.Array) -> jax.Array:
        """[..., F] -> logits [..., C]."""
        logits = product(y, params["readout"], y.dtype)
        return logits + row(params["bias"], logits)

    def apply(self, params: Params, carry: Carry | None, xs: jax.Array, **options: Any) -> tuple[Carry, jax.Array]:
        """xs [T, ..., D], or [T, ...] int -> (carry, logits [..., C]). `options` are those of `unroll`.

        If a carry continues a sequence, only the steps of this call are pooled; the last y has seen all steps before.
        A sequence without a valid step gets the logits of a zero vector. With `reverse`, "last" is the step read last.
        """
        carry, vector = self.encode(params, carry, xs, **options)
        return carry, self.readout(params, vector)

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The initial carry of every sequence."""
        return self.cell.initial_carry(params["cell"], batch_shape)

    def step(self, params: Params, carry: Carry, x: jax.Array) -> tuple[Carry, jax.Array]:
        """One step x [..., D], or [...] int -> (carry, logits [..., C] of the sequence so far).

        Raises TypeError for a pooling other than "last", and for a cell that needs the whole sequence.
        """
        if self.pooling not in (None, "last"):
            raise TypeError(f"step: expected pooling='last', which looks at one step, got {self.pooling!r}; use apply")
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
        """Mean cross entropy in nats, and the carry: (loss [], carry), as `jax.grad(has_aux=True)` expects.

        labels [...] int; weights [...]: the weight of each sequence (None: 1). With weight 0, any label is allowed.
        If all weights are 0, the loss is 0, and so are its gradients: there is nothing to learn from.
        """
        xs = symbols.given(self, xs)
        shape = jnp.shape(xs)[1:] if self.vocabulary_size is not None else jnp.shape(xs)[1:-1]
        labels, weights, count = labelled.counted(labels, self.classes, shape, "[...]", weights)
        carry, logits = self.apply(params, carry, xs, **options)
        return labelled.mean_cross_entropy(logits, labels, weights, count), carry


@factory
def classifier(
    cell: Cell,
    classes: int,
    *,
    pooling: str | None = None,
    vocabulary_size: int | None = None,
    embedding_size: int | None = None,
    embedding_dropout: float = 0.0,
) -> Classifier:
    """A classifier of whole sequences: p(class | xs) = softmax(pooled(ys) readout + bias), ys from `cell` over xs.

    cell: any cell, or a composition. classes: C, numbered from 0.
    pooling: how the valid ys become one vector: "last", "ends" (the last and the first, at which the two directions of
        a bidirectional cell have read everything), "mean", "max" or "attention". None: "ends" for a cell that also
        runs backwards, else "last".
    vocabulary_size: V, for sequences of symbols 0 to V - 1, as learned vectors of `embedding_size` (None: one-hot).
        None: sequences of features [T, ..., D]. embedding_dropout: rate of dropping whole symbols, with a key.
    Raises TypeError or ValueError for options that do not fit.
    """
    checks.positive(classes, "classes")
    if pooling not in (None, *pool.POOLINGS):
        raise ValueError(f"pooling: expected one of {', '.join(pool.POOLINGS)}, or None, got {pooling!r}")
    symbols.sizes(vocabulary_size, embedding_size, embedding_dropout)
    return Classifier(cell, classes, pooling, vocabulary_size, embedding_size, embedding_dropout)
