"""The options of a forecaster, checked."""

from __future__ import annotations

from typing import Any

from jaxrnn._core import checks
from jaxrnn.models._forecaster.heads import HEADS
from jaxrnn.models._forecaster.scales import CAUSAL
from jaxrnn.models._forecaster.series import SCALINGS

STRATEGIES = ("direct", "recursive", "blended")


def check(o: dict[str, Any]) -> None:
    """Raise TypeError or ValueError for options of `forecaster` that are wrong, or do not fit each other."""
    for name in ("horizon", "targets", "embedding_size", "components"):
        checks.positive(o[name], name)
    for name in ("readout_size", "scale_window"):
        if o[name] is not None:
            checks.positive(o[name], name)
    for name in ("past_size", "future_size", "static_size", "identities", "bases"):
        size = o[name]
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError(f"{name}: expected an int of at least 0, got {size!r}")
    for name, known in (("head", tuple(HEADS)), ("strategy", STRATEGIES), ("scaling", (*SCALINGS[:-1], *CAUSAL, None))):
        if o[name] not in known:
            raise ValueError(f"{name}: expected one of {', '.join(map(str, known))}, got {o[name]!r}")
    for name in ("lags", "seasons"):
        whole = isinstance(o[name], tuple) and all(isinstance(n, int) and n is not True for n in o[name])
        if not whole or min(o[name], default=1) < 1 or len(set(o[name])) < len(o[name]):
            raise ValueError(f"{name}: expected a tuple of numbers of steps, each at least 1 and once, got {o[name]!r}")
    if not 0 <= o["dropout"] < 1:
        raise ValueError(f"dropout: expected a probability, 0 <= dropout < 1, got {o['dropout']!r}")
    if (
        list(o["quantiles"]) != sorted(set(o["quantiles"]))
        or len(o["quantiles"]) < 2
        or not (0 < o["quantiles"][0] < o["quantiles"][-1] < 1)
    ):
        raise ValueError(f"quantiles: expected at least two rising numbers between 0 and 1, got {o['quantiles']!r}")
    _fit(o)


def _fit(o):
    if o["strategy"] != "direct" and o["past_size"]:
        raise ValueError(
            f"past_size: expected 0 with strategy={o['strategy']!r}, which would need them after the end, got "
            f"{o['past_size']}"
        )
    if o["strategy"] != "direct" and o["bases"]:
        raise ValueError(
            f"bases: expected 0 with strategy={o['strategy']!r}, which would need them after the end, got {o['bases']}"
        )
    if o["head"] == "negative_binomial" and o["scaling"] not in ("mean", "rolling_mean", None):
        raise ValueError(
            "scaling: expected 'mean' or None with head='negative_binomial', got "
            f"{o['scaling']!r}; or the causal 'rolling_mean': a count has no location to take away"
        )
    if o["differencing"] and not o["seasons"] and not o["bases"]:
        raise ValueError("differencing: expected False without seasons or bases, from which it takes differences")
    if o["differencing"] and o["head"] == "negative_binomial":
        raise ValueError("differencing: expected False with head='negative_binomial', whose counts have no location")
    if o["scaling"] == "seasonal_naive" and not o["seasons"]:
        raise ValueError("seasons: expected at least one with scaling='seasonal_naive', such as (24,), got ()")
    if o["scale_window"] is not None and o["scaling"] not in CAUSAL:
        raise ValueError(
            f"scale_window: expected None with scaling={o['scaling']!r}, which has the context, got "
            f"{o['scale_window']}; the scalings {', '.join(CAUSAL)} have a window"
        )
