"""The continuous ranked probability score: of quantiles, of samples, and in closed form.

    CRPS(F, y) = integral over x of (F(x) - 1{y <= x})² = 2 · integral over p of pinball_p(y, F^-1(p))

In the unit of y; of a forecast that is one number it is the absolute error. Gneiting and Raftery 2007, "Strictly
proper scoring rules, prediction, and estimation", section 4.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from jaxrnn._core.optional import optional
from jaxrnn.forecast._averages import Axis, chances, like, mean, number


def crps_quantiles(quantiles: Any, probabilities: Any, target: Any, *, axis: Axis = -1) -> Any:
    """The CRPS of quantiles [..., K, Q] at probabilities [Q], on target [..., K]; the mean over `axis` of the target.

    Exact for the distribution whose quantile function is straight between the probabilities and constant outside:

        2 · integral from 0 to 1 of (1{y < q(p)} - p) (q(p) - y)

    in two parts, of which the second is a polynomial of p, and the first a triangle where q crosses y. The customary
    mean of twice the pinball loss depends on which probabilities there are: of a normal distribution at 0.1, 0.5 and
    0.9 it is 11% too small on average, at nine tenths 9% too large, and this 1% too large for both. Tails beyond the
    outermost count as a point there. Where quantiles cross, nothing is sorted.
    """
    p, target = chances(probabilities), number(target, "target")
    q = like(quantiles, "quantiles", target, len(p))
    p, q = np.concatenate([[0], p, [1]]), np.concatenate([q[..., :1], q, q[..., -1:]], -1)
    a, b, length = p[:-1], p[1:], np.diff(p)
    off = q - target[..., None]
    u, v = off[..., :-1], off[..., 1:]
    cross = u * v < 0
    both = np.where(cross, np.abs(u) + np.abs(v), 1)
    above = np.where(cross, np.square(np.maximum(u, v)) / both, np.maximum(u, 0) + np.maximum(v, 0)) / 2
    moment = ((2 * a + b) * u + (a + 2 * b) * v) / 6
    return mean(2 * (length * (above - moment)).sum(-1), ~np.isnan(target), axis)


def crps_samples(samples: Any, target: Any, *, fair: bool = False, axis: Axis = -1) -> Any:
    """The CRPS of samples [..., K, S], on target [..., K]; the mean over `axis` of the target.

        mean_i |x_i - y| - sum_ij |x_i - x_j| / (2 S²)

    That of the samples' own distribution, each with the same weight. fair: S (S - 1) in place of S², the estimate of
    the CRPS of what they were drawn from, which does not grow as S falls (Ferro 2014); it wants S of at least 2.
    """
    target = number(target, "target")
    x = number(samples, "samples")
    S = x.shape[-1] if x.ndim else 0
    if x.shape != (*target.shape, S) or 1 + fair > S:
        raise ValueError(f"samples: expected [..., K, S] = {(*target.shape, 'S')}, S >= {1 + fair}, got {x.shape}")
    x = np.sort(x, -1)
    # Among sorted samples x_i is the larger of i pairs, and the smaller of S - 1 - i.
    spread = (x * (2 * np.arange(S) - S + 1)).sum(-1) / (S * (S - fair))
    return mean(np.abs(x - target[..., None]).mean(-1) - spread, ~np.isnan(target), axis)


def crps_gaussian(center: Any, deviation: Any, target: Any, *, axis: Axis = -1) -> Any:
    """The CRPS of a normal distribution: center, deviation, target [..., K]; the mean over `axis`.

        deviation · (z (2 Φ(z) - 1) + 2 φ(z) - 1 / sqrt(π)),    z = (y - center) / deviation

    With a deviation of 0 it is the absolute error. Gneiting et al. 2005, equation 5.
    """
    target = number(target, "target")
    center, deviation = like(center, "center", target), like(deviation, "deviation", target)
    error = target - center
    z = np.divide(error, deviation, out=np.zeros_like(error), where=deviation > 0)
    density = np.exp(-np.square(z) / 2) / np.sqrt(2 * np.pi)
    score = deviation * (z * special.erf(z / np.sqrt(2)) + 2 * density - 1 / np.sqrt(np.pi))
    return mean(_where_spread(score, deviation, error), ~np.isnan(target), axis)


def crps_student_t(df: Any, location: Any, scale: Any, target: Any, *, axis: Axis = -1) -> Any:
    """The CRPS of Student's t: df > 1, location, scale, target [..., K]; the mean over `axis`.

        scale · (z (2 F(z) - 1) + 2 f(z) (df + z²) / (df - 1)
                 - 2 sqrt(df) / (df - 1) · B(1/2, df - 1/2) / B(1/2, df/2)²),    z = (y - location) / scale

    with the density f and distribution F of the standard one, and the beta function B. Infinite for df <= 1, which has
    no mean. With a scale of 0 it is the absolute error. Jordan, Krüger and Lerch 2019, "Evaluating probabilistic
    forecasts with scoringRules", appendix A.
    """
    target = number(target, "target")
    df = np.broadcast_to(number(df, "df"), target.shape)
    location, scale = like(location, "location", target), like(scale, "scale", target)
    error = target - location
    z = np.divide(error, scale, out=np.zeros_like(error), where=scale > 0)
    nu = np.where(df > 1, df, 2)
    logs = special.betaln(0.5, nu - 0.5) - 2 * special.betaln(0.5, nu / 2)
    density = np.exp(-(nu + 1) / 2 * np.log1p(np.square(z) / nu) - special.betaln(0.5, nu / 2)) / np.sqrt(nu)
    inner = z * (2 * special.stdtr(nu, z) - 1) + 2 * density * (nu + np.square(z)) / (nu - 1)
    score = scale * (inner - 2 * np.sqrt(nu) / (nu - 1) * np.exp(logs))
    score = np.where(df > 1, _where_spread(score, scale, error), np.where(np.isnan(df), np.nan, np.inf))
    return mean(score, ~np.isnan(target), axis)


def crps(distribution: str, target: Any, *parameters: Any, axis: Axis = -1) -> Any:
    """The closed form of any distribution that scoringrules has: target and parameters [..., K]; the mean over `axis`.

    `distribution` and the order of `parameters` are those of scoringrules' function `crps_<distribution>`: "gamma",
    "lognormal", "negbinom", "poisson", "laplace", .... Raises ValueError for one that it has not, ImportError without
    scoringrules.
    """
    rules = optional("scoringrules", "forecast", "the CRPS of other distributions")
    form = getattr(rules, f"crps_{distribution}", None)
    if form is None or distribution in ("ensemble", "quantile"):
        known = [n.removeprefix("crps_") for n in dir(rules) if n.startswith("crps_")]
        names = ", ".join(n for n in known if n not in ("ensemble", "quantile"))
        raise ValueError(f"distribution: expected one of {names}, got {distribution!r}")
    target = number(target, "target")
    with np.errstate(all="ignore"):  # of missing targets
        score = np.asarray(form(target, *(number(a, "parameters") for a in parameters), backend="numpy"), np.float64)
    return mean(np.broadcast_to(score, target.shape), ~np.isnan(target), axis)


def _where_spread(score, spread, error):
    """The score; the absolute error where there is no spread, NaN where it is negative or unknown."""
    return np.where(spread > 0, score, np.where(spread == 0, np.abs(error), np.nan))
