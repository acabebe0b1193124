"""The seeded faults of mutants.py in models, decode and diagnostics."""

from __future__ import annotations

CLASSIFY, TAG = "tests/test_classifier.py", "tests/test_tagger.py"
SEQ2SEQ, DOORS, FORECAST = "tests/test_encoder_decoder.py", "tests/test_doors.py", "tests/test_forecaster.py"
LANGUAGE, BEAM, WRITE = "tests/test_language_model.py", "tests/test_beam.py", "tests/test_decode.py"
LOOK, LAPACK = "tests/test_diagnostics.py", "tests/test_lapack.py"

# file: {what: (old, new, tests)}
FAULTS = {
    "models/_parts/attention.py": {
        "padding is looked at": ("    scores = jnp.where(valid, scores, jnp.finfo(scores.dtype).min)\n", "", SEQ2SEQ),
        "no tanh in concat": ("hidden = jnp.tanh(asked + row", "hidden = (asked + row", SEQ2SEQ),
        "context and y swapped": ("[context.astype(ys.dtype), ys], -1", "[ys, context.astype(ys.dtype)], -1", SEQ2SEQ),
        "no tanh after combine": (
            'jnp.tanh(product(both, params["combine"]',
            '(product(both, params["combine"]',
            SEQ2SEQ,
        ),
    },
    "models/_parts/bridge.py": {
        "bias dropped": ('made + row(params["bias"], made)', "made", SEQ2SEQ),
        "fields from the wrong place": (
            ".astype(leaf.dtype), at + features",
            ".astype(leaf.dtype), at",
            SEQ2SEQ,
        ),
    },
    "models/_encoder_decoder.py": {
        "targets read in their place": (
            "jnp.roll(jnp.where(valid, targets, self.begin), 1, axis=0)",
            "targets",
            SEQ2SEQ,
        ),
        "begin is always 0": (".at[0].set(self.begin)", ".at[0].set(0)", SEQ2SEQ),
        "its own symbol where it should not": (
            "jnp.where(own[..., None], embedded",
            "jnp.where(~own[..., None], embedded",
            SEQ2SEQ,
        ),
        "Bahdanau's context left out of the logits": (
            '        if self.attention == "bahdanau":\n            y = jnp.concatenate([y, context',
            '        if self.attention == "bahdanau":\n            y = jnp.concatenate([y, 0 * context',
            SEQ2SEQ,
        ),
        "what follows the end counts": (
            "count if weights is None else count & weighed(weights)",
            "True",
            SEQ2SEQ,
        ),
        "the end counts": ("return tokens, (~ended).sum(0)", "return tokens, (~ended).sum(0) + 1", SEQ2SEQ),
    },
    "models/_classifier.py": {
        "a carry is not continued": (
            'unroll(self.cell, params["cell"], carry, xs',
            'unroll(self.cell, params["cell"], None, xs',
            CLASSIFY,
        ),
        "one end of both by default": (
            '"ends" if looks_ahead(self.cell, params["cell"], x) else "last"',
            '"last"',
            CLASSIFY,
        ),
    },
    "_core/composition.py": {
        "nothing looks ahead": ("directions.append(backwards)", "pass", CLASSIFY),
    },
    "models/_parts/pooling.py": {
        "mean over all steps": ("jnp.maximum(valid.sum(0, keepdims=True), 1)", "jnp.asarray(len(valid))", CLASSIFY),
        "last of all steps": ("            return _at(ys, last)\n", "            return ys[-1]\n", CLASSIFY),
        "the ends swapped": (
            "[_at(ys, last), _at(ys, valid.argmax(0))]",
            "[_at(ys, valid.argmax(0)), _at(ys, last)]",
            CLASSIFY,
        ),
        "attention to padding": (
            "jnp.where(valid, jax.nn.softmax(scores, axis=0), 0)",
            "jax.nn.softmax(jnp.where(valid, scores, 0), axis=0)",
            CLASSIFY,
        ),
        "attention without its bias": ('hidden + row(params["bias"], hidden)', "hidden", CLASSIFY),
    },
    "models/_parts/labels.py": {
        "a mean over all": (
            "(nats * weights).sum() / jnp.maximum(weights.sum(), jnp.finfo(nats.dtype).tiny)",
            "(nats * weights).mean()",
            TAG,
        ),
        "weights ignored": (
            "nats, weights = jnp.where(count, nats, 0), jnp.where(count, weights, 0)",
            "nats, weights = jnp.where(count, nats, 0), jnp.where(count, 1.0, 0)",
            f"{TAG} {CLASSIFY}",
        ),
    },
    "models/_language_model.py": {
        "bits are nats": ('(math.log(2) if unit == "bits" else 1)', "1", LANGUAGE),
        "bias dropped": ('logits + row(params["bias"], logits)', "logits", LANGUAGE),
        "targets past the end count": (
            "mean_cross_entropy(logits, targets, weights, valid)",
            "mean_cross_entropy(logits, jnp.maximum(targets, 0), weights, True)",
            LANGUAGE,
        ),
    },
    "models/_tagger.py": {
        "bias dropped": ('logits + row(params["bias"], logits)', "logits", TAG),
    },
    "decode/_choosers.py": {
        "drawn without a key": ("if key is None:", "if False:", WRITE),
        "temperature multiplies": ("-jnp.inf, logits / temperature)", "-jnp.inf, logits * temperature)", WRITE),
        "top_k: one more": (
            "lax.top_k(logits, top_k)[0][..., -1:]",
            "lax.top_k(logits, top_k + 1)[0][..., -1:]",
            WRITE,
        ),
        "top_p: one fewer": (
            "jnp.cumsum(probability, -1) - probability < top_p",
            "jnp.cumsum(probability, -1) < top_p",
            WRITE,
        ),
    },
    "decode/_limits.py": {
        "any number is a prime": (
            '            arrays.tokens(value, logits.shape[-1], "prime")\n',
            "            pass\n",
            DOORS,
        ),
    },
    "decode/_generation.py": {
        "NaN logits are written": ("jnp.where(lost, -1, token)", "token", DOORS),
        "NaN logits are not said": (
            "    limits.told(broken)\n    return (carry, tokens, found)",
            "    return (carry, tokens, found)",
            DOORS,
        ),
        "the prime is not read": ("token = jnp.where(t < read, prime", "token = jnp.where(t < 1, prime", WRITE),
        "an ended row goes on": (
            "jnp.where(ended, pad, token), jnp.where",
            "jnp.where(False, pad, token), jnp.where",
            WRITE,
        ),
        "an ended row's carry goes on": (
            "after = jax.tree.map(functools.partial(_hold, ended), carry, after)",
            "pass",
            WRITE,
        ),
        "scores of what may be": (
            "limits.log_probabilities(logits), token",
            "limits.log_probabilities(open_), token",
            WRITE,
        ),
    },
    "decode/_beam.py": {
        "NaN hypotheses are not said": ("    limits.told(broken)\n", "", DOORS),
        "carries stay where they are": ("return _taken(new, parent)", "return new", BEAM),
        "penalty without its 5": ("((5 + n.astype(dtype)) / 6)", "((1 + n.astype(dtype)) / 6)", BEAM),
        "stops too early": ("(best[..., n_best - 1] >= hope)", "True", BEAM),
        "an ended hypothesis grows": (
            "grown = jnp.where(ended, lengths, t + 1)",
            "grown = jnp.broadcast_to(t + 1, lengths.shape)",
            BEAM,
        ),
        "parents not followed back": (
            "return _taken(parents, at), _taken(tokens, at)",
            "return at, _taken(tokens, at)",
            BEAM,
        ),
    },
    "diagnostics/_gradients.py": {
        "only by y": ("return new, jax.tree.map(lambda a: same", "return carry, jax.tree.map(lambda a: same", LOOK),
        "the carry before the step": ("lambda params, s, kept, e: _sum(s, e)", "lambda params, s, kept, e: s", LOOK),
    },
    "diagnostics/_jacobians.py": {
        "no restarts": ("cell, xs = with_reset(cell), (xs, reset)", "pass", LOOK),
        "padding reaches the cell": (
            "(select(valid, xs, jax.tree.map(jnp.zeros_like, xs)), valid)",
            "(xs, valid)",
            LOOK,
        ),
        "products the other way round": (
            "products[:t] = jacobian @ products[:t]",
            "products[:t] = products[:t] @ jacobian",
            LOOK,
        ),
        "transposed": ("in_axes=-1, out_axes=-1)(directions)", "in_axes=-1, out_axes=0)(directions)", LOOK),
    },
    "diagnostics/_lyapunov.py": {
        "warm_up counted": (
            "_logs(cell, params, carry, xs, batch)[warm_up:]",
            "_logs(cell, params, carry, xs, batch)",
            LOOK,
        ),
        "Q forgotten": ("return (v, q), jnp.log", "return (v, state[1]), jnp.log", LOOK),
    },
    "diagnostics/_memory.py": {
        "delays off by one": ("x[first - k : len(x) - k] for k", "x[first - k - 1 : len(x) - k - 1] for k", LOOK),
    },
    "_core/lapack.py": {
        "batches after all": ("sequential = jax.custom_batching.sequential_vmap(one)", "sequential = one", LAPACK),
    },
    "_core/arrays.py": {
        "narrow numbers stay narrow": (
            "    clip = jnp.clip if isinstance(values, jax.Array) else np.clip\n"
            "    return clip(values, low, high).astype(jnp.int32)\n",
            "    return values\n",
            DOORS,
        ),
        "numbers are cast before they are clipped": ("clip(values, low, high).astype", "values.astype", DOORS),
        "arrays of others pass": (
            "for read in np.asarray, jnp.from_dlpack:",
            "for read in (lambda leaf: leaf,):",
            DOORS,
        ),
    },
    "models/_parts/symbols.py": {
        "a size given to symbols is ignored": (
            "if vocabulary_size is not None and input_size is not None:",
            "if False:",
            DOORS,
        ),
        "outputs of any form": ('if not hasattr(y, "shape"):', "if False:", DOORS),
    },
    "_core/rows.py": {
        "the last step of all": (
            "at = clipped(lengths, 1, a.shape[0]) - 1",
            "at = 0 * jnp.asarray(lengths) + len(a) - 1",
            FORECAST,
        ),
    },
}
