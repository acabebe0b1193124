"""Makes the two small models of the demo, which docs/demo/models/ holds.

    python -m experiments.char_lm --hidden 256 --embedding 32 --steps 3600 --every 400
    python docs/demo_models.py writer runs/char_lm-1        that run, its kernels in int8: writer.safetensors
    python docs/demo_models.py forecaster                   trains one on what `drawn` makes: forecaster.safetensors

No series of the world is in the forecaster.
"""

from __future__ import annotations

import argparse
import inspect
import io
import json
import sys
import tokenize
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from jaxrnn import interop, models, train
from jaxrnn.cli.description import load_description

MODELS = Path(__file__).parent / "demo" / "models"
QUANTILES = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)  # the ends of the fan's intervals, and the median
HORIZON, LONGEST = 24, 240  # K, and T of what is trained on


def drawn(key: jax.Array, rows: int = 48) -> tuple[jax.Array, jax.Array]:
    """(series [T, B, 1], NaN where one misses a value; how many first steps of each are known [B])."""
    one, two = jax.random.split(key)
    series = jax.vmap(_series)(jax.random.split(one, rows))
    return series.T[..., None], jax.random.randint(two, (rows,), 30, LONGEST - HORIZON + 1)


def _series(key: jax.Array) -> jax.Array:
    """One series [T]: a trend that may bend, up to two seasons with harmonics, noise that may be red or wander."""
    keys = iter(jax.random.split(key, 40))

    def uniform(low: float, high: float) -> jax.Array:
        return jax.random.uniform(next(keys), (), minval=low, maxval=high)

    def maybe(share: float) -> jax.Array:
        return jax.random.bernoulli(next(keys), share).astype(jnp.float32)

    t = jnp.arange(LONGEST, dtype=jnp.float32)

    def season() -> jax.Array:
        period = jnp.exp(uniform(jnp.log(4.0), jnp.log(50.0)))
        period = jnp.where(maybe(0.75) > 0, jnp.round(period), period)
        at = 2 * jnp.pi * jnp.outer(t / period, jnp.arange(1, 6, dtype=jnp.float32))
        waves = jax.random.normal(next(keys), (2, 5)) / jnp.arange(1, 6) ** uniform(0.5, 2.0)
        wave = jnp.cos(at) @ waves[0] + jnp.sin(at) @ waves[1]
        wave = wave / jnp.sqrt(jnp.mean(wave**2) + 1e-6)
        return jnp.where(maybe(0.3) > 0, jnp.exp(0.8 * wave) - 1.4, wave)

    bend = jnp.maximum(t - uniform(0, LONGEST), 0)
    trend = maybe(0.7) * (uniform(-3, 3) * t + maybe(0.4) * uniform(-4, 4) * bend) / LONGEST
    seasons = maybe(0.85) * season() + maybe(0.25) * uniform(0.2, 1) * season()
    seasons *= jnp.exp(maybe(0.4) * uniform(-1, 1.5) * t / LONGEST)  # that grow or fade
    shocks = jax.random.normal(next(keys), (LONGEST,))
    red = uniform(0, 0.95) * maybe(0.5)
    _, noise = jax.lax.scan(lambda n, e: (red * n + e,) * 2, 0.0, shocks * jnp.sqrt(1 - red**2))
    walk = jnp.cumsum(jax.random.normal(next(keys), (LONGEST,))) * maybe(0.3) * jnp.exp(uniform(-4.5, -0.5))
    whole = trend + seasons + noise * jnp.exp(uniform(jnp.log(0.01), jnp.log(0.7))) + walk
    missing = jax.random.bernoulli(next(keys), 0.1 * maybe(0.2), (LONGEST,))
    return jnp.where(missing, jnp.nan, whole)


def forecaster(path: Path, steps: int = 2500) -> None:
    """Train it, on origins up to one horizon after what is known, and save it in int8."""
    model = models.forecaster(jaxrnn.gru(128), HORIZON, head="quantile", quantiles=QUANTILES, scaling="standard")

    def loss(params, batch, key):
        ys, known = batch
        after = jnp.arange(LONGEST)[:, None] - known[None] + 1
        origins = ((after >= 0) & (after <= HORIZON)).astype(jnp.float32)
        return model.loss(params, None, ys, context=known, weights=origins)[0]

    learnt = train.learn(
        loss, model.init(jax.random.key(0)), drawn, key=jax.random.key(1), steps=steps, rate=4e-3, progress="lines"
    )
    source = (
        f"A GRU of 128 units, trained by docs/demo_models.py for {steps} updates on made-up series alone: sums of "
        "trends, seasons, noise and random walks, drawn anew for each update. It has seen no series of the world. "
        "Kernels in int8."
    )
    jaxrnn.save(path, model, interop.quantize(learnt.params), extra={"from": source})


def telling(model: Any, params: Any, vocabulary: Any) -> list:
    """[[unit from 1, what it goes with, their correlation], ...], over tanh c at each character of argparse.py."""
    text = inspect.getsource(argparse)
    lines = text.splitlines(keepends=True)
    ends = np.cumsum([0, *map(len, lines)])
    string, depth = np.zeros(len(text)), []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.STRING:
            (row, column), (last, end) = token.start, token.end
            string[ends[row - 1] + column : ends[last - 1] + end] = 1
    for character in text:
        depth.append(max(0, (depth[-1] if depth else 0) + (character in "([{") - (character in ")]}")))
    margin = [i < len(line) - len(line.lstrip()) for line in lines for i in range(len(line))]
    along = [i for line in lines for i in range(len(line))]
    features = {
        "inside brackets": depth,
        "in the indentation": margin,
        "along the line": along,
        "inside a string": string,
    }

    def step(carry, token):
        carry = model.step(params, carry, token)[0]
        return carry, jnp.tanh(carry["layer_0"].c)

    states = np.asarray(jax.lax.scan(step, model.initial_carry(params), jnp.asarray(vocabulary.encode(text)))[1])
    found = []
    for words, values in features.items():
        each = [np.corrcoef(unit, values)[0, 1] if unit.std() else 0.0 for unit in states.T]
        best = int(np.argmax(np.abs(each)))
        if abs(each[best]) > 0.6:
            found.append([best + 1, words, round(float(each[best]), 2)])
    return found


def writer(run: Path, path: Path) -> None:
    """The model of a run of experiments.char_lm, in int8, with its vocabulary."""
    model, vocabulary, _ = load_description(run)
    params = train.Checkpoints(run).restore_params(model)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    source = (
        f"An LSTM, trained by make train (experiments.char_lm) for {last['step']} updates on the modules of Python's "
        f"standard library: {last['held_out']:.2f} bits per character of what was held out, before its kernels were "
        "rounded to int8."
    )
    params = jax.tree.map(jnp.asarray, interop.quantize(params))
    extra = {"from": source, "units": telling(model, params, vocabulary)}
    jaxrnn.save(path, model, params, vocabulary=vocabulary, extra=extra)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["writer", run]:
            writer(Path(run), MODELS / "writer.safetensors")
        case ["forecaster"]:
            jaxrnn.cores_as_devices()
            forecaster(MODELS / "forecaster.safetensors")
        case _:
            sys.exit(__doc__)
