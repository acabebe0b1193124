"""The seeded faults of mutants.py in the wrappers."""

from __future__ import annotations

NOISE, ZONEOUT = "tests/test_noise.py", "tests/test_zoneout.py"
NORM, PATHS = "tests/test_normalised_cells.py", "tests/test_gradient_paths.py"
JOINS, PRECISION = "tests/test_joins.py", "tests/test_precision.py"
DROPPED = "tests/test_regularised_cells.py"
TABLE, ROWS = "tests/test_compositions.py", "tests/test_compositions_rows.py"
WRAPPED = "tests/test_wrappers.py -k behind"
BURN = "tests/test_gradient_paths.py -k burn"

# file: {what: (old, new, tests)}
FAULTS = {
    "wrappers/_noise.py": {
        "not scaled": ("value.astype(wide(value.dtype)) / (1 - rate)", "value.astype(wide(value.dtype))", DROPPED),
        "rate the other way round": ("bernoulli(key, 1.0 - rate", "bernoulli(key, 1.0 * rate", NOISE),
        "per step for per sequence": ('shape[per == "sequence" :]', 'shape[per == "step" :]', NOISE),
    },
    "wrappers/_dropout.py": {
        "input and output share a key": ("drop(k3, ys, output, per)", "drop(k1, ys, output, per)", NOISE),
        "input left out": ("drop(k1, xs, input, per), k2", "xs, k2", NOISE),
        "recurrent fresh at each step": ('on="carry", per="sequence")', 'on="carry")', DROPPED),
        "weight_drop at evaluation": (
            "        if key is None or not rate:\n            return run(cell, params, carry, xs, key)\n",
            "        key = jax.random.key(0) if key is None else key\n",
            NOISE,
        ),
    },
    "wrappers/_recurrent_dropout.py": {
        "projection dropped too": ("(reads, more) if stage.recurrent else ([], [])", "(reads, more)", DROPPED),
        "candidate is the operand": ('"candidate": "candidate"', '"candidate": "operand"', DROPPED),
    },
    "wrappers/_zoneout.py": {
        "h and c swapped": (
            'return [h if name in ("h", "") else 0 if name == "elapsed" else c',
            'return [c if name in ("h", "") else 0 if name == "elapsed" else h',
            ZONEOUT,
        ),
        "mask the other way round": ("select(next(left), a, b)", "select(next(left), b, a)", ZONEOUT),
        "expected value the other way round": ("_mean(p, a, b) if p", "_mean(p, b, a) if p", ZONEOUT),
    },
    "wrappers/_layer_norm.py": {
        "epsilon outside the root": (
            "jax.lax.rsqrt(mean(jnp.square(centred)) + epsilon)",
            "(jax.lax.rsqrt(mean(jnp.square(centred))) + epsilon)",
            NORM,
        ),
        "no mean": ("centred = split(a) - mean(split(a))", "centred = split(a)", NORM),
        "gradient through the mean dropped": ("(ct - mean(ct) - normal", "(ct - normal", NORM),
        "gradient through the variance dropped": (" - normal * mean(ct * normal)", "", NORM),
        "c without its bias": (' + row(params["cell_bias"], c)', "", NORM),
        "whole for per gate": ("if per_gate and a", "if not per_gate and a", NORM),
        "gain of another product": ('params["recurrent_gain"][place]', 'params["recurrent_gain"][0]', NORM),
    },
    "wrappers/_weight_norm.py": {
        "length over the other axis": (".sum(-2, keepdims=True)", ".sum(-1, keepdims=True)", NORM),
    },
    "wrappers/_clip.py": {
        "clip_carry: ignored": (
            'jnp.clip(_real("clip_carry", cell, a), -bound, bound)',
            '_real("clip_carry", cell, a)',
            PATHS,
        ),
        "cut_gradient: ignored": (
            "_on_operands(cell, jax.lax.stop_gradient)",
            "_on_operands(cell, lambda a: a)",
            PATHS,
        ),
    },
    "wrappers/_joins.py": {
        "residual dropped": ("ys + xs.astype(ys.dtype)", "ys", JOINS),
        "highway the other way round": (
            "t * ys.astype(t.dtype) + (1 - t) * xs.astype(t.dtype)",
            "(1 - t) * ys.astype(t.dtype) + t * xs.astype(t.dtype)",
            JOINS,
        ),
        "highway without bias": ('jax.nn.sigmoid(z + row(params["bias"], z))', "jax.nn.sigmoid(z)", JOINS),
        "projection without bias": (
            '(z + row(params["bias"], z)).astype(ys.dtype)',
            "z.astype(ys.dtype)",
            JOINS,
        ),
    },
    "wrappers/_bidirectional.py": {
        "both forwards": ("z, k2, backwards=True)", "z, k2)", TABLE),
        "mean is a sum": ("(a + b) / 2", "a + b", ROWS),
        "shared noise": ("else jax.random.split(key)", "else (key, key)", NOISE),
    },
    "wrappers/_stack.py": {
        "dropout after the last layer": ("if key is not None and i + 1 < len(cells):", "if key is not None:", NOISE),
        "skip without x": ("x = _beside(values(xs), y) if skip else y", "x = y", TABLE),
    },
    "wrappers/_transition.py": {
        "an input of size 0 has a kernel": ('0 not in getattr(each, "shape", ())', "True", JOINS),
        "the kernel put back has a type of its own": ("stored = widest(params)", "stored = jnp.float16", JOINS),
        "deep_transition: x goes to all": ("nothing if k else x", "x if k else nothing", JOINS),
        "fast_slow: slow seen late": ('(slow, "slow", "slow"))', '(fast[0], "fast_0", "fast"))', JOINS),
    },
    "wrappers/_precision.py": {
        "carry in the type of compute": ("_carrying(leaf, carried)", "_carrying(leaf, compute_dtype)", PRECISION),
        "output type ignored": ("return carry, _cast(ys, shown)", "return carry, ys", PRECISION),
    },
    "wrappers/_emit_carry.py": {
        "y twice": ("(output(params, carry), carry)", "(output(params, carry), output(params, carry))", JOINS),
    },
    "run/_burn_in.py": {
        "gradient not stopped": ("jax.lax.stop_gradient(part(0,", "(lambda a: a)(part(0,", BURN),
        "lengths not shifted": ("jnp.maximum(lengths - steps, 0)", "jnp.asarray(lengths)", BURN),
    },
    "run/_unroll.py": {
        "members run against the others restart as they do": (
            "_seen_from_behind(reset, reverse, lengths) if turned",
            "reset if turned",
            ROWS,
        ),
        "restart past the end from behind": (
            "moved if lengths is None else moved & inside(lengths, moved.shape[0])",
            "moved",
            WRAPPED,
        ),
        "restart one step off from behind": ("[reset[1:], first])", "[first, reset[:-1]])", ROWS),
        "direction of a member ignored": ("run(turned != backwards, *args)", "run(turned, *args)", ROWS),
    },
    "_core/numerics.py": {
        "clip_gradient: ignored": ("jnp.clip(ct, -bound, bound),)", "ct,)", PATHS),
    },
}
