"""Forecast the next values of a series, with their uncertainty."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn import initializers
from jaxrnn._core import arrays, checks
from jaxrnn._core.cell import Carry, Cell, Params
from jaxrnn._core.jax_internals import is_symbolic
from jaxrnn._core.numerics import product, row, wide
from jaxrnn._core.record import Record, factory
from jaxrnn._core.rows import inside, last_step
from jaxrnn.models._forecaster.heads import HEADS, NOT_A_DISTRIBUTION, Distribution
from jaxrnn.models._forecaster.rollout import rollout
from jaxrnn.models._forecaster.series import (
    SCALINGS,
    Forecasts,
    Prediction,
    Scale,
    context_of,
    exogenous,
    scale_of,
    series,
    steps_first,
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

    @property
    def ahead(self) -> int:
        """How many steps are forecast from one state: K by a direct forecaster, 1 by a recursive one."""
        return self.horizon if self.strategy == "direct" else 1

    def init(self, key: jax.Array) -> Params:
        """Parameters: "cell", "readout" [H, ahead·N·A], "bias", and "future" [F, N·A] if direct and with F inputs."""
        size, A = 2 * self.targets + self.past_size + self.future_size, HEADS[self.head].parameter_count(self.quantiles)
        checks.init(key, size)
        k1, k2, k3 = jax.random.split(key, 3)
        params: dict[str, Any] = {"cell": self.cell.init(k1, size)}
        stored = max((a.dtype for a in jax.tree.leaves(params)), key=lambda d: d.itemsize)
        H = stepped(self.cell, params["cell"], size, stored)
        params["readout"] = initializers.lecun_normal()(k2, (H, self.ahead * self.targets * A), stored)
        params["bias"] = jnp.zeros(self.ahead * self.targets * A, stored)
        if self.strategy == "direct" and self.future_size:
            params["future"] = initializers.lecun_normal()(k3, (self.future_size, self.targets * A), stored)
        return params

    def initial_carry(self, params: Params, batch_shape: tuple[int, ...] = ()) -> Carry:
        """The initial carry of every series."""
        return self.cell.initial_carry(params["cell"], batch_shape)

    def step(
        self,
        params: Params,
        carry: Carry,
        y: jax.Array,
        scale: Scale,
        *,
        past: jax.Array | None = None,
        future: jax.Array | None = None,
    ) -> tuple[Carry, Distribution]:
        """y [..., N], NaN if missing -> (carry, distributions [..., ahead, N] of the next values).

        past [..., P]: the inputs of this step. future [..., ahead, F]: the inputs of the next steps.
        """
        y = jnp.asarray(y, scale.scale.dtype)
        observed = ~jnp.isnan(y)
        x = self._inputs(jnp.where(observed, y, scale.location), observed, scale, past, future)
        carry, h = self.cell.step(params["cell"], carry, x)
        return carry, self._distribution(params, h, scale, future)

    def _inputs(self, ys, observed, scale, past, future):
        parts = [(ys - row(scale.location, ys)) / row(scale.scale, ys), observed]
        parts += [] if past is None else [past]
        parts += [] if future is None else [future[..., 0, :]]
        return jnp.concatenate([part.astype(ys.dtype) for part in parts], -1)

    def _distribution(self, params, h, scale, future):
        raw = product(one_output(self.cell, h), params["readout"], h.dtype)
        raw = raw + row(params["bias"], raw)
        many = HEADS[self.head].parameter_count(self.quantiles)  # not -1, which says nothing where there are no rows
        raw = raw.reshape(*raw.shape[:-1], self.ahead, self.targets, many)
        if "future" in params:
            raw = raw + product(future, params["future"], h.dtype).reshape(*future.shape[:-1], self.targets, many)
        raw = raw.astype(scale.scale.dtype)
        location, size = (jnp.expand_dims(a[..., None, :], range(raw.ndim - 2 - a.ndim)) for a in scale)
        return HEADS[self.head].of(raw, location, size, self.quantiles)

    def apply(self, params: Params, carry: Carry | None, ys: jax.Array, **options: Any) -> tuple[Carry, Distribution]:
        """ys [T, ..., N] -> (carry, distributions [T, ..., ahead, N] of the values after each step, in units of ys).

        NaN in ys is a missing value; an infinite one raises ValueError, or, in jit, where values are not known, makes
        NaN of all that depends on it. From step n - 1 on, where n is the context, a distribution knows nothing of the
        ys after it; before, it knows their scale, up to the context's end. If a carry continues a series, the scale is
        that of the ys of this call, not of those that it has seen. The options, also of `loss`, `predict`, `sample`:

            past [T, ..., P], future [T + K, ..., F]     inputs; `apply` and `loss` also take [T, ..., F], padded with 0
            observed [T, ..., N] bool                    False: missing, whatever ys holds
            lengths [...] int                            steps of each series; its future inputs go K steps further
            context int, or [...] int                    the number n of first steps that set the scale; `apply` and
                                                         `loss` need it, if there is a scaling; None: all of ys
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
        context = context_of(context, needed=self.scaling is not None and not whole, batch=batch)
        seen = observed if context is None else observed & inside(context, T)[..., None]
        scale = scale_of(self.scaling, ys, seen)
        ys = jnp.where(observed, ys, scale.location)
        if future is not None:
            future = windows(future, T, self.ahead)
            future = jnp.where(valid[..., None, None], future, 0)
        xs = self._inputs(ys, observed, scale, past, future)
        carry, hs = unroll(self.cell, params["cell"], carry, xs, lengths=lengths, engine=engine, key=key)
        origins = jnp.ones((T, *batch), bool) if context is None else ~inside(context - 1, T)
        return Forecasts(carry, self._distribution(params, hs, scale, future), ys, observed, scale, origins)

    def loss(self, params: Params, carry: Carry | None, ys: jax.Array, **options: Any) -> tuple[jax.Array, Carry]:
        """The mean loss over observed values, and the carry: (loss [], carry), as `jax.grad(has_aux=True)` expects.

        A value counts once for each of the `ahead` steps before it from which it is forecast, which are those from the
        context's last on: earlier ones know the scale of what comes. The loss is the negative log-likelihood in
        nats; for the head "quantile" the pinball loss, and for "point" the squared error, both relative to the scale of
        the series, so that small series count as much as large ones. If nothing counts, the loss is 0, and so are its
        gradients.
        """
        lengths, future = options.get("lengths"), arrays.ours(options.get("future"), "future")
        # Future inputs past a row's end may be missing: of the results, only the carry depends on them.
        if lengths is not None and future is not None:
            options["future"] = jnp.where(inside(lengths, len(future))[..., None] | jnp.isfinite(future), future, 0)
        run = self._run(params, carry, ys, **options)
        counted = windows(run.observed, run.ys.shape[0], self.ahead) & run.origins[..., None, None]
        following = windows(run.ys, run.ys.shape[0], self.ahead)
        following = jnp.where(counted, following, run.scale.location[..., None, :])
        each = jnp.where(counted, run.distribution.loss(following, run.scale.scale[..., None, :]), 0)
        return each.sum() / jnp.maximum(counted.sum(), 1).astype(each.dtype), run.carry

    def predict(
        self,
        params: Params,
        ys: jax.Array,
        *,
        levels: tuple[float, ...] | None = None,
        key: jax.Array | None = None,
        paths: int = 200,
        **options: Any,
    ) -> Prediction:
        """The K steps after each series: mean, median, and intervals of probability `levels` (None: (0.8,)).

        A direct forecaster takes them from its distributions. A recursive one samples `paths` paths with the `key`;
        without a key it feeds back its own means and has no intervals. The head "point" has none either.
        """
        single = self.head == "point" or (self.strategy == "recursive" and key is None)
        levels = (() if single else (0.8,)) if levels is None else levels
        if any(not 0 < level < 1 for level in levels):
            raise ValueError(f"levels: expected shares between 0 and 1, got {levels!r}")
        if single and levels:
            cure = "another head" if self.head == "point" else "give a key, and paths are drawn"
            raise ValueError(f"levels: expected () where there is no distribution, got {levels!r}; {cure}")
        if self.strategy == "direct":
            run = self._run(params, None, ys, whole=True, **options)
            distribution = last_step(run.distribution, options.get("lengths"))
            mean, quantile = steps_first(distribution.mean()), lambda q: steps_first(distribution.quantile(q))
        elif single:
            mean = self._paths(params, ys, None, None, options)
        else:
            assert key is not None
            drawn = self.sample(params, ys, key, paths, **options)
            mean, quantile = drawn.mean(0), lambda q: jnp.quantile(drawn, q, axis=0)
        none = jnp.zeros((0, *mean.shape), mean.dtype)
        if single:
            return Prediction(mean, mean, none, none)
        lower, upper = ([quantile((1 + side * level) / 2) for level in levels] for side in (-1, 1))
        return Prediction(mean, quantile(0.5), *(jnp.stack(side) if levels else none for side in (lower, upper)))

    def sample(self, params: Params, ys: jax.Array, key: jax.Array, n: int, **options: Any) -> jax.Array:
        """`n` sampled continuations of each series: [n, K, ..., N], each step drawn given those before it.

        Raises TypeError for a direct forecaster, and for the head "point".
        """
        checks.key(key)
        if self.head == "point":
            raise TypeError(NOT_A_DISTRIBUTION)
        if self.strategy == "direct":
            raise TypeError(
                "strategy: expected 'recursive', for paths are drawn step after step, got 'direct', which knows each "
                "step by itself; predict has its intervals"
            )
        return self._paths(params, ys, key, checks.positive(n, "n"), options)

    def _paths(self, params, ys, key, n, options):
        """Sampled paths [n, K, ..., N], or without a key the path of means [K, ..., N]."""
        run, lengths, future = self._run(params, None, ys, whole=True, **options), options.get("lengths"), None
        if self.future_size:
            future = jnp.asarray(options["future"], run.ys.dtype)
            # Each step fed back reads the inputs of the next; the last has no next, and its result is not used.
            future = steps_first(last_step(windows(future[1:], run.ys.shape[0], self.horizon), lengths))
        return rollout(self, params, run.carry, last_step(run.distribution, lengths), run.scale, future, key, n)


@factory
def forecaster(
    cell: Cell,
    horizon: int,
    *,
    targets: int = 1,
    head: str = "gaussian",
    strategy: str = "direct",
    past_size: int = 0,
    future_size: int = 0,
    quantiles: tuple[float, ...] = (0.1, 0.5, 0.9),
    scaling: str | None = "mean",
) -> Forecaster:
    """A forecaster of series: p(y_{t+1} ... y_{t+K} | all up to t), from `cell` over the series.

    At each step the cell reads (y - location) / scale of the N `targets`, which of them were observed (a missing value
    is 0), past_t and future_{t+1}; a readout of its y gives the head's numbers, which are then scaled back.

    cell: any cell, or a composition that can be stepped. horizon: K steps.
    head: "gaussian", "student_t", "quantile" (at `quantiles`), "negative_binomial" for counts, or "point".
    strategy: "direct" forecasts all K steps from each state, adding future_{t+k} future [F, N·A] for step k; it trains
        from every step at once, as in Wen et al. 2017 (arXiv 1711.11053). "recursive" forecasts one step, and feeds
        back its samples or means for the others, as in DeepAR (Salinas et al. 2020, arXiv 1704.04110).
    past_size, future_size: P inputs known up to now, and F known K steps ahead, such as the calendar.
    scaling: "mean" (scale is the mean of |y| over the context, as in DeepAR without its +1), "standard" (mean and
        standard deviation), or None. With a scaling, forecasts of 100 y are 100 times those of y, in any unit.
    Raises TypeError or ValueError for options that do not fit.
    """
    checks.positive(horizon, "horizon")
    checks.positive(targets, "targets")
    for name, size in (("past_size", past_size), ("future_size", future_size)):
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise ValueError(f"{name}: expected an int of at least 0, got {size!r}")
    for name, value, known in (
        ("head", head, tuple(HEADS)),
        ("strategy", strategy, ("direct", "recursive")),
        ("scaling", scaling, SCALINGS),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(map(str, known))}, got {value!r}")
    if strategy == "recursive" and past_size:
        raise ValueError(
            f"past_size: expected 0 with strategy='recursive', which would need them after the end, got {past_size}"
        )
    if head == "negative_binomial" and scaling == "standard":
        raise ValueError("scaling: expected 'mean' or None with head='negative_binomial', got 'standard'")
    if list(quantiles) != sorted(set(quantiles)) or len(quantiles) < 2 or not 0 < quantiles[0] < quantiles[-1] < 1:
        raise ValueError(f"quantiles: expected at least two rising numbers between 0 and 1, got {quantiles!r}")
    return Forecaster(cell, horizon, targets, head, strategy, past_size, future_size, quantiles, scaling)
