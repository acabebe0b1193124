"""From the cell's output to distributions: the parameters of a forecaster's readout, and what it computes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn import initializers
from jaxrnn._core.cell import Params
from jaxrnn._core.numerics import product, row
from jaxrnn.models._forecaster.features import seasonal, sizes
from jaxrnn.models._forecaster.heads import HEADS
from jaxrnn.models._forecaster.series import Look
from jaxrnn.models._parts.symbols import one_output

NEAR = 0.1  # a forecaster of differences begins near what it takes them from: its readout is so much smaller at first


def init(model: Any, key: jax.Array, rest: jax.Array, H: int, stored: Any) -> Params:
    """All parameters beside those of the cell, in the type `stored`; see `Forecaster.init`."""
    draw, A, N, ahead = initializers.lecun_normal(), model.numbers, model.targets, model.ahead
    (_, beside, skipped), more = sizes(model), jax.random.split(jax.random.fold_in(rest, 1), 2)
    params: dict[str, Any] = {}
    width = H + beside
    if model.readout_size:
        kernel = draw(more[0], (width, model.readout_size), stored)
        params["hidden"] = {"kernel": kernel, "bias": jnp.zeros(model.readout_size, stored)}
        width = model.readout_size
        if skipped:
            params["skip"] = jnp.zeros((skipped, ahead * N), stored)
    params["readout"] = draw(key, (width, ahead * N * A), stored)
    params["bias"] = jnp.zeros(ahead * N * A, stored)
    if model.strategy != "recursive" and model.future_size:
        params["future"] = draw(rest, (model.future_size, N * A), stored)
    if model.differencing:
        params["readout"] = NEAR * params["readout"]
        params["seasons"] = jnp.zeros((ahead, len(model.seasons) + model.bases), stored)
    if model.identities:
        table = initializers.normal(0.1)
        params["embedding"] = table(more[1], (model.identities, model.embedding_size), stored)
    if model.strategy == "blended":
        params["blend"] = jnp.full(model.horizon, 0.5, stored)
    return params


def distribution(model: Any, params: Params, h: Any, look: Look, future: Any, key: Any = None) -> Any:
    """h [T, ..., H] -> distributions [T, ..., ahead, N]. key: for the dropout of what the readout reads."""
    h, read, scale, A, N = one_output(model.cell, h), look.read, look.scale, model.numbers, model.targets
    dtype = h.dtype
    f = h if read.beside is None else jnp.concatenate([h, read.beside.astype(dtype)], -1)
    if key is not None and model.dropout:
        keep = jax.random.bernoulli(key, 1 - model.dropout, f.shape)
        f = jnp.where(keep, f / (1 - model.dropout), 0)
    if "hidden" in params:
        f = product(f, params["hidden"]["kernel"], dtype)
        f = jax.nn.gelu(f + row(params["hidden"]["bias"], f)).astype(dtype)
    raw = product(f, params["readout"], dtype)
    raw = raw + row(params["bias"], raw)
    raw = raw.reshape(*raw.shape[:-1], model.ahead, N, A)  # A, not -1, which says nothing where there are no rows
    if "skip" in params:
        skip = product(read.skipped, params["skip"], dtype)
        skip = skip.reshape(*skip.shape[:-1], model.ahead, N, 1).astype(raw.dtype)
        raw = jnp.concatenate([raw[..., :1] + skip, raw[..., 1:]], -1)
    if "future" in params:
        raw = raw + product(future, params["future"], dtype).reshape(*future.shape[:-1], N, A)
    raw = raw.astype(scale.scale.dtype)
    location, size = (jnp.expand_dims(a[..., None, :], range(raw.ndim - 2 - a.ndim)) for a in scale)
    if "seasons" in params:
        location = seasonal(params["seasons"], read.references, location)
    return HEADS[model.head].of(raw, location, size, model.quantiles)
