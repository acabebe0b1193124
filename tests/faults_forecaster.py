"""The seeded faults of mutants.py in the forecaster."""

from __future__ import annotations

FORECAST, HEADS, UNITS = "tests/test_forecaster.py", "tests/test_heads.py", "tests/test_forecaster_units.py"
COUNTS = "tests/test_counts.py"

# file: {what: (old, new, tests)}
FAULTS = {
    "models/_forecaster/series.py": {
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
        "windows from the step itself": ("for k in range(1, n + 1)]", "for k in range(n)]", FORECAST),
    },
    "models/_forecaster/forecaster.py": {
        "the scale sees what comes": ("observed & inside(context, T)[..., None]", "observed", UNITS),
        "forecasts from within the context count": (
            "& run.origins[..., None, None]",
            "& jnp.ones_like(run.origins)[..., None, None]",
            UNITS,
        ),
        "forecasts count from a step too late": ("~inside(context - 1, T)", "~inside(context, T)", UNITS),
        "a carry is not continued": (
            'unroll(self.cell, params["cell"], carry, xs',
            'unroll(self.cell, params["cell"], None, xs',
            FORECAST,
        ),
        "the carry of a loss has not seen what follows": (
            " | jnp.isfinite(future), future, 0",
            ", future, 0",
            FORECAST,
        ),
        "missing values not told": (
            "row(scale.scale, ys), observed]",
            "row(scale.scale, ys), jnp.ones_like(ys)]",
            FORECAST,
        ),
        "not moved back": (
            "(raw, location, size, self.quantiles)",
            "(raw, 0 * location, size, self.quantiles)",
            FORECAST,
        ),
        "the future one step late": (
            "windows(future[1:], run.ys.shape[0]",
            "windows(future, run.ys.shape[0]",
            FORECAST,
        ),
        "missing values are lost on": (
            "each = jnp.where(counted, run.distribution.loss",
            "each = jnp.where(True, run.distribution.loss",
            FORECAST,
        ),
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
