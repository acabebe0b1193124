"""A trained forecaster: forecasts, updates by new rows, and a file."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrnn._core import checks
from jaxrnn.forecast import network
from jaxrnn.forecast.autoregression import Autoregression, State
from jaxrnn.forecast.calendar import Frequency, frequency
from jaxrnn.forecast.columns import as_column, columns_of
from jaxrnn.forecast.kept import Kept, following, in_parts, keep, to_come, unit_of, updated
from jaxrnn.forecast.network import Network
from jaxrnn.forecast.streams import Encoding, Standard, present
from jaxrnn.forecast.tables import Panel, Table, panel
from jaxrnn.forecast.training import blended
from jaxrnn.interop import load as load_file
from jaxrnn.interop import save as save_file

SIDES = "lower", "upper"
FACTORIES = {"network": network.network, "deployed": network.deployed}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trained:
    """What `fit` returns: networks, how they read tables, and what is kept of each series up to its last step.

    A value: `update` gives another one. `predict` forecasts from what is kept, the same whether the steps of a series
    came at once or one by one.

    history: of the training, a value for each report, as `train.learn` gives it. notes: what was done to the data.
    spread: how much wider intervals are than the networks say, as validation had it. share: how far forecasts are
    moved from the networks' to the autoregression's.
    """

    network: Network
    members: tuple[Any, ...]
    encoding: Encoding
    kept: Kept
    history: dict[str, np.ndarray]
    notes: tuple[str, ...]
    spread: float = 1.0
    share: float = 0.0

    @property
    def ids(self) -> tuple[str | int, ...]:
        """The names of the series, N of them."""
        return self.kept.ids

    @property
    def horizon(self) -> int:
        """K, the steps that are forecast."""
        return self.network.model.horizon

    @property
    def freq(self) -> str:
        """The frequency by its name, such as "h"."""
        return self.encoding.freq

    @property
    def _grid(self) -> Frequency:
        found = frequency(self.freq)
        return found if self.encoding.dated == found.dated else Frequency(1, "1")

    def __repr__(self) -> str:
        lines = [f"Trained for {self.horizon} steps of {self.freq!r}, {len(self.members)} of {self.network.model!r}"]
        lines.append(f"  {len(self.ids)} series, {self.kept.steps.min()} to {self.kept.steps.max()} steps")
        return "\n".join(lines + [f"  {note}" for note in self.notes])

    def predict(
        self,
        table: Any = None,
        *,
        future: Any = None,
        levels: tuple[float, ...] = (0.8,),
        key: jax.Array | None = None,
        paths: int = 200,
    ) -> Table:
        """The K steps after each series: a long table of unique_id, ds, mean, median and for each level lo-80, hi-80.

        table: series to forecast in place of those that are kept, known or not in training, with the columns that were
            trained with. Those known are in the units of then.
        future: a table of unique_id, ds and the columns known ahead, with a row for each of the K steps at least.
        levels: the probability of each interval. With several members, medians over members of the bounds and medians.
        key, paths: of the paths that a recursive forecaster draws; None: key 0, so that the same call says the same.
        In float64. A series without any value has NaN.
        Raises ValueError for columns or rows that are missing, and as `panel` for wrong ones.
        """
        kept = self._of(table)
        times, ahead = self._ahead(kept, future)
        head, recursive = self.network.model.head, self.network.model.strategy != "direct"
        levels = () if head == "point" else tuple(float(level) for level in levels)
        options: dict[str, Any] = {"levels": levels}
        if recursive and head != "point":
            options |= {"key": jax.random.key(0) if key is None else key, "paths": checks.positive(paths, "paths")}
        found = self._each(kept, ahead, lambda *of: network.predict(*of, **options), 1)
        base = self.encoding.base
        if base is not None and kept.base is not None:
            beside = base.forecast(kept.base.line, kept.base.weights).T, base.deviation(kept.base).T
            found = blended(found, *beside, self.share, levels)
        found = found._replace(**{n: found.median + self.spread * (getattr(found, n) - found.median) for n in SIDES})
        names = ["mean", "median"] + [f"{side}-{100 * level:g}" for level in levels for side in ("lo", "hi")]
        bounds = [bound[k] for k in range(len(levels)) for bound in (found.lower, found.upper)]
        long = {"unique_id": np.repeat(as_column(kept.ids), self.horizon), "ds": times.reshape(-1)}
        return Table(
            long | {n: self._back(kept, a) for n, a in zip(names, [found.mean, found.median, *bounds], strict=True)}
        )

    def sample(self, key: jax.Array, n: int, table: Any = None, *, future: Any = None) -> np.ndarray:
        """n paths of each series, in float64: [n, N, K], in the order of `ids` or of the table.

        Paths are shared among the members of an ensemble. table, future: as for `predict`.
        Raises TypeError for a forecaster that is not recursive.
        """
        kept = self._of(table)
        _, ahead = self._ahead(kept, future)
        share = -(-checks.positive(n, "n") // len(self.members))
        keys = iter(jax.random.split(key, len(self.members) * len(in_parts(len(kept.ids)))))
        drawn = self._each(kept, ahead, lambda *of: network.sample(*of, next(keys), share), None)
        paths = np.concatenate(list(drawn), 0)[:n]  # [n, K, N]
        return np.stack([self._back(kept, path).reshape(-1, self.horizon) for path in paths])

    def update(self, rows: Any) -> Trained:
        """The forecaster after further rows of some or all of its series, as if they had been there from the start.

        Networks and units stay. What is kept of a series does not grow. Steps left out between are missing; rows of a
        time that has been read raise ValueError, as do other series: `predict(table)` forecasts those.
        """
        new = following(self.kept, panel(rows, self.freq))
        return dataclasses.replace(self, kept=updated(self.network, self.members, self.encoding, self.kept, new))

    def save(self, path: str | Path) -> None:
        """Write everything as one file, which `load` reads: see `jaxrnn.save`."""
        kept, record = (
            self.kept,
            network.deployed(self.network, len(self.members), len(self.ids), *_sizes(self.encoding.base)),
        )
        first = kept.first.astype(str).tolist() if self.encoding.dated else kept.first.tolist()
        history = {name: [None if math.isnan(v) else float(v) for v in of] for name, of in self.history.items()}
        extra = {
            "forecast": 1,
            "encoding": _lists(dataclasses.asdict(self.encoding)),
            "ids": list(kept.ids),
            "first": first,
            "steps": kept.steps.tolist(),
            "shift": kept.shift.tolist(),
            "size": kept.size.tolist(),
            "seen": kept.seen.tolist(),
            "history": history,
            "notes": list(self.notes),
            "spread": self.spread,
            "share": self.share,
        }
        base = () if kept.base is None else tuple(_bits(np.asarray(a, np.float64)) for a in kept.base)
        arrays = {"members": self.members, "carries": kept.carries, "series": kept.last, "base": base}
        save_file(path, record, arrays, extra=extra)

    def _of(self, table: Any) -> Kept:
        """What is kept, or what would be of the series of a table."""
        if table is None:
            return self.kept
        found = panel(table, self.freq)
        shift, size = unit_of(self.network, found)
        known = {name: n for n, name in enumerate(self.ids) if self.kept.seen[n]}
        for n, name in enumerate(found.ids):
            if name in known:
                shift[n], size[n] = self.kept.shift[known[name]], self.kept.size[known[name]]
        return keep(self.network, self.members, self.encoding, found, (shift, size))

    def _ahead(self, kept: Kept, future: Any) -> tuple[np.ndarray, np.ndarray]:
        found = None
        if self.encoding.future and future is not None:
            if not isinstance(future, Panel):
                columns = columns_of(future)
                future = {"y": np.full(len(next(iter(columns.values()))), np.nan)} | columns
            found = panel(future, self.freq)
            present(found, [one.name for one in self.encoding.future], "future")
        elif future is not None:
            raise ValueError("future: expected None, for the forecaster was trained without columns known ahead")
        return to_come(self.encoding, kept, self._grid, self.horizon, found)

    def _each(self, kept: Kept, ahead: np.ndarray, function: Any, members: int | None) -> Any:
        """What a function of (network, params, carry, batch) says of all series.

        Leaves [..., N]: with `members`, means and medians over members, else an axis of members is the first.
        """
        parts = in_parts(len(kept.ids))
        batches = [{name: of[rows] for name, of in kept.last.items()} | {"future": ahead[rows]} for rows in parts]
        said = []
        for params, carry in zip(self.members, kept.carries, strict=True):
            carries = [jax.tree.map(lambda a, rows=rows: a[rows], carry) for rows in parts]
            own = [function(self.network, params, *of) for of in zip(carries, batches, strict=True)]
            said.append(jax.tree.map(lambda *some: np.concatenate(some, -1).astype(np.float64), *own))
        every = jax.tree.map(lambda *some: np.stack(some), *said)
        if members is None:
            return every
        middle = jax.tree.map(lambda a: np.median(a, 0), every)
        return middle._replace(mean=every.mean.mean(0))

    def _back(self, kept: Kept, a: np.ndarray) -> np.ndarray:
        """[K, N] in the units of the networks as a column of the data's."""
        found = kept.shift + kept.size * a
        return np.where(kept.seen, found, np.nan).T.reshape(-1)


def load(path: str | Path) -> Trained:
    """The `Trained` of a file that its `save` wrote. No code is in it, and none is run.

    Raises as `jaxrnn.load`, and ValueError for a file of another kind.
    """
    saved = load_file(path, FACTORIES)
    extra = saved.extra
    if not isinstance(extra, dict) or extra.get("forecast") != 1 or not isinstance(saved.record, network.Deployed):
        raise ValueError(f"{path}: expected a file of Trained.save, got one of {saved.record!r}; jaxrnn.load reads it")
    params = jax.tree.map(np.asarray, saved.params)
    encoding = Encoding(**{name: _tuples(name, of) for name, of in extra["encoding"].items()})
    first = np.array(extra["first"], "datetime64[s]" if encoding.dated else np.int64)
    steps, seen = np.array(extra["steps"], np.int64), np.array(extra["seen"], bool)
    shift, size = (np.array(extra[name], np.float64) for name in ("shift", "size"))
    base = State(*map(_numbers, params["base"])) if encoding.base else None
    kept = Kept(tuple(extra["ids"]), first, steps, shift, size, seen, params["series"], params["carries"], base)
    history = {name: np.array([math.nan if v is None else v for v in of]) for name, of in extra["history"].items()}
    members = jax.tree.map(jax.numpy.asarray, params["members"])
    blended = extra["spread"], extra["share"]
    return Trained(saved.record.network, members, encoding, kept, history, tuple(extra["notes"]), *blended)


def _bits(a: np.ndarray) -> np.ndarray:
    """float64 as it is kept among arrays of 32 bits: [...] -> [..., 2] uint32."""
    return np.ascontiguousarray(a)[..., None].view("<u4")


def _numbers(bits: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(bits).view("<f8")[..., 0]


def _sizes(base: Autoregression | None) -> tuple[int, int]:
    return (base.reach, len(base.lags)) if base else (0, 0)


def _lists(value: Any) -> Any:
    """Tuples as lists, for JSON."""
    if isinstance(value, dict):
        return {name: _lists(of) for name, of in value.items()}
    return [_lists(of) for of in value] if isinstance(value, list | tuple) else value


def _tuples(name: str, value: Any) -> Any:
    """A field of an Encoding, from lists."""
    if name in ("past", "future", "reals"):
        return tuple(Standard(*one) for one in value)
    if name == "base":
        return None if value is None else Autoregression(**value | {"lags": tuple(value["lags"])})
    if name == "categories":
        return tuple((column, tuple(labels)) for column, labels in value)
    return tuple(value) if isinstance(value, list) else value
