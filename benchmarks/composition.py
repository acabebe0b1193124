"""What composition costs: a reset or mask that never acts, a wrapper, both directions, beside the bare cell.

Every row is a gradient for parameters and inputs (or a forward pass) of one layer, D = H, timed beside the same without
it: a flag beside no flag, a wrapper beside the bare cell, a bidirectional beside its two cells unrolled one by one in
one program. Flags are arguments of the program: the compiler does not know that they never act.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jaxrnn
from benchmarks.protocol import Report, compiled, interleaved, setting

SHAPES = ("32,128,128", "64,64,64", "8,256,256", "1,512,128")

# What is timed -> what it does to the cell, what `unroll` is given beside, and what it is set beside.
WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "residual": jaxrnn.residual,
    "highway": jaxrnn.highway,
    "dropout": functools.partial(jaxrnn.dropout, input=0.2, output=0.2),
    "variational_dropout": functools.partial(jaxrnn.variational_dropout, input=0.2, recurrent=0.2, output=0.2),
    "recurrent_dropout": functools.partial(jaxrnn.recurrent_dropout, rate=0.2),
    "weight_drop": functools.partial(jaxrnn.weight_drop, rate=0.5),
    "zoneout": functools.partial(jaxrnn.zoneout, h=0.1),
    "zoneout, evaluation": functools.partial(jaxrnn.zoneout, h=0.1),
    "layer_norm": jaxrnn.layer_norm,
    "weight_norm": jaxrnn.weight_norm,
    "clip_gradient": functools.partial(jaxrnn.clip_gradient, bound=1.0),
    "precision, bfloat16": jaxrnn.precision,
}


def table(
    seconds: float = 1.0,
    cells: tuple[str, ...] = ("lstm", "gru"),
    shapes: tuple[str, ...] = SHAPES,
    what: tuple[str, ...] = ("gradient",),
) -> Report:
    """Times with it over times without, of the minimum and of the median; above 1 it costs.

    seconds: how long each contender is timed. shapes: B,T,H. what: gradient, forward or both.
    """
    report = Report(setting(), ["cell", "B, T, H", "what", "with", "ms", "beside ms", "ratio", "ratio of medians"])
    for cell in cells:
        for shape in shapes:
            for kind in what:
                rows(report, cell, tuple(map(int, shape.split(","))), kind, seconds)
    return report


def rows(report: Report, name: str, shape: tuple[int, ...], kind: str, seconds: float) -> None:
    """The rows of one cell and shape."""
    B, T, H = shape
    keys = jax.random.split(jax.random.key(0), 3)
    xs = jax.random.normal(keys[0], (T, B, H))
    cell = getattr(jaxrnn, name)(H)
    params = cell.init(keys[1], H)
    none, all_ = jnp.zeros((T, B), bool), jnp.ones((T, B), bool)

    def timed(run: Callable[..., Any], *args: Any) -> Callable[[], object]:
        def loss(p, xs, *more):
            return run(p, xs, *more)[1].astype(jnp.float32).sum()

        f = run if kind == "forward" else jax.value_and_grad(loss, argnums=(0, 1))
        return compiled(f, *args).call

    def unrolled(cell: Any, **options: Any) -> Callable[..., Any]:
        return lambda p, xs: jaxrnn.unroll(cell, p, None, xs, **options)

    calls = {"": timed(unrolled(cell), params, xs)}
    calls["reset, all False"] = timed(lambda p, xs, f: jaxrnn.unroll(cell, p, None, xs, reset=f), params, xs, none)
    calls["mask, all True"] = timed(lambda p, xs, f: jaxrnn.unroll(cell, p, None, xs, mask=f), params, xs, all_)
    for label, wrap in WRAPPERS.items():
        made = wrap(cell)
        noise = {} if "evaluation" in label else {"key": keys[2]}
        calls[label] = timed(unrolled(made, **noise), made.init(keys[1], H), xs)

    both = jaxrnn.bidirectional(cell, cell)
    two = both.init(keys[1], H)

    def apart(p, xs):
        _, there = jaxrnn.unroll(cell, p["forward"], None, xs)
        _, back = jaxrnn.unroll(cell, p["backward"], None, xs, reverse=True)
        return None, jnp.concatenate([there, back], axis=-1)

    calls["two unrolls"] = timed(apart, two, xs)
    calls["bidirectional"] = timed(unrolled(both), two, xs)

    times = interleaved(calls, seconds=seconds * len(calls))
    for label, t in times.items():
        if label in ("", "two unrolls"):
            continue
        beside = times["two unrolls" if label == "bidirectional" else ""]
        report.add(
            {
                "cell": name,
                "B, T, H": f"{B}, {T}, {H}",
                "what": kind,
                "with": label,
                "ms": t.minimum,
                "beside ms": beside.minimum,
                "ratio": t.minimum / beside.minimum,
                "ratio of medians": t.median / beside.median,
            }
        )
