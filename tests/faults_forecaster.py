"""The seeded faults of mutants.py in the forecaster."""

from __future__ import annotations

FORECAST, HEADS, UNITS = "tests/test_forecaster.py", "tests/test_heads.py", "tests/test_forecaster_units.py"
COUNTS, MEMORY, MORE = "tests/test_counts.py", "tests/test_forecaster_memory.py", "tests/test_heads_more.py"

# file: {what: (old, new, tests)}
FAULTS = {
    "models/_forecaster/series.py": {
        "missing values are lost on": (
            "each = jnp.where(counted, each, 0)",
            "each = jnp.where(True, each, 0)",
            FORECAST,
        ),
        "the mean over weights that do not count": ("jnp.where(counted, weight, 0).sum()", "weight.sum()", MEMORY),
        "the scale sees what is missing": ("jnp.maximum(observed.sum(0), 1)", "jnp.asarray(len(observed))", FORECAST),
        "a context need not be named": ("        if needed:", "        if False:", UNITS),
        "a context of 0": ("(known and (context < 1).any())", "False", UNITS),
        "an infinite number is not looked for": (
            "    if wrong.any():\n        step",
            "    if False:\n        step",
            UNITS,
        ),
        "a gate hides an infinite number": ("jnp.where(jnp.isinf(read), jnp.nan, read)", "read", UNITS),
        "the scale's sum overflows": (
            "(jnp.where(observed, a, 0) / count[None]).sum(0)",
            "jnp.where(observed, a, 0).sum(0) / count",
            UNITS,
        ),
        "windows from the step itself": (
            "each_step(a, time, range(1, n + 1))",
            "each_step(a, time, range(n))",
            FORECAST,
        ),
    },
    "models/_forecaster/forecaster.py": {
        "the scale sees what comes": ("observed & inside(context, T)[..., None]", "observed", UNITS),
        "forecasts from within the context count": (
            "& run.origins[..., None, :]",
            "& jnp.ones_like(run.origins)[..., None, :]",
            UNITS,
        ),
        "forecasts count from a step too late": ("~inside(context - 1, T)", "~inside(context, T)", UNITS),
        "a carry is not continued": (
            'unroll(self.cell, params["cell"], start, ',
            'unroll(self.cell, params["cell"], None, ',
            FORECAST,
        ),
        "the carry of a loss has not seen what follows": (
            " | jnp.isfinite(future), future, 0",
            ", future, 0",
            FORECAST,
        ),
    },
    "models/_forecaster/paths.py": {
        "the future one step late": (
            "windows(future[1:], run.ys.shape[0]",
            "windows(future, run.ys.shape[0]",
            FORECAST,
        ),
    },
    "models/_forecaster/features.py": {
        "missing values not told": (
            "parts = [scaled(values, seen), seen]",
            "parts = [scaled(values, seen), jnp.ones_like(seen)]",
            FORECAST,
        ),
        "a season from the step itself": (
            "reach - m + k for k in range(1, n + 1)",
            "reach - m + k for k in range(n)",
            MEMORY,
        ),
        "no earlier season where one is missing": ("(reach + 1) // m, m)", "1, m)", MEMORY),
        "a season that is not known counts": ("share = jnp.where(known, row(", "share = jnp.where(True, row(", MEMORY),
        "an unknown series is the first": (
            "jnp.where((ids < 0)[..., None], ",
            "jnp.where((ids < -9)[..., None], ",
            MEMORY,
        ),
    },
    "models/_forecaster/readout.py": {
        "not moved back": (
            "of(raw, location, size, model.quantiles)",
            "of(raw, 0 * location, size, model.quantiles)",
            FORECAST,
        ),
        "no straight way beside the hidden layer": ("raw[..., :1] + skip", "raw[..., :1] + 0 * skip", MEMORY),
    },
    "models/_forecaster/memory.py": {
        "the memory of a short row is that of the longest": (
            "ends = clipped(lengths, 0, time)",
            "ends = clipped(0 * lengths + time, 0, time)",
            MEMORY,
        ),
        "a window one value short": (
            "taken, covered, size = (n >> bit)",
            "n -= n > 1\n    taken, covered, size = (n >> bit)",
            MEMORY,
        ),
    },
    "models/_forecaster/carries.py": {
        "a row without a step has a scale of its own": (
            "clipped(lengths, 0, time) > 0)",
            "clipped(lengths, 0, time) > -1)",
            MEMORY,
        ),
    },
    "models/_forecaster/scales.py": {
        "a scale of 0": ("held(size, size > 0, before.scale)", "held(size, known, before.scale)", MEMORY),
        "means of two sets as if they were one size": ("mean + off * (m / both)", "mean + off / 2", MEMORY),
        "a pair of which one is missing": ("both = seen & earlier(seen)", "both = seen", MEMORY),
    },
    "models/_forecaster/mixture.py": {
        "the shares as they come": ("jax.nn.log_softmax(logits, -1)", "logits", MORE),
    },
    "models/_forecaster/implicit.py": {
        "the other side of the median": (
            "jnp.clip(z, low, high) - jnp.clip(0",
            "-jnp.clip(z, low, high) - jnp.clip(0",
            MORE,
        ),
        "one level for all": ("taus = (at + part) / TAUS", "taus = (0 * at + part) / TAUS", MORE),
    },
    "models/_forecaster/rollout.py": {
        "one draw for every step": (".sample(jax.random.fold_in(key, k))", ".sample(key)", FORECAST),
    },
    "models/_forecaster/heads.py": {
        "a Gaussian squares its scale": (
            "stats.norm.logpdf((y - loc) / scale) - jnp.log(scale)",
            "stats.norm.logpdf(y, loc, scale)",
            "tests/test_heads.py -k unit",
        ),
        "Student's df not above 2": ("StudentT(2 + positive(raw[..., 2])", "StudentT(positive(raw[..., 2])", HEADS),
        "pinball the other way round": (
            "jnp.maximum(q * error, (q - 1) * error)",
            "jnp.maximum((1 - q) * error, -q * error)",
            HEADS,
        ),
        "the Gaussian's quantile on the other side": (
            "loc + scale * special.ndtri",
            "loc - scale * special.ndtri",
            HEADS,
        ),
        "a tail of the other side": ("slopes[..., 0] * self.levels[0]", "slopes[..., -1] * self.levels[0]", HEADS),
    },
    "models/_forecaster/counts.py": {
        "sign of the term with n": ("width - n * near", "width + n * near", HEADS),
        "a ratio near 1 is divided first": (
            "    return jnp.where(close, jnp.log1p(jnp.where(close, x, 0)), far())",
            "    return far()",
            COUNTS,
        ),
        "far from 1 it is not": (
            "    return jnp.where(close, jnp.log1p(jnp.where(close, x, 0)), far())",
            "    return jnp.log1p(x)",
            COUNTS,
        ),
        "Binet's function of small numbers by its series": (
            "x < FAR, direct, _series(BINET",
            "x < 0, direct, _series(BINET",
            COUNTS,
        ),
        "its derivative without its second term": ("-1 / 120", "0", COUNTS),
        "the derivative by alpha with the other sign": ("-by_n * n * n", "by_n * n * n", COUNTS),
        "the wrong end of the fraction": ("jnp.where(below, mass, 1 - mass)", "mass", COUNTS),
        "no skewness in large counts": ("bend = skew * (z * z - 1) / 6", "bend = 0 * (z * z - 1) / 6", COUNTS),
        "draws of a Poisson in int32": ("few = rate < 1e6", "few = rate < 1e30", COUNTS),
    },
    "models/_forecaster/bisection.py": {
        "whole numbers from the largest": ("int(info.maxexp) if whole else 2 * info.nmant", "2 * info.nmant", COUNTS),
    },
}
