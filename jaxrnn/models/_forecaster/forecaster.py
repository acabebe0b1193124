"""Forecast the next values of a series, with their uncertainty."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Carry, Cell, Params
from jaxrnn._core.jax_internals import is_symbolic
from jaxrnn._core.numerics import wide
from jaxrnn._core.record import Record
from jaxrnn._core.rows import inside
from jaxrnn.models._forecaster import blending, carries, features, memory, predicting, readout, scales
from jaxrnn.models._forecaster.heads import HEADS, Distribution
from jaxrnn.models._forecaster.series import (
    Forecasts,
    Inputs,
    Look,
    Prediction,
    Scale,
    bases_of,
    context_of,
    exogenous,
    mean_of,
    scale_of,
    series,
    units_of,
    windows,
)
from jaxrnn.models._parts.symbols import one_output, stepped
from jaxrnn.run import unroll


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Forecaster(Record):
    """A forecaster; see `forecaster`, which makes it. K is its horizon, N its targets, A its head's parameter count."""

    cell: Cell
    horizon: int
    targets: int
    head: str
    strategy: str
    past_size: int
    future_size: int
    quantiles: tuple[float, ...]
    scaling: str | None
    lags: tuple[int, ...]
    seasons: tuple[int, ...]
    differencing: bool
    readout_size: int | None
    static_size: int
    identities: int
    embedding_size: int
    scale_window: int | None
    components: int
    dropout: float
    bases: int

    @property
    def ahead(self) -> int:
        """How many steps are forecast from one state: K by a direct or blended forecaster, 1 by a recursive one."""
        return 1 if self.strategy == "recursive" else self.horizon

    @property
    def numbers(self) -> int:
        """A, how many numbers the head takes for each value."""
        return 3 * self.components if self.head == "mixture" else HEADS[self.head].parameter_count(self.quantiles)

    @property
    def causal(self) -> bool:
        """Whether each step has a scale of its own, from the values up to it."""
        return self.scaling in scales.CAUSAL

    @property
    def window(self) -> int:
        """W, how many values up to a step make its scale, if that is causal."""
        return self.scale_window or max(self.seasons, default=scales.WINDOW)

    @property
    def reach(self) -> int:
        """R, how many values a carry keeps; 0: it is the cell's carry, and no more."""
        looks = [0, *self.lags, *(2 * m - 1 for m in self.seasons)]
        if self.causal:
            looks += [self.window + (self.seasons[0] if self.scaling == "seasonal_naive" else 0)]
        return max(looks)

    def init(self, key: jax.Array) -> Params:
        """Parameters: "cell", "readout" [H, ahead·N·A], "bias", and "future" [F, N·A] if direct and with F inputs.

        With readout_size: "hidden" {"kernel", "bias"}, whose outputs the readout then reads, and with seasons "skip"
        [.., ahead·N]. With differencing "seasons" [ahead, M]. With identities "embedding" [identities, E]. If blended
        "blend" [K], the share of the recursive forecast.
        """
        size = features.sizes(self)[0]
        checks.init(key, size)
        k1, k2, k3 = jax.random.split(key, 3)
        cell = self.cell.init(k1, size)
        stored = max((a.dtype for a in jax.tree.leaves(cell)), key=lambda d: d.itemsize)
        return {"cell": cell, **readout.init(self, k2, k3, stepped(self.cell, cell, size, stored), stored)}

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = (), *, before: Any = None) -> Carry:
        """The initial carry of every series; of a forecaster that looks back, `Remembered(cell, values, scale)`.

        before [any number of steps, ..., N]: what came before the first step, NaN where missing; its batch axes count.
        It is remembered, so that lags, seasons and a causal scale know it, though the cell has not run over it.
        """
        batch_shape = batch_shape if before is None else jnp.shape(before)[1:-1]
        cell = self.cell.initial_carry(params["cell"], batch_shape)
        return carries.begun(self, cell, batch_shape, wide(params["bias"].dtype), before)

    def step(
        self,
        params: Params,
        carry: Carry,
        y: jax.Array,
        scale: Scale | None = None,
        *,
        past: jax.Array | None = None,
        future: jax.Array | None = None,
        static: jax.Array | None = None,
        static_ids: jax.Array | None = None,
        bases: jax.Array | None = None,
    ) -> tuple[Carry, Distribution]:
        """y [..., N], NaN if missing -> (carry, distributions [..., ahead, N] of the next values).

        scale: that of the series, for the scalings "mean" and "standard"; None for the others.
        past [..., P]: the inputs of this step. future [..., ahead, F]: the inputs of the next steps.
        static, static_ids: as for `apply`, at each step again. bases [..., K, G·N]: forecasts of others from this step.
        """
        if (scale is not None and self.causal) or (scale is None and self.scaling in ("mean", "standard")):
            expected = "None, for it follows from what came" if self.causal else "Scale(location, scale), each [..., N]"
            raise ValueError(f"scale: expected {expected}, with scaling={self.scaling!r}, got {checks.describe(scale)}")
        dtype = wide(params["bias"].dtype) if scale is None else scale.scale.dtype
        past, future, bases = (None if a is None else jnp.asarray(a)[None] for a in (past, future, bases))
        y = jnp.asarray(y, dtype)[None]
        static = features.statics(self, params, static, static_ids, y.shape[1:-1], dtype)
        given = Inputs(past, future, bases_of(bases, self, y.shape[:-1], dtype), static)
        look = self._look(carry, y, ~jnp.isnan(y), scale, given)
        cell, h = self.cell.step(params["cell"], look.before.cell, look.read.xs[0])
        said = readout.distribution(self, params, jnp.expand_dims(one_output(self.cell, h), 0), look, future)
        return carries.closed(self, cell, look, 1, None), jax.tree.map(lambda a: a[0], said)

    def _look(self, carry, ys, observed, scale, given: Inputs) -> Look:
        """What T steps see; scale: None if it is causal, or there is none."""
        T, before = ys.shape[0], carries.opened(self, carry, ys.shape[1:-1], ys.dtype)
        line, known = memory.line(before.values, ys, observed), None
        if self.causal:
            scale, known = carries.scale_at(self, line, before.scale, T, self.reach)
        elif scale is None:
            scale = scale_of(None, ys, observed)
        return Look(before, line, scale, known, features.read(self, line, scale, T, given))

    def apply(self, params: Params, carry: Carry | None, ys: jax.Array, **options: Any) -> tuple[Carry, Distribution]:
        """ys [T, ..., N] -> (carry, distributions [T, ..., ahead, N] of the values after each step, in units of ys).

        NaN in ys is a missing value; an infinite one raises ValueError, or, in jit, where values are not known, makes
        NaN of all that depends on it. From step n - 1 on, where n is the context, a distribution knows nothing of the
        ys after it; before, it knows their scale, up to the context's end. If a carry continues a series, the scale is
        that of the ys of this call, not of those that it has seen. A causal scale knows nothing later than its step,
        at any step, and is continued by the carry: series may be cut anywhere.
        The options, also of `loss`, `predict`, `sample`:

            past [T, ..., P], future [T + K, ..., F]     inputs; `apply` and `loss` also take [T, ..., F], padded with 0
            observed [T, ..., N] bool                    False: missing, whatever ys holds
            lengths [...] int                            steps of each series; its future inputs go K steps further
            context int, or [...] int                    the number n of first steps that set the scale; `apply` and
                                                         `loss` need it, if there is a scaling; None: all of ys. It sets
                                                         no causal scale: there it only says where a loss begins
            static [..., S], static_ids [...] int        what stays of a series; an id of -1: not among the identities
            bases [T, ..., K, G·N]                       forecasts of G other methods from each step, NaN where unknown
            engine, key                                  as for `unroll`; `predict` and `sample` have no noise
        """
        run = self._run(params, carry, ys, **options)
        return run.carry, run.distribution

    def _run(
        self,
        params,
        carry,
        ys,
        *,
        past=None,
        future=None,
        observed=None,
        lengths=None,
        context=None,
        static=None,
        static_ids=None,
        bases=None,
        engine=None,
        key=None,
        whole=False,
    ) -> Forecasts:
        ys, observed = series(ys, observed, lengths, self.targets, wide(params["bias"].dtype))
        T, batch = ys.shape[0], ys.shape[1:-1]
        times = (T + self.horizon,) if whole else (T, T + self.horizon)
        known_to = jnp if is_symbolic(ys) else np  # of NumPy what is checked: under jit its values are known
        valid = known_to.ones((T, *batch), bool) if lengths is None else inside(lengths, T)
        past = exogenous("past", "P", past, self.past_size, (T,), valid, ys.dtype)
        known = valid & (known_to.arange(T) > 0).reshape(-1, *[1] * len(batch))  # that of the first step is not read
        future = exogenous("future", "F", future, self.future_size, times, known, ys.dtype)
        scaled = self.scaling is not None and not self.causal
        context = context_of(context, needed=scaled and not whole, batch=batch)
        seen = observed if context is None else observed & inside(context, T)[..., None]
        scale = scale_of(self.scaling, ys, seen) if scaled else None
        if future is not None:
            future = windows(future, T, self.ahead)
            future = jnp.where(valid[..., None, None], future, 0)
        static = features.statics(self, params, static, static_ids, batch, ys.dtype)
        given = Inputs(past, future, bases_of(bases, self, (T, *batch), ys.dtype), static)
        look = self._look(carry, ys, observed, scale, given)
        key, drop = jax.random.split(key) if key is not None and self.dropout else (key, None)
        start, more = look.before.cell, {"lengths": lengths, "engine": engine, "key": key}
        cell, hs = unroll(self.cell, params["cell"], start, look.read.xs, **more)
        origins = True if look.known is None else look.known
        origins &= jnp.ones((T, *batch, 1), bool) if context is None else ~inside(context - 1, T)[..., None]
        said = readout.distribution(self, params, hs, look, future, drop)
        return Forecasts(carries.closed(self, cell, look, T, lengths), said, ys, observed, look.scale, origins)

    def loss(
        self,
        params: Params,
        carry: Carry | None,
        ys: jax.Array,
        *,
        weights: Any = None,
        units: Any = None,
        **options: Any,
    ) -> tuple[jax.Array, Carry]:
        """The mean loss over observed values, and the carry: (loss [], carry), as `jax.grad(has_aux=True)` expects.

        A value counts once for each of the `ahead` steps before it from which it is forecast, which are those from the
        context's last on: earlier ones know the scale of what comes. With a causal scale those count whose window has a
        value, from the context's last on if there is one. The loss is the negative log-likelihood in nats; for the
        heads "quantile" and "implicit_quantile" the pinball loss, and for "point" the squared error, relative to the
        scale of the series, so that small series count as much as large ones. If nothing counts, the loss is 0, and so
        are its gradients.

        weights: how much each series [...], or each step as an origin [T, ...], counts; the loss is the weighted mean.
        units [..., N]: what pinball losses and errors are relative to, instead of the scale: a size of each series.
        """
        lengths, future = options.get("lengths"), arrays.ours(options.get("future"), "future")
        # Future inputs past a row's end may be missing: of the results, only the carry depends on them.
        if lengths is not None and future is not None:
            options["future"] = jnp.where(inside(lengths, len(future))[..., None] | jnp.isfinite(future), future, 0)
        run = self._run(params, carry, ys, **options)
        T, location, size = run.ys.shape[0], run.scale.location[..., None, :], run.scale.scale[..., None, :]
        counted = windows(run.observed, T, self.ahead) & run.origins[..., None, :]
        following = jnp.where(counted, windows(run.ys, T, self.ahead), location)
        if units is not None:
            size = units_of(units, self.head, run.ys.shape[1:], size.dtype)
        key, draws = options.get("key"), ()
        if self.head == "implicit_quantile" and key is not None:
            draws = (jax.random.fold_in(key, 1),)  # the cell's noise has the key itself
        return mean_of(run.distribution.loss(following, size, *draws), counted, weights), run.carry

    def predict(
        self,
        params: Params,
        ys: jax.Array,
        *,
        levels: tuple[float, ...] | None = None,
        key: jax.Array | None = None,
        paths: int = 200,
        carry: Carry | None = None,
        **options: Any,
    ) -> Prediction:
        """The K steps after each series: mean, median, and intervals of probability `levels` (None: (0.8,)).

        A direct forecaster takes them from its distributions. A recursive one samples `paths` paths with the `key`;
        without a key it feeds back its own means and has no intervals. The head "point" has none either. A blended one
        averages the quantiles of both, params["blend"] [K] of them recursive; without a key it moves the direct ones to
        the average of both means.
        carry: of the series up to ys, from `apply`; None: ys is its beginning.
        """
        return predicting.predict(self, params, carry, ys, levels, key, paths, options)

    def sample(
        self, params: Params, ys: jax.Array, key: jax.Array, n: int, *, carry: Carry | None = None, **options: Any
    ) -> jax.Array:
        """`n` sampled continuations of each series: [n, K, ..., N], each step drawn given those before it.

        carry: as for `predict`. Raises TypeError for a direct forecaster, and for the head "point".
        """
        return predicting.sample(self, params, carry, ys, key, n, options)

    def blend(self, params: Params, ys: jax.Array, *, carry: Carry | None = None, **options: Any) -> Params:
        """The params of a blended forecaster with the best "blend" [K] for the last K of ys, not to be learnt from:

        for each k, the share between 0 and 1 with the least squares, relative to the scale, over all series.
        """
        if self.strategy != "blended":
            raise TypeError(f"strategy: expected 'blended', which has two forecasts to blend, got {self.strategy!r}")
        return blending.chosen(self, params, carry, ys, options)
