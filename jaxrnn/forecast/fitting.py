"""Training a forecaster on a long table."""

from __future__ import annotations

import time
import warnings
from typing import Any

import jax
import numpy as np

from jaxrnn._core import checks
from jaxrnn._core.cell import Cell
from jaxrnn.cells import CELLS
from jaxrnn.forecast import calendar, network
from jaxrnn.forecast.autoregression import Autoregression, candidates, chosen
from jaxrnn.forecast.kept import keep, unit_of
from jaxrnn.forecast.network import Network
from jaxrnn.forecast.streams import learn_encoding, scaled, units
from jaxrnn.forecast.tables import Panel, panel
from jaxrnn.forecast.trained import Trained
from jaxrnn.forecast.training import (
    REPORTS,
    Plan,
    Windows,
    affordable,
    judgeable,
    judged_of,
    origins_of,
    seed_of,
    shares_of,
    train_on,
)
from jaxrnn.models import forecaster

TRIED = 64  # series on which its lags are chosen, at most
# The options of `models.forecaster` where none are given.
NETWORK = {"head": "quantile", "quantiles": (0.1, 0.3, 0.5, 0.7, 0.9), "scaling": "rolling", "readout_size": 128}


def fit(
    table: Any,
    horizon: int,
    *,
    freq: Any = None,
    key: jax.Array | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    static: tuple[str, ...] = (),
    future: tuple[str, ...] = (),
    past: tuple[str, ...] = (),
    identity: bool = False,
    calendar_features: bool = True,
    base: bool | None = None,
    cell: str | Cell = "lstm",
    hidden: int = 64,
    embedding_size: int = 8,
    context: int | None = None,
    sampling: Any = "series",
    batch: int = 64,
    rate: float = 3e-3,
    decay: float = 1e-2,
    average: float | None = 0.99,
    validate: bool = True,
    patience: int | None = None,
    every: int | None = None,
    refit: bool | None = None,
    calibrate: bool = True,
    members: int = 1,
    bad: str = "missing",
    progress: bool = True,
    **options: Any,
) -> Trained:
    """A forecaster of the `horizon` K next steps, trained on the series of a long table, one network for all of them.

        model = forecast.fit(forecast.read_csv("sales.csv"), 48, freq="h", key=jax.random.key(0), minutes=5)
        model.predict(levels=(0.8,))

    table, freq, bad: as for `panel`. Each series is shifted and scaled by itself in float64 (see `streams.units`), so
        that any level and unit will do. A series with fewer than two values is not trained on, but forecast.
    steps, minutes: how many updates, or about how long; of both the lesser; of neither, 1000 steps. The time of a step
        is measured, so that with `minutes` a result is not to the bit the same on another machine.
    static, future, past: names of columns that stay for each series (strings are embedded, numbers standardised), that
        are known K steps ahead, and that are known up to now. What is missing in them is read as the mean.
    identity: each series has an embedding of its own; one that is not known has their mean.
    calendar_features: hour, weekday and time of the year, those of which the data has two rounds, where ds are dates.
    base: an autoregression of each series beside the network, which goes on learning as it reads; a forecast is moved
        to it by the share of the way that was best for what was kept back, or half of it without validation. It is for
        direct forecasters of other things than counts; None: with those.
    cell: a name in CELLS, of `hidden` units, or a Cell. embedding_size: numbers for each label, at most.
    context: steps before the K that a window of training has; None: the longest season and K, or what there is.
    sampling: how windows are drawn: "series" each as often as any other, "length" in proportion to its steps, "scale"
        to its mean |y|, or a dict or list of weights of the series.
    batch, rate, decay, average: windows in a step; AdamW's rate at first, which falls to 0, and weight decay; the share
        that an average of the params keeps in each step (None: no average).
    validate: the last K steps of each series are kept back, and the params are kept that forecast them best by the
        pinball loss of 10, 50 and 90%; of fewer than 64 series more steps, for forecasts from several origins each, an
        eighth of a series at most. patience, every: as for `train.learn`. refit: train anew on all, for as many steps
        as did best; None: where several origins were kept back. calibrate: intervals are made so wide, by one factor,
        that what was kept back is in those of 80%.
    members: networks of other keys, of whose forecasts the median is taken.
    options: the others of `models.forecaster`: head, quantiles, strategy, seasons, lags, differencing, readout_size,
        scaling, dropout, ... Seasons are those that freq suggests, and differencing is on where there are any.

    Raises ValueError or TypeError for a table or options that do not fit.
    """
    began = time.perf_counter()
    horizon, members = checks.positive(horizon, "horizon"), checks.positive(members, "members")
    key = jax.random.key(0) if key is None else key
    checks.key(key)
    data = panel(table, freq, bad=bad)
    enough = np.array([(~np.isnan(y)).sum() > 1 for y in data.values], bool)
    if not enough.any():
        raise ValueError("y: expected a series with at least two values, got none")
    notes = [*data.notes, *_few(data, enough)]
    longest = int(np.median(data.lengths[enough])) - horizon
    options = {"seasons": calendar.seasons(data.frequency, longest)} | options
    beside = _base(data, enough, horizon, base, options)
    encoding = learn_encoding(data, static, future, past, identity, calendar_features, beside)
    net = _network(horizon, encoding, cell, hidden, embedding_size, options)
    unit = unit_of(net, data)
    streams = encoding.streams(data, *unit)
    judged = judgeable(data, horizon) if validate else np.zeros(len(data), bool)
    origins = origins_of(judged, streams.lengths, horizon) if judged.any() else 1
    if validate and not judged.any():
        notes.append(f"trained without validation: no series has values before and in its last {horizon} steps")
    until = streams.lengths - (horizon + origins - 1) * judged
    if context is None:
        context = max(2 * horizon, max(net.model.seasons, default=0) + horizon)
    window = min(checks.positive(context, "context") + horizon, max(2, int(until[enough].max())))
    shares = shares_of(sampling, data, window) * enough
    back = judged_of(net, encoding, streams, judged, origins) if judged.any() else None
    judge = None if back is None else back.judge
    refit = back is not None and (origins > 1 if refit is None else refit)
    count = checks.positive(1000 if steps is None else steps, "steps")
    plan = Plan(window, checks.positive(batch, "batch"), count, rate, decay, average, 1, patience, progress)
    if minutes is not None:
        some = Windows(net, streams, until, shares, plan, [0])
        left = (60 * minutes - time.perf_counter() + began) / members / (2 if refit else 1)
        fits = affordable(net, some, plan, judge, left)
        plan = plan._replace(steps=fits if steps is None else min(fits, count))
    plan = plan._replace(every=every or max(1, plan.steps // REPORTS))
    found, tried, history = [], [], {}
    for one in jax.random.split(key, members):
        learnt = train_on(net, Windows(net, streams, until, shares, plan, seed_of(one)), plan, one, judge)
        params, history = learnt.params, learnt.history
        tried.append(params)
        if refit and learnt.complete:
            again = plan._replace(steps=int(history["step"][np.nanargmin(history["validation"])]))
            everything = Windows(net, streams, streams.lengths, shares, again, seed_of(one))
            params = train_on(net, everything, again, one).params
        found.append(jax.device_get(params))
        if not learnt.complete:
            notes.append(f"interrupted after {int(history['step'][-1])} steps of network {len(found)} of {members}")
            break
    kept = keep(net, tuple(found), encoding, data, unit)
    named = net.model.head not in ("point", "negative_binomial")  # a count is whole
    share = 0.5 if beside else 0.0
    if back is not None and beside:
        share = back.share(tried)
    spread = back.spread(tried, share) if back is not None and calibrate and named else 1.0
    return Trained(net, tuple(found), encoding, kept, history, tuple(notes), spread, share)


def _base(data: Panel, enough: np.ndarray, K: int, asked: bool | None, options: dict) -> Autoregression | None:
    """The autoregression beside a network, if there is to be one: chosen on some of the series."""
    fits = options.get("strategy", "direct") == "direct" and options.get("head") != "negative_binomial"
    if asked and not fits:
        raise ValueError("base: expected False or None beside a strategy other than 'direct', and beside counts")
    if asked is False or not fits:
        return None
    season, week = [*options["seasons"], None, None][:2]
    rows = np.flatnonzero(enough)
    some = data.take(rows[:: -(-len(rows) // TRIED)])
    lengths = some.lengths
    ys = np.full((len(some), lengths.max()), np.nan)
    for line, n, y, *unit in zip(ys, lengths, some.values, *units(some, season or 1, None), strict=True):
        line[:n] = scaled(y, *unit)
    return chosen(candidates(season or 1, week, K, int(np.median(lengths))), ys, lengths)


def _network(horizon, encoding, cell, hidden, embedding_size, options) -> Network:
    """The network for what an encoding makes of data."""
    if isinstance(cell, str) and cell not in CELLS:
        raise ValueError(f"cell: expected a name in jaxrnn.CELLS, such as 'lstm', or a Cell, got {cell!r}")
    sizes = tuple((len(labels), min(embedding_size, 1 + len(labels) // 2)) for _, labels in encoding.categories)
    found: dict[str, Any] = NETWORK | options
    count = found["head"] == "negative_binomial"
    if count and "scaling" not in options:
        found["scaling"] = "rolling_mean"
    found = {"differencing": bool(found["seasons"]) and not count} | found
    found |= {"past_size": len(encoding.past), "future_size": encoding.future_size}
    found["static_size"] = sum(size for _, size in sizes) + len(encoding.reals)
    made = CELLS[cell](hidden) if isinstance(cell, str) else cell
    return network.network(forecaster(made, horizon, **found), sizes, len(encoding.reals))


def _few(data: Panel, enough: np.ndarray) -> list[str]:
    names = [name for name, some in zip(data.ids, enough, strict=True) if not some]
    if not names:
        return []
    note = f"{len(names)} series with fewer than two values are not trained on, such as {names[0]!r}"
    warnings.warn(note, stacklevel=3)
    return [note]
