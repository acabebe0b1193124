"""Sequence to sequence: encode, then decode, with or without attention; or vector to sequence."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Carry, Cell, Params
from jaxrnn._core.loops import loop
from jaxrnn._core.numerics import product, row
from jaxrnn._core.record import Record, factory
from jaxrnn._core.rows import inside
from jaxrnn.decode import generate, greedy
from jaxrnn.engines import scan
from jaxrnn.models._parts import attention as attend
from jaxrnn.models._parts import bridge as between
from jaxrnn.models._parts.labels import mean_cross_entropy, weighed
from jaxrnn.models._parts.symbols import embedded, embedding, one_output, sized, sizes, stepped, valid_steps
from jaxrnn.run import unroll
from jaxrnn.train.regularizers import embedding_dropout


class Decoding(NamedTuple):
    """The state of the decoder; all leaves have the batch axes first."""

    carry: Carry
    memory: Any  # an `attention.Memory` of the encoder's outputs; None without attention


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class EncoderDecoder(Record):
    """An encoder-decoder; see `encoder_decoder`, which makes it."""

    encoder: Cell | None
    decoder: Cell
    source_vocabulary_size: int | None
    target_vocabulary_size: int
    embedding_size: int | None
    attention: str | None
    score: str
    bridge: bool
    begin: int
    embedding_dropout: float

    def init(self, key: jax.Array, input_size: int | None = None) -> Params:
        """Parameters: "encoder", "decoder", "source" and "target" with an "embedding" [V, E] each, if there are any,
        "bridge", "attention" if there is any, "readout", "bias" [V].

        input_size: D, for sources of features; None for symbols.
        """
        V, E, symbols = self.target_vocabulary_size, self.embedding_size, self.source_vocabulary_size
        sized(symbols, input_size)
        size: Any = input_size if symbols is None else E or symbols
        checks.init(key, size)
        keys, draw = jax.random.split(key, 8), initializers.lecun_normal()
        encoder = {} if self.encoder is None else self.encoder.init(keys[0], size)
        x = jax.ShapeDtypeStruct((size,), jnp.float32)
        F = size if self.encoder is None else one_output(self.encoder, self.encoder.outputs(encoder, x)).shape[-1]
        beside = F if self.attention == "bahdanau" else 0
        decoder = self.decoder.init(keys[1], (E or V) + beside)
        stored = max((a.dtype for a in jax.tree.leaves((encoder, decoder))), key=lambda d: d.itemsize)
        start = jax.eval_shape(self.decoder.start, decoder)
        H = stepped(self.decoder, decoder, (E or V) + beside, jnp.float32)
        params: dict[str, Any] = {"encoder": encoder, "decoder": decoder, "source": {}, "target": {}}
        if E is not None:
            params["target"]["embedding"] = embedding(keys[2], V, E, stored)
            if symbols is not None:
                params["source"]["embedding"] = embedding(keys[3], symbols, E, stored)
        final = x if self.encoder is None else jax.eval_shape(self.encoder.start, encoder)
        params["bridge"] = between.init(keys[4], final, start, stored, always=self.bridge or self.encoder is None)
        if self.attention is not None:
            asking = between.flat_size(start) if self.attention == "bahdanau" else H
            params["attention"] = attend.init(self.score, keys[5], asking, F, H, stored)
        if self.attention == "luong":
            params["attention"]["combine"] = draw(keys[6], (F + H, H), stored)
        params["readout"] = draw(keys[7], (H + beside, V), stored)
        params["bias"] = jnp.zeros(V, stored)
        return params

    def encode(self, params: Params, source: jax.Array, **options: Any) -> Decoding:
        """The first state for `step`, from source [S, ...] int or features [S, ..., D]; without an encoder, no axis S.

        `options` are those of the encoder's `unroll`: lengths (0 is allowed), mask, reverse, key, ...
        """
        source = arrays.ours(source, "source")
        key, batch, valid = options.pop("key", None), self._batch(source), True
        if self.encoder is not None:
            valid = valid_steps(len(source), options)
        elif options:
            raise TypeError(f"{', '.join(options)}: expected none of these without an encoder, which they are for")
        if self.source_vocabulary_size is not None:
            source = arrays.tokens(source, self.source_vocabulary_size, "source", valid=valid)
            k_table, key = (None, None) if key is None else jax.random.split(key)
            own, V = {"bias": params["bias"], **params["source"]}, self.source_vocabulary_size
            source = embedded(own, source, V, valid=valid, key=k_table, dropout=self.embedding_dropout)
        final, memory = source, None
        if self.encoder is not None:
            final, ys = unroll(self.encoder, params["encoder"], None, source, key=key, **options)
            if self.attention is not None:
                memory = attend.memory(params["attention"], one_output(self.encoder, ys), valid)
        start = self.decoder.initial_carry(params["decoder"], batch)
        return Decoding(between.crossed(params["bridge"], final, start, len(batch)), memory)

    def _batch(self, source):
        shape = checks.shape(source)[self.encoder is not None :]
        return shape[:-1] if self.source_vocabulary_size is None else shape

    def _advance(self, params, memory, carry, x, key=None):
        """One step of the decoder: (carry, the input of `readout`, attention weights [..., S])."""
        weights = None
        if self.attention == "bahdanau":
            query = between.flat(carry, x.ndim - 1)
            context, weights = attend.attended(self.score, params["attention"], query, memory)
            x = jnp.concatenate([x, context.astype(x.dtype)], -1)
        if key is None:
            carry, y = self.decoder.step(params["decoder"], carry, x)
        else:
            carry, ys = unroll(self.decoder, params["decoder"], carry, x[None], key=key, engine=scan)
            y = jax.tree.map(lambda a: a[0], ys)
        y = one_output(self.decoder, y)
        if self.attention == "bahdanau":
            y = jnp.concatenate([y, context.astype(y.dtype)], -1)
        elif self.attention == "luong":
            y, weights = attend.combined(self.score, params["attention"], y, memory)
        return carry, y, weights

    def readout(self, params: Params, y: jax.Array) -> jax.Array:
        """The decoder's y, with what attention adds to it -> logits [..., V]."""
        logits = product(y, params["readout"], y.dtype)
        return logits + row(params["bias"], logits)

    def step(self, params: Params, state: Decoding, token: jax.Array) -> tuple[Decoding, jax.Array]:
        """token [...] int -> (state, logits [..., V] of the next symbol); `encode` makes the first state.

        The first token is `begin`. For `decode.generate` and the like.
        """
        x = embedded({"bias": params["bias"], **params["target"]}, token, self.target_vocabulary_size)
        carry, y, _ = self._advance(params, state.memory, state.carry, x)
        return Decoding(carry, state.memory), self.readout(params, y)

    def _decode(self, params, source, targets, target_lengths=None, feedback=None, **options) -> tuple[jax.Array, Any]:
        """(logits [T, ..., V], weights [T, ..., S] of attention): see `apply`."""
        key, V = options.pop("key", None), self.target_vocabulary_size
        self._check(source, targets, target_lengths, feedback, key)
        valid = True if target_lengths is None else inside(target_lengths, checks.shape(targets)[0])
        targets = arrays.tokens(targets, V, "targets", valid=valid)
        keys: Any = [None] * 5 if key is None else jax.random.split(key, 5)
        k_encoder, k_table, k_noise, k_own, k_draw = keys
        carry, memory = self.encode(params, source, key=k_encoder, **options)
        read = jnp.roll(jnp.where(valid, targets, self.begin), 1, axis=0).at[0].set(self.begin)
        inputs = {"bias": params["bias"], **params["target"]}
        if self.embedding_size is not None:  # once for the sequence: a dropped symbol is absent wherever it occurs
            inputs["embedding"] = embedding_dropout(k_table, inputs["embedding"], self.embedding_dropout)
        xs = embedded(inputs, read, V)
        if feedback is None and self.attention != "bahdanau":
            _, ys = unroll(self.decoder, params["decoder"], carry, xs, key=k_noise)
            ys, weights = one_output(self.decoder, ys), None
            if self.attention == "luong":
                ys, weights = attend.combined(self.score, params["attention"], ys, memory)
            return self.readout(params, ys), weights

        def body(state, now):
            carry, before = state
            t, x, own = now
            if own is not None:
                drawn = jax.random.categorical(jax.random.fold_in(k_draw, t), self.readout(params, before))
                x = jnp.where(own[..., None], embedded(inputs, drawn, V), x)
            carry, y, weights = advance(carry, x, None if k_noise is None else jax.random.fold_in(k_noise, t))
            return (carry, y), (y, weights)

        advance = functools.partial(self._advance, params, memory)
        # Never at the first step, as the model has not yet produced a symbol.
        own = None if feedback is None else jax.random.bernoulli(k_own, feedback, read.shape).at[0].set(False)
        before = jax.tree.map(jnp.zeros_like, jax.eval_shape(advance, carry, xs[0])[1])
        _, (ys, weights) = loop(body, (carry, before), (jnp.arange(xs.shape[0]), xs, own))
        return self.readout(params, ys), weights

    def _check(self, source, targets, target_lengths, feedback, key):
        batch, came = self._batch(source), checks.shape(targets)
        if came[1:] != batch or not came:
            raise ValueError(f"targets: expected [T, ...] with the batch axes of source, {batch}, got {came}")
        if target_lengths is not None and checks.shape(target_lengths) != batch:
            raise ValueError(f"target_lengths: expected [...] = {batch}, got {checks.shape(target_lengths)}")
        if isinstance(feedback, int | float) and not 0 <= feedback <= 1:
            raise ValueError(f"feedback: expected a probability, 0 <= feedback <= 1, got {feedback!r}")
        if feedback is not None and key is None:
            raise ValueError("key: expected one with feedback, whose symbols are drawn, got None")

    def apply(
        self, params: Params, source: Any, targets: Any, *, target_lengths: Any = None, feedback: Any = None, **options
    ) -> jax.Array:
        """targets [T, ...] int -> logits [T, ..., V] of each of them, given those before it and the source.

        Teacher forcing: the decoder reads `begin` and then all targets but the last. target_lengths [...]: past its end
        a row's targets may be any number, and its logits are meaningless. `options` are those of `unroll`, for the
        encoder: lengths, mask, reverse, ...; a `key` among them turns on the noise of encoder and decoder.
        feedback: scheduled sampling (Bengio et al. 2015, arXiv 1506.03099): with this probability, a number or an
            array [], a step reads the model's own symbol, sampled from the logits of the step before. Needs a key.
        With feedback or Bahdanau's attention the decoder runs step by step and draws its noise anew at each step, even
        masks that are otherwise drawn once per sequence.
        """
        return self._decode(params, source, targets, target_lengths, feedback, **options)[0]

    def attention_weights(self, params: Params, source: jax.Array, targets: jax.Array, **options: Any) -> jax.Array:
        """The attention weights of each step of `apply` over the steps of the source: [T, ..., S].

        Raises TypeError for a model without attention.
        """
        if self.attention is None:
            raise TypeError(f"attention_weights: expected a model with attention, got {self!r}")
        return self._decode(params, source, targets, **options)[1]

    def loss(
        self, params: Params, source: jax.Array, targets: jax.Array, *, weights: Any = None, **options: Any
    ) -> jax.Array:
        """Mean negative log-likelihood per target, in nats. `options` are those of `apply`.

        weights [T, ...]: of each target (None: 1); those past `target_lengths` do not count. If none counts, the loss
        is 0, and so are its gradients.
        """
        targets = arrays.whole(targets, "targets")
        if weights is not None and checks.shape(weights := arrays.numbers(weights, "weights")) != targets.shape:
            raise ValueError(f"weights: expected [T, ...] = {targets.shape}, as targets, got {weights.shape}")
        lengths = options.get("target_lengths")
        logits = self.apply(params, source, targets, **options)
        count = True if lengths is None else inside(lengths, len(targets))
        return mean_cross_entropy(logits, targets, weights, count if weights is None else count & weighed(weights))

    def translate(
        self, params: Params, source: jax.Array, length: int, *, end: int | None = None, **options: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Greedy decoding: (tokens [length, ...] int32, the length of each row [...]).

        end: the symbol that ends a row; it does not count, and `end` fills the rest. None: all rows are full.
        `options` are those of `encode`. To call it often, jit it with `length` and `end` static.
        For sampling and beam search, pass `step` to `decode.generate` and `decode.beam`.
        """
        state, prime = self.encode(params, source, **options), jnp.full((1, *self._batch(source)), self.begin)
        _, tokens = generate(self.step, params, state, prime, length, choose=greedy(), end=end, pad=end or 0)
        ended = jnp.zeros(tokens.shape, bool) if end is None else jnp.cumsum(tokens == end, 0) > 0
        return tokens, (~ended).sum(0)


@factory
def encoder_decoder(
    encoder: Cell | None,
    decoder: Cell,
    source_vocabulary_size: int | None,
    target_vocabulary_size: int,
    embedding_size: int | None = None,
    *,
    attention: str | None = None,
    score: str | None = None,
    bridge: bool = False,
    begin: int = 0,
    embedding_dropout: float = 0.0,
) -> EncoderDecoder:
    """Sequence to sequence: the encoder's final carry starts the decoder, which gives p(symbol | before, source).

    Its functions take (params, source, targets) and no carry: nothing is carried from call to call.

    encoder: any cell or composition, bidirectional ones included. None: the source is one vector, or one symbol, for
        each row, and starts the decoder through the bridge: one to many.
    decoder: any cell that can `step`. Its first carry is the encoder's final carry if the two match, else
        tanh(final carry, all fields concatenated, @ kernel + bias), split into fields.
    source_vocabulary_size: V, for sources of symbols 0 to V - 1. None: sources of features [S, ..., D].
    target_vocabulary_size: V, symbols of targets. embedding_size: symbols of source and target are read as learned
        vectors of this size; None: one-hot. embedding_dropout: rate of dropping whole symbols, with a key.
    attention: None; "bahdanau" (2015, arXiv 1409.0473): the decoder's carry before the step is the query, the cell
        reads [x, context], and logits are made from [y, context] (in the paper from x too, through a maxout); for
        an LSTM the query is [h, c]. "luong" (2015, arXiv 1508.04025): y is the query, and logits are made from
        tanh([context, y] combine), without input feeding.
    score: "dot", "general" or "concat", see `_parts/attention.py`; None: "concat" for Bahdanau, "general" for Luong.
    bridge: learn the map even if the carries match.
    begin: the first symbol that the decoder reads; it may also be a target, as the end symbol often is.
    Raises TypeError or ValueError for options that do not fit, and in `init` for cells that do not.
    Sutskever, Vinyals and Le 2014, arXiv 1409.3215; Cho et al. 2014, arXiv 1406.1078.
    """
    if encoder is not None and not isinstance(encoder, Cell):
        raise TypeError(f"encoder: expected a cell such as jaxrnn.lstm(256), or None, got {encoder!r}")
    checks.positive(target_vocabulary_size, "target_vocabulary_size")
    if source_vocabulary_size is not None:
        checks.positive(source_vocabulary_size, "source_vocabulary_size")
    sizes(target_vocabulary_size, embedding_size, embedding_dropout)
    kinds = ("bahdanau", "luong") if encoder is not None else ()
    if attention not in (None, *kinds):
        raise ValueError(f"attention: expected {' or '.join(kinds) or 'an encoder'}, or None, got {attention!r}")
    if score is not None and (attention is None or score not in attend.SCORES):
        raise ValueError(f"score: expected one of {', '.join(attend.SCORES)}, with attention, got {score!r}")
    if isinstance(begin, bool) or not isinstance(begin, int) or not 0 <= begin < target_vocabulary_size:
        raise ValueError(f"begin: expected a symbol, 0 to {target_vocabulary_size - 1}, got {begin!r}")
    score = score or {None: "", "bahdanau": "concat", "luong": "general"}[attention]
    sizes_ = source_vocabulary_size, target_vocabulary_size, embedding_size
    return EncoderDecoder(encoder, decoder, *sizes_, attention, score, bridge, begin, embedding_dropout)
