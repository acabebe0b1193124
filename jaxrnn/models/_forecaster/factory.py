"""The call that makes a forecaster, and what its options mean."""

from __future__ import annotations

from jaxrnn._core.cell import Cell
from jaxrnn._core.record import factory
from jaxrnn.models._forecaster import options
from jaxrnn.models._forecaster.forecaster import Forecaster


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
    lags: tuple[int, ...] = (),
    seasons: tuple[int, ...] = (),
    differencing: bool = False,
    readout_size: int | None = None,
    static_size: int = 0,
    identities: int = 0,
    embedding_size: int = 8,
    scale_window: int | None = None,
    components: int = 3,
    dropout: float = 0.0,
    bases: int = 0,
) -> Forecaster:
    """A forecaster of series: p(y_{t+1} ... y_{t+K} | all up to t), from `cell` over the series.

    At each step the cell reads (y - location) / scale of the N `targets`, which of them were observed (a missing value
    is 0), past_t and future_{t+1}; a readout of its y gives the head's numbers, which are then scaled back.

    cell: any cell, or a composition that can be stepped. horizon: K steps.
    head: "gaussian", "student_t", "quantile" (at `quantiles`), "negative_binomial" for counts, "mixture" (of
        `components` Gaussians), "implicit_quantile" (a quantile function that is learnt at all levels), or "point".
    strategy: "direct" forecasts all K steps from each state, adding future_{t+k} future [F, N·A] for step k; it trains
        from every step at once, as in Wen et al. 2017 (arXiv 1711.11053). "recursive" forecasts one step, and feeds
        back its samples or means for the others, as in DeepAR (Salinas et al. 2020, arXiv 1704.04110). "blended" is
        trained as a direct one, and forecasts both ways, for the first of its K steps can be fed back too; `predict`
        averages the two, and `blend` chooses the shares.
    past_size, future_size: P inputs known up to now, and F known K steps ahead, such as the calendar.
    scaling: "mean" (scale is the mean of |y| over the context, as in DeepAR without its +1), "standard" (mean and
        standard deviation), or None. Causal, so that a loss needs no context and a new level is followed, are those of
        the observed ones of the last `scale_window` values (None: the longest season, else 28): "rolling" (location
        their mean; scale their standard deviation, but at least |location| / 1000), "rolling_mean" (location 0, scale
        their mean |y|) and "seasonal_naive" (as "rolling", with scale the mean of |y_t - y_{t-m}|, m the first
        season). The network reads log(scale / (|location| + scale)) too, and values cut to ±10 scales.
        With a scaling, forecasts of 100 y are 100 times those of y, in any unit.
    lags: the cell also reads y_{t-l}, and whether it was observed, of each l.
    seasons: M periods m. Cell and readout also read the last season's values for the steps to come,

            r_{m,k} = y_{t + k - m ceil(k / m)},  k = 1 ... min(K, m)

        A missing one is that of the season before, as far back as is remembered (two of the longest season, at least),
        else the location; the cell reads the share of them that is known.
    differencing: the head's location is sum_m w_{k,m} r_{m,k} + scale raw, with w_k the softmax of row k of
        params["seasons"] [K, M + G] over the seasons that are known; with one and raw = 0 it is seasonal naive.
    readout_size: a layer of so many gelu units between the readout and what it reads; with seasons, a linear one from
        r to the locations beside it (params["skip"], 0 at first). None: the readout is linear.
    static_size: S real numbers of each series that stay; identities: how many series have an embedding of
        `embedding_size`, which is learnt. Cell and readout read both.
    dropout: the share of what the readout reads that is 0 in training, where `loss` has a key.

    bases: G other methods' forecasts of the K steps, made at each step and given to `loss` and `predict`: they are read
        and, with differencing, weighted as the seasons are, so that the network learns what to add to a regression on
        lags of each series, say. For a direct forecaster.

    With lags, seasons or a causal scaling the carry is `Remembered(cell, values [..., R, N], scale)`, which continues a
    series as if it had been given at once.
    Raises TypeError or ValueError for options that do not fit.
    """
    made = dict(locals())
    options.check(made)
    return Forecaster(**made)
