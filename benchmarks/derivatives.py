"""Forward mode, second derivatives and ensembles: what plain JAX does as well, beside it and flax.

A loss is a weighted sum of all outputs, its derivatives are for the parameters. Hessian-vector products are named by
what is outside: "forward of reverse" is `jax.jvp` of `jax.grad`. An ensemble is `vmap` of `grad`, over four of them.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

import jaxrnn
from benchmarks.protocol import Report, compiled, interleaved, setting

SHAPES = ("32,100,64", "8,200,32", "32,100,128", "1,300,64")
SCAN, FLAX = "scan / deferred", "linen / deferred"


def table(seconds: float = 2.0, cells: tuple[str, ...] = ("lstm", "gru"), shapes: tuple[str, ...] = SHAPES) -> Report:
    """Milliseconds (minimum) by `deferred`, `scan` and flax.linen, and ratios: above 1, `deferred` is the faster.

    seconds: how long each row is timed. shapes: B,T,H with D = H.
    """
    columns = ["cell", "B, T, H", "what", "deferred ms", "scan ms", "linen ms", SCAN, FLAX]
    report = Report(setting("flax") | {"type": "float32"}, columns)
    for cell in cells:
        for shape in shapes:
            B, T, H = map(int, shape.split(","))
            losses = losses_of(cell, B, T, H)
            for what, make in WHAT.items():
                calls = {name: compiled(make(loss), params).call for name, (loss, params) in losses.items()}
                least = {name: times.minimum for name, times in interleaved(calls, seconds=seconds).items()}
                row = {"cell": cell, "B, T, H": f"{B}, {T}, {H}", "what": what}
                row |= {f"{name} ms": ms for name, ms in least.items()}
                ratios = {SCAN: least["scan"] / least["deferred"], FLAX: least["linen"] / least["deferred"]}
                report.add(row | ratios)
    return report


def losses_of(cell: str, B: int, T: int, H: int) -> dict:
    """name -> (a loss, its parameters)."""
    keys = jax.random.split(jax.random.key(0), 3)
    xs, weights = (jax.random.normal(key, (T, B, H)) for key in keys[:2])
    ours = getattr(jaxrnn, cell)(H)
    params = ours.init(keys[2], H)

    def by(engine):
        return lambda p: (weights * jaxrnn.unroll(ours, p, None, xs, engine=engine)[1]).sum()

    theirs = nn.RNN({"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}[cell](H), time_major=True)
    linen = (lambda p: (weights * theirs.apply(p, xs)).sum()), theirs.init(keys[2], xs)
    return {"deferred": (by(None), params), "scan": (by(jaxrnn.engines.scan), params), "linen": linen}


def along(params):
    """A direction."""
    return jax.tree.map(lambda a: jax.random.normal(jax.random.key(3), a.shape), params)


def inner(a, b):
    return sum((x * y).sum() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


WHAT = {
    "jvp": lambda f: lambda p: jax.jvp(f, (p,), (along(p),)),
    "forward of reverse": lambda f: lambda p: jax.jvp(jax.grad(f), (p,), (along(p),))[1],
    "reverse of reverse": lambda f: jax.grad(lambda p: inner(jax.grad(f)(p), along(p))),
    "reverse of forward": lambda f: jax.grad(lambda p: jax.jvp(f, (p,), (along(p),))[1]),
    "ensemble": lambda f: lambda p: jax.vmap(jax.grad(f))(jax.tree.map(lambda a: jnp.stack([a] * 4), p)),
}
